"""What happens when a run ends: its locks, its batch, who called it, its tickets, open pages."""

import logging
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from runbooks.engine import locks
from runbooks.models import (
    FINAL_STATES,
    Batch,
    Execution,
    RunbookVersion,
    RunState,
    RunTicket,
    Schedule,
    StepRun,
    StepState,
    Target,
)
from staff import actions as staff
from staff.models import Notification, Tier, User
from supportdesk import events
from supportdesk.doorbell import ring_on_commit
from supportdesk.errors import DeskError
from tickets import actions as tickets
from tickets.models import Channel, Priority, Status, Ticket

log = logging.getLogger(__name__)

HELD = (RunState.RUNNING, RunState.CANCELLING)
BAD = (RunState.FAILED, RunState.CANCEL_FAILED)


@transaction.atomic
def finish(execution: Execution, attempt: int, state: RunState, summary: str) -> bool:
    """End an attempt; False when the run is not this attempt's any more."""
    held = Execution.objects.select_for_update().filter(pk=execution.pk, attempt=attempt, state__in=HELD).first()
    if held is None:
        return False
    if held.state == RunState.CANCELLING and state == RunState.SKIPPED:
        state = RunState.CANCELLED
    end(Execution.objects.select_related("version__runbook", "target").get(pk=held.pk), state, summary)
    return True


def end(row: Execution, state: RunState, summary: str) -> None:
    """Bring a run to its final state, and all that follows from it. The caller holds its lock."""
    # A cancel that came in while the last step ended is too late; the real end is kept.
    row.move_to(state)
    row.finished_at, row.lease_expires_at, row.summary = timezone.now(), None, summary[:500]
    row.waiting_for, row.wake_at, row.lock_deadline = "", None, None
    row.save(
        update_fields=["state", "finished_at", "lease_expires_at", "summary", "waiting_for", "wake_at", "lock_deadline"]
    )
    open_steps = StepRun.objects.filter(execution=row, state__in=[StepState.RUNNING, StepState.WAITING])
    open_steps.update(state=StepState.CANCELLED, finished_at=Now())
    Execution.objects.filter(pk=row.pk).update(secret_params=None)  # nobody needs them any more
    if not _end_children(row):
        locks.release(row)
    # Rows that others lock first are left to a transaction of their own; the sweep does what a crash leaves out.
    if (parent := row.parent_id) is not None:
        transaction.on_commit(lambda: _tell_parent(parent))
    if (batch := row.batch_id) is not None:
        transaction.on_commit(lambda: advance(batch))
    try:
        with transaction.atomic():
            if not row.dry_run:
                _keep_ticket(row)
            tell(row)
    except Exception as error:  # the run has ended, whatever becomes of its ticket
        log.error("run %s ended, but nobody could be told: %s", row.pk, type(error).__name__)


def tell(row: Execution) -> None:
    """Tell the ticket, its page and the run's page where a run stands."""
    if row.ticket_id and row.spec.get("ticket", {}).get("attach", True):
        tickets.record_run_finished(
            ticket_id=row.ticket_id,
            run=row.pk,
            title=row.version.runbook.title,
            url=f"/runs/{row.pk}/",
            state=RunState(row.state).label.lower(),
            summary=row.summary,
        )
    events.publish(f"run.{row.pk}", "state")
    events.publish("runs", "state")


def queue(row: Execution, *, because: str = "") -> None:
    """Queue a run and ring for it. The caller holds its lock and has moved it to `queued`."""
    row.queued_at = timezone.now()
    row.save(update_fields=["state"])
    Execution.objects.filter(pk=row.pk).update(queued_at=Now(), wake_at=None, waiting_for=because)
    ring_on_commit("runbooks.run", row.pk, queue=row.queue)
    events.publish(f"run.{row.pk}", "state")
    events.publish("runs", "state")


def _end_children(row: Execution) -> bool:
    """Stop what it called; whether some of it goes on for a while, under the locks of this run."""
    children = Execution.objects.select_for_update(of=("self",)).filter(parent=row).exclude(state__in=FINAL_STATES)
    for child in children.select_related("version__runbook", "target").order_by("pk"):
        if child.state in {RunState.LOST, RunState.CANCELLING}:
            continue
        child.cancel_requested_at = child.cancel_requested_at or timezone.now()
        child.cancel_requested_by_id = child.cancel_requested_by_id or row.requested_by_id
        child.save(update_fields=["cancel_requested_at", "cancel_requested_by"])
        if child.state == RunState.RUNNING:
            child.move_to(RunState.CANCELLING)
            child.save(update_fields=["state"])
        elif not child.steps.exists():
            end(child, RunState.CANCELLED, f"Cancelled with run {row.pk}, which called it.")
        elif child.state != RunState.QUEUED:  # a worker takes it once more, for its `finally`
            child.move_to(RunState.QUEUED)
            queue(child)
    return locks.needed(row)


@transaction.atomic
def _tell_parent(pk: int) -> None:
    """Let the run that called this one go on; or give its locks back, when it ended before this one."""
    parent = Execution.objects.select_for_update().get(pk=pk)
    if parent.state == RunState.PAUSED and parent.pause_requested_at is None:
        parent.move_to(RunState.QUEUED)
        queue(parent)
    while parent.is_final and not locks.needed(parent):
        locks.release(parent)
        if parent.parent is None:
            break
        parent = parent.parent


@transaction.atomic
def advance(batch_id: int) -> None:
    """Queue the next runs of a batch, or skip the rest when enough of it have failed."""
    batch = Batch.objects.select_for_update().get(pk=batch_id)
    runs = Execution.objects.filter(batch=batch)
    failed = runs.filter(state__in=BAD).count()
    planned = list(runs.select_for_update().filter(state=RunState.PLANNED).order_by("pk"))
    if batch.stopped_at is not None or failed >= batch.stop_after:
        words = (
            "The batch was stopped." if batch.stopped_at else f"{failed} of the batch failed, so the rest is left out."
        )
        for row in planned:
            Execution.objects.filter(pk=row.pk).update(
                state=RunState.SKIPPED, finished_at=Now(), summary=words, secret_params=None
            )
            events.publish(f"run.{row.pk}", "state")
        return
    active = runs.exclude(state__in=[RunState.PLANNED, *FINAL_STATES]).count()
    for row in planned[: max(0, batch.size - active)]:
        row.move_to(RunState.QUEUED)
        queue(row)


def _keep_ticket(row: Execution) -> None:
    """Open a ticket for what failed, or resolve the one that an earlier failure opened, as the definition says."""
    policy: dict[str, Any] = row.spec.get("ticket") or {}
    if row.state in BAD and opens_ticket(row.spec, "failed", scheduled=row.schedule_id is not None):
        if row.ticket_id is None:  # else its own ticket says it already, to those who may see that
            open_ticket(row, f"{row.version.runbook.title} failed on {row.target}", row.summary)
    elif row.state == RunState.SUCCEEDED and (policy.get("resolve_on") == "next_success" or row.schedule_id):
        kept = RunTicket.objects.select_for_update().filter(
            slug=row.version.runbook.slug, target=row.target, resolved_at=None
        )
        for one in kept.select_related("ticket"):
            one.resolved_at = timezone.now()
            one.save(update_fields=["resolved_at"])
            _resolve(one.ticket, row)


def opens_ticket(spec: dict[str, Any], what: str, *, scheduled: bool) -> bool:
    """Whether `failed`, `lost` or `missed` opens a ticket: as declared, else what nobody watched does."""
    declared = (spec.get("ticket") or {}).get("open_on")
    return scheduled if declared is None else what in declared


def _resolve(ticket: Ticket, row: Execution) -> None:
    by = staff.automation()
    if ticket.status in {Status.RESOLVED, Status.CLOSED}:
        return
    try:
        with transaction.atomic():
            tickets.note(number=ticket.number, by=by, text=f"Run {row.pk} succeeded: {row.summary}")
            tickets.resolve(number=ticket.number, by=by)
    except DeskError as error:
        log.warning("ticket %s is not resolved by run %s: %s", ticket.number, row.pk, error)


def open_ticket(row: Execution, subject: str, text: str) -> None:
    """A ticket about a run for the runbook's tier, or a note on the one that is open for this runbook and target."""
    made = _open(row.version, row.target, row.requested_by, subject, f"{text}\n\nRun {row.pk}: /runs/{row.pk}/")
    if made is not None:
        tickets.record_run_finished(
            ticket_id=made.pk, run=row.pk, title=row.version.runbook.title, url=f"/runs/{row.pk}/",
            state=RunState(row.state).label.lower(), summary=row.summary,
        )  # fmt: skip


def open_schedule_ticket(schedule: Schedule, target: Target, words: str) -> None:
    """The same about a schedule that could not run."""
    if schedule.runbook.current is not None:
        _open(schedule.runbook.current, target, schedule.owner, words, words)


def _open(version: RunbookVersion, target: Target, requester: User, subject: str, text: str) -> Ticket | None:
    by, runbook = staff.automation(), version.runbook
    kept = RunTicket.objects.select_for_update().filter(slug=runbook.slug, target=target, resolved_at=None).first()
    try:
        with transaction.atomic():
            if kept is not None and kept.ticket.status not in {Status.RESOLVED, Status.CLOSED}:
                tickets.note(number=kept.ticket.number, by=by, text=f"{subject}. {text}")
                return None
            RunTicket.objects.filter(slug=runbook.slug, target=target, resolved_at=None).update(resolved_at=Now())
            urgent = runbook.risk == "destructive" or runbook.purpose in {"backup", "recovery"}
            made, _ = tickets.open_ticket(
                by=by, requester_email=requester.email, requester_name=requester.name, subject=subject[:300], text=text,
                tier=Tier.objects.get(level=runbook.tier_level), priority=Priority.HIGH if urgent else Priority.NORMAL, channel=Channel.RUNBOOK,
            )  # fmt: skip
            RunTicket.objects.create(version=version, slug=runbook.slug, target=target, ticket=made)
            return made
    except DeskError as error:
        log.warning("no ticket is opened for %s on %s: %s", runbook.slug, target, error)
        return None


def tell_people(row: Execution, people: dict[int, str], text: str, kind: str) -> None:
    """Notify people by id, each with their reason, once a kind and run."""
    staff.notify(
        Notification(
            user_id=pk, kind="run", text=text[:300], reason=why, url=f"/runs/{row.pk}/", key=f"run:{row.pk}:{kind}"
        )
        for pk, why in people.items()
    )
