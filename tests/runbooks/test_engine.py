import threading
import time
from datetime import timedelta

import psycopg
import pytest
from django.db import connection, connections
from django.utils import timezone

from runbooks import actions, display
from runbooks.engine import ending, lease, reaper
from runbooks.models import Execution, RunState, StepRun, StepState
from supportdesk.errors import Conflict, InvalidTransition
from tests.factories import agent, ticket
from tests.runbooks.make import runbook, shell, text_of


def start(slug, by, **more):
    return actions.start(slug=slug, target="shop", by=by, **more)


def finish(execution):
    actions.perform(execution_id=execution.pk)
    execution.refresh_from_db()
    return execution


def in_thread(call):
    def work():
        try:
            call()
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def wait_for(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_the_morning_check_runs_every_step(target):
    run = finish(start("morning-health-check", agent(1)))
    assert (run.state, run.summary) == (RunState.SUCCEEDED, "All 6 steps passed.")
    text = text_of(run)
    assert "orders_today" in text
    assert "1 errors since" in text
    assert "pool exhausted" in text
    assert "ERROR old" not in text
    assert run.steps.count() == 6


def test_the_morning_check_warns_when_there_is_no_fresh_backup(target):
    import os
    from pathlib import Path

    old = Path(target.connections["paths"]["folders"]["backups"]) / "shop.sql.gz"
    os.utime(old, (0, 0))
    run = finish(start("morning-health-check", agent(1)))
    assert run.state == RunState.SUCCEEDED
    assert run.steps.get(step_id="backups").state == StepState.WARNED
    assert "1 to look at" in run.summary


def test_the_pool_diagnosis_counts_and_judges(target):
    run = finish(start("connection-pool-diagnosis", agent(1)))
    assert run.state == RunState.SUCCEEDED
    assert run.steps.get(step_id="used").result["level"] == "ok"


def idle_session(shop):
    session = psycopg.connect(**shop, application_name="orders-worker", autocommit=True)
    session.execute("SELECT 1")
    return session


def alive_on_server(session):
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_killing_idle_connections_ends_only_sessions_of_the_targets_database(target, shop):
    victim = idle_session(shop)
    elsewhere = psycopg.connect(**shop | {"dbname": "postgres"}, autocommit=True)
    elsewhere.execute("SELECT 1")
    run = finish(start("kill-idle-connections", agent(2), params={"idle_minutes": 0}))
    assert run.state == RunState.SUCCEEDED
    assert "1 row" in run.steps.get(step_id="kill").message
    assert not alive_on_server(victim)
    assert alive_on_server(elsewhere)
    elsewhere.close()


def test_a_dry_run_lists_and_kills_nothing(target, shop):
    victim = idle_session(shop)
    run = finish(start("kill-idle-connections", agent(2), params={"idle_minutes": 0}, dry_run=True))
    assert run.summary == "Dry run: nothing was changed."
    assert "orders-worker" in text_of(run)
    assert alive_on_server(victim)
    victim.close()


def test_sessions_that_are_idle_for_too_short_are_spared(target, shop):
    victim = idle_session(shop)
    finish(start("kill-idle-connections", agent(2), params={"idle_minutes": 5}))
    assert alive_on_server(victim)
    victim.close()


def test_parameters_reach_the_shell_as_environment_and_never_as_code(target, tmp_path):
    evil = f"$(touch {tmp_path}/owned); `touch {tmp_path}/owned` '; touch {tmp_path}/owned; \""
    runbook("echo", [shell('printf "%s\\n" "$PARAM_WORD"')], params={"word": {"type": "string", "label": "Word"}})
    run = finish(start("echo", agent(1), params={"word": evil}))
    assert evil in text_of(run, "out")
    assert not (tmp_path / "owned").exists()


def test_the_environment_of_a_step_is_clean(target, monkeypatch):
    monkeypatch.setenv("DESK_SECRET_KEY", "do-not-leak")
    runbook("env", [shell("env")])
    assert "do-not-leak" not in text_of(finish(start("env", agent(1))))


def test_secrets_are_masked_in_every_form(target):
    script = "echo plain shop-secret-1; echo c2hvcC1zZWNyZXQtMQ==; printf 'shop-se'; sleep 1.3; echo cret-1"
    runbook("leak", [shell(script)])
    text = text_of(finish(start("leak", agent(1))))
    assert "secret-1" not in text
    assert "c2hvcC1zZWNyZXQtMQ" not in text
    assert "cret-1" not in text
    assert "•••" in text


def test_a_failing_step_ends_the_run_and_names_it(target):
    runbook("fails", [shell("echo before; exit 3"), {**shell("echo never"), "id": "second"}])
    run = finish(start("fails", agent(1)))
    assert (run.state, run.summary) == (RunState.FAILED, "Step 1, Work: Exit code 3.")
    assert "never" not in text_of(run, "out")


def test_wrong_bytes_and_nul_do_not_break_the_output(target):
    runbook("bytes", [shell(r"printf 'a\0b\377c\n'")])
    run = finish(start("bytes", agent(1)))
    assert b"".join(bytes(chunk.data) for chunk in run.chunks.filter(stream="out")) == b"a\0b\xffc\n"
    shown = [line.text for line in display.lines(run.chunks.order_by("seq")) if line.stream == "out"]
    assert shown == ["a\u2400b\ufffdc"]


def test_a_step_that_takes_too_long_is_stopped_with_all_it_started(target, alive):
    runbook("slow", [shell("setsid sleep 300 & sleep 300", timeout=1)])
    begun = time.monotonic()
    run = finish(start("slow", agent(1)))
    assert run.state == RunState.FAILED
    assert "timeout" in run.summary
    assert time.monotonic() - begun < 20
    assert alive(f"TARGET_LOGS={target.connections['paths']['folders']['logs']}\0") == []


def test_nothing_a_step_left_behind_survives_it(target, alive):
    runbook("daemon", [shell("setsid sh -c 'trap \"\" TERM; sleep 300' & sleep 0.2; echo started")])
    run = finish(start("daemon", agent(1)))
    assert run.state == RunState.SUCCEEDED
    assert alive(f"TARGET_LOGS={target.connections['paths']['folders']['logs']}\0") == []


def test_a_cancelled_run_leaves_no_process_alive(target, alive):
    runbook("long", [shell("setsid sh -c 'setsid sleep 301 & sleep 302' & nohup sleep 303 & echo started; sleep 304")])
    by = agent(1)
    run = start("long", by)
    thread = in_thread(lambda: actions.perform(execution_id=run.pk))
    wait_for(lambda: "started" in text_of(run))
    assert len(alive(f"TARGET_LOGS={target.connections['paths']['folders']['logs']}\0")) >= 4
    actions.cancel(execution_id=run.pk, by=by)
    thread.join(timeout=40)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    assert run.steps.get().state == StepState.CANCELLED
    assert alive(f"TARGET_LOGS={target.connections['paths']['folders']['logs']}\0") == []


def test_cancelling_a_statement_cancels_it_on_the_server(target, shop):
    runbook("sleepy", [{"id": "wait", "title": "Wait", "uses": "sql", "with": {"query": "SELECT pg_sleep(60)"}}])
    by = agent(1)
    run = start("sleepy", by)
    thread = in_thread(lambda: actions.perform(execution_id=run.pk))
    wait_for(lambda: StepRun.objects.filter(execution=run).exists())
    time.sleep(0.5)
    actions.cancel(execution_id=run.pk, by=by)
    thread.join(timeout=20)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    with psycopg.connect(**shop) as session:
        row = session.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row == (0,)


def test_a_queued_run_is_cancelled_at_once(target):
    by = agent(1)
    run = start("morning-health-check", by)
    assert actions.cancel(execution_id=run.pk, by=by).state == RunState.CANCELLED
    assert actions.perform(execution_id=run.pk) is False
    with pytest.raises(InvalidTransition):
        actions.cancel(execution_id=run.pk, by=by)


def test_an_http_status_that_is_not_expected_fails_and_redirects_are_not_followed(target):
    step = {"id": "ask", "title": "Ask", "uses": "http", "with": {"path": "/broken"}}
    runbook("broken", [step])
    assert finish(start("broken", agent(1))).summary == "Step 1, Ask: HTTP 503, expected 200."
    runbook("moved", [step | {"with": {"path": "/moved"}}])
    assert "HTTP 302" in finish(start("moved", agent(1))).summary


def test_a_read_step_cannot_write(target):
    runbook("sneaky", [{"id": "w", "title": "Write", "uses": "sql", "with": {"query": "DELETE FROM orders"}}])
    run = finish(start("sneaky", agent(1)))
    assert run.state == RunState.FAILED
    assert "read-only" in run.summary


def test_output_stops_at_its_limit(target):
    runbook("chatty", [shell("head -c 300000 /dev/zero | tr '\\0' 'x' | fold -w 100")], limits={"output": "64KB"})
    run = finish(start("chatty", agent(1)))
    assert run.state == RunState.SUCCEEDED
    assert "left out here: the limit is 64 KB" in text_of(run)
    assert sum(len(chunk.data) for chunk in run.chunks.all()) < 70_000


def test_a_run_may_stop_at_its_output_limit(target):
    runbook("chatty", [shell("yes | head -c 300000")], limits={"output": "64KB", "on_output": "stop"})
    run = finish(start("chatty", agent(1)))
    assert run.state == RunState.FAILED
    assert "output limit of 64 KB" in text_of(run)


def test_sequence_numbers_have_no_gap(target):
    runbook("lines", [shell("for i in $(seq 200); do echo line $i; done; sleep 0.6; echo last")])
    run = finish(start("lines", agent(1)))
    spans = list(run.chunks.order_by("seq").values_list("first_seq", "seq"))
    assert [number for first, last in spans for number in range(first, last + 1)] == list(range(1, run.last_seq + 1))
    assert text_of(run, "out").count("line ") == 200


def test_only_one_of_many_claims_wins(target):
    run = start("morning-health-check", agent(1))
    results = []
    threads = [in_thread(lambda: results.append(lease.claim(run.pk, "w"))) for _ in range(8)]
    for thread in threads:
        thread.join()
    assert sorted(r for r in results if r) == [1]


def lose(run):
    """As if the worker had died in mid-step two minutes ago."""
    attempt = lease.claim(run.pk, "dead-worker")
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    return attempt


def two_steps(slug, effect, on_loss):
    first = {**shell("echo first"), "id": "first"}
    return runbook(slug, [first, {**shell("echo second"), "id": "second", "effect": effect}], on_worker_loss=on_loss)


def interrupted(run):
    attempt = lose(run)
    now = timezone.now()
    StepRun.objects.create(
        execution=run,
        attempt=attempt,
        index=0,
        step_id="first",
        state=StepState.SUCCEEDED,
        started_at=now,
        finished_at=now,
    )
    StepRun.objects.create(
        execution=run, attempt=attempt, index=1, step_id="second", state=StepState.RUNNING, started_at=now
    )


def test_a_lease_that_ran_out_marks_the_run_lost_and_asks(target):
    two_steps("asks", "idempotent", "ask")
    by = agent(1)
    run = start("asks", by)
    interrupted(run)
    assert reaper.reap() == 1
    run.refresh_from_db()
    assert run.state == RunState.LOST
    assert run.steps.get(step_id="second").state == StepState.LOST
    actions.resume(execution_id=run.pk, by=by)
    finish(run)
    assert run.state == RunState.SUCCEEDED
    assert text_of(run, "out") == "second\n"


def test_a_run_that_may_resume_goes_on_by_itself_and_one_that_restarts_repeats_all(target):
    two_steps("goes-on", "idempotent", "resume")
    two_steps("again", "idempotent", "restart")
    by = agent(1)
    for slug, output in (("goes-on", "second\n"), ("again", "first\nsecond\n")):
        run = start(slug, by)
        interrupted(run)
        reaper.reap()
        run.refresh_from_db()
        assert run.state == RunState.QUEUED
        assert text_of(finish(run), "out") == output


def test_an_interrupted_once_step_always_asks(target):
    two_steps("pays", "once", "resume")
    run = start("pays", agent(1))
    interrupted(run)
    reaper.reap()
    run.refresh_from_db()
    assert run.state == RunState.LOST


def test_a_worker_that_lost_its_lease_changes_nothing(target):
    runbook("stale", [shell("echo one; sleep 1; echo two")])
    run = start("stale", agent(1))
    thread = in_thread(lambda: actions.perform(execution_id=run.pk))
    wait_for(lambda: "one" in text_of(run))
    Execution.objects.filter(pk=run.pk).update(attempt=7, worker="another")
    thread.join(timeout=30)
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.RUNNING, 7)
    assert "two" not in text_of(run)


def test_a_dead_worker_while_cancelling_is_said(target):
    by = agent(1)
    run = start("morning-health-check", by)
    lease.claim(run.pk, "w")
    actions.cancel(execution_id=run.pk, by=by)
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    reaper.reap()
    run.refresh_from_db()
    assert run.state == RunState.CANCEL_FAILED


def test_the_result_goes_on_the_tickets_timeline(target):
    made = ticket(2)
    finish(start("connection-pool-diagnosis", agent(2), ticket=made.number))
    events = list(made.events.values_list("kind", flat=True))
    assert events == ["opened", "run_started", "run_finished"]
    assert "succeeded. All 3 steps passed." in made.events.last().words


def test_a_run_keeps_the_text_it_was_started_with(target):
    runbook("changing", [shell("echo old")])
    run = start("changing", agent(1))
    runbook("changing", [shell("echo new")])
    assert text_of(finish(run), "out") == "old\n"


def test_loading_the_same_text_again_makes_no_version(target):
    book = runbook("same", [shell("echo x")])
    assert runbook("same", [shell("echo x")]).current_id == book.current_id
    assert book.versions.count() == 1


def test_a_version_is_never_changed(target):
    from django.db import IntegrityError, transaction

    book = runbook("fixed", [shell("echo x")])
    with pytest.raises(IntegrityError), transaction.atomic():
        book.versions.update(text="forged")


def test_a_queued_run_is_rung_for_again(target, monkeypatch):
    run = start("morning-health-check", agent(1))
    Execution.objects.filter(pk=run.pk).update(queued_at=timezone.now() - timedelta(minutes=1))
    rung = []
    monkeypatch.setattr(reaper, "ring", lambda task, pk, queue, expires: rung.append((task, pk, queue)) or True)
    assert actions.sweep() == {"reaped": 0, "woken": 0, "expired": 0, "rung": 1}
    assert rung == [("runbooks.run", run.pk, "runbooks")]


def test_the_connection_of_the_desk_is_left_open_for_the_next_task(target):
    finish(start("morning-health-check", agent(1)))
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert Conflict.status == 409


def test_a_result_that_json_cannot_hold_does_not_hold_the_run(target):
    query = "SELECT 'NaN'::float8 AS nan, 'Infinity'::float8 AS endless, E'a\\x01b' AS odd"
    runbook("odd", [{"id": "ask", "title": "Ask", "uses": "sql", "with": {"query": query}}])
    run = finish(start("odd", agent(1)))
    assert run.state == RunState.SUCCEEDED
    assert run.steps.get().result["rows"] == [{"nan": None, "endless": None, "odd": "a\x01b"}]


def test_secrets_are_masked_in_results_and_summaries_too(target):
    query = "SELECT 'shop-secret-1' AS password"
    runbook("tell", [{"id": "ask", "title": "Ask", "uses": "sql", "with": {"query": query}}])
    run = finish(start("tell", agent(1)))
    assert run.steps.get().result["rows"] == [{"password": "•••"}]


def test_a_restart_asks_when_a_once_step_was_already_done(target):
    first = {**shell("echo paid"), "id": "first", "effect": "once"}
    runbook("pays-first", [first, {**shell("echo second"), "id": "second"}], on_worker_loss="restart")
    run = start("pays-first", agent(1))
    interrupted(run)
    reaper.reap()
    run.refresh_from_db()
    assert run.state == RunState.LOST


def test_a_reaped_worker_that_wakes_up_ends_nothing(target):
    run = start("morning-health-check", agent(1))
    attempt = lose(run)
    reaper.reap()
    run.refresh_from_db()
    assert ending.finish(run, attempt, RunState.FAILED, "late") is False
    run.refresh_from_db()
    assert run.state == RunState.QUEUED


def test_a_slow_answer_over_http_is_cancelled_at_once(target, shop):
    import socket

    from runbooks.models import Target

    with socket.create_server(("127.0.0.1", 0)) as silent:
        connections_ = target.connections | {
            "http": {"type": "http", "private": True, "base_url": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        }
        Target.objects.update(connections=connections_)
        runbook("silent", [{"id": "ask", "title": "Ask", "uses": "http", "with": {"path": "/x"}}])
        by = agent(1)
        run = start("silent", by)
        thread = in_thread(lambda: actions.perform(execution_id=run.pk))
        wait_for(lambda: StepRun.objects.filter(execution=run).exists())
        actions.cancel(execution_id=run.pk, by=by)
        thread.join(timeout=20)  # the step itself would wait for longer
        assert not thread.is_alive()
        run.refresh_from_db()
        assert run.state == RunState.CANCELLED


def test_an_optional_parameter_left_empty_is_null_and_an_empty_variable(target):
    params = {"word": {"type": "string", "label": "Word", "required": False}}
    ask = {"id": "ask", "title": "Ask", "uses": "sql", "with": {"query": "SELECT %(word)s::text IS NULL AS empty"}}
    runbook("optional", [ask, shell('echo "[$PARAM_WORD]"')], params=params)
    run = finish(start("optional", agent(1)))
    assert run.state == RunState.SUCCEEDED
    assert "[]" in text_of(run, "out")


def test_the_time_limit_of_the_whole_run_holds_between_steps(target):
    steps_ = [{**shell("sleep 1.2"), "id": "first"}, {**shell("echo never"), "id": "second"}]
    runbook("limited", steps_, limits={"timeout": "1s"})
    run = finish(start("limited", agent(1)))
    assert run.state == RunState.FAILED
    assert "never" not in text_of(run, "out")
