"""Celery's way in: ids in, one action, done."""

from celery import shared_task

from workspace import counting
from workspace.actions import kept

__all__ = ["count_report", "sweep_reports"]


@shared_task(name="workspace.count_report")
def count_report(pk: int) -> None:
    counting.count(pk)


@shared_task(name="workspace.sweep_reports")
def sweep_reports() -> None:
    kept.sweep()
    counting.sweep()
