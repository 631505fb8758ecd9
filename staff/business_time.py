"""Business time: how long a calendar has been open. Pure, exact to the microsecond, no database.

A day's open time is worked out once from wall-clock hours in the calendar's zone and kept as
instants; all arithmetic is on instants, so that time counts as it really elapses on the days on
which the clocks change. The rules of the edges (architecture, *What a clock means*):

- an edge inside a gap of daylight saving is the end of the gap, one inside a fold its first occurrence;
- a holiday closes its local date from 00:00 to 24:00, also for an interval that crosses midnight;
- due is the earliest instant at which the time used reaches the target: a day's end, not the next opening.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY = 24 * 60
# A calendar that stays closed for so many days in a row never opens again, for all that anybody can use.
MOST_CLOSED_DAYS = 3660

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)

Interval = tuple[int, int]  # minutes of the day: (opens, closes); closes <= opens crosses midnight, 1440 is 24:00
Window = tuple[int, int]  # microseconds since 1970 in UTC: open from the first, closed from the second


class NeverOpens(ValueError):
    """The calendar has no open time within ten years."""


def microseconds(moment: datetime) -> int:
    """An aware datetime as whole microseconds since 1970 in UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The inverse of `microseconds`, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


@lru_cache(maxsize=65_536)
def instant(zone: ZoneInfo, wall: datetime) -> int:
    """The instant of a naive wall-clock time: the end of a gap, the first occurrence in a fold."""
    after = microseconds(wall.replace(tzinfo=zone, fold=0))
    if moment(after).astimezone(zone).replace(tzinfo=None) == wall:
        return after
    # Inside a gap: fold=1 lands before the change of the clocks, fold=0 after it; halve to the change itself.
    before = microseconds(wall.replace(tzinfo=zone, fold=1))
    offset = moment(before).astimezone(zone).utcoffset()
    low, high = before // 1_000_000, after // 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        if moment(middle * 1_000_000).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high * 1_000_000


@dataclass(frozen=True)
class BusinessTime:
    """The open time of one calendar: `add` and `between`.

    `hours` maps a weekday (0 is Monday) to its intervals; None is round the clock. `is_holiday`
    says which local dates are closed.
    """

    zone: ZoneInfo
    hours: Mapping[int, Sequence[Interval]] | None = None
    is_holiday: Callable[[date], bool] | None = None
    _days: dict[date, tuple[Window, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_elapsed_time(self) -> bool:
        """Round the clock without holidays: time simply elapses."""
        return self.hours is None and self.is_holiday is None

    def add(self, start: datetime, duration: timedelta) -> datetime:
        """The earliest instant at which `duration` of open time has passed since `start`, in UTC.

        Raises `ValueError` for a negative duration, `NeverOpens` where the calendar stays closed.
        """
        if duration < timedelta(0):
            raise ValueError("a duration is not negative")
        if self.is_elapsed_time or not duration:
            return start + duration if start.tzinfo is UTC else start.astimezone(UTC) + duration
        now, left = microseconds(start), duration // _MICROSECOND
        day, closed = self._local_date(now), 0
        while closed < MOST_CLOSED_DAYS:
            windows = self.day(day)
            closed = 0 if windows else closed + 1
            for opens, closes in windows:
                if closes <= now:
                    continue
                begins = opens if opens > now else now
                if left <= closes - begins:
                    return moment(begins + left)
                left -= closes - begins
            day += _DAY
        raise NeverOpens("this calendar is not open within ten years")

    def between(self, start: datetime, end: datetime) -> timedelta:
        """The open time from `start` to `end`; negative when `end` comes first."""
        if end < start:
            return -self.between(end, start)
        if self.is_elapsed_time:
            return end - start
        low, high = microseconds(start), microseconds(end)
        day, total = self._local_date(low), 0
        while self._midnight(day) < high:
            for opens, closes in self.day(day):
                if closes > low and opens < high:
                    total += min(closes, high) - max(opens, low)
            day += _DAY
        return timedelta(microseconds=total)

    def is_open(self, at: datetime) -> bool:
        """Whether time counts in the instant that begins at `at`."""
        now = microseconds(at)
        return self.is_elapsed_time or any(opens <= now < closes for opens, closes in self.day(self._local_date(now)))

    def day(self, local: date) -> tuple[Window, ...]:
        """The open windows of one local date in order, apart from each other; worked out once."""
        found = self._days.get(local)
        if found is None:
            if len(self._days) > 20_000:  # fifty years: somebody asks at random, start over
                self._days.clear()
            found = self._days[local] = self._open_windows(local)
        return found

    def _open_windows(self, local: date) -> tuple[Window, ...]:
        begins, ends = self._midnight(local), self._midnight(local + _DAY)
        if self.is_holiday is not None and self.is_holiday(local):
            return ()
        if self.hours is None:
            return ((begins, ends),) if begins < ends else ()
        spans = [self._span(local, interval) for interval in self.hours.get(local.weekday(), ())]
        yesterday = local - _DAY
        spans += [self._span(yesterday, row) for row in self.hours.get(yesterday.weekday(), ()) if row[1] <= row[0]]
        clipped = ((max(opens, begins), min(closes, ends)) for opens, closes in spans)
        return union(window for window in clipped if window[0] < window[1])

    def _span(self, local: date, interval: Interval) -> Window:
        opens, closes = interval
        last = local if closes > opens else local + _DAY
        return self._edge(local, opens), self._edge(last, closes)

    def _edge(self, local: date, minutes: int) -> int:
        return instant(self.zone, datetime(local.year, local.month, local.day) + timedelta(minutes=minutes))  # noqa: DTZ001 - wall clock

    def _midnight(self, local: date) -> int:
        return self._edge(local, 0)

    def _local_date(self, now: int) -> date:
        """The local date whose 00:00 to 24:00 holds the instant."""
        local = moment(now).astimezone(self.zone).date()
        if now < self._midnight(local):
            return local - _DAY
        # Where a fold crosses midnight the first midnight has ended the day.
        return local + _DAY if now >= self._midnight(local + _DAY) else local


def union(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Windows that overlap or touch made one, in order."""
    merged: list[Window] = []
    for opens, closes in sorted(windows):
        if merged and opens <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], closes)
        else:
            merged.append((opens, closes))
    return tuple(merged)


def due(
    calendar: BusinessTime, start: datetime, target: timedelta, pauses: Sequence[tuple[datetime, datetime]]
) -> datetime:
    """When `target` of open time is used, with the clock stopped during `pauses` (in any order, they may overlap)."""
    now, left = start, target
    for begins, ends in sorted(pauses):
        if begins > now:
            passed = calendar.between(now, begins)
            if passed >= left:
                break
            left -= passed
        now = max(now, ends)
    return calendar.add(now, left)
