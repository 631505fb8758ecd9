"""Runs at depth: the graph, what comes back, people in the middle, several targets, tickets, dry runs."""

from datetime import timedelta

import pytest
from django.utils import timezone

from runbooks import actions
from runbooks.engine import reaper
from runbooks.models import Execution, RunState, StepRun, StepState, Target
from staff.models import Notification
from supportdesk.errors import Conflict, Invalid
from tests.factories import agent, ticket
from tests.runbooks.make import run_all, runbook, states, step, text_of
from tests.runbooks.test_engine import finish, in_thread, start, wait_for
from tickets.models import Ticket


# ------------------------------------------------------------------------------------- the graph
def test_steps_without_needs_of_each_other_run_at_the_same_time(target):
    runbook(
        "wide",
        [
            step("a", "sleep 1", needs=[]),
            step("b", "sleep 1", needs=[]),
            step("c", "sleep 1", needs=[]),
            step("end", "echo end", needs=["a", "b", "c"]),
        ],
    )
    run = finish(start("wide", agent(1)))
    assert run.state == RunState.SUCCEEDED
    ends = {row.step_id: row for row in run.steps.all()}
    assert max(ends[name].started_at for name in "abc") < min(ends[name].finished_at for name in "abc")
    assert ends["end"].started_at >= max(ends[name].finished_at for name in "abc")


def test_a_step_is_left_out_when_its_condition_does_not_hold_and_what_needs_it_goes_on(target):
    runbook(
        "maybe",
        [step("one", when="target.environment == 'moon'"), step("two")],
    )
    run = finish(start("maybe", agent(1)))
    assert states(run) == {("step", "one"): "skipped", ("step", "two"): "succeeded"}


def test_what_a_step_captures_reaches_later_steps_as_data(target):
    count = {
        "id": "count", "title": "Count", "uses": "sql", "with": {"query": "SELECT count(*) AS n FROM orders"},
        "capture": {"orders": "result.rows[0].n"},
    }  # fmt: skip
    runbook(
        "flow",
        [
            count,
            step(
                "tell",
                'echo "there are $ORDERS"',
                with_={"env": {"ORDERS": "{steps.count.orders}"}},
                when="steps.count.orders == 40",
            ),
        ],
    )
    run = finish(start("flow", agent(1)))
    assert run.state == RunState.SUCCEEDED, run.summary
    assert "there are 40" in text_of(run, "out")


def test_an_expectation_that_does_not_hold_fails_the_step(target):
    ask = {
        "id": "ask",
        "title": "Ask",
        "uses": "sql",
        "with": {"query": "SELECT 3 AS n"},
        "expect": "result.rows[0].n > 5",
    }
    runbook("strict", [ask])
    run = finish(start("strict", agent(1)))
    assert run.state == RunState.FAILED
    assert "Expected result.rows[0].n > 5" in run.summary
    assert run.steps.get().result["assertions"][-1] == {"text": "result.rows[0].n > 5", "holds": False}


def test_a_failing_step_is_tried_again_and_its_tries_are_kept(target, tmp_path):
    mark = tmp_path / "tried"
    script = f"echo x >> {mark}; test $(wc -l < {mark}) -ge 3"
    runbook("stubborn", [step("work", script, retry={"count": 4, "backoff": 1})])
    run = finish(start("stubborn", agent(1)))
    assert run.state == RunState.SUCCEEDED
    assert run.steps.get().tries == 3


def test_a_failure_undoes_what_was_done_last_first_and_then_runs_finally(target, tmp_path):
    log = tmp_path / "log"

    def undo(name):
        return {"uses": "shell", "title": f"Undo {name}", "with": {"script": f"echo undo-{name} >> {log}"}}

    runbook(
        "careful",
        [
            step("one", f"echo one >> {log}", effect="idempotent", undo=undo("one")),
            step("two", f"echo two >> {log}", effect="idempotent", undo=undo("two")),
            step("three", "exit 3", effect="idempotent", undo=undo("three")),
        ],
        on_failure="undo",
        **{"finally": [step("clean", f"echo clean-$WHY >> {log}", with_={"env": {"WHY": "{run.state}"}})]},
    )
    run = finish(start("careful", agent(1)))
    assert run.state == RunState.FAILED
    assert log.read_text().split() == ["one", "two", "undo-two", "undo-one", "clean-failed"]


def test_finally_runs_after_a_cancel_too(target, tmp_path):
    log = tmp_path / "log"
    runbook(
        "cleaning",
        [step("work", "sleep 60")],
        **{"finally": [step("clean", f"echo $WHY > {log}", with_={"env": {"WHY": "{run.state}"}})]},
    )
    by = agent(1)
    run = start("cleaning", by)
    thread = in_thread(lambda: actions.perform(execution_id=run.pk))
    wait_for(lambda: StepRun.objects.filter(execution=run, state=StepState.RUNNING).exists())
    actions.cancel(execution_id=run.pk, by=by)
    thread.join(timeout=40)
    run.refresh_from_db()
    assert (run.state, log.read_text()) == (RunState.CANCELLED, "cancelled\n")


# ------------------------------------------------------------------------------ people and waiting
def test_a_manual_step_frees_the_worker_and_goes_on_with_the_answer(target):
    ask = {
        "id": "look", "title": "Look", "uses": "manual",
        "with": {"instructions": "Look at the lamp.", "fields": {"colour": "Which colour?"}},
    }  # fmt: skip
    runbook("lamp", [ask, step("after", 'echo "it was $C"', with_={"env": {"C": "{steps.look.result.colour}"}})])
    by = agent(1)
    run = finish(start("lamp", by))
    assert (run.state, run.lease_expires_at) == (RunState.PAUSED, None)
    with pytest.raises(Invalid):
        actions.answer(execution_id=run.pk, step_id="look", by=by, done=True)
    actions.answer(execution_id=run.pk, step_id="look", by=by, done=True, fields={"colour": "red $(reboot)"})
    run = finish(run)
    assert run.state == RunState.SUCCEEDED
    assert "it was red $(reboot)" in text_of(run, "out")
    with pytest.raises(Conflict):
        actions.answer(execution_id=run.pk, step_id="look", by=by, done=True, fields={"colour": "blue"})


def test_a_long_wait_keeps_no_worker(target):
    runbook("patient", [{"id": "wait", "title": "Wait", "uses": "wait", "with": {"duration": "1h"}}, step("after")])
    run = finish(start("patient", agent(1)))
    assert run.state == RunState.PAUSED
    assert timedelta(minutes=59) < run.wake_at - timezone.now() < timedelta(minutes=61)
    assert reaper.wake() == 0
    StepRun.objects.filter(execution=run).update(result={"until": (timezone.now() - timedelta(seconds=1)).isoformat()})
    Execution.objects.filter(pk=run.pk).update(wake_at=timezone.now() - timedelta(seconds=1))
    assert reaper.wake() == 1
    assert finish(run).state == RunState.SUCCEEDED


def test_a_run_calls_another_and_takes_its_result(target):
    runbook("inner", [step("work", "echo inner")])
    call = {"id": "call", "title": "Call", "uses": "runbook", "with": {"slug": "inner"}}
    runbook("outer", [call, step("after")])
    run = finish(start("outer", agent(1)))
    assert run.state == RunState.PAUSED
    child = run.children.get()
    assert finish(child).state == RunState.SUCCEEDED
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
    assert finish(run).state == RunState.SUCCEEDED
    assert run.children.count() == 1


def test_a_worker_that_dies_while_it_calls_does_not_make_another_call_twice(target):
    runbook("inner", [step("work", "echo inner", effect="once")], locks=[])
    call = {"id": "call", "title": "Call", "uses": "runbook", "with": {"slug": "inner"}, "effect": "idempotent"}
    runbook("outer", [call, step("after")], on_worker_loss="resume", locks=[])
    run = finish(start("outer", agent(1)))
    finish(run.children.get())
    past = timezone.now() - timedelta(minutes=5)
    Execution.objects.filter(pk=run.pk).update(state=RunState.RUNNING, lease_expires_at=past)
    StepRun.objects.filter(execution=run).update(state=StepState.RUNNING, result={})
    assert reaper.reap() == 1
    assert run_all(run).state == RunState.SUCCEEDED
    assert run.children.count() == 1


def test_a_called_run_that_failed_is_called_again_when_the_step_may_be_tried_again(target, tmp_path):
    mark = tmp_path / "mark"
    runbook("inner", [step("work", f"test -e {mark} || {{ touch {mark}; exit 1; }}")], locks=[])
    call = {
        "id": "call",
        "title": "Call",
        "uses": "runbook",
        "with": {"slug": "inner"},
        "retry": {"count": 1, "backoff": 1},
    }
    runbook("outer", [call], locks=[])
    run = finish(start("outer", agent(1)))
    finish(run.children.get())
    finish(run)
    finish(run.children.order_by("-pk").first())
    assert run_all(run).state == RunState.SUCCEEDED
    assert run.children.count() == 2


def test_a_called_runbook_needs_the_rights_of_who_started(target):
    runbook("inner", [step("work", effect="idempotent")], tier=3)
    runbook("outer", [{"id": "call", "title": "Call", "uses": "runbook", "with": {"slug": "inner"}}])
    run = finish(start("outer", agent(1)))
    assert run.state == RunState.FAILED
    assert "needs tier 3" in run.summary


def test_a_pause_holds_at_the_next_step_and_is_taken_back(target):
    runbook("slow", [step("one", "sleep 2"), step("two")])
    by = agent(1)
    run = start("slow", by)
    thread = in_thread(lambda: actions.perform(execution_id=run.pk))
    wait_for(lambda: StepRun.objects.filter(execution=run, state=StepState.RUNNING).exists())
    actions.pause(execution_id=run.pk, by=by)
    thread.join(timeout=20)
    run.refresh_from_db()
    assert run.state == RunState.PAUSED
    assert states(run) == {("step", "one"): "succeeded"}
    actions.go_on(execution_id=run.pk, by=by)
    assert finish(run).state == RunState.SUCCEEDED


def test_a_retry_goes_on_at_the_failed_step_with_what_was_found(target, tmp_path):
    log, ready = tmp_path / "log", tmp_path / "ready"
    runbook(
        "halfway",
        [step("one", f"echo one >> {log}", effect="once"), step("two", f"test -e {ready}", effect="idempotent")],
    )
    by = agent(1)
    old = finish(start("halfway", by))
    assert old.state == RunState.FAILED
    ready.touch()
    new = finish(actions.retry(execution_id=old.pk, by=by))
    assert (new.state, new.retry_of_id, log.read_text()) == (RunState.SUCCEEDED, old.pk, "one\n")


def test_a_dry_run_is_not_retried_as_a_real_one(target):
    runbook("plan", [step("one", effect="idempotent"), step("two", "exit 1")])
    by = agent(1)
    run = finish(start("plan", by, dry_run=True))
    assert run.state == RunState.FAILED
    with pytest.raises(Conflict):
        actions.retry(execution_id=run.pk, by=by)


def test_a_pause_taken_back_while_a_step_waits_goes_on(target):
    runbook(
        "lamp", [{"id": "look", "title": "Look", "uses": "manual", "with": {"instructions": "Look."}}, step("after")]
    )
    by = agent(1)
    run = finish(start("lamp", by))
    actions.pause(execution_id=run.pk, by=by)
    actions.answer(execution_id=run.pk, step_id="look", by=by, done=True)
    run.refresh_from_db()
    assert run.state == RunState.PAUSED
    actions.go_on(execution_id=run.pk, by=by)
    assert run_all(run).state == RunState.SUCCEEDED


def test_what_a_run_called_ends_with_it(target):
    runbook("inner", [step("work", "sleep 60")], locks=[])
    call = {"id": "call", "title": "Call", "uses": "runbook", "with": {"slug": "inner"}, "needs": []}
    runbook("outer", [call, step("bad", "sleep 0.5; exit 1", needs=[])], locks=[])
    run = finish(start("outer", agent(1)))
    assert run.state == RunState.FAILED
    assert run.children.get().state == RunState.CANCELLED


# ------------------------------------------------------------------------- targets, windows, batches
def test_a_frozen_target_is_not_changed_but_may_be_read(target):
    freeze = {"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z", "reason": "Sale"}
    Target.objects.filter(slug="shop").update(freezes=[freeze])
    runbook("mild", [step("work", effect="idempotent")], risk="change", tier=1)
    with pytest.raises(Invalid, match="frozen until"):
        start("mild", agent(1))
    runbook("look", [step("work")], risk="read", tier=1)
    assert finish(start("look", agent(1))).state == RunState.SUCCEEDED


@pytest.fixture
def fleet(target):
    for number in range(4):
        actions.save_target(
            slug=f"box-{number}",
            name=f"Box {number}",
            environment="test",
            connections={"paths": {"here": f"/tmp/{number}"}},
        )
    return [f"box-{number}" for number in range(4)]


def test_several_targets_go_so_many_at_a_time(fleet):
    runbook("each", [step("work", "echo $TARGET_HERE", effect="idempotent")], target={"batch": 2})
    runs = actions.start_many(slug="each", targets=fleet, by=agent(1))
    assert [run.state for run in Execution.objects.filter(batch=runs[0].batch).order_by("pk")] == [
        "queued",
        "queued",
        "planned",
        "planned",
    ]
    finish(runs[0])
    assert Execution.objects.filter(batch=runs[0].batch, state=RunState.QUEUED).count() == 2
    for run in runs[1:]:
        assert finish(run).state == RunState.SUCCEEDED


def test_failures_stop_the_rest_of_a_batch(fleet):
    runbook("each", [step("work", "exit 1", effect="idempotent")], target={"batch": 1, "stop_after_failures": 2})
    runs = actions.start_many(slug="each", targets=fleet, by=agent(1))
    for run in runs[:2]:
        finish(run)
    assert [run.state for run in Execution.objects.order_by("pk")] == ["failed", "failed", "skipped", "skipped"]


def test_a_batch_is_approved_as_one(fleet):
    runbook("each", [step("work", effect="once")], risk="destructive", tier=1, target={"batch": 4})
    runs = actions.start_many(slug="each", targets=fleet, by=agent(2))
    actions.approve(execution_id=runs[2].pk, by=agent(3))
    assert set(Execution.objects.values_list("state", flat=True)) == {RunState.QUEUED}


# ---------------------------------------------------------------------------------------- tickets
def test_a_failure_opens_one_ticket_and_the_next_success_resolves_it(target, tmp_path):
    ready = tmp_path / "ready"
    runbook("watch", [step("work", f"test -e {ready}")], ticket={"open_on": ["failed"], "resolve_on": "next_success"})
    by = agent(1)
    finish(start("watch", by))
    finish(start("watch", by))
    made = Ticket.objects.get(subject__contains="Watch failed")
    assert made.messages.count() == 2
    ready.touch()
    finish(start("watch", by))
    made.refresh_from_db()
    assert made.status == "resolved"


def test_a_ticket_step_works_on_the_runs_ticket_within_the_rights_of_who_started(target):
    made = ticket(1)
    runbook(
        "note",
        [
            {
                "id": "say",
                "title": "Say",
                "uses": "ticket",
                "effect": "once",
                "with": {"action": "note", "text": "From {target.name}"},
            }
        ],
    )
    run = finish(start("note", agent(1), ticket=made.number))
    assert run.state == RunState.SUCCEEDED
    assert made.messages.order_by("-pk").first().text == "From Shop"


def test_a_notify_step_tells_each_person_once(target):
    runbook(
        "tell",
        [
            {
                "id": "tell",
                "title": "Tell",
                "uses": "notify",
                "with": {"to": ["tier:2", "requester"], "text": "Look at {target.name}"},
            }
        ],
    )
    other = agent(2)
    run = finish(start("tell", agent(1)))
    assert Notification.objects.filter(user=other, text="Look at Shop", url=f"/runs/{run.pk}/").count() == 1


# ------------------------------------------------------------------------------------- dry runs
def test_a_plan_says_for_each_step_what_it_would_do_and_changes_nothing(target, tmp_path):
    (tmp_path / "backups" / "old.log").write_text("x")
    steps = [
        step("look", "echo looked"),
        {
            "id": "delete", "title": "Delete", "uses": "files", "effect": "idempotent",
            "with": {"action": "delete", "folder": "backups", "pattern": "*.log", "keep_newest": 1},
        },
        {"id": "write", "title": "Write", "uses": "sql", "effect": "idempotent", "with": {"read_only": False, "query": "DELETE FROM orders"}},
        {"id": "post", "title": "Post", "uses": "http", "effect": "once", "with": {"method": "POST", "path": "/x"}},
        step("change", "rm -rf /tmp/never", effect="once"),
        {"id": "ask", "title": "Ask", "uses": "manual", "with": {"instructions": "Look"}},
    ]  # fmt: skip
    runbook("plan", steps)
    run = finish(start("plan", agent(1), dry_run=True))
    assert run.state == RunState.SUCCEEDED
    said = {row.step_id: row.message for row in run.steps.all()}
    assert "looked" in text_of(run)
    assert "It would delete 0 files" in said["delete"]
    assert "It would run: Delete on orders" in said["write"]
    assert "It would send POST" in said["post"]
    assert "unpreviewable" in said["change"]
    assert "Somebody would be asked" in said["ask"]
    assert "1 steps are unpreviewable" in run.summary
    assert (tmp_path / "backups" / "old.log").exists()


def test_a_worker_that_drains_hands_over_at_the_next_step(target):
    from runbooks import fleet as workers
    from runbooks.models import Worker

    Worker.objects.create(name="w1@here", queues=["runbooks"])
    runbook("long", [step("one", "sleep 2"), step("two"), step("three")])
    run = start("long", agent(1))
    thread = in_thread(lambda: actions.perform(execution_id=run.pk, worker="w1@here"))
    wait_for(lambda: StepRun.objects.filter(execution=run, state=StepState.RUNNING).exists())
    workers.drain("w1@here")
    thread.join(timeout=20)
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
    assert states(run) == {("step", "one"): "succeeded"}
    actions.perform(execution_id=run.pk, worker="w2@here")
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)


def test_two_steps_at_once_keep_the_order_of_each_and_of_the_numbers(target):
    loop = "for i in $(seq 300); do echo {0} $i; done"
    runbook("both", [step("a", loop.format("a"), needs=[]), step("b", loop.format("b"), needs=[])])
    run = finish(start("both", agent(1)))
    for name in "ab":
        lines = (
            b"".join(bytes(c.data) for c in run.chunks.filter(step_id=name, stream="out").order_by("seq"))
            .decode()
            .split("\n")[:-1]
        )
        assert lines == [f"{name} {i}" for i in range(1, 301)]
    offset = 0
    for chunk in run.chunks.order_by("seq"):
        assert chunk.offset == offset
        offset += len(chunk.data)
