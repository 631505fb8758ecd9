"""Locks across runbooks: all that a run wants at once or none, in the order of asking, so that no two wait for each other."""

import hashlib
from collections.abc import Sequence

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from runbooks.models import Execution, RunLock, RunState
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
    others = RunLock.objects.filter(key__in=keys).exclude(execution=execution).exclude(execution__in=family)
    in_the_way: set[int] = set()
    for lock in others.order_by("key", "waits_since", "pk"):
        own = mine[lock.key]
        if own.held_since is not None or not (own.exclusive or lock.exclusive):
            continue
        earlier = (lock.waits_since, lock.pk) < (own.waits_since, own.pk)
        if lock.held_since is not None or earlier:
            in_the_way.add(lock.execution_id)
    if in_the_way:
        return list(Execution.objects.filter(pk__in=in_the_way).select_related("version__runbook", "target"))
    covered = RunLock.objects.filter(key__in=keys, execution__in=family, exclusive=True, held_since__isnull=False)
    RunLock.objects.filter(execution=execution, key__in=covered.values("key")).delete()
    RunLock.objects.filter(execution=execution, held_since=None).update(held_since=Now())
    return []


def release(execution: Execution) -> None:
    """Give back all locks and wait for none; runs that waited for them try again. In the open transaction."""
    keys = sorted(RunLock.objects.filter(execution=execution).values_list("key", flat=True))
    if not keys:
        return
    _serialise(keys)
    RunLock.objects.filter(execution=execution).delete()
    wake(Q(run_locks__key__in=keys))


def in_use(execution: Execution) -> bool:
    """Whether somebody holds one of the keys that the run wants."""
    wanted = RunLock.objects.filter(execution=execution).values("key")
    return RunLock.objects.filter(key__in=wanted, held_since__isnull=False).exclude(execution=execution).exists()


def wake(of: Q) -> int:
    """Queue the runs that wait for a lock; whoever finds it taken still waits again, in its old place."""
    waiting = Execution.objects.filter(of, state=RunState.WAITING_LOCK).distinct().values_list("pk", flat=True)
    count = 0
    for pk in sorted(waiting):
        with transaction.atomic():
            row = (
                Execution.objects.select_for_update(skip_locked=True).filter(pk=pk, state=RunState.WAITING_LOCK).first()
            )
            if row is None:
                continue
            Execution.objects.filter(pk=pk).update(state=RunState.QUEUED, queued_at=Now())
            ring_on_commit("runbooks.run", pk, queue=row.queue)
            events.publish(f"run.{pk}", "state")
            count += 1
    return count


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
