"""Locks across runbooks: who waits, who goes first, and that no two wait for each other."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from runbooks import actions
from runbooks.engine import reaper
from runbooks.models import Execution, RunLock, RunState, Target
from tests.factories import agent
from tests.runbooks.make import run_all, runbook, step
from tests.runbooks.test_engine import finish, in_thread, start, wait_for


def locked(slug, **lock):
    return runbook(slug, [step("work", "sleep 1.5", effect="idempotent")], locks=[{"key": "db", **lock}])


@pytest.mark.parametrize(
    ("policy", "state"), [("queue", RunState.WAITING_LOCK), ("skip", RunState.SKIPPED), ("fail", RunState.FAILED)]
)
def test_a_lock_holds_across_runbooks(target, policy, state):
    locked("first")
    locked("second", on_conflict=policy)
    by = agent(1)
    one, two = start("first", by), start("second", by)
    thread = in_thread(lambda: actions.perform(execution_id=one.pk))
    wait_for(lambda: RunLock.objects.filter(execution=one, held_since__isnull=False).exists())
    assert finish(two).state == state
    thread.join(timeout=20)
    two.refresh_from_db()
    if policy == "queue":
        assert two.state == RunState.QUEUED
        assert finish(two).state == RunState.SUCCEEDED
    assert not RunLock.objects.exists()


def test_who_was_held_by_another_when_the_lock_became_free_is_queued_after_all(target):
    locked("first")
    locked("second")
    by = agent(1)
    one, two = start("first", by), start("second", by)
    thread = in_thread(lambda: actions.perform(execution_id=one.pk))
    wait_for(lambda: RunLock.objects.filter(execution=one, held_since__isnull=False).exists())
    assert finish(two).state == RunState.WAITING_LOCK
    with transaction.atomic():
        Execution.objects.select_for_update().get(pk=two.pk)
        wait_for(lambda: not RunLock.objects.filter(execution=one).exists())
    thread.join(timeout=20)
    two.refresh_from_db()
    assert two.state == RunState.QUEUED


def test_shared_locks_are_held_together_and_an_exclusive_one_waits_for_both(target):
    locked("reader", mode="shared")
    locked("writer")
    by = agent(1)
    readers = [start("reader", by), start("reader", by)]
    threads = [in_thread(lambda run=run: actions.perform(execution_id=run.pk)) for run in readers]
    wait_for(lambda: RunLock.objects.filter(held_since__isnull=False).count() == 2)
    writer = finish(start("writer", by))
    assert writer.state == RunState.WAITING_LOCK
    late = finish(start("reader", by))  # does not overtake the writer, who waits longer
    assert late.state == RunState.WAITING_LOCK
    for thread in threads:
        thread.join(timeout=20)
    assert finish(writer).state == RunState.SUCCEEDED


def test_a_run_that_waits_too_long_for_a_lock_fails(target):
    locked("first")
    locked("second")
    by = agent(1)
    one = start("first", by)
    thread = in_thread(lambda: actions.perform(execution_id=one.pk))
    wait_for(lambda: RunLock.objects.filter(execution=one, held_since__isnull=False).exists())
    two = finish(start("second", by))
    Execution.objects.filter(pk=two.pk).update(lock_deadline=timezone.now() - timedelta(seconds=1))
    reaper.wake()
    two.refresh_from_db()
    assert two.state == RunState.FAILED
    assert "held by run" in two.summary
    thread.join(timeout=20)


def test_many_runs_of_several_locks_end_without_a_circle(target):
    for name, keys in {"ab": "ab", "ba": "ba", "bc": "bc", "ca": "ca"}.items():
        runbook(name, [step("work", "true", effect="idempotent")], locks=[{"key": key} for key in keys])
    by = agent(1)
    runs = [start(name, by) for name in ("ab", "ba", "bc", "ca") * 3]
    threads = [in_thread(lambda run=run: actions.perform(execution_id=run.pk)) for run in runs]
    for thread in threads:
        thread.join(timeout=60)
    for _ in range(20):
        for run in Execution.objects.filter(state=RunState.QUEUED):
            actions.perform(execution_id=run.pk)
        reaper.wake()
    assert set(Execution.objects.values_list("state", flat=True)) == {RunState.SUCCEEDED}
    assert not RunLock.objects.exists()


def test_a_freeze_that_began_while_a_run_waited_for_its_lock_holds(target):
    locked("first")
    locked("second")
    by = agent(1)
    one, two = start("first", by), start("second", by)
    thread = in_thread(lambda: actions.perform(execution_id=one.pk))
    wait_for(lambda: RunLock.objects.filter(execution=one, held_since__isnull=False).exists())
    assert finish(two).state == RunState.WAITING_LOCK
    Target.objects.filter(slug="shop").update(freezes=[{"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}])
    thread.join(timeout=20)
    two = finish(two)
    assert (two.state, "frozen" in two.summary) == (RunState.FAILED, True)


# ------------------------------------------------------------------------------ callers and called
def caller(slug, key, calls, **more):
    call = {"id": "call", "title": "Call", "uses": "runbook", "with": {"slug": calls}, **more}
    return runbook(slug, [call], locks=[{"key": key, "wait": "1h"}])


def called(run):
    return actions.perform(execution_id=run.pk) and run.children.get()


def test_two_that_hold_a_lock_and_call_for_the_others_do_not_wait_for_ever(target):
    for key in "ab":
        runbook(f"work-{key}", [step("work")], locks=[{"key": key}])
    caller("one", "a", "work-b")
    caller("two", "b", "work-a")
    by = agent(1)
    one, two = start("one", by), start("two", by)
    first, second = called(one), called(two)
    assert finish(first).state == RunState.WAITING_LOCK
    second = finish(second)
    assert second.state == RunState.FAILED
    assert f"waits for run {one.pk}, which waits for run {first.pk}, which waits for run {two.pk}" in second.summary
    assert run_all(two).state == RunState.FAILED
    assert finish(first).state == RunState.SUCCEEDED
    assert run_all(one).state == RunState.SUCCEEDED
    assert not RunLock.objects.exists()


def test_what_a_run_called_goes_before_one_that_waits_for_that_run(target):
    runbook("work-b", [step("work")], locks=[{"key": "b"}])
    runbook("both", [step("work")], locks=[{"key": "a"}, {"key": "b"}])
    caller("one", "a", "work-b")
    by = agent(1)
    one, both = start("one", by), start("both", by)
    child = called(one)
    assert finish(both).state == RunState.WAITING_LOCK
    assert finish(child).state == RunState.SUCCEEDED
    assert run_all(one).state == RunState.SUCCEEDED
    assert finish(both).state == RunState.SUCCEEDED


def test_a_called_run_behind_a_stranger_waits(target):
    locked("first")
    caller("one", "a", "first")
    by = agent(1)
    stranger, one = start("first", by), start("one", by)
    thread = in_thread(lambda: actions.perform(execution_id=stranger.pk))
    wait_for(lambda: RunLock.objects.filter(execution=stranger, held_since__isnull=False).exists())
    child = called(one)
    assert finish(child).state == RunState.WAITING_LOCK
    thread.join(timeout=20)
    assert finish(child).state == RunState.SUCCEEDED


def test_the_locks_of_a_caller_stay_until_what_it_called_has_ended(target):
    runbook("inner", [step("work", "sleep 2")], locks=[])
    call = {"id": "call", "title": "Call", "uses": "runbook", "with": {"slug": "inner"}, "needs": []}
    runbook("outer", [call, step("bad", "sleep 1; exit 1", needs=[])], locks=[{"key": "db"}])
    locked("other")
    by = agent(1)
    outer, other = start("outer", by), start("other", by)
    thread = in_thread(lambda: actions.perform(execution_id=outer.pk))
    wait_for(lambda: outer.children.exists())
    inner = outer.children.get()
    working = in_thread(lambda: actions.perform(execution_id=inner.pk))
    thread.join(timeout=20)
    outer.refresh_from_db()
    assert outer.state == RunState.FAILED
    reaper.wake()
    assert RunLock.objects.filter(execution=outer, held_since__isnull=False).exists()
    assert finish(other).state == RunState.WAITING_LOCK
    working.join(timeout=20)
    inner.refresh_from_db()
    assert inner.state == RunState.CANCELLED
    other.refresh_from_db()
    assert other.state == RunState.QUEUED
    assert not RunLock.objects.filter(execution=outer).exists()


def test_locks_that_a_crash_left_behind_are_given_back_by_the_sweep(target):
    locked("first")
    by = agent(1)
    run = finish(start("first", by))
    RunLock.objects.create(execution=run, key="shop/db", exclusive=True, held_since=timezone.now())
    reaper.wake()
    assert not RunLock.objects.exists()
