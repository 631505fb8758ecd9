"""What a clock's events say: time used, due, breached. Pure; the stored columns are this, always."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from staff.business_time import BusinessTime, NeverOpens

ZERO = timedelta(0)


class Entry(Protocol):
    """A row of the log; started and retargeted carry the terms in force from there on."""

    kind: str
    at: datetime
    target_seconds: int | None
    calendar_version_id: int | None


class Calendars(Protocol):
    """Gives the business time of a calendar's version."""

    def __call__(self, version_id: int, /) -> BusinessTime: ...


@dataclass(frozen=True)
class Stretch:
    """A time in which the clock ran by one calendar."""

    start: datetime
    end: datetime
    calendar: BusinessTime


@dataclass
class Reading:
    """A clock as its events left it. `used` is up to the last event; `since` is None unless it runs."""

    started_at: datetime
    target: timedelta
    calendar: BusinessTime
    calendar_version_id: int
    used: timedelta = ZERO
    since: datetime | None = None
    stopped_at: datetime | None = None
    breached_at: datetime | None = None
    stretches: list[Stretch] = field(default_factory=list)

    def reaches(self, amount: timedelta) -> datetime | None:
        """The earliest instant at which `amount` of time is used; None while nobody can know.

        Where the events so far have used it, it lies in the past; else it is ahead if the clock runs.
        """
        left = amount
        for stretch in self.stretches:
            passed = stretch.calendar.between(stretch.start, stretch.end)
            if passed >= left:
                return stretch.calendar.add(stretch.start, left)
            left -= passed
        if self.since is None:
            return self.started_at if amount <= ZERO else None
        try:
            return self.calendar.add(self.since, left)
        except NeverOpens:
            return None

    @property
    def due_at(self) -> datetime | None:
        return self.reaches(self.target)

    def used_by(self, now: datetime) -> timedelta:
        """The time used until `now`."""
        return self.used + (
            self.calendar.between(self.since, now) if self.since is not None and now > self.since else ZERO
        )


def replay(entries: Iterable[Entry], calendars: Calendars) -> Reading:
    """Fold the log of one clock, oldest first; the first entry is its start.

    Breached: a running clock at its due time when something later happened to it, and any clock at
    the moment at which new terms put its due time into the past. A stop at the due time is in time.
    """
    reading: Reading | None = None
    for entry in entries:
        if reading is None:
            assert entry.target_seconds is not None and entry.calendar_version_id is not None  # noqa: S101, PT018 - a database constraint
            reading = Reading(
                started_at=entry.at,
                target=timedelta(seconds=entry.target_seconds),
                calendar=calendars(entry.calendar_version_id),
                calendar_version_id=entry.calendar_version_id,
                since=entry.at,
            )
            continue
        _run_until(reading, entry.at)
        if entry.kind == "paused":
            reading.since = None
        elif entry.kind == "stopped":
            reading.since, reading.stopped_at = None, entry.at
        elif entry.kind == "resumed":
            reading.since, reading.stopped_at = entry.at, None
        elif entry.kind == "retargeted":
            assert entry.target_seconds is not None and entry.calendar_version_id is not None  # noqa: S101, PT018 - a database constraint
            reading.target = timedelta(seconds=entry.target_seconds)
            reading.calendar_version_id = entry.calendar_version_id
            reading.calendar = calendars(entry.calendar_version_id)
            if reading.breached_at is None and reading.stopped_at is None and reading.used >= reading.target:
                reading.breached_at = entry.at
    if reading is None:
        raise ValueError("a clock has no events")
    return reading


def _run_until(reading: Reading, at: datetime) -> None:
    """Count the time of a running clock up to an event, and notice the due time that it passed."""
    if reading.since is None:
        return
    if at > reading.since:
        reading.stretches.append(Stretch(reading.since, at, reading.calendar))
        reading.used += reading.calendar.between(reading.since, at)
        reading.since = at
    if reading.breached_at is None and reading.used >= reading.target:
        due = reading.due_at
        if due is not None and due < at:
            reading.breached_at = due
