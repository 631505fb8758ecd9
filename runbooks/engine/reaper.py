"""What every beat looks after: leases that ran out, runs nobody took, waits that are over. Twice is as good as once."""

import logging

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from runbooks.engine import ending, locks
from runbooks.models import FINAL_STATES, Execution, RunLock, RunState, StepRun, StepState
from supportdesk.doorbell import ring

log = logging.getLogger(__name__)


def reap() -> int:
    """Mark runs whose lease ran out, then do what their definition says about it. Returns how many.

    A run that was cancelling when its worker died has `cancel_failed`: nobody confirmed that its
    processes ended.
    """
    expired = Execution.objects.filter(state__in=ending.HELD, lease_expires_at__lt=Now())
    count = 0
    for pk in list(expired.values_list("pk", flat=True)):
        try:
            count += _reap_one(pk)
        except Exception:
            log.exception("run %s could not be reaped; the next sweep tries again", pk)
    return count


@transaction.atomic
def _reap_one(pk: int) -> bool:
    row = (
        Execution.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("version__runbook", "target", "requested_by")
        .filter(pk=pk, state__in=ending.HELD, lease_expires_at__lt=Now())
        .first()
    )
    if row is None:
        return False
    interrupted = list(StepRun.objects.select_for_update().filter(execution=row, state=StepState.RUNNING))
    StepRun.objects.filter(pk__in=[step.pk for step in interrupted]).update(
        state=StepState.LOST, finished_at=Now(), message="The worker died in this step."
    )
    row.lease_expires_at = None
    if row.state == RunState.CANCELLING:
        ending.end(
            row, RunState.CANCEL_FAILED, "The worker died while it cancelled; check that nothing of it still runs."
        )
        return True
    row.move_to(RunState.LOST)
    row.summary = f"The worker {row.worker} died or lost the database."
    row.save(update_fields=["state", "summary", "lease_expires_at"])
    policy = row.spec.get("on_worker_loss", "ask")
    every = [*row.spec["steps"], *row.spec.get("finally", [])]
    effects = {step["id"]: step.get("effect", "none") for step in every}
    again = {step.step_id for step in interrupted}
    if policy == "restart":
        again |= set(row.steps.filter(attempt__gte=row.fresh_from).values_list("step_id", flat=True))
    if policy != "ask" and all(effects.get(step_id) != "once" for step_id in again):
        requeue(row, from_start=policy == "restart")
        return True
    if ending.opens_ticket(row.spec, "lost", scheduled=row.schedule_id is not None):
        ending.open_ticket(row, f"{row.version.runbook.title} lost its worker on {row.target}", row.summary)
    ending.tell_people(
        row, {row.requested_by_id: "you started it"}, f"Run {row.pk} lost its worker and asks what to do", "lost"
    )
    ending.tell(row)
    return True


def requeue(row: Execution, *, from_start: bool) -> None:
    """Queue a lost run again, from the interrupted step or from the start. The caller holds its lock."""
    row.move_to(RunState.QUEUED)
    if from_start:
        row.fresh_from = row.attempt + 1
        row.save(update_fields=["fresh_from"])
    ending.queue(row)


def ring_again(*, after: int = 5) -> int:
    """Ring for runs that have been queued for a while: their bell was lost, or the workers are busy."""
    late = Execution.objects.queued_too_long(after)
    count = 0
    for queue in list(
        late.order_by().values_list("queue", flat=True).distinct()
    ):  # a site without workers holds up no other
        for pk in list(late.filter(queue=queue).order_by("queued_at").values_list("pk", flat=True)[:50]):
            count += ring("runbooks.run", pk, queue=queue, expires=10)
    return count


def wake() -> int:
    """Let runs go on whose moment has come, whose lock may be free or has taken too long, whose child has ended."""
    count = 0
    due = Q(state=RunState.PAUSED, wake_at__lte=Now(), pause_requested_at=None)
    ended = Q(
        state=RunState.PAUSED, pause_requested_at=None, children__state__in=FINAL_STATES, steps__state=StepState.WAITING
    )
    for pk in set(Execution.objects.filter(due | ended).values_list("pk", flat=True)[:200]):
        count += _wake_one(pk)
    for batch in set(Execution.objects.filter(state=RunState.PLANNED).values_list("batch", flat=True)) - {None}:
        ending.advance(batch)
    late = Execution.objects.filter(state=RunState.WAITING_LOCK, lock_deadline__lt=Now())
    for pk in list(late.values_list("pk", flat=True)[:200]):
        count += _give_up_waiting(pk)
    held = RunLock.objects.filter(held_since__isnull=False)
    for row in Execution.objects.filter(pk__in=held.filter(execution__state__in=FINAL_STATES).values("execution")):
        if not locks.needed(row):  # what it called has ended, and nobody was left to say so
            log.warning("run %s has ended and still held its locks", row.pk)
            with transaction.atomic():
                locks.release(row)
    free = Q(run_locks__held_since=None) & ~Q(run_locks__key__in=held.values("key"))
    return count + locks.wake(free)


@transaction.atomic
def _wake_one(pk: int) -> int:
    row = (
        Execution.objects.select_for_update(skip_locked=True)
        .filter(pk=pk, state=RunState.PAUSED, pause_requested_at=None)
        .first()
    )
    if row is None:
        return 0
    called = [step.result.get("run") for step in row.steps.filter(state=StepState.WAITING)]
    over = Execution.objects.filter(pk=pk, wake_at__lte=Now()).exists()  # by the database's clock
    if (
        not over
        and not Execution.objects.filter(pk__in=[one for one in called if one], state__in=FINAL_STATES).exists()
    ):
        return 0
    row.move_to(RunState.QUEUED)
    ending.queue(row)
    return 1


@transaction.atomic
def _give_up_waiting(pk: int) -> int:
    row = (
        Execution.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("version__runbook", "target")
        .filter(pk=pk, state=RunState.WAITING_LOCK, lock_deadline__lt=Now())
        .first()
    )
    if row is None:
        return 0
    ending.end(row, RunState.FAILED, f"It waited too long for {row.waiting_for}.")
    return 1


def expire() -> int:
    """End runs whose approval did not come in time."""
    count = 0
    late = Execution.objects.filter(state=RunState.AWAITING_APPROVAL, approval_expires_at__lt=Now())
    for pk in list(late.values_list("pk", flat=True)[:200]):
        with transaction.atomic():
            row = (
                Execution.objects.select_for_update(of=("self",), skip_locked=True)
                .select_related("version__runbook", "target")
                .filter(pk=pk, state=RunState.AWAITING_APPROVAL)
                .first()
            )
            if row is not None:
                ending.end(row, RunState.FAILED, "Nobody approved it in time.")
                count += 1
    return count
