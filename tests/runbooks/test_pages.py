"""The pages of runbooks as people use them."""

import hashlib

import pytest

from runbooks import actions, expressions
from runbooks.definition import DefinitionError, json_schema, parse
from runbooks.models import Execution, Runbook, RunbookDraft, RunState, Secret, Target
from supportdesk import guide
from tests.factories import agent, ticket
from tests.factories import lead as make_lead
from tests.runbooks.make import runbook, shell
from tests.runbooks.test_engine import finish, start

TEXT = """schema: 1
id: say-hello
title: Say hello
purpose: diagnostic
owner: Tests
risk: read
steps:
  - id: hello
    title: Hello
    uses: shell
    with: {script: echo hello}
"""


def test_a_runbook_is_written_by_one_and_published_by_another(db, browser_of):
    writer, other = make_lead(2), make_lead(2)
    page = browser_of(writer)
    bad = page.post("/runbooks/new/", {"text": TEXT + "nonsense: 1\n", "act": "submit"})
    assert bad.status_code == 422
    assert "nonsense" in bad.content.decode()
    draft = RunbookDraft.objects.get()
    page.post(f"/runbooks/drafts/{draft.pk}/", {"text": TEXT, "note": "First", "act": "submit"})
    draft.refresh_from_db()
    assert draft.state == "in_review"
    assert page.post(f"/runbooks/drafts/{draft.pk}/review/", {"answer": "publish"}).status_code == 403
    assert not Runbook.objects.filter(slug="say-hello").exists()
    stale = {"answer": "publish", "sha256": hashlib.sha256(b"another text").hexdigest()}
    assert browser_of(other).post(f"/runbooks/drafts/{draft.pk}/review/", stale).status_code == 409
    seen = {"answer": "publish", "sha256": hashlib.sha256(TEXT.encode()).hexdigest()}
    browser_of(other).post(f"/runbooks/drafts/{draft.pk}/review/", seen)
    assert Runbook.objects.get(slug="say-hello").current.text == TEXT


def test_a_draft_of_an_older_version_is_not_published_over_a_newer_one(db):
    writer, other = make_lead(2), make_lead(2)
    runbook_ = actions.load_runbook(text=TEXT, name="x")
    draft = actions.save_draft(by=writer, text=TEXT.replace("echo hello", "echo bye"), slug="say-hello")
    actions.submit_draft(draft_id=draft.pk, by=writer)
    actions.load_runbook(text=TEXT.replace("Hello\n", "Hello there\n"), name="x")
    from supportdesk.errors import Conflict

    with pytest.raises(Conflict):
        actions.publish_draft(draft_id=draft.pk, by=other)
    assert runbook_.versions.count() == 2


def test_dumped_files_are_the_very_text(db, tmp_path):
    from django.core.management import call_command

    guide.load()
    call_command("dump_runbooks", str(tmp_path))
    for path in (guide.FOLDER / "runbooks").glob("*.yaml"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_the_checker_answers_while_one_types(db, browser_of):
    page = browser_of(agent(1))
    assert "Valid" in page.post("/runbooks/check/", {"text": TEXT}).content.decode()
    assert "line:8:" in page.post("/runbooks/check/", {"text": TEXT.replace("    title: Hello\n", "")}).content.decode()


def test_the_catalogue_is_searched_and_favourites_come_first(db, browser_of):
    guide.load()
    by = agent(2)
    page = browser_of(by)
    assert "Morning health check" not in page.get("/runbooks/?q=idle").content.decode().split("Newest runs")[0]
    page.post("/runbooks/morning-health-check/favourite/", {"favourite": "yes"})
    text = page.get("/runbooks/").content.decode()
    assert text.index("morning-health-check") < text.index("connection-pool-diagnosis")


def test_an_approval_is_given_on_the_runs_page(target, browser_of):
    runbook("danger", [shell("true") | {"effect": "once"}], risk="destructive", tier=2)
    by, other = agent(2), agent(2)
    browser_of(by).post("/runbooks/danger/", {"target": "shop", "sent": "1"})
    run = Execution.objects.get()
    assert "Approve" not in browser_of(by).get(f"/runs/{run.pk}/").content.decode().split('id="log"')[0].replace(
        "Approval", ""
    )
    assert f"/runs/{run.pk}/" in browser_of(other).get("/runs/approvals/").content.decode()
    refused = browser_of(other).post(f"/runs/{run.pk}/decide/", {"answer": "no"}, headers={"HX-Request": "true"})
    assert "Say why not" in refused.content.decode()
    browser_of(other).post(f"/runs/{run.pk}/decide/", {"answer": "yes", "plan": run.plan_hash})
    assert finish(run).state == RunState.SUCCEEDED


def test_a_target_is_written_in_the_browser_and_errors_name_their_field(db, browser_of, administrator):
    page = browser_of(administrator)
    given = {
        "slug": "box",
        "name": "Box",
        "environment": "test",
        "zone": "UTC",
        "run_level": "1",
        "connections": "postgres: {host: db, dbname: x, user: y, password: plain}",
    }
    answer = page.post("/targets/new/", given)
    assert answer.status_code == 422
    assert "give the secret apart" in answer.content.decode()
    given["connections"] = "postgres: {host: db, dbname: x, user: y, password: {secret: pw}}"
    given["rules"] = "freezes: [{from: tomorrow}]"
    assert "Windows and freezes" in page.post("/targets/new/", given).content.decode()
    given["rules"] = ""
    assert page.post("/targets/new/", given).status_code == 302
    page.post("/targets/box/secret/", {"name": "pw", "value": "very secret"})
    assert Secret.objects.get().reveal() == "very secret"
    assert "very secret" not in page.get("/targets/box/").content.decode()
    assert Target.objects.get().connections["postgres"]["password"] == {"secret": "pw"}


def test_the_output_is_searched_and_paged(target, browser_of):
    runbook("long", [shell("seq 1 50000")], limits={"output": "5MB"})
    by = agent(1)
    run = finish(start("long", by))
    page = browser_of(by)
    assert "49999" in page.get(f"/runs/{run.pk}/find/?q=4999").content.decode()
    part = page.get(f"/runs/{run.pk}/output/?line=20000").content.decode()
    assert 'data-n="20001"' in part
    assert 'data-n="1"' not in part
    tail = page.get(f"/runs/{run.pk}/output/?line=-5").content.decode()
    assert "50000" in tail
    raw = b"".join(page.get(f"/runs/{run.pk}/output.txt").streaming_content)
    assert b"\n49999\n50000\n" in raw


def test_two_runs_are_compared(target, browser_of):
    runbook("word", [shell('test "$PARAM_WORD" = yes')], params={"word": {"type": "string", "label": "Word"}})
    by = agent(1)
    one, two = (finish(start("word", by, params={"word": word})) for word in ("yes", "no"))
    text = browser_of(by).get(f"/runs/{one.pk}/compare/{two.pk}/").content.decode()
    assert text.count('class="differs"') == 2


def test_output_as_a_terminal_would_show_it(target, browser_of):
    runbook(
        "bar",
        [shell(r"printf '10%%\r50%%\r100%%\n'; printf '\033[1;31mred\033[0m <b>\n'; printf '\357\273\277caf\351\n'")],
    )
    by = agent(1)
    run = finish(start("bar", by))
    text = browser_of(by).get(f"/runs/{run.pk}/").content.decode()
    assert ">100%<" in text
    assert '<span class="ansi-bold ansi-fg-red">red</span> &lt;b&gt;' in text
    assert "caf\ufffd" in text


def test_choices_come_from_the_target(target, browser_of):
    params = {
        "id": {
            "type": "choice",
            "label": "Order",
            "choices_from": {"query": "SELECT id, 'Order ' || id FROM orders ORDER BY id LIMIT 3"},
        }
    }
    runbook("pick", [shell("true")], params=params)
    by = agent(1)
    assert "Order 2" in browser_of(by).get("/runbooks/pick/choices/?target=shop").content.decode()
    refused = browser_of(by).post("/runbooks/pick/", {"target": "shop", "sent": "1", "param_id": "99"})
    assert "choose one of 1, 2, 3" in refused.content.decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("    when: params.nobody == 1", "nobody is no parameter"),
        ("    when: steps.later.state == 'x'", "has not certainly ended"),
        ("    when: target.colour == 'x'", "target has no colour"),
        ("    when: a ==", "something is missing at the end"),
        ("    when: __import__('os')", "there is no __import__()"),
        ("    expect: result.exit = 0", "is not expected here"),
        ("    needs: [other]", "no step above it"),
        ("    plan: {script: x}\n    effect: once\n    retry: {count: 2}", "happens once"),
        ("    undo: {uses: shell, with: {script: x}}", "on_failure: undo"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_saved(change, words):
    with pytest.raises(DefinitionError) as error:
        parse(TEXT.rstrip() + f"\n{change}\n", name="x.yaml")
    assert any(words in problem for problem in error.value.problems), error.value.problems


def test_the_schema_for_editors_knows_every_kind():
    text = str(json_schema())
    for name in (
        "shell",
        "sql",
        "http",
        "redis",
        "service",
        "files",
        "logs",
        "metric",
        "runbook",
        "manual",
        "wait",
        "notify",
        "ticket",
    ):
        assert f"'const': '{name}'" in text


@pytest.mark.parametrize(
    "text", ["1 +", "(a", "a b", "a..b", "a[", "'x", "not", "a in", "[1,", "{", "len(", "x" * 3000, "(" * 100]
)
def test_no_expression_breaks_the_parser(text):
    with pytest.raises(expressions.ExpressionError):
        expressions.parse(text)


def test_expressions_compare_and_look_up_and_nothing_else():
    names = {"params": {"n": 5, "w": "abc"}, "steps": {"a": {"result": {"rows": [{"x": None}]}}}}

    def value(text):
        return expressions.evaluate(expressions.parse(text), names)

    assert value("n > 4 and w in ['abc', 'x'] and not (n == '5')")
    assert value("steps.a.result.rows[0].x == null and steps.a.result.rows[9].y == null")
    assert value("len(w) == 3 and 'b' in w and true != 1")
    with pytest.raises(expressions.ExpressionError):
        value("steps.a.result.rows[0].x > 3")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/targets/new/", {"slug": "a b", "name": "X", "run_level": "1", "zone": "UTC"}),
        ("/targets/new/", {"slug": "x", "name": "X", "run_level": "1", "zone": "UTC", "connections": "db.main: {type: postgres}"}),
        ("/targets/new/", {"slug": "x", "name": "X", "run_level": "1", "zone": "UTC", "connections": "a: {type: [x]}"}),
        ("/targets/new/", {"slug": "x", "name": "X", "run_level": "1", "zone": "UTC", "labels": "a: 2026-02-30"}),
        ("/schedules/new/", {"runbook": "say-hello", "name": "my schedule", "cron": "0 9 * * *", "zone": "UTC", "targets": "box", "missed": "once",
                             "gap": "forward", "fold": "first", "overlap": "skip", "grace": "60", "jitter": "0", "sent": "1"}),
    ],
)  # fmt: skip
def test_odd_input_comes_back_with_words(db, browser_of, administrator, path, data):
    actions.load_runbook(text=TEXT, name="x")
    actions.save_target(slug="box", name="Box", environment="test", connections={})
    assert browser_of(administrator).post(path, data).status_code == 422


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "nonsense", ""])
def test_the_calendar_takes_any_day(db, browser_of, administrator, day):
    for view in ("", "month"):
        assert browser_of(administrator).get(f"/schedules/calendar/?day={day}&view={view}").status_code == 200


def test_a_stored_duration_is_taken_again(db):
    parsed = parse(TEXT.rstrip() + "\nparams:\n  grace: {type: duration, label: Grace}\n")
    assert parsed.parse_params({"grace": "5m"}) == parsed.parse_params({"grace": "300"}) == {"grace": 300}


def test_a_secret_is_not_handed_on_in_clear(db):
    text = TEXT.replace(
        "    with: {script: echo hello}",
        "    with: {script: echo hello}\nlocks: [{key: 'k-{pw}'}]\nparams:\n  pw: {type: secret, label: P}",
    )
    with pytest.raises(DefinitionError, match="stored there in clear"):
        parse(text)


def test_a_runbook_for_a_tier_and_its_runs_look_like_none_below_it(target, browser_of):
    made = runbook("for-tier-two", [shell("true")], risk="read", tier=2, view=2)
    run = finish(start("for-tier-two", agent(2)))
    below, above = browser_of(agent(1)), browser_of(agent(2))
    for path in (
        f"/runbooks/{made.slug}/",
        f"/runs/{run.pk}/",
        f"/api/v1/runbooks/{made.slug}/",
        f"/api/v1/executions/{run.pk}/",
        f"/runs/{run.pk}/output.txt",
    ):
        assert below.get(path).status_code == 404, path
        assert above.get(path).status_code == 200, path
    assert below.post(f"/runbooks/{made.slug}/", {"target": "shop"}).status_code == 404
    assert below.post(f"/runbooks/{made.slug}/edit/", {"text": "x"}).status_code == 404
    for path in ("/runbooks/", "/runs/", "/runs/export.csv", "/api/v1/executions/"):
        answer = below.get(path)
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert b"for-tier-two" not in text, path


def test_a_runbook_that_only_reads_is_run_from_a_ticket_at_once_where_one_target_fits(tier1, client):
    runbook("looks", [shell("true")], risk="read")
    actions.save_target(slug="one", name="One", environment="test", connections={"paths": {}})
    made = ticket(1)
    client.force_login(tier1)
    assert "Run Looks now" in client.get(f"/runs/for-ticket/{made.number}/").content.decode()
    answer = client.post("/runbooks/looks/", {"ticket": made.number, "at_once": "yes"})
    assert Execution.objects.get().target.slug == "one"
    assert answer["Location"].startswith("/runs/")
    actions.save_target(slug="two", name="Two", environment="test", connections={"paths": {}})
    answer = client.post("/runbooks/looks/", {"ticket": made.number, "at_once": "yes"})
    assert answer.status_code == 422
    assert Execution.objects.count() == 1
