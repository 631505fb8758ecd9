"""Ring a worker. Work waits in PostgreSQL; Celery only says that there is some."""

import logging
import time
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)


_client: redis.Redis | None = None


def client() -> redis.Redis:
    """This process's connection to Redis: quick to answer, quick to say that it is away."""
    global _client
    if _client is None:
        _client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
        )
    return _client


_answered_at = 0.0
FRESH = 0.5  # seconds for which an answer of Redis holds


def _answers() -> None:
    """Raise RedisError when Redis is away; one that answered a moment ago is not asked again."""
    global _answered_at
    if time.monotonic() - _answered_at > FRESH:
        client().ping()
        _answered_at = time.monotonic()


def ring(
    task: str, *args: Any, queue: str | None = None, expires: int | None = None, after: float | None = None
) -> bool:
    """Send a Celery task by name, to be heard `after` so many seconds. When Redis is away say so in the log: the sweep finds the row later."""
    try:
        # Celery's own attempts take seconds before they give up; a person must not wait for them.
        _answers()
        options: dict[str, Any] = {
            name: value for name, value in (("queue", queue), ("expires", expires), ("countdown", after)) if value
        }
        current_app.send_task(task, args=args, retry=False, **options)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("Redis is away; the sweep will start %s%r later (%s)", task, args, error)
        return False
    return True


def ring_once(task: str, bell: str, *, seconds: int = 10) -> None:
    """Ring for a task that does all there is to do, unless somebody rang and nobody `heard` it yet."""
    try:
        if client().set(f"desk:bell:{bell}", 1, nx=True, ex=seconds):
            ring(task)
    except (RedisError, OSError) as error:
        log.warning("Redis is away; the sweep will start %s later (%s)", task, error)


def heard(bell: str) -> None:
    """Say that the bell was heard, before looking for work: what comes after is rung for again."""
    try:
        client().delete(f"desk:bell:{bell}")
    except (RedisError, OSError) as error:
        log.warning("Redis is away: %s", error)


def ring_on_commit(task: str, *args: Any, queue: str | None = None, after: float | None = None) -> None:
    """Ring once the transaction that made the work has committed."""
    transaction.on_commit(lambda: ring(task, *args, queue=queue, after=after))
