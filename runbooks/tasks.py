"""Celery's way in: ids in, one action, done."""

from typing import Any

from celery import shared_task

from runbooks import actions, fleet


@shared_task(name="runbooks.run", bind=True)
def run(self: Any, execution_id: int) -> None:
    actions.perform(execution_id=execution_id, worker=self.request.hostname or "")


@shared_task(name="runbooks.sweep")
def sweep() -> None:
    actions.sweep()


@shared_task(name="runbooks.canaries")
def canaries() -> None:
    fleet.send_canaries()


@shared_task(name="runbooks.schedules")
def schedules() -> None:
    actions.fire()


@shared_task(name="runbooks.retention")
def retention() -> None:
    actions.forget()
