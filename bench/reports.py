"""Every report on very many tickets; and the same figures counted one by one, without SQL, on random histories."""

import random
import statistics
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from staff.actions import add_user
from staff.models import Role, Tier, User
from supportdesk.templatetags.desk import in_words
from tickets.models import Message, Requester, SLAPolicy, SLATimer, Ticket, TicketEvent
from workspace import counting, reports
from workspace.models import CountedReport
from workspace.scope import Scope

OPEN = {"new", "open", "waiting_on_requester", "on_hold"}


def measure(*, rounds: int) -> None:
    """Median and p95 of each report over a month and a year, for an administrator and for an agent."""
    people = {
        "administrator": add_user(
            email="reports@desk.example", name="Reporter", password=None, role=Role.ADMINISTRATOR
        ),
        "agent": add_user(email="reports2@desk.example", name="Agent", password=None, tiers=[2]),
    }
    for who, user in people.items():
        for period in ("30d", "year", "365"):
            for key in reports.REPORTS:
                _one(who, user, period, key, rounds)


def _one(who: str, user: User, period: str, key: str, rounds: int) -> None:
    """The first answer; what a worker needs where it is not found live; every answer after it."""
    today = timezone.now().date()
    given = {"from": str(today - timedelta(days=364)), "to": str(today)} if period == "365" else {"period": period}
    scope = Scope.read(user, given)
    CountedReport.objects.filter(user=user).delete()
    begun = time.perf_counter()
    first = counting.find(key, scope)
    took_first, worker = 1000 * (time.perf_counter() - begun), ""
    if not first.live:
        begun = time.perf_counter()
        counting.count(CountedReport.objects.get(user=user).pk)
        worker = f"counted by a worker in {1000 * (time.perf_counter() - begun):7.1f} ms"
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with CaptureQueriesContext(connection) as asked:
            counting.find(key, scope)
        taken.append(1000 * (time.perf_counter() - begun))
    late = sorted(taken)[max(0, round(0.95 * len(taken)) - 1)]
    print(
        f"{who:14}{period:6}{key:16}{took_first:7.1f} ms first{statistics.median(taken):7.1f} ms median{late:7.1f} ms p95"
        f"{len(asked):4} statements  {worker}"
    )


# ------------------------------------------------------------------------------ random histories
def histories(count: int, *, seed: int) -> User:
    """Empty the tickets and write random ones: opened, resolved, opened again, merged, spam, undone, handed over."""
    dice, now = random.Random(seed), timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE tickets_requester, tickets_ticket RESTART IDENTITY CASCADE")
    boss = add_user(email="reports@desk.example", name="Reporter", password=None, role=Role.ADMINISTRATOR)
    agents = [
        add_user(email=f"count{n}@desk.example", name=f"Agent {n}", password=None, tiers=[1 + n % 3]) for n in range(5)
    ]
    tiers, requester = list(Tier.objects.all()), Requester.objects.create(email="r@shop.example")
    policy = SLAPolicy.objects.select_related("calendar").get(is_fallback=True)
    for _ in range(count):
        created = now - timedelta(seconds=dice.randrange(60, 120 * 86_400))
        story, is_open = _story(dice, created, now)
        made = Ticket.objects.create(
            subject="x", requester=requester, tier=dice.choice(tiers), priority=dice.choice(("urgent", "high", "normal", "low")),
            channel=dice.choice(("email", "web", "phone", "api")), created_at=created, updated_at=created,
            status="open" if is_open else "closed", closed_at=None if is_open else now,
        )  # fmt: skip
        TicketEvent.objects.bulk_create(
            TicketEvent(ticket=made, kind=kind, data=data, at=at, version=1, actor=dice.choice(agents), actor_name="x")
            for kind, data, at in story
        )
        _clocks(dice, made, policy, created)
        if dice.random() < 0.7:
            at = created + timedelta(seconds=dice.randrange(1, 86_400))
            Message.objects.create(
                ticket=made, kind=dice.choice(("reply", "note")), author=dice.choice(agents), text="x", created_at=at, minutes=dice.choice((None, 5, 20))
            )  # fmt: skip
    return boss


def _story(
    dice: random.Random, created: datetime, now: datetime
) -> tuple[list[tuple[str, dict[str, Any], datetime]], bool]:
    """Events in order and whether the ticket is open after them."""
    at, is_open, merged = created, True, False
    story: list[tuple[str, dict[str, Any], datetime]] = [(dice.choice(("opened", "opened", "split_from")), {}, at)]
    for _ in range(dice.randrange(7)):
        at += timedelta(seconds=dice.randrange(1, 20 * 86_400))
        if at > now:
            break
        if merged:
            is_open, merged = dice.random() < 0.7, False
            story.append(("unmerged", {"is_open": is_open}, at))
            continue
        kind = dice.choice(
            ("taken", "escalated", "handed_back", "spam", "merged", "undone", "note")
            + (("resolved",) * 4 if is_open else ("reopened",) * 3)
        )
        if kind in {"spam", "merged"}:
            story.append((kind, {"was_open": is_open}, at))
            is_open, merged = False, kind == "merged"
        elif kind == "undone":
            after = dice.random() < 0.5
            story.append((kind, {"was_open": is_open, "is_open": after}, at))
            is_open = after
        else:
            story.append((kind, {}, at))
            is_open = {"resolved": False, "reopened": True}.get(kind, is_open)
    return story, is_open


def _clocks(dice: random.Random, made: Ticket, policy: SLAPolicy, created: datetime) -> None:
    for clock in ("first_response", "resolution"):
        used = timedelta(
            seconds=dice.choice((900, 3600, 14_400, 28_800, 86_400))
            + dice.choice((0, 0, 1, -1))
            + dice.randrange(0, 3) * 5000
        )
        stopped = created + used if dice.random() < 0.8 else None
        SLATimer.objects.create(
            ticket=made, clock=clock, policy=policy, calendar_version=policy.calendar.current, target_seconds=7200, started_at=created,
            used_us=int(used.total_seconds() * 1e6), stopped_at=stopped, breached_at=created + timedelta(hours=2) if used > timedelta(hours=2) else None,
            due_at=created + timedelta(hours=2),
        )  # fmt: skip


# ------------------------------------------------------------------------------- the straight count
def compare(count: int, *, seed: int) -> list[str]:
    """What differs between the reports and a count of every row, one by one. Nothing of it stays in the database."""
    problems: list[str] = []
    with transaction.atomic():
        boss = histories(count, seed=seed)
        for given in ({"period": "30d"}, {"period": "7d", "zone": "America/New_York"}, {"period": "90d", "zone": "Asia/Kolkata"}, {"from": "2026-01-01", "to": str(timezone.now().date())}):  # fmt: skip
            scope = Scope.read(boss, given)
            for key, count_ in STRAIGHT.items():
                wanted, found = count_(scope), [row.cells for row in reports.report(key).find(scope).rows]
                if wanted != found:
                    problems.append(f"{key}, {given}: counted {wanted[:3]}, reported {found[:3]}")
        transaction.set_rollback(True)
    return problems


def _in(scope: Scope, at: datetime | None) -> bool:
    return at is not None and scope.start <= at < scope.end


def _open_at(events: list[TicketEvent], moment: datetime) -> bool:
    """Whether a ticket was open just before a moment, by its history alone."""
    is_open = False
    for event in events:
        if event.at >= moment:
            break
        if event.kind in {"opened", "split_from", "reopened"}:
            is_open = True
        elif event.kind in {"resolved", "merged", "spam"}:
            is_open = False
        elif event.kind in {"unmerged", "undone"}:
            is_open = event.data["is_open"]
    return is_open


def _backlog(scope: Scope) -> list[list[Any]]:
    by_ticket: dict[int, list[TicketEvent]] = {}
    for event in TicketEvent.objects.order_by("id"):
        by_ticket.setdefault(event.ticket_id, []).append(event)
    created = list(Ticket.objects.values_list("created_at", flat=True))
    zone: ZoneInfo = scope.zone
    rows = []
    for begin, end in _steps(scope):
        level = sum(_open_at(events, end) for events in by_ticket.values())
        resolved = sum(
            event.kind == "resolved" and begin <= event.at < end for events in by_ticket.values() for event in events
        )
        rows.append([f"{begin.astimezone(zone):%d %b %Y}", level, sum(begin <= at < end for at in created), resolved])
    return rows


def _steps(scope: Scope) -> list[tuple[datetime, datetime]]:
    """By going from day to day, and noting where a step begins."""
    days = (scope.last_day - scope.first_day).days
    begins = []
    for n in range(days + 1):
        day = scope.first_day + timedelta(days=n)
        first = n == 0 or days < 92 or (day.weekday() == 0 if days < 730 else day.day == 1)
        if first:
            begins.append(datetime(day.year, day.month, day.day, tzinfo=scope.zone))
    return list(zip(begins, [*begins[1:], scope.end], strict=True))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _first_response(scope: Scope) -> list[list[Any]]:
    counts: Counter[str] = Counter()
    for timer in SLATimer.objects.filter(clock="first_response"):
        if _in(scope, timer.stopped_at):
            hours = timer.used_us / 3.6e9
            counts[next(label for limit, label in reports.BUCKETS if hours <= limit)] += 1
    return [[label, counts[label], _share(counts[label], counts.total())] for _, label in reports.BUCKETS]


def _attainment(scope: Scope) -> list[list[Any]]:
    groups: dict[tuple[str, int, str], list[SLATimer]] = {}
    for timer in SLATimer.objects.select_related("ticket__tier"):
        if _in(scope, timer.stopped_at):
            groups.setdefault((timer.clock, timer.ticket.tier.level, timer.ticket.priority), []).append(timer)
    rows = []
    for clock, label in (("first_response", "First response"), ("resolution", "Resolution")):
        for level in (1, 2, 3):
            for priority in ("urgent", "high", "normal", "low"):
                timers = groups.get((clock, level, priority), [])
                if timers:
                    kept, used = (
                        sum(one.breached_at is None for one in timers),
                        sorted(one.used_us / 3.6e9 for one in timers),
                    )
                    rows.append([label, f"Tier {level}", priority.capitalize(), len(timers), kept, _share(kept, len(timers)), _hours(used, 0.5), _hours(used, 0.9)])  # fmt: skip
    return rows


def _hours(values: list[float], share: float) -> str:
    """The interpolated percentile, in words."""
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return in_words(timedelta(hours=values[low] + (values[high] - values[low]) * (place - low)))


def _breaches(scope: Scope) -> list[list[Any]]:
    counts: Counter[str] = Counter()
    events: dict[int, list[TicketEvent]] = {}
    for event in TicketEvent.objects.all():
        events.setdefault(event.ticket_id, []).append(event)
    for timer in SLATimer.objects.exclude(breached_at=None):
        if _in(scope, timer.breached_at):
            before = {event.kind for event in events[timer.ticket_id] if event.at < timer.breached_at}
            if not before & {"taken", "assigned", "replied"}:
                counts["nobody"] += 1
            elif before & {"escalated", "handed_back", "breach_escalated"}:
                counts["handed"] += 1
            else:
                counts["reopened" if "reopened" in before else "somebody"] += 1
    return [[label, counts[key], _share(counts[key], counts.total())] for key, label in reports.REASONS.items()]


def _rates(scope: Scope) -> list[list[Any]]:
    counts = Counter(event.kind for event in TicketEvent.objects.all() if _in(scope, event.at))
    rows = []
    for label, part, whole in reports.RATES.values():
        a, b = sum(counts[kind] for kind in part), sum(counts[kind] for kind in whole)
        rows.append([label, a, b, _share(a, b)])
    return rows


def _channels(scope: Scope) -> list[list[Any]]:
    counts = Counter(made.channel for made in Ticket.objects.all() if _in(scope, made.created_at))
    return [
        [one.label[:1].upper() + one.label[1:], counts[one.value], _share(counts[one.value], counts.total())]
        for one in reports.Channel
    ]


def _load(scope: Scope) -> list[list[Any]]:
    people: dict[int, Counter[str]] = {}
    for message in Message.objects.exclude(author=None):
        if _in(scope, message.created_at):
            count = people.setdefault(message.author_id, Counter())
            count[message.kind] += 1
            count["minutes"] += message.minutes or 0
    for event in TicketEvent.objects.filter(kind="resolved"):
        if _in(scope, event.at):
            people.setdefault(event.actor_id, Counter())["resolved"] += 1
    names = dict(User.objects.values_list("pk", "name"))
    here = Counter(made.assignee_id for made in Ticket.objects.all() if made.status in OPEN)
    rows = [[names[pk], c["resolved"], c["reply"], c["note"], c["minutes"], here[pk]] for pk, c in people.items()]
    return sorted(rows, key=lambda row: (-row[1], -row[2], row[0]))


STRAIGHT = {
    "backlog": _backlog, "attainment": _attainment, "first-response": _first_response, "breaches": _breaches, "load": _load, "rates": _rates,
    "channels": _channels,
}  # fmt: skip
