"""Hostile parameter values through every step kind: they arrive byte for byte as data, or are refused by name."""

import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from django.conf import settings

from runbooks import actions
from runbooks.models import RunState
from supportdesk.errors import Invalid
from tests.factories import agent, ticket
from tests.runbooks.conftest import SEEN
from tests.runbooks.make import runbook, text_of
from tests.runbooks.test_engine import finish, start
from tests.runbooks.test_kinds import remote, sshd  # noqa: F401 - fixtures

BAIT = "/tmp/desk-injected"
_SHELL = ["$(touch {0})", "`touch {0}`", "; touch {0}", "| touch {0}", "&& touch {0}", "\ntouch {0}\n", "' ; touch {0} ; '", '" ; touch {0} ; "',
          "$(touch${{IFS}}{0})", "\\`touch {0}\\`", "> {0}", "<(touch {0})", "${{x:-$(touch {0})}}", "}}; touch {0}; {{", "*", "?", "~", "!!", "$HOME",
          "$0", "\\", "\\n", "'", '"', "''", '""', "#", "# x", "&", "|", ";", "%s", "%n%n", "%(x)s", "{{x}}", "{{params.word}}", "{{", "}}", "{{{{x}}}}"]  # fmt: skip
_OPTIONS = [
    "-n",
    "--help",
    "-e",
    "--",
    "-rf /",
    "-oProxyCommand=touch {0}",
    "--exec=touch {0}",
    "-",
    "+x",
    "@/etc/passwd",
    "/etc/passwd",
    "../../etc/passwd",
]
_SQL = [
    "'; DROP TABLE orders; --",
    "1 OR 1=1",
    "\\'; DROP TABLE orders; --",
    "$$; DROP TABLE orders; $$",
    "pg_sleep(10)",
    "E'\\\\x00'",
    "0x00",
    "%",
    "_",
    "/* */",
]
_TEXT = ["", " ", "  two  ", "\t", "\n", "\r\n", "a\rb", "trailing\n", "trailing\n\n", "\u00e4\u00f6\u00fc", "\u4e2d\u6587", "\U0001f600", "\u202eevil", "\ufeffbom", "\u2028",
         "e\u0301", "\x01\x02\x1b[31m", "\x7f", "\u0000", "a\u0000b", "\ud800", "null", "true", "1e309", "NaN", "x" * 2000, "\u00e4" * 2000, "x" * 65_536, "x" * 65_537,
         "'" * 1000, "$(" * 500, "\n" * 500]  # fmt: skip
_WEB = [
    "\r\nX-Evil: 1",
    "a\nb: c",
    "?x=1",
    "#frag",
    "//evil.example",
    "http://evil.example/",
    "..",
    "../..",
    "%2e%2e",
    "%00",
    "a b",
    "a/b",
    "user@host",
    "[::1]",
]
_REDIS = ["\r\nFLUSHALL\r\n", "*1\r\n$8\r\nFLUSHALL\r\n", "a b c", "EVAL"]
HOSTILE = [text.format(BAIT) if "{0}" in text else text for text in (*_SHELL, *_OPTIONS, *_SQL, *_TEXT, *_WEB, *_REDIS)]
HOSTILE += [f"{a}{b}" for a in ("x'", 'x"', "x\\", "x`", "x$") for b in HOSTILE[:18]]

PARAMS = {"word": {"type": "string", "label": "Word", "required": False}}


@pytest.fixture(autouse=True)
def _no_bait():
    Path(BAIT).unlink(missing_ok=True)
    yield
    assert not Path(BAIT).exists()


def test_there_are_two_hundred_of_them():
    assert len(set(HOSTILE)) >= 200


def carriable(value):
    """Whether the desk itself takes the value as a parameter: not NUL, lone surrogates or more than 64 KB; empty is none."""
    return (
        value != ""
        and "\0" not in value
        and len(value.encode(errors="surrogatepass")) <= 65_536
        and not any(0xD800 <= ord(c) < 0xE000 for c in value)
    )


def begin(slug, value, by):
    """Start the runbook with one value; None where it is refused by its name, as it should be."""
    if carriable(value) or value == "":
        return start(slug, by, params={"word": value})
    with pytest.raises(Invalid) as error:
        start(slug, by, params={"word": value})
    assert set(error.value.fields) == {"word"}
    return None


CARRIED = [value for value in HOSTILE if carriable(value)]
MANY = {f"w{n}": {"type": "string", "label": "W", "required": False} for n in range(len(CARRIED))}
VALUES = {f"w{n}": value for n, value in enumerate(CARRIED)}


def test_what_cannot_be_carried_is_refused_by_name(target):
    runbook("take", [{"id": "w", "title": "W", "uses": "wait", "with": {"duration": "1s"}}], params=PARAMS)
    by = agent(1)
    refused = [value for value in HOSTILE if value and not carriable(value)]
    assert len(refused) >= 4
    for value in refused:
        assert begin("take", value, by) is None


def shell_writes(folder):
    """A step that writes every value that it got to a file of its own, as parameter and as variable of `env`."""
    lines = [
        f'printf %s "$PARAM_W{n}" > "$FOLDER/{n}"; printf %s "$GIVEN_{n}" > "$FOLDER/{n}.given"'
        for n in range(len(CARRIED))
    ]
    given = {f"GIVEN_{n}": f"{{w{n}}}" for n in range(len(CARRIED))}
    with_ = {"script": "\n".join(lines), "env": {"FOLDER": str(folder), **given}}
    return [{"id": "work", "title": "Work", "uses": "shell", "with": with_}]


def check_files(folder):
    for n, value in enumerate(CARRIED):
        assert (folder / str(n)).read_bytes() == value.encode(), value
        assert (folder / f"{n}.given").read_bytes() == value.encode(), value


def test_a_local_shell_gets_the_very_bytes(target, tmp_path):
    runbook("take", shell_writes(tmp_path), params=MANY)
    run = finish(start("take", agent(1), params=VALUES))
    assert run.state == RunState.SUCCEEDED, text_of(run)
    check_files(tmp_path)


def test_a_shell_over_ssh_gets_the_very_bytes(remote, tmp_path):  # noqa: F811
    runbook("take", shell_writes(tmp_path), params=MANY)
    run = finish(start("take", agent(1), params=VALUES))
    assert run.state == RunState.SUCCEEDED, text_of(run)
    check_files(tmp_path)


def test_sql_binds_the_very_text(target, shop):
    with psycopg.connect(**shop, autocommit=True) as server:
        server.execute("CREATE TABLE words (n int, word text)")
        query = "INSERT INTO words VALUES " + ", ".join(f"({n}, %(w{n})s)" for n in range(len(CARRIED)))
        runbook(
            "keep",
            [{"id": "w", "title": "W", "uses": "sql", "effect": "once", "with": {"query": query, "read_only": False}}],
            params=MANY,
        )
        run = finish(start("keep", agent(1), params=VALUES))
        assert run.state == RunState.SUCCEEDED, run.summary
        assert [row[0] for row in server.execute("SELECT word FROM words ORDER BY n").fetchall()] == CARRIED
        assert server.execute("SELECT count(*) FROM orders").fetchone()[0] == 40


def test_redis_sends_the_very_bytes(target):
    parts = urlsplit(settings.REDIS_URL)
    unix = parts.scheme == "unix"
    where = {"socket": parts.path} if unix else {"host": parts.hostname, "port": parts.port or 6379}
    where |= {"password": {"secret": "redis"}} if parts.password else {}
    connections = target.connections | {"redis": {**where, "db": 9}}
    actions.save_target(
        slug="shop", name="Shop", environment="test", connections=connections, secrets={"redis": parts.password or "-"}
    )
    steps = []
    for first in range(0, len(CARRIED), 40):
        args = [part for n in range(first, min(first + 40, len(CARRIED))) for part in (f"desk-{n}", f"{{w{n}}}")]
        steps.append(
            {
                "id": f"s{first}",
                "title": "W",
                "uses": "redis",
                "effect": "idempotent",
                "with": {"command": "MSET", "args": args},
            }
        )
    runbook("keep", steps, params=MANY)
    run = finish(start("keep", agent(1), params=VALUES))
    assert run.state == RunState.SUCCEEDED, run.summary
    client = redis.Redis.from_url(settings.REDIS_URL, single_connection_client=True)
    client.execute_command("SELECT", 9)
    for n, value in enumerate(CARRIED):
        assert client.get(f"desk-{n}") == value.encode()
    client.flushdb()


def test_http_carries_the_value_in_body_and_query(target):
    body = {f"w{n}": f"{{w{n}}}" for n in range(len(CARRIED))}
    short = {name: text for (name, text), value in zip(body.items(), CARRIED, strict=True) if len(value) < 100}
    with_ = {"method": "POST", "path": "/take", "json_body": body, "query": short}
    runbook("body", [{"id": "w", "title": "W", "uses": "http", "effect": "once", "with": with_}], params=MANY)
    SEEN.clear()
    run = finish(start("body", agent(1), params=VALUES))
    assert run.state == RunState.SUCCEEDED, run.summary
    assert SEEN[-1]["json"] == VALUES
    assert {name: values[0] for name, values in SEEN[-1]["query"].items()} == {name: VALUES[name] for name in short}


def test_http_escapes_or_refuses_the_value_in_path_and_header(target, web):
    runbook("path", [{"id": "w", "title": "W", "uses": "http", "with": {"path": "/take/{word}"}}], params=PARAMS)
    runbook(
        "header",
        [{"id": "w", "title": "W", "uses": "http", "with": {"path": "/take", "headers": {"X-Word": "{word}"}}}],
        params=PARAMS,
    )
    by = agent(1)
    for value in [*_WEB, *CARRIED[::6]]:
        for slug in ("path", "header"):
            run = begin(slug, value, by)
            if run is None or len(value) > 5000:
                continue
            SEEN.clear()
            finish(run)
            for seen in SEEN:
                assert "x-evil" not in seen["headers"]
                assert seen["host"] == web.removeprefix("http://")
                assert ".." not in seen["path"].split("/")
                if slug == "header":
                    assert seen["headers"]["x-word"] == value.strip(" ")


def test_files_logs_and_services_take_it_as_a_name_or_refuse_it(target, tmp_path):
    (tmp_path / "logs" / "app.log").write_text("line\n")
    services = {"manager": "supervisor", "allowed": ["orders"], "program": "/bin/echo"}
    actions.save_target(
        slug="shop", name="Shop", environment="test", connections=target.connections | {"services": services}
    )
    steps = {
        "files": {"uses": "files", "with": {"folder": "backups", "pattern": "{word}"}},
        "folder": {"uses": "files", "with": {"folder": "{word}"}},
        "pattern": {"uses": "logs", "with": {"folder": "logs", "file": "app.log", "pattern": "{word}"}},
        "file": {"uses": "logs", "with": {"folder": "logs", "file": "{word}"}},
        "service": {"uses": "service", "with": {"service": "{word}"}},
    }
    for slug, step in steps.items():
        runbook(slug, [{"id": "w", "title": "W", **step}], params=PARAMS)
    by = agent(1)
    for value in HOSTILE[::5]:
        for slug in steps:
            run = begin(slug, value, by)
            if run is not None:
                finish(run)
                assert run.state in {RunState.SUCCEEDED, RunState.FAILED}
                assert "root:" not in text_of(run, "out")
                if slug in {"folder", "service"}:
                    assert run.state == RunState.FAILED, value


def test_tickets_and_notices_get_the_text(target):
    made = ticket(1)
    note = {"id": "n", "title": "N", "uses": "ticket", "effect": "once", "with": {"action": "note", "text": "x{word}"}}
    tell = {"id": "t", "title": "T", "uses": "notify", "with": {"to": ["requester"], "text": "x{word}"}}
    ask = {"id": "m", "title": "M", "uses": "manual", "with": {"instructions": "x{word}"}}
    number = {
        "id": "v",
        "title": "V",
        "uses": "metric",
        "with": {"value": "{word}", "name": "x", "warning": 1, "critical": 2},
    }
    runbook("words", [note, tell, ask], params=PARAMS, locks=[])
    runbook("number", [number], params=PARAMS, locks=[])
    by = agent(1)
    for value in HOSTILE[::7]:
        run = begin("words", value, by)
        if run is None or len(value) > 10_000:
            continue
        actions.cancel(execution_id=run.pk, by=by)
        run = start("words", by, params={"word": value}, ticket=made.number)
        assert finish(run).state == RunState.PAUSED, (value, run.summary)
        assert run.steps.get(step_id="m").result["instructions"] == f"x{value}"
        finish(start("number", by, params={"word": value}))


def test_waits_and_calls_refuse_what_is_none(target):
    runbook(
        "inner",
        [{"id": "w", "title": "W", "uses": "wait", "with": {"duration": "1s"}}],
        params={"n": {"type": "integer", "label": "N"}},
    )
    runbook(
        "outer",
        [
            {
                "id": "c",
                "title": "C",
                "uses": "runbook",
                "with": {"slug": "inner", "params": {"n": "{word}"}, "target": "shop"},
            }
        ],
        params=PARAMS,
    )
    by = agent(1)
    for value in HOSTILE[::9]:
        run = begin("outer", value, by)
        if run is not None:
            finish(run)
            with contextlib.suppress(ValueError):
                int(value)
                continue
            assert run.state == RunState.FAILED
