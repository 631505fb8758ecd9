"""Celery's way in: ids in, one action, done."""

from celery import shared_task

from runbooks import actions


@shared_task(name="runbooks.run")
def run(execution_id: int) -> None:
    actions.perform(execution_id=execution_id)


@shared_task(name="runbooks.sweep")
def sweep() -> None:
    actions.sweep()
