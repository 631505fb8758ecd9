"""What a clock did, in words a person reads aloud."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from staff.models import CalendarVersion
from tickets.models import SLATimer
from tickets.sla.replay import Reading


@dataclass(frozen=True)
class Explained:
    """A clock with its reading, its rule in words and its history, oldest first."""

    timer: SLATimer
    reading: Reading
    used: timedelta
    left: timedelta
    summary: str
    history: list[tuple[datetime, str]]


def length(delta: timedelta) -> str:
    """Business time in the unit that fits: 45 s, 60 min, 4 h, 1 h 30 min."""
    seconds = round(delta.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if rest:
        return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min {rest} s"
    if minutes <= 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def business_length(delta: timedelta, version: CalendarVersion) -> str:
    """The same with the calendar: `60 business minutes, Berlin office`."""
    return (
        f"{length(delta)}, {version.calendar.name}"
        if version.always_open
        else f"{length(delta)} of business time, {version.calendar.name}"
    )


def moment(at: datetime, *, now: datetime, zone: ZoneInfo) -> str:
    """A time as a reader in `zone` says it: `14:02` today, `tomorrow 09:12`, `3 Mar 09:12`."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    days = (local.date() - today).days
    near = {0: clock, 1: f"tomorrow {clock}", -1: f"yesterday {clock}"}
    return near.get(days) or f"{local.day} {local:%b}{f' {local.year}' if local.year != today.year else ''} {clock}"


def explain(timer: SLATimer, reading: Reading, versions: dict[int, CalendarVersion], *, now: datetime) -> Explained:
    """All that is to be said of a clock, in the reader's zone. Needs the timer's `log`."""
    zone = timezone.get_current_timezone()
    assert isinstance(zone, ZoneInfo)  # noqa: S101 - the reader's zone is one

    def say(at: datetime) -> str:
        return moment(at, now=now, zone=zone)

    end = timer.stopped_at or now
    used = reading.used_by(end)
    parts = [f"target {business_length(reading.target, versions[reading.calendar_version_id])}", *_pauses(timer, say)]
    if timer.breached_at:
        parts.append(f"breached {say(timer.breached_at)}")
    if timer.stopped_at:
        parts.append(f"stopped {say(timer.stopped_at)} after {length(used)}")
    elif reading.since is None:
        parts.append(f"paused now with {length(max(timedelta(0), reading.target - used))} left")
    elif reading.due_at is not None:
        parts.append(f"{'was due' if reading.due_at <= now else 'due'} {say(reading.due_at)}")
    return Explained(timer, reading, used, reading.target - used, "; ".join(parts), _history(timer, versions))


def _pauses(timer: SLATimer, say: Callable[[datetime], str]) -> list[str]:
    """`paused 14:02-15:10` for each pause that is over."""
    found, since = [], None
    for event in timer.log:
        if event.kind == "paused":
            since = event.at
        elif since is not None and event.kind in {"resumed", "stopped"}:
            found.append(f"paused {say(since)}–{say(event.at)}")
            since = None
    return found


def _history(timer: SLATimer, versions: dict[int, CalendarVersion]) -> list[tuple[datetime, str]]:
    rows: list[tuple[datetime, str]] = []
    for event in timer.log:
        because = f" ({event.reason})" if event.reason else ""
        if event.target_seconds is not None and event.calendar_version_id is not None:
            terms = business_length(timedelta(seconds=event.target_seconds), versions[event.calendar_version_id])
            rows.append((event.at, f"{'Started' if event.kind == 'started' else 'New target'}: {terms}{because}"))
        else:
            rows.append((event.at, f"{event.kind.capitalize()}{because}"))
    rows += [(row.fired_at, f"{row.percent} % of the time used") for row in timer.fired if row.percent != 100]
    if timer.breached_at:
        rows.append((timer.breached_at, "Breached"))
    return sorted(rows, key=lambda row: row[0])
