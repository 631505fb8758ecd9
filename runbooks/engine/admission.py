"""Whether an attempt may begin, and the locks that it takes first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from runbooks import definition, expressions, windows
from runbooks.engine import locks
from runbooks.engine.scope import Scope
from runbooks.models import Execution, Overlap, RunLock, RunState, StepRun
from runbooks.plans import plan_hash


@dataclass(frozen=True)
class Outcome:
    """How an attempt ends: a final state with its sentence, or `paused`, `queued` (handed over), `waiting_lock`."""

    state: RunState
    summary: str = ""
    waiting_for: str = ""
    wake_at: datetime | None = None
    lock_wait: int = 0  # seconds
    asked: bool = False  # paused because somebody asked for it


def refused(row: Execution, parsed: definition.Definition, scope: Scope) -> str | None:
    """Why it must not begin: the target has changed since, lacks something, or is closed."""
    begun = StepRun.objects.filter(execution=row, attempt__gte=1).exists()  # waiting for a lock is no beginning
    if missing := [need for need in parsed.needed_connections if need not in scope.connections]:
        return f"Target {row.target} has no connection {', '.join(missing)}."
    used = [row.target, *scope.others]
    if row.approvals_needed and row.plan_hash != plan_hash(row.version.sha256, used, row.params):
        return "The target has changed since this was approved; ask again."
    if not begun and row.approvals_needed and row.approval_expires_at and row.approval_expires_at < timezone.now():
        return "The approval has expired; ask again."
    changes = parsed.risk != "read" and not row.dry_run and not row.break_glass_reason
    closed = filter(None, map(windows.closed_because, used))
    return next(closed, None) if changes and not begun else None


def take_locks(row: Execution, parsed: definition.Definition, scope: Scope, names: dict[str, Any]) -> Outcome | None:
    """Take the locks of a run, or say how it waits or ends without them. `names` are what lock keys may use."""
    by_key, wanted = _wanted(row, parsed, scope, names)
    with transaction.atomic():
        others = locks.take(row, wanted)
        circle = locks.circle(row, others)
    if not others:
        return None
    keys = sorted(set(RunLock.objects.filter(execution__in=others).values_list("key", flat=True)) & set(by_key))
    held = ", ".join(f"run {other.pk} ({other.version.runbook.title})" for other in others)
    policies = {by_key[key].on_conflict for key in keys} or {"queue"}
    if "fail" in policies:
        return Outcome(RunState.FAILED, f"{', '.join(keys)} is in use by {held}.")
    if "skip" in policies:
        return Outcome(RunState.SKIPPED, f"{', '.join(keys)} is in use by {held}, so this run is left out.")
    if circle:
        words = ", which waits for ".join(f"run {pk}" for pk in circle)
        return Outcome(
            RunState.FAILED,
            f"{', '.join(keys)} is held by {held}. To wait would be for ever: this run waits for {words}, "
            f"which is this run or called it.",
        )
    seconds = min(by_key[key].wait for key in keys) if keys else 1800
    return Outcome(RunState.WAITING_LOCK, waiting_for=f"{', '.join(keys)}, held by {held}", lock_wait=seconds)


def _wanted(
    row: Execution, parsed: definition.Definition, scope: Scope, names: dict[str, Any]
) -> tuple[dict[str, definition.Lock], list[tuple[str, bool]]]:
    """The locks by their keys, and (key, exclusive) in the order of asking."""
    wanted, by_key = [], {}
    for lock in parsed.wanted_locks:
        key = str(expressions.fill(lock.key, names))[:120]
        if lock.scope == "target":
            key = f"{row.target.slug}/{key}"
        wanted.append((key, lock.mode == "exclusive"))
        by_key[key] = lock
    if parsed.locks is None and parsed.risk != "read":
        for other in scope.others:  # a target that it may change is its own, whichever step names it
            wanted.append((f"{other.slug}/target", True))
            by_key[f"{other.slug}/target"] = definition.Lock()
    schedule = row.schedule
    if schedule is not None and schedule.overlap == Overlap.QUEUE:
        key = f"{row.target.slug}/schedule {schedule.pk}"
        wanted.append((key, True))
        by_key[key] = definition.Lock(wait=86_400)
    return by_key, wanted
