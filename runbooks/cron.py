"""Moments of a cron rule in a zone, with a declared answer for the days on which clocks change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from runbooks.models import Fold, Gap
from staff.business_time import instant, moment
from supportdesk.errors import Invalid

LONGEST_SHIFT = timedelta(hours=3)  # of any zone's change of the clocks
MOST_READ = 20_000


def check(cron: str) -> None:
    """Raise `Invalid` unless it is a rule of five fields."""
    try:
        if len(cron.split()) != 5:
            raise CronSimError("five fields")
        CronSim(cron, datetime(2026, 1, 1))  # noqa: DTZ001 - wall-clock time
    except CronSimError:
        words = "Write minute, hour, day, month and weekday, such as 30 2 * * 1-5."
        raise Invalid(f"“{cron}” is no cron rule. {words}", fields={"cron": [words]}) from None


def moments(
    cron: str, zone: str, after: datetime, *, gap: str = Gap.FORWARD, fold: str = Fold.FIRST
) -> Iterator[datetime]:
    """The instants after `after` in UTC, in order, each once."""
    tz = ZoneInfo(zone)
    walls = CronSim(cron, after.astimezone(tz).replace(tzinfo=None) - LONGEST_SHIFT)
    waiting: list[datetime] = []
    last = after
    for _ in range(MOST_READ):
        try:
            wall = next(walls)
        except (StopIteration, CronSimError):
            break
        # What lies further back than any shift of the clocks cannot be overtaken by what follows.
        ready = [found for found in waiting if found < moment(instant(tz, wall)) - LONGEST_SHIFT]
        for found in sorted(ready):
            if found > last:
                last = found
                yield found
        waiting = [found for found in waiting if found not in ready]
        waiting += _instants(wall, tz, gap, fold)
    for found in sorted(waiting):
        if found > last:
            last = found
            yield found


def some(cron: str, zone: str, after: datetime, count: int, *, gap: str, fold: str) -> list[datetime]:
    """The first `count` of them."""
    return list(islice(moments(cron, zone, after, gap=gap, fold=fold), count))


def _instants(wall: datetime, zone: ZoneInfo, gap: str, fold: str) -> list[datetime]:
    first = wall.replace(tzinfo=zone, fold=0)
    second = wall.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return [first.astimezone(UTC)]
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:  # inside a gap
        return [moment(instant(zone, wall))] if gap == Gap.FORWARD else []
    return {
        Fold.FIRST: [first.astimezone(UTC)],
        Fold.SECOND: [second.astimezone(UTC)],
        Fold.BOTH: [first.astimezone(UTC), second.astimezone(UTC)],
    }[Fold(fold)]
