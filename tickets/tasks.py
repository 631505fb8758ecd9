"""Celery's way in: ids in, one action, done."""

from celery import shared_task

from tickets import actions
from tickets.actions import jobs
from tickets.mail import incoming, outgoing

__all__ = [
    "apply_mail",
    "outgoing",
    "run_job",
    "sweep_jobs",
    "sweep_moments",
    "sweep_retention",
    "sweep_rules",
    "sweep_sla",
]


@shared_task(name="tickets.sweep_sla")
def sweep_sla() -> None:
    actions.sweep_sla()


@shared_task(name="tickets.sweep_moments")
def sweep_moments() -> None:
    actions.sweep_moments()


@shared_task(name="tickets.sweep_rules")
def sweep_rules() -> None:
    actions.sweep_recurrences()
    actions.sweep_rules()


@shared_task(name="tickets.sweep_retention")
def sweep_retention() -> None:
    actions.sweep_retention()


@shared_task(name="tickets.apply_mail")
def apply_mail() -> None:
    incoming.drain()


@shared_task(name="tickets.run_job")
def run_job(job_id: int) -> None:
    jobs.run(job_id)


@shared_task(name="tickets.sweep_jobs")
def sweep_jobs() -> None:
    jobs.sweep()
