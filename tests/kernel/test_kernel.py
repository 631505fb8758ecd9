import asyncio
import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import AsyncClient, Client
from django.utils import timezone

from runbooks.models import Secret, Target
from supportdesk import crypto, doorbell, events, outbox
from supportdesk.errors import Invalid
from supportdesk.models import IdempotentAnswer, OutboxItem, WorkerSeen
from supportdesk.text import clean, markdown, one_line, sanitise
from tests.factories import agent, lead, ticket


def test_healthz_needs_nothing():
    assert Client().get("/healthz").content == b"ok\n"


def test_readyz_names_the_part_that_is_missing(db):
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "ok"
    assert answer.json()["worker runbooks"] == "not seen for a minute"
    for queue in ("default", "mail", "runbooks"):
        WorkerSeen.objects.create(queue=queue, seen_at=timezone.now())
    assert Client().get("/readyz").json()["ready"] is True


def test_metrics_are_for_this_machine_or_a_token(db, settings):
    ticket(1)
    assert b'supportdesk_tickets{status="new"} 1.0' in Client().get("/metrics").content
    assert Client().get("/metrics", REMOTE_ADDR="10.0.0.1").status_code == 403
    assert Client().get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
    settings.METRICS_TOKEN = "let-me-in"
    assert Client().get("/metrics").status_code == 403
    assert Client().get("/metrics", headers={"Authorization": "Bearer let-me-in"}).status_code == 200


def test_pages_carry_a_strict_policy(tier1, browser_of):
    policy = browser_of(tier1).get("/tickets/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_no_page_holds_inline_script_or_style(tier1, browser_of):
    made = ticket(1)
    for path in ("/tickets/", f"/tickets/{made.number}/", "/runbooks/", "/knowledge/"):
        html = browser_of(tier1).get(path).content.decode()
        assert " style=" not in html
        assert "<style" not in html
        assert " onclick=" not in html


@pytest.fixture
def delivered():
    calls = []
    outbox.handler("test.call")(calls.append)
    yield calls
    outbox._handlers.pop("test.call")


def test_the_outbox_delivers_once_for_a_key(db, delivered):
    first, second = outbox.put("test.call", 7, key="k"), outbox.put("test.call", 7, key="k")
    assert first.pk == second.pk
    assert outbox.deliver(first.pk) is True
    assert outbox.deliver(first.pk) is False
    assert delivered == [7]


def test_a_failed_delivery_waits_longer_each_time_and_says_why(db):
    outbox.handler("test.fail")(lambda object_id: 1 / 0)
    item = outbox.put("test.fail", 1, key="f")
    waits = []
    for _ in range(4):
        OutboxItem.objects.filter(pk=item.pk).update(next_attempt_at=timezone.now())
        outbox.deliver(item.pk)
        item.refresh_from_db()
        waits.append(item.next_attempt_at - timezone.now())
    assert waits == sorted(waits)
    assert waits[-1] <= outbox.LONGEST_WAIT
    assert item.last_error == "ZeroDivisionError: division by zero"


def test_a_handler_that_gives_up_is_not_asked_again(db):
    def refuse(object_id):
        raise outbox.GiveUp("no such address")

    outbox.handler("test.refuse")(refuse)
    item = outbox.put("test.refuse", 1, key="g")
    outbox.deliver(item.pk)
    item.refresh_from_db()
    assert item.gave_up_at is not None
    assert outbox.sweep() == 0


@pytest.mark.django_db(transaction=True)
def test_two_deliveries_at_once_call_the_handler_once(delivered):
    item = outbox.put("test.call", 9, key="race")
    start = threading.Barrier(6)

    def deliver():
        start.wait()
        try:
            outbox.deliver(item.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=deliver) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delivered == [9]


def test_secrets_are_encrypted_at_rest_and_keys_rotate(db, settings):
    settings.ENCRYPTION_KEYS = ["old"]
    target = Target.objects.create(slug="t", name="T")
    secret = Secret.objects.create(target=target, name="p", ciphertext=crypto.encrypt("hunter2"))
    assert b"hunter2" not in bytes(secret.ciphertext)
    settings.ENCRYPTION_KEYS = ["new", "old"]
    assert secret.reveal() == "hunter2"
    settings.ENCRYPTION_KEYS = ["new"]
    with pytest.raises(Invalid, match="DESK_ENCRYPTION_KEYS"):
        secret.reveal()


@pytest.mark.parametrize(
    ("html", "gone"),
    [
        ("<script>alert(1)</script>x", "alert"), ("<img src=x onerror=alert(1)>", "onerror"), ('<a href="javascript:alert(1)">x</a>', "javascript"),
        ("<style>*{}</style>x", "{}"), ("<form action=/x><input></form>", "form"), ("<svg onload=alert(1)>", "svg"), ("<iframe src=//x>", "iframe"),
        ('<p style="position:fixed">x</p>', "style"), ("<math><mi//xlink:href='data:x'>", "math"), ('<img src="http://track.example/p.gif">', "track"),
    ],
)  # fmt: skip
def test_html_is_sanitised(html, gone):
    assert gone not in sanitise(html)
    assert gone not in markdown(html).replace("&lt;", "").split("alert")[0] or "&lt;" in markdown(html)


def test_text_is_made_fit_for_the_database():
    assert clean("a\0b\x1b[31mc\r\nd\ud800") == "ab[31mc\nd?"
    assert one_line(" a\n b ", most=3) == "a b"


@pytest.mark.django_db(transaction=True)
def test_the_stream_says_where_it_stands_and_holds_no_connection():
    from supportdesk import guide

    guide.load()
    made, user = ticket(1), agent(1)
    hidden = ticket(1)
    type(hidden).objects.filter(pk=hidden.pk).update(restricted=True)
    before = _connections()

    async def listen():
        client = AsyncClient()
        await client.aforce_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        topics = f"ticket.{made.number},ticket.{hidden.number},nonsense.1,queue"
        answer = await client.get(f"/events/?topics={topics}&after=ticket.{made.number}:0")
        stream = answer.streaming_content.__aiter__()
        return [await asyncio.wait_for(anext(stream), 5) for _ in range(2)]

    hello, caught_up = asyncio.run(listen())
    cursors = json.loads(hello.split(b"data: ")[1])["cursors"]
    assert set(cursors) == {f"ticket.{made.number}", "queue"}
    assert json.loads(caught_up.removeprefix(b"data: "))["topic"] == f"ticket.{made.number}"
    deadline = time.monotonic() + 5  # the server notices that a connection was closed a moment later
    while _connections() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _connections() <= before


@pytest.mark.django_db(transaction=True)
def test_an_open_stream_tells_nothing_more_of_a_ticket_that_was_hidden():
    from supportdesk import guide
    from tickets import actions

    guide.load()
    hidden, other, user, chief = ticket(1), ticket(1), agent(1), lead(1)

    async def listen():
        client = AsyncClient()
        await client.aforce_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        answer = await client.get(f"/events/?topics=ticket.{hidden.number},ticket.{other.number}")
        stream = answer.streaming_content.__aiter__()
        await asyncio.wait_for(anext(stream), 5)
        await sync_to_async(actions.set_restricted)(number=hidden.number, by=chief, restricted=True)
        for made in (hidden, other):
            await sync_to_async(actions.note)(number=made.number, by=chief, text="x")
        while (line := await asyncio.wait_for(anext(stream), 5)).startswith(b":"):
            pass
        return line

    assert json.loads(asyncio.run(listen()).removeprefix(b"data: "))["topic"] == f"ticket.{other.number}"


def test_streams_that_all_open_at_once_take_turns_and_stay_open(monkeypatch, settings):
    from supportdesk import asgi

    opening, most, stay = 0, 0, asyncio.Event()

    async def stream(scope, receive, send):
        nonlocal opening, most
        opening += 1
        most = max(most, opening)
        await asyncio.sleep(0.01)
        if scope["path"] == "/events/gone":
            opening -= 1
            raise ConnectionError
        await send({"type": "http.response.start"})
        opening -= 1
        await send({"type": "http.response.body"})
        await stay.wait()

    async def nothing(message):
        return None

    async def storm():
        monkeypatch.setattr(asgi, "_events", stream)
        monkeypatch.setattr(asgi, "_opening", asyncio.Semaphore(4))
        paths = ["/events/", "/events/gone"] * 20
        tasks = [asyncio.create_task(asgi.application({"type": "http", "path": path}, None, nothing)) for path in paths]
        done, open_ones = await asyncio.wait(tasks, timeout=2)
        stay.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(done), len(open_ones)

    with ThreadPoolExecutor(1) as other:  # a test of a browser may have a loop in this thread
        assert other.submit(lambda: asyncio.run(storm())).result() == (20, 20)
    assert most <= 4


def _connections():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_the_fall_back_answers_with_cursors():
    from supportdesk import guide

    guide.load()
    made, user = ticket(1), agent(1)
    newest = made.events.last().pk

    async def poll():
        client = AsyncClient()
        stranger = await client.get("/events/?poll=1&topics=queue")
        await client.aforce_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return stranger, await client.get(f"/events/?poll=1&topics=ticket.{made.number}")

    stranger, answer = asyncio.run(poll())
    assert stranger.status_code == 401
    assert answer.json() == {"cursors": {f"ticket.{made.number}": newest}}


def test_an_event_is_published_after_the_commit(db, django_capture_on_commit_callbacks):
    topic = f"test.{uuid.uuid4().hex}"  # Redis is shared with the tests of other processes
    with doorbell.client().pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(events.CHANNEL + topic)
        heard.get_message(timeout=5)  # that it listens
        with django_capture_on_commit_callbacks(execute=True):
            events.publish(topic, "changed", cursor=7)
            assert heard.get_message(timeout=0.1) is None
        message = heard.get_message(timeout=5)
    assert json.loads(message["data"]) == {"topic": topic, "kind": "changed", "cursor": 7}


def test_a_new_ticket_is_told_to_its_page_and_to_the_queue(tier1, monkeypatch):
    told = []
    monkeypatch.setattr(events, "publish_all", lambda *topics: told.extend(topic for topic, _ in topics))
    made = ticket(1)
    assert {f"ticket.{made.number}", "queue"} <= set(told)


def api(user):
    from staff.actions import create_token

    _, text = create_token(email=user.email)
    return Client(headers={"Authorization": f"Token {text}"})


NEW = {"requester_email": "a@b.example", "subject": "s", "text": "t"}


def test_a_repeated_key_gets_the_first_answer_and_does_nothing_twice(tier1):
    client = api(tier1)
    answers = [
        client.post("/api/v1/tickets/", NEW, content_type="application/json", headers={"Idempotency-Key": "k1"})
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    other = client.post(
        "/api/v1/tickets/", NEW | {"subject": "x"}, content_type="application/json", headers={"Idempotency-Key": "k1"}
    )
    assert other.status_code == 409
    assert IdempotentAnswer.objects.count() == 1


def test_a_refused_request_is_remembered_too(tier1):
    client = api(tier1)
    answers = [
        client.post("/api/v1/tickets/", {}, content_type="application/json", headers={"Idempotency-Key": "bad"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].json() == answers[1].json()
    assert {error["attr"] for error in answers[0].json()["errors"]} == {"requester_email", "subject", "text"}


def test_a_stale_etag_is_a_conflict_that_says_what_changed(tier1):
    made, client = ticket(1), api(tier1)
    tag = client.get(f"/api/v1/tickets/{made.number}/").headers["ETag"]

    def change(body):
        return client.patch(
            f"/api/v1/tickets/{made.number}/", body, content_type="application/json", headers={"If-Match": tag}
        )

    assert change({"priority": "high"}).status_code == 200
    stale = change({"priority": "low"})
    assert stale.status_code == 409
    assert "changed the priority from Normal to High" in stale.json()["errors"][0]["detail"]


def test_lists_are_paged_filtered_and_ordered(tier1):
    for n in range(5):
        ticket(1 + n % 2, subject=f"Ticket {n}")
    client = api(tier1)
    page = client.get("/api/v1/tickets/?tier=1&page_size=2&ordering=number").json()
    assert page["count"] == 3
    assert [row["subject"] for row in page["results"]] == ["Ticket 0", "Ticket 2"]
    assert client.get("/api/v1/tickets/?status=nonsense").status_code == 400
