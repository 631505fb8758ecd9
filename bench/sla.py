"""What the sweep of clocks costs with very many running, and that it acts on each moment once, whoever dies."""

import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from staff.models import Tier
from supportdesk import guide
from tickets.models import ClockMilestone, SLAPolicy, SLATarget, SLATimer, TicketEvent
from tickets.sla import rules, sweep

TARGET = 30 * 24 * 3600
# Open tickets with one running resolution clock each; the first %(due)s are past their due time by a second.
LOAD = """
TRUNCATE tickets_requester, tickets_ticket RESTART IDENTITY CASCADE;
INSERT INTO tickets_requester (id, email, name, created_at)
SELECT n, 'requester' || n || '@shop.example', '', now() FROM generate_series(1, 1000) n;
INSERT INTO tickets_ticket (id, number, subject, status, priority, tier_id, requester_id, channel, tags, cc, custom, restricted, version, created_at, updated_at, snippet, due_at)
SELECT n, 1000 + n, 'Bench ' || n, 'open', 'normal', %(tier)s, 1 + n %% 1000, 'email', '{}', '{}', '{}', false, 1, started, started, '', started + %(target)s * interval '1 second'
FROM (SELECT n, now() - CASE WHEN n <= %(due)s THEN (%(target)s + 1) * interval '1 second' ELSE (n %% 1000) * interval '1 minute' END AS started
      FROM generate_series(1, %(count)s) n) rows;
INSERT INTO tickets_slatimer (id, ticket_id, clock, policy_id, calendar_version_id, target_seconds, started_at, used_us, running_since, due_at, next_action_at)
SELECT id, id, 'resolution', %(policy)s, %(version)s, %(target)s, created_at, 0, created_at, due_at,
    CASE WHEN id <= %(due)s THEN now() + interval '1 year' ELSE created_at + %(target)s * 0.75 * interval '1 second' END
FROM tickets_ticket;
INSERT INTO tickets_clockevent (timer_id, kind, at, target_seconds, calendar_version_id, reason)
SELECT id, 'started', started_at, target_seconds, calendar_version_id, '' FROM tickets_slatimer;
"""
RELEASE = "UPDATE tickets_slatimer SET next_action_at = now() WHERE id <= %s AND breached_at IS NULL"


def load(count: int, due: int) -> float:
    """Fill the ticket tables; returns seconds."""
    begun = time.perf_counter()
    guide.load()
    fallback = SLAPolicy.objects.select_related("calendar").get(is_fallback=True)
    SLATarget.objects.filter(clock="resolution").update(seconds=TARGET)
    rules.bump()
    values = {
        "count": count, "due": due, "target": TARGET, "policy": fallback.pk, "version": fallback.calendar.current_id,
        "tier": Tier.objects.get(level=1).pk,
    }  # fmt: skip
    with connection.cursor() as cursor:
        for statement in LOAD.split(";\n"):
            if statement.strip():
                cursor.execute(statement, values)
        for table in ("ticket", "slatimer", "clockevent"):
            cursor.execute(f"VACUUM ANALYZE tickets_{table}")
        cursor.execute("SELECT setval(pg_get_serial_sequence('tickets_clockevent', 'id'), %s)", [count + 1])
    return time.perf_counter() - begun


def nothing_due(rounds: int) -> tuple[float, float]:
    """Median and p95 in milliseconds of a sweep that finds nothing."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with transaction.atomic():
            swept = sweep.batch(now=datetime.now(UTC))
        times.append((time.perf_counter() - begun) * 1000)
        assert swept.looked_at == 0  # noqa: S101 - a bench that measures something else lies
    return statistics.median(times), statistics.quantiles(times, n=20)[18]


def _workers(count: int) -> list[Any]:
    """Processes that sweep when they are told to."""
    command = [sys.executable, "-m", "bench.sweeper"]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ) for _ in range(count)
    ]
    for worker in started:
        worker.stdout.readline()
    return started


def handle(due: int, *, kill: bool) -> dict[str, Any]:
    """Let two workers handle what is due; with `kill` one of them dies by SIGKILL half-way."""
    workers = _workers(2)
    with connection.cursor() as cursor:
        cursor.execute(RELEASE, [due])
    begun = time.perf_counter()
    for worker in workers:
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    if kill:
        while SLATimer.objects.exclude(breached_at=None).count() < due // 2:
            time.sleep(0.02)
        workers[0].kill()
    workers[1].stdout.readline()
    if not kill:
        workers[0].stdout.readline()
    seconds = time.perf_counter() - begun
    left = SLATimer.objects.acting(datetime.now(UTC)).count()
    for worker in workers:
        worker.stdin.close()
        worker.wait(timeout=30)
    return {
        "seconds": seconds,
        "left": left,
        "breached": SLATimer.objects.exclude(breached_at=None).count(),
        "events": TicketEvent.objects.filter(kind="breached").count(),
        "milestones": ClockMilestone.objects.count(),
    }


def run(count: int, due: int, rounds: int) -> None:
    for kill in (False, True):
        print(f"loading {count:,} running clocks ... {load(count, due):.0f} s", flush=True)
        if not kill:
            median, p95 = nothing_due(rounds)
            print(f"a sweep with nothing due: median {median:.1f} ms, p95 {p95:.1f} ms ({rounds} rounds)")
        found = handle(due, kill=kill)
        exact = (found["breached"], found["events"], found["milestones"], found["left"]) == (due, due, 3 * due, 0)
        print(
            f"{due:,} due, two workers{', one killed half-way' if kill else ''}: {found['seconds']:.1f} s; {found['breached']:,} breached,"
            f" {found['events']:,} breach events, {found['milestones']:,} milestones (3 each), {found['left']} left:"
            f" {'each exactly once' if exact else 'NOT EXACT'}",
            flush=True,
        )
