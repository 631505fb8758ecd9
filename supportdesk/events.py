"""To open browsers: "something changed", over Redis pub/sub and one server-sent stream.

An event carries a topic and a kind, never content: the browser fetches the fragment, which
authorises again. A browser that was away sends the cursors it last saw (`after`); what is newer
comes from the database, so a lost event only costs a moment.
"""

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from supportdesk.doorbell import client
from supportdesk.text import number_of

log = logging.getLogger(__name__)

CHANNEL = "desk:events:"
KEEP_ALIVE = 15.0
RESTRICTING = {"restricted", "merged_in"}  # kinds of events after which fewer may see the thing that they are about
MOST_TOPICS = 60


@dataclass(frozen=True)
class Topic:
    """A kind of topic: who may listen, and the newest cursor of one object (None: not for this reader)."""

    name: str
    cursor: Callable[[Any, str], int | None]


_topics: dict[str, Topic] = {}


def register(name: str, cursor: Callable[[Any, str], int | None]) -> None:
    """Register topics `name` and `name.<id>`; `cursor(user, id)` returns None where the user may not see it."""
    _topics[name] = Topic(name, cursor)


def publish(topic: str, kind: str = "changed", **data: Any) -> None:
    """Tell open browsers once the transaction commits; without Redis they poll."""
    publish_all((topic, {"kind": kind, **data}))


def publish_all(*told: tuple[str, dict[str, Any]]) -> None:
    """Several topics with their data, in one trip to Redis."""

    def send() -> None:
        try:
            with client().pipeline(transaction=False) as pipe:
                for topic, data in told:
                    pipe.publish(CHANNEL + topic, json.dumps({"topic": topic, **data}))
                pipe.execute()
        except (redis.RedisError, OSError, ValueError) as error:
            log.debug("no one was told of %s: %s", [topic for topic, _ in told], error)

    transaction.on_commit(send)


def _door(session_key: str | None) -> str:
    """The channel on which the streams of a session hear that it has ended. The key itself goes nowhere."""
    return f"{CHANNEL}session.{hashlib.sha256((session_key or '').encode()).hexdigest()}"


def end_streams(session_key: str) -> None:
    """Close the streams of a browser session, once the transaction that ends it commits."""
    publish_all((_door(session_key).removeprefix(CHANNEL), {}))


def cursors(user: Any, topics: list[str]) -> dict[str, int]:
    """The newest cursor of each topic that the user may listen to."""
    found = {}
    for topic in topics[:MOST_TOPICS]:
        name, _, key = topic.partition(".")
        if name in _topics and (cursor := _topics[name].cursor(user, key)) is not None:
            found[topic] = cursor
    return found


def _after(text: str) -> dict[str, int]:
    pairs = (part.rpartition(":") for part in text.split(",") if part)
    return {topic: number for topic, _, value in pairs if (number := number_of(value)) is not None}


def _cursors_and_let_go(request: HttpRequest, topics: list[str]) -> tuple[bool, dict[str, int]]:
    """Authorise, then close this thread's connections: an open stream must hold none."""
    try:
        return request.user.is_authenticated, cursors(request.user, topics)
    finally:
        connections.close_all()


async def stream(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """`/events/?topics=ticket.12,queue&after=ticket.12:345`: an endless stream, or one JSON answer.

    With `poll=1` (the fall-back) it answers `{"cursors": {...}}` and ends.
    """
    topics = [topic for topic in request.GET.get("topics", "").split(",") if topic]
    authenticated, now = await sync_to_async(_cursors_and_let_go)(request, topics)
    if not authenticated:
        return JsonResponse({"detail": "Sign in first."}, status=401)
    if request.GET.get("poll"):
        return JsonResponse({"cursors": now})
    response = StreamingHttpResponse(
        _lines(request, list(now), _after(request.GET.get("after", ""))),
        content_type="text/event-stream; charset=utf-8",
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


stream = require_safe(stream)


async def _is_hidden_now(request: HttpRequest, message: dict[str, Any]) -> bool:
    """Whether an event says that fewer may see its thing, and the reader is not among them any more."""
    if json.loads(message["data"]).get("kind") not in RESTRICTING:
        return False
    topic = message["channel"].decode().removeprefix(CHANNEL)
    _, still = await sync_to_async(_cursors_and_let_go)(request, [topic])
    return not still


async def _lines(request: HttpRequest, topics: list[str], after: dict[str, int]) -> AsyncIterator[bytes]:
    def event(data: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    subscriber = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2)
    try:
        async with subscriber.pubsub() as listener:
            door = _door(request.session.session_key)
            await listener.subscribe(door, *[CHANNEL + topic for topic in topics])
            # Read after subscribing, so that nothing falls between.
            _, now = await sync_to_async(_cursors_and_let_go)(request, topics)
            yield b"retry: 3000\n" + event({"kind": "hello", "cursors": now})
            for topic, cursor in now.items():
                if topic in after and cursor > after[topic]:
                    yield event({"topic": topic, "kind": "changed", "cursor": cursor})
            hidden: set[bytes] = set()
            while True:
                message = await listener.get_message(ignore_subscribe_messages=True, timeout=KEEP_ALIVE)
                if message and message["channel"] == door.encode():
                    return
                if message and (message["channel"] in hidden or await _is_hidden_now(request, message)):
                    hidden.add(message["channel"])  # what is on its way already is not told either
                    continue
                yield b"data: " + message["data"] + b"\n\n" if message else b": still here\n\n"
    except (redis.RedisError, OSError) as error:
        log.info("an event stream ends, Redis is away: %s", error)
    finally:
        await subscriber.aclose()
