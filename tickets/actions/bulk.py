"""The same changes to many tickets, in the background: a result a ticket, stop, and undo where that is possible."""

import logging
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet

from staff.models import User
from staff.policies import can_see_settings
from supportdesk.doorbell import ring_on_commit
from supportdesk.errors import DeskError, Invalid, NotFound
from tickets import policies
from tickets.actions import jobs, recipes
from tickets.models import Job, JobRow, RowOutcome, Ticket
from tickets.recipe import Recipe, read

log = logging.getLogger(__name__)

BULK, UNDO = "bulk", "bulk_undo"
MOST = 100_000


@transaction.atomic
def start(*, by: User, tickets: QuerySet[Ticket], recipe: Recipe) -> Job:
    """Note which tickets are meant, in the version of now, and change them in the background.

    `tickets` begins at `visible_to(by)`. What somebody else changes before its turn is refused, row by row.
    """
    policies.check_can_bulk(by)
    if recipe.is_empty:
        raise Invalid("Choose what is to be done.", fields={"changes": ["Choose what is to be done."]})
    chosen = tickets.order_by().values("pk", "version")
    if recipe.merge_into:
        chosen = chosen.exclude(number=recipe.merge_into)
    if chosen[MOST : MOST + 1].exists():
        raise Invalid(f"These are more than {MOST:,} tickets; narrow them down.")
    job = Job.objects.create(kind=BULK, title=f"Tickets: {recipe}"[:200], by=by, parameters=recipe.as_data())
    _note_rows(job, chosen)
    return _begin(job)


def _note_rows(job: Job, chosen: QuerySet[Ticket, Any]) -> None:
    """One row a ticket, by the database itself: there may be very many."""
    try:
        sql, values = chosen.query.sql_with_params()
    except EmptyResultSet:
        return
    picked = f"SELECT %s, pk, version, %s, '' FROM ({sql}) AS picked (pk, version) ORDER BY pk"  # noqa: S608 - Django's own statement
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tickets_jobrow (job_id, ticket_id, version, outcome, said) " + picked,
            [job.pk, RowOutcome.WAITING, *values],
        )
        job.total = cursor.rowcount


def _begin(job: Job) -> Job:
    if job.total == 0:
        raise Invalid("No ticket is chosen, or none of them is there any more.")
    job.save(update_fields=["total"])
    ring_on_commit("tickets.run_job", job.pk)
    return job


def batch(job: Job) -> bool:
    """Change the next ticket: one a transaction, so that nobody waits for the lock of one of many."""
    row = job.rows.filter(outcome=RowOutcome.WAITING).select_related("ticket").order_by("id").first()
    if row is None:
        job.done = job.total
        return False
    by = job.by
    try:
        with transaction.atomic():
            if by is None or not by.is_active:
                raise NotFound("Who asked for it is not on the desk any more.")
            done = _undo(row, by) if job.kind == UNDO else _apply(job, row, by)
        row.outcome = RowOutcome.DONE if done else RowOutcome.UNCHANGED
        job.changed += done
    except DeskError as refused:
        row.outcome, row.said = RowOutcome.REFUSED, str(refused)[:500]
        job.failed += 1
    except OperationalError:
        raise  # a lock or the connection: the same ticket again, later
    except Exception as error:
        log.exception("ticket %s of job %s", row.ticket_id, job.pk)
        row.outcome, row.said = RowOutcome.FAILED, f"{type(error).__name__}: {error}"[:500]
        job.failed += 1
    row.save()
    job.done += 1
    return True


def _apply(job: Job, row: JobRow, by: User) -> bool:
    key = f"job{job.pk}"
    applied = recipes.apply(read(job.parameters), number=row.ticket.number, by=by, version=row.version, key=key)
    row.was, row.version_after = applied.was, applied.ticket.version
    row.said = "; ".join(applied.events)[:500]
    return applied.changed


def _undo(row: JobRow, by: User) -> bool:
    assert row.was is not None  # noqa: S101 - `undo` takes such rows only
    ticket = recipes.undo(number=row.ticket.number, by=by, was=row.was, version=row.version)
    row.said = "as it was before"
    return ticket.version != row.version


@transaction.atomic
def undo(*, job_id: int, by: User) -> Job:
    """Take a bulk change back, newest first. What somebody changed since stays; mail that left stays sent."""
    job = find(job_id, by)
    if job.kind != BULK or not job.is_finished:
        raise Invalid("Only a bulk change that has ended can be taken back.")
    if not can_undo(job):
        raise Invalid("It changed nothing, or was taken back already.")
    made = Job.objects.create(kind=UNDO, title=f"Taken back: {job.title}"[:200], by=by, parameters={"of": job.pk})
    rows = job.rows.filter(outcome=RowOutcome.DONE, was__isnull=False).order_by("-id")
    JobRow.objects.bulk_create(
        (
            JobRow(job=made, ticket_id=row.ticket_id, version=row.version_after or row.version, was=row.was)
            for row in rows.iterator()
        ),
        batch_size=1000,
    )
    made.total = made.rows.count()
    return _begin(made)


def can_undo(job: Job) -> bool:
    """Whether there is something to take back, and nobody has done so."""
    ended = job.kind == BULK and job.is_finished and job.changed > 0
    return ended and not Job.objects.filter(kind=UNDO, parameters__of=job.pk).exists()


@transaction.atomic
def stop(*, job_id: int, by: User) -> Job:
    """Let a bulk change end after the ticket that it is at; the rest stays as it is."""
    job = find(job_id, by)
    if not job.is_bulk:
        raise Invalid("This work cannot be stopped: what shows depends on it.")
    jobs.stop(job_id=job.pk)
    job.refresh_from_db()
    return job


def find(job_id: int, by: User) -> Job:
    """A job of one's own; administrators see all, who reads settings the clocks that follow an edit."""
    mine = Q(by=by) | Q(kind=jobs.CLOCKS) if can_see_settings(by) else Q(by=by)
    jobs_seen = Job.objects.all() if by.standing.is_administrator else Job.objects.filter(mine)
    job = jobs_seen.filter(pk=job_id).select_related("by").first()
    if job is None:
        raise NotFound("There is no such job.")
    return job


jobs.register(BULK, batch)
jobs.register(UNDO, batch)
