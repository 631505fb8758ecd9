"""Mail into tickets: how many a second by one process, how long each, and whether memory stays."""

import os
import random
import statistics
import time
from collections.abc import Callable

import psutil
from django.db import connection, reset_queries
from django.db.models import Max, Min

from bench import letters
from bench.torture import Workers
from supportdesk import guide
from tickets.mail import incoming
from tickets.models import InboundEmail, Mailbox


def run(*, messages: int, many: int) -> None:
    """Store and apply a mixed lot, a fifth of it replies, and print the figures; then many more, for the memory."""
    guide.load()
    dice, box = random.Random(7), Mailbox.objects.get(name="support")
    lot = _lot(dice, messages, 0)
    _take(box, lot[: messages // 10])  # warm
    stored, applied = _take(box, lot[messages // 10 :])
    whole = sum(stored) + sum(applied)
    print(f"{len(stored)} messages: {len(stored) / whole:.0f} a second stored and applied by one process")
    print(
        f"store median {_ms(statistics.median(stored))}, p95 {_ms(_p95(stored))}; apply median {_ms(statistics.median(applied))}, p95 {_ms(_p95(applied))}"
    )
    connection.force_debug_cursor = True
    reset_queries()
    _take(box, [letters.plain(dice, 10**6).as_bytes()])
    print(f"SQL statements of a plain one, stored and applied: {len(connection.queries)}")
    connection.force_debug_cursor = False
    _by_worker(box, _lot(dice, messages, 10**8))
    if many:
        _grow(box, dice, many)


def _by_worker(box: Mailbox, lot: list[bytes]) -> None:
    """The same through the mail worker as `bin/run` starts it: two slots, rung for through Redis."""
    stored = [incoming.store(raw, mailbox=box).pk for raw in lot]
    workers = Workers(["mail"], dict(os.environ), queues="mail", slots=2)
    try:
        _until(lambda: not InboundEmail.objects.filter(state="stored").exists())
    finally:
        workers.end()
    moments = InboundEmail.objects.filter(pk__in=stored).aggregate(first=Min("applied_at"), last=Max("applied_at"))
    rate = (len(stored) - 1) / (moments["last"] - moments["first"]).total_seconds()
    print(f"{len(stored)} messages by one mail worker of two slots: {rate:.0f} a second into tickets")


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def _lot(dice: random.Random, count: int, first: int) -> list[bytes]:
    made = []
    for number in range(first, first + count):
        made.append(
            letters.reply_to(dice, number, dice.choice(made))
            if number % 5 == 4 and made
            else letters.mixed(dice, number)
        )
    return [one.as_bytes() for one in made]


def _take(box: Mailbox, lot: list[bytes]) -> tuple[list[float], list[float]]:
    stored, applied = [], []
    for raw in lot:
        begun = time.perf_counter()
        inbound = incoming.store(raw, mailbox=box)
        between = time.perf_counter()
        incoming.apply(inbound.pk)
        stored.append(between - begun)
        applied.append(time.perf_counter() - between)
    return stored, applied


def _grow(box: Mailbox, dice: random.Random, many: int) -> None:
    """Memory of this process and of its reader, after every fifth of many messages."""
    process = psutil.Process()
    for part in range(5):
        size = many // 5
        for at in range(0, size, 100):
            _take(box, _lot(dice, min(100, size - at), 10**7 + part * size + at))
        resident = process.memory_info().rss // 2**20
        child = sum(one.memory_info().rss for one in process.children()) // 2**20
        print(f"after {(part + 1) * size:>7,} more: {resident} MB, its reader {child} MB")


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
