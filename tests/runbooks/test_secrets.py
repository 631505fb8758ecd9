"""Fifty secrets, echoed in every form by steps: none of it is in the database or in the logs."""

import base64
import json
import logging
import random
import string
from urllib.parse import quote, quote_plus

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from runbooks import actions
from runbooks.engine.redaction import MASK, Redactor
from runbooks.models import RunState, Secret
from supportdesk import crypto
from tests.factories import agent
from tests.runbooks.make import runbook, shell, text_of
from tests.runbooks.test_engine import finish, start

DICE = random.Random(5)
KINDS = [
    string.ascii_letters + string.digits,
    string.printable.strip(),
    "äöüß€中文" + string.ascii_lowercase,
    "abc+/=&?%# \"'<>\\",
]
SECRETS = {
    f"secret-{n}": "S" + "".join(DICE.choice(KINDS[n % 4]) for _ in range(DICE.randint(12, 60))) + "e"
    for n in range(49)
}
SECRETS["secret-key"] = (
    "-----BEGIN KEY-----\n"
    + "\n".join("".join(DICE.choice(KINDS[0]) for _ in range(64)) for _ in range(8))
    + "\n-----END KEY-----"
)


def forms(secret):
    """The forms that the issue names, made here anew."""
    raw = secret.encode()
    yield raw
    yield base64.b64encode(raw).rstrip(b"=")
    yield base64.urlsafe_b64encode(raw).rstrip(b"=")
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    yield json.dumps(secret)[1:-1].encode()
    yield json.dumps(secret, ensure_ascii=False)[1:-1].encode()


ECHO = """
import base64, json, os, sys, time, urllib.parse
for name, value in sorted(os.environ.items()):
    if not name.startswith("S_"):
        continue
    raw = value.encode()
    for text in (raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw), urllib.parse.quote(value, safe="").encode(),
                 urllib.parse.quote_plus(value).encode(), json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode(),
                 base64.b64encode(b"user:" + raw), raw.hex().encode()):
        half = len(text) // 2
        sys.stdout.buffer.write(b"[" + text[:half]); sys.stdout.flush()
        if name.endswith("7"): time.sleep(0.5)
        sys.stdout.buffer.write(text[half:] + b"]\\n"); sys.stderr.buffer.write(b"x" * 40000 + text + b"\\n"); sys.stdout.flush()
print(os.environ["S_0"], file=sys.stderr); sys.exit(os.environ["S_1"])
"""


def everything():
    """Every row of every table of the desk as bytes; what is stored as bytes as it is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        tables = [row[0] for row in cursor.fetchall()]
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                for value in row:
                    yield table, bytes(value) if isinstance(value, memoryview) else str(value).encode(errors="replace")


def test_fifty_secrets_in_every_form_are_nowhere(target, caplog):
    caplog.set_level(logging.DEBUG)
    connections = target.connections | {
        f"api{n}": {"type": "http", "base_url": "http://127.0.0.1:9", "private": True, "token": {"secret": name}}
        for n, name in enumerate(SECRETS)
    }
    actions.save_target(slug="shop", name="Shop", environment="test", connections=connections, secrets=SECRETS)
    params = {f"s{n}": {"type": "secret", "label": "S"} for n in range(50)}
    env = {f"S_{n}": f"{{s{n}}}" for n in range(50)}
    steps = [
        shell(ECHO, with_={"interpreter": "python3", "env": env}, timeout=120) | {"id": "echo"},
        {
            "id": "sql",
            "title": "Sql",
            "uses": "sql",
            "needs": [],
            "with": {"query": "SELECT %(s3)s AS a, to_json(%(s4)s::text)::text AS b"},
        },
        {"id": "bad", "title": "Bad", "uses": "sql", "needs": [], "with": {"query": "SELECT %(s5)s::int"}},
        {
            "id": "web",
            "title": "Web",
            "uses": "http",
            "needs": [],
            "with": {"connection": "api6", "path": "/{s7}", "query": {"q": "{s8}"}},
        },
        {
            "id": "tell",
            "title": "Tell",
            "uses": "notify",
            "needs": [],
            "with": {"to": ["requester"], "text": "it is {s9}"},
        },
    ]
    runbook(
        "leaky",
        steps,
        params=params,
        limits={"output": "50MB", "timeout": "5m"},
        ticket={"open_on": ["failed"]},
        locks=[],
    )
    given_ = {f"s{n}": value for n, value in enumerate(SECRETS.values())}
    run = finish(start("leaky", agent(1), params=given_))
    assert run.state == RunState.FAILED
    assert MASK in text_of(run)
    assert run.secret_params is None
    wanted = {form for secret in SECRETS.values() for form in forms(secret)}
    output = b"".join(bytes(chunk.data) for chunk in run.chunks.order_by("seq"))
    logged = caplog.text.encode()
    for form in wanted:
        assert form not in output, form
        assert form not in logged, form
    for table, value in everything():
        if table == "runbooks_secret":
            assert not any(secret.encode() in value for secret in SECRETS.values())
            continue
        for form in wanted:
            assert form not in value, (table, form)


def test_a_secret_parameter_is_encrypted_while_the_run_waits_and_gone_afterwards(target):
    runbook(
        "ask",
        [shell("test \"$PARAM_PASS\" = 'hunter2 for real'")],
        params={"pass": {"type": "secret", "label": "Password"}},
    )
    run = start("ask", agent(1), params={"pass": "hunter2 for real"})
    assert "hunter2" not in json.dumps(run.params)
    assert b"hunter2" not in bytes(run.secret_params)
    run = finish(run)
    assert (run.state, run.secret_params) == (RunState.SUCCEEDED, None)


def test_keys_rotate(target, settings):
    settings.ENCRYPTION_KEYS = ["new", *settings.ENCRYPTION_KEYS]
    call_command("rotate_secrets")
    settings.ENCRYPTION_KEYS = ["new"]
    assert Secret.objects.get(name="database-password").reveal() == "shop-secret-1"
    assert crypto.decrypt(crypto.encrypt("x")) == "x"


@given(st.text(min_size=6, max_size=30).filter(lambda s: "\0" not in s and s.strip() == s and "•" not in s), st.data())
def test_a_secret_split_anywhere_is_masked(secret, data):
    try:
        raw = secret.encode()
    except UnicodeEncodeError:
        return
    redactor = Redactor([secret])
    text = b"before " + raw + b" after"
    cut = data.draw(st.integers(0, len(text)))
    pending, shown = b"", b""
    for piece in (text[:cut], text[cut:]):
        pending += piece
        ready = len(pending) - redactor.held(pending)
        shown += redactor.data(pending[:ready])
        pending = pending[ready:]
    shown += redactor.data(pending)
    assert raw not in shown
    assert shown.endswith(b"after") or MASK.encode() in shown


@pytest.mark.parametrize(
    "address", ["/api/v1/targets/", "/api/v1/targets/shop/", "/api/v1/targets/shop/reach/", "/targets/shop/"]
)
def test_no_page_or_endpoint_gives_a_secret_out(target, administrator, browser_of, address):
    answer = browser_of(administrator).get(address)
    assert answer.status_code == 200
    assert b"shop-secret-1" not in answer.content


def test_a_key_in_wrapped_base64_is_masked_whole():
    key = SECRETS["secret-key"].encode()
    redactor = Redactor([key.decode()])
    for width in (64, 76):
        whole = base64.b64encode(key).decode()
        wrapped = "\n".join(whole[at : at + width] for at in range(0, len(whole), width))
        shown = redactor.data(wrapped.encode())
        assert not any(line in shown for line in wrapped.encode().split(b"\n") if len(line) > 12)


def test_a_secret_of_digits_is_masked_in_results_too(target):
    Secret.objects.create(target=target, name="pin", ciphertext=crypto.encrypt("84719302"))
    query = "SELECT 84719302 AS pin, 84719302.5 AS more, 12 AS other, true AS yes, '{\"pin\": 84719302}'::jsonb AS data"
    ask = {
        "id": "ask",
        "title": "Ask",
        "uses": "sql",
        "with": {"query": query},
        "capture": {"pin": "result.rows[0].pin"},
    }
    runbook("digits", [ask])
    run = finish(start("digits", agent(1)))
    assert run.state == RunState.SUCCEEDED, run.summary
    row = run.steps.get()
    assert "84719302" not in json.dumps([row.result, row.captured]) + text_of(run)
    assert "12" in json.dumps(row.result)
    assert MASK in json.dumps(row.captured, ensure_ascii=False)
