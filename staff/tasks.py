"""Celery's way in: ids in, one action, done."""

from celery import shared_task

from staff import actions


@shared_task(name="staff.sweep_notices")
def sweep_notices() -> None:
    actions.sweep_notices()
