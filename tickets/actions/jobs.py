"""Background work in batches. Each batch and its progress are one transaction: a crash repeats nothing."""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from staff.models import User
from supportdesk import events
from supportdesk.doorbell import ring_on_commit
from tickets.models import Job, JobState, SLATimer, Ticket
from tickets.sla import clocks, rules

log = logging.getLogger(__name__)

LEASE, AGAIN, MOST_FAILURES = timedelta(minutes=2), timedelta(seconds=5), 5
CLOCKS = "clocks"
_BATCH = 200


@transaction.atomic
def recompute_clocks(*, by: User | None, title: str) -> Job:
    """Let every clock that has not stopped follow the rules in force."""
    # An earlier one that has not ended would do the same work: what it has not reached is ours to do.
    Job.objects.filter(kind=CLOCKS, state__in=[JobState.QUEUED, JobState.RUNNING]).update(stop_asked=True)
    job = Job.objects.create(kind=CLOCKS, title=title[:200], by=by, total=SLATimer.objects.unstopped().count())
    ring_on_commit("tickets.run_job", job.pk)
    return job


def run(job_id: int) -> None:
    """Work on a job until it is finished, a batch a transaction. A job that somebody else works on is left to them."""
    if not _claim(job_id):
        return
    try:
        while _step(job_id):
            pass
    except Exception as error:
        log.exception("job %s is tried again later", job_id)
        _note_failure(job_id, f"{type(error).__name__}: {error}"[:2000])


@transaction.atomic
def _note_failure(job_id: int, error: str) -> None:
    """A batch failed: the sweep tries it again, some times, then the job has failed."""
    job = Job.objects.select_for_update().get(pk=job_id)
    job.attempts, job.error, job.lease_expires_at = job.attempts + 1, error, timezone.now() + AGAIN
    if job.attempts >= MOST_FAILURES:
        job.state, job.finished_at = JobState.FAILED, timezone.now()
    job.save()
    events.publish(f"job.{job.pk}", job.state)


def _claim(job_id: int) -> bool:
    now = timezone.now()
    free = Job.objects.filter(pk=job_id, state__in=[JobState.QUEUED, JobState.RUNNING]).filter(
        Q(lease_expires_at=None) | Q(lease_expires_at__lt=now)
    )
    return bool(free.update(state=JobState.RUNNING, lease_expires_at=now + LEASE, started_at=now))


@transaction.atomic
def _step(job_id: int) -> bool:
    """Do one batch; False when the job is finished."""
    job = Job.objects.select_for_update().get(pk=job_id)
    if job.is_finished:
        return False
    more = False if job.stop_asked else _BATCHES[job.kind](job)
    if not more:
        job.state = JobState.STOPPED if job.stop_asked else JobState.DONE
        job.finished_at, job.lease_expires_at = timezone.now(), None
    else:
        job.lease_expires_at = timezone.now() + LEASE
    job.attempts = 0
    job.save()
    events.publish(f"job.{job.pk}", job.state)
    return more


def _clocks_batch(job: Job) -> bool:
    """Retarget, pause or resume the next clocks by id; tickets are locked first, as everywhere."""
    ids = list(
        SLATimer.objects.unstopped().filter(pk__gt=job.cursor).order_by("pk").values_list("pk", "ticket_id")[:_BATCH]
    )
    if not ids:
        job.done = job.total
        return False
    tickets = {
        ticket.pk: ticket
        for ticket in Ticket.objects.filter(pk__in={ticket for _, ticket in ids})
        .select_related("tier", "requester")
        .select_for_update(of=("self",), no_key=True)
        .order_by("pk")
    }
    timers = SLATimer.objects.unstopped().filter(pk__in=[pk for pk, _ in ids]).order_by("pk")
    in_force, touched = rules.current(), {}
    for timer in timers.select_for_update(of=("self",)).with_log():
        ticket = tickets[timer.ticket_id]
        if clocks.follow(timer, ticket, in_force, at=in_force.edited_at, reason="The promises were edited"):
            clocks.settle(timer, ticket, in_force)
            touched[ticket.pk] = ticket
            job.changed += 1
    for ticket in touched.values():
        clocks.remember_next_due(ticket)
        events.publish(f"ticket.{ticket.number}", "changed")
    job.cursor, job.done = ids[-1][0], min(job.total, job.done + len(ids))
    return True


_BATCHES: dict[str, Callable[[Job], bool]] = {CLOCKS: _clocks_batch}


def register(kind: str, batch: Callable[[Job], bool]) -> None:
    """What does the next batch of a job of this kind, in the open transaction; False when there is none left."""
    _BATCHES[kind] = batch


def stop(*, job_id: int) -> None:
    """Ask a job to stop after its batch."""
    Job.objects.filter(pk=job_id, state__in=[JobState.QUEUED, JobState.RUNNING]).update(stop_asked=True)


def sweep() -> int:
    """Go on with jobs that nobody rang for or whose worker died."""
    now = timezone.now()
    waiting = Job.objects.filter(state__in=[JobState.QUEUED, JobState.RUNNING])
    ids = waiting.filter(Q(lease_expires_at=None) | Q(lease_expires_at__lt=now)).order_by("pk")
    found = list(ids.values_list("pk", flat=True)[:5])
    for job_id in found:
        run(job_id)
    return len(found)
