"""Locks across runbooks: all that a run wants at once or none, in the order of asking, so that no two wait for each other."""

import hashlib
from collections.abc import Sequence
from functools import partial

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from runbooks.models import FINAL_STATES, Execution, RunLock, RunState
from supportdesk import events
from supportdesk.doorbell import ring_on_commit

MOST_ANCESTORS = 20


def take(execution: Execution, wanted: Sequence[tuple[str, bool]]) -> list[Execution]:
    """Take every (key, exclusive), or none and remember that the run waits; returns the runs that are in the way.

    In the open transaction. A run that waits longer goes first; what an ancestor holds is no hindrance.
    """
    if not wanted:
        return []
    keys = sorted({key for key, _ in wanted})
    _serialise(keys)
    for key, exclusive in sorted(wanted):
        RunLock.objects.get_or_create(
            key=key, execution=execution, defaults={"exclusive": exclusive, "waits_since": Now()}
        )
    mine = {lock.key: lock for lock in RunLock.objects.filter(execution=execution)}
    family = _ancestors(execution)
    if family:
        _serialise_waits()
    others = RunLock.objects.filter(key__in=keys).exclude(execution=execution).exclude(execution__in=family)
    in_the_way: set[int] = set()
    for lock in others:
        if not _hinders(lock, mine[lock.key]):
            continue
        if lock.held_since is None and family and _way(lock.execution_id, {*family, execution.pk}):
            continue  # it waits for this run's caller, which waits for this run
        in_the_way.add(lock.execution_id)
    if in_the_way:
        _serialise_waits()
        return list(Execution.objects.filter(pk__in=in_the_way).select_related("version__runbook", "target"))
    covered = RunLock.objects.filter(key__in=keys, execution__in=family, exclusive=True, held_since__isnull=False)
    RunLock.objects.filter(execution=execution, key__in=covered.values("key")).delete()
    RunLock.objects.filter(execution=execution, held_since=None).update(held_since=Now())
    return []


def circle(execution: Execution, others: Sequence[Execution]) -> list[int]:
    """The runs that would wait for each other for ever if this one waited for `others`, in their order; else empty.

    Only runs that hold locks while they wait can form a circle: those that call another run. In the transaction of
    `take`, which lets one run at a time begin to wait, so that of the runs of a circle the last one sees it.
    """
    family = {*_ancestors(execution), execution.pk}
    if len(family) == 1:
        return []
    return next(filter(None, (_way(other.pk, family) for other in others)), [])


def _way(start: int, goals: set[int]) -> list[int]:
    """The runs from `start` to one of `goals`, each waiting for the next one; empty when there is no such way."""
    came_from: dict[int, int | None] = {start: None}
    queue = [start]
    for pk in queue:
        if pk in goals:
            way = [pk]
            while (before := came_from[way[-1]]) is not None:
                way.append(before)
            return way[::-1]
        for following in _waits_for(pk):
            if following not in came_from:
                came_from[following] = pk
                queue.append(following)
    return []


def _waits_for(pk: int) -> list[int]:
    """The runs that a run called and that have not ended, and those that keep it from a lock."""
    found = set(Execution.objects.filter(parent=pk).exclude(state__in=FINAL_STATES).values_list("pk", flat=True))
    wanted = {lock.key: lock for lock in RunLock.objects.filter(execution=pk, held_since=None)}
    if wanted:
        family = [pk, *_ancestors(Execution.objects.only("parent").get(pk=pk))]
        others = RunLock.objects.filter(key__in=wanted).exclude(execution__in=family)
        found |= {lock.execution_id for lock in others if _hinders(lock, wanted[lock.key])}
    return sorted(found)


def _hinders(lock: RunLock, own: RunLock) -> bool:
    """Whether another's lock on the same key, held or asked for earlier, keeps `own` from being taken."""
    if own.held_since is not None or not (own.exclusive or lock.exclusive):
        return False
    return lock.held_since is not None or (lock.waits_since, lock.pk) < (own.waits_since, own.pk)


def release(execution: Execution) -> None:
    """Give back all locks and wait for none; runs that waited for them try again. In the open transaction."""
    keys = sorted(RunLock.objects.filter(execution=execution).values_list("key", flat=True))
    if not keys:
        return
    _serialise(keys)
    RunLock.objects.filter(execution=execution).delete()
    wake(Q(run_locks__key__in=keys))


def needed(execution: Execution) -> bool:
    """Whether something that the run called, or that was called in turn, still works under its locks."""
    level = [execution.pk]
    while level:
        children = Execution.objects.filter(parent__in=level)
        if children.exclude(state__in=FINAL_STATES).exists():
            return True
        level = list(children.values_list("pk", flat=True))
    return False


def in_use(execution: Execution) -> bool:
    """Whether somebody holds one of the keys that the run wants."""
    wanted = RunLock.objects.filter(execution=execution).values("key")
    return RunLock.objects.filter(key__in=wanted, held_since__isnull=False).exclude(execution=execution).exists()


def wake(of: Q) -> int:
    """Queue the runs that wait for a lock; whoever finds it taken still waits again, in its old place.

    Who holds the row of one may wait for the keys of this transaction, so that one has its turn after the commit.
    """
    waiting = Execution.objects.filter(of, state=RunState.WAITING_LOCK).distinct().values_list("pk", flat=True)
    count = 0
    for pk in sorted(waiting):
        if _queue_again(pk, skip_locked=True):
            count += 1
        else:
            transaction.on_commit(partial(_queue_again, pk))
    return count


@transaction.atomic
def _queue_again(pk: int, *, skip_locked: bool = False) -> bool:
    rows = Execution.objects.select_for_update(skip_locked=skip_locked)
    row = rows.filter(pk=pk, state=RunState.WAITING_LOCK).first()
    if row is None:
        return False
    Execution.objects.filter(pk=pk).update(state=RunState.QUEUED, queued_at=Now())
    ring_on_commit("runbooks.run", pk, queue=row.queue)
    events.publish(f"run.{pk}", "state")
    return True


def _serialise_waits() -> None:
    """One transaction at a time lets a run begin to wait, and sees who waits already. After the keys, never before."""
    _serialise([""])


def _serialise(keys: Sequence[str]) -> None:
    """One transaction at a time decides about a key; sorted, so that two never wait in a circle."""
    with connection.cursor() as cursor:
        for key in keys:
            number = int.from_bytes(hashlib.sha256(f"runlock:{key}".encode()).digest()[:8], "big", signed=True)
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def _ancestors(execution: Execution) -> list[int]:
    found: list[int] = []
    parent = execution.parent_id
    while parent is not None and len(found) < MOST_ANCESTORS:
        found.append(parent)
        parent = Execution.objects.filter(pk=parent).values_list("parent_id", flat=True).first()
    return found
