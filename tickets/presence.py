"""Who is on a ticket now, and who writes: kept in Redis for some seconds, never in the way of anybody."""

import logging
import time
from dataclasses import dataclass

from redis.exceptions import RedisError

from staff.models import User
from supportdesk import events
from supportdesk.doorbell import client

log = logging.getLogger(__name__)

SECONDS = 30  # a browser that says nothing for so long is gone; it says something every 10


@dataclass(frozen=True)
class Present:
    """Somebody on a ticket, other than the reader."""

    user: User
    writes: bool


def _key(number: int) -> str:
    return f"desk:presence:{number}"


def note(*, number: int, user: User, writes: bool, leaves: bool = False) -> None:
    """Say that somebody is on a ticket; open pages hear of it when that is news. Without Redis nobody is shown."""
    key, field, now = _key(number), str(user.pk), time.time()
    try:
        before = client().hget(key, field)
        with client().pipeline(transaction=False) as pipe:
            if leaves:
                pipe.hdel(key, field)
            else:
                pipe.hset(key, field, f"{now:.0f} {int(writes)}")
                pipe.expire(key, SECONDS * 2)
            pipe.execute()
    except (RedisError, OSError) as error:
        log.info("presence on ticket %s is not kept, Redis is away: %s", number, error)
        return
    if _read(before, now) != (None if leaves else writes):
        events.publish(f"ticket.{number}", "presence")


def _read(value: object, now: float) -> bool | None:
    """Whether they write; None for who is gone."""
    text = value.decode() if isinstance(value, bytes) else str(value or "")
    at, _, writes = text.partition(" ")
    return writes == "1" if at.isdecimal() and now - int(at) < SECONDS else None


def on(number: int, *, but: User) -> list[Present]:
    """Who else is on a ticket, by name."""
    try:
        rows = client().hgetall(_key(number))
    except (RedisError, OSError):
        return []
    now = time.time()
    found = {int(field): writes for field, value in rows.items() if (writes := _read(value, now)) is not None}
    people = User.objects.filter(pk__in=set(found) - {but.pk}, is_active=True).order_by("name")
    return [Present(person, found[person.pk]) for person in people] if found else []
