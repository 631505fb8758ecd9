"""20,000 random histories of clocks in 14 zones, against an oracle that knows every single second.

The oracle says of each second whether it is open: an edge is the first second at which the wall
clock of the zone has reached it, found by looking at the wall clock minute by minute. It adds up
seconds and looks the answers up; it shares no code with the product.
"""

import random
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from staff import calendar_file
from tickets.sla.replay import replay

ZONES = [
    "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Havana", "Africa/Casablanca", "Asia/Kolkata",
    "Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe", "Australia/Adelaide", "Pacific/Auckland", "Pacific/Chatham", "America/Santiago",
]  # fmt: skip
HISTORIES = 20_000 // len(ZONES) + 1
DAYS = 50
# Fifty days around both changes of the clocks of the year, in whichever hemisphere.
SPANS = (datetime(2017, 10, 10, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 9, 25, tzinfo=UTC))
DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Oracle:
    """`used[t]`: open seconds before second t of a span."""

    def __init__(self, zone: str, hours: dict[str, list[str]] | None, holidays: set[date], begin: datetime) -> None:
        self.begin = begin
        length = DAYS * 86_400
        info = ZoneInfo(zone)
        walls = [
            (begin + timedelta(minutes=m)).astimezone(info).replace(tzinfo=None)
            for m in range(-2880, DAYS * 1440 + 4320)
        ]

        def reached(wall: datetime) -> int:
            """The first minute of the span at which the wall clock has come to `wall`, in seconds."""
            guess = max(0, int((wall - walls[0]).total_seconds()) // 60 - 200)
            while guess and walls[guess - 1] >= wall:
                guess -= 1
            while guess < len(walls) and walls[guess] < wall:
                guess += 1
            return (guess - 2880) * 60

        is_open = bytearray(length)

        def fill(start: int, end: int, value: int) -> None:
            start, end = max(0, start), min(length, end)
            if start < end:
                is_open[start:end] = bytes([value]) * (end - start)

        first = walls[0].date() + timedelta(days=1)
        for day in (first + timedelta(days=n) for n in range(DAYS + 3)):
            midnight = datetime(day.year, day.month, day.day)
            texts = ["00:00-24:00"] if hours is None else hours.get(DAY_NAMES[day.weekday()], [])
            for text in texts:
                opens, closes = (timedelta(hours=int(part[:2]), minutes=int(part[3:])) for part in text.split("-"))
                fill(reached(midnight + opens), reached(midnight + closes + timedelta(days=closes <= opens)), 1)
        for day in holidays:
            midnight = datetime(day.year, day.month, day.day)
            fill(reached(midnight), reached(midnight + timedelta(days=1)), 0)
        self.used = array("I", accumulate(is_open, initial=0))


@dataclass
class Event:
    kind: str
    second: int
    target_seconds: int | None = None
    calendar_version_id: int | None = None


def calendars_of(zone: str, dice: random.Random, begin: datetime):
    """Three calendars of one zone: an office, nights across midnight, and one that is open all day but on holidays."""
    days = [begin.date() + timedelta(days=n) for n in range(DAYS)]
    made = []
    for hours in (
        {name: ["09:00-12:00", "13:00-17:30"] for name in DAY_NAMES[:5]} | {"sun": ["00:30-02:30"]},
        {name: ["22:15-02:45"] for name in DAY_NAMES} | {"sun": ["01:30-03:15", "02:00-06:00", "23:30-00:00"]},
        None,
    ):
        holidays = set(dice.sample(days, 6))
        data = {
            "slug": "x",
            "name": "X",
            "zone": zone,
            "hours": hours,
            "holidays": {"extra": [str(day) for day in holidays]},
        }
        product = calendar_file.business_time(calendar_file.check(data))
        oracle_hours = hours and {k: [t.replace("-00:00", "-24:00") for t in v] for k, v in hours.items()}
        made.append((product, Oracle(zone, oracle_hours, holidays, begin)))
    return made


def history(dice: random.Random, most: int) -> list[Event]:
    """A start, then what happens to clocks, at rising seconds (some at the same one)."""
    second = dice.randrange(0, 5 * 86_400)
    events = [
        Event(
            "started",
            second,
            dice.choice((60, 900, 3600, 14_400, 86_400, 200_000)) + dice.randrange(60),
            dice.randrange(most),
        )
    ]
    running, stopped = True, False
    for _ in range(dice.randrange(0, 9)):
        second += dice.choice((0, 1, 59, 3600, 40_000, 100_000, 300_000)) + dice.randrange(0, 4000) * dice.randrange(2)
        if second > (DAYS - 8) * 86_400:
            break
        kind = dice.choice(("retargeted", "retargeted", "toggle", "toggle", "stop"))
        if kind == "retargeted" and not stopped:
            events.append(Event(kind, second, dice.randrange(1, 150_000), dice.randrange(most)))
        elif kind == "toggle":
            events.append(Event("paused" if running else "resumed", second))
            running, stopped = not running, False
        elif kind == "stop" and not stopped:
            events.append(Event("stopped", second))
            running, stopped = False, True
    return events


def asked(events: list[Event], oracles: list[Oracle]):
    """(used up to the last event, due or None, breached or None) in seconds of the span."""
    stretches: list[tuple[int, int, Oracle]] = []
    target, oracle, since, stopped, breached = 0, None, None, False, None

    def used() -> int:
        return sum(o.used[end] - o.used[start] for start, end, o in stretches)

    def due() -> int | None:
        left = target
        for start, end, o in stretches:
            if o.used[end] - o.used[start] >= left:
                return start if left <= 0 else bisect_left(o.used, o.used[start] + left, start)
            left -= o.used[end] - o.used[start]
        if since is None:
            return None
        found = bisect_left(oracle.used, oracle.used[since] + left, since) if left > 0 else since
        return found if found < len(oracle.used) else None

    for event in events:
        if since is not None:
            stretches.append((since, event.second, oracle))
            since = event.second
            if breached is None and used() >= target and due() < event.second:
                breached = due()
        if event.kind in {"started", "retargeted"}:
            target, oracle = event.target_seconds, oracles[event.calendar_version_id]
            if event.kind == "retargeted" and not stopped and breached is None and used() >= target:
                breached = event.second
        if event.kind in {"started", "resumed"}:
            since, stopped = event.second, False
        elif event.kind in {"paused", "stopped"}:
            since, stopped = None, event.kind == "stopped"
    return used(), due(), breached


@pytest.mark.parametrize("zone", ZONES)
def test_clocks_agree_with_the_oracle(zone):
    dice = random.Random(f"clocks in {zone}")
    share = HISTORIES // len(SPANS) + 1
    for begin in SPANS:
        calendars = calendars_of(zone, dice, begin)
        oracles = [oracle for _, oracle in calendars]

        def second(moment: datetime | None, begin: datetime = begin) -> float | None:
            return None if moment is None else (moment - begin).total_seconds()

        for _ in range(share):
            events = history(dice, len(calendars))
            rows = [
                SimpleNamespace(**vars(event) | {"at": begin + timedelta(seconds=event.second)}) for event in events
            ]
            reading = replay(rows, lambda version, calendars=calendars: calendars[version][0])
            used, due, breached = asked(events, oracles)
            assert reading.used == timedelta(seconds=used), events
            assert second(reading.breached_at) == breached, events
            if due is not None or reading.due_at is None or second(reading.due_at) < DAYS * 86_400:
                assert second(reading.due_at) == due, events
