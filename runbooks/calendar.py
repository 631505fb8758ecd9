"""What runs when: past moments with what became of them, coming ones by their rules."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from django.utils import timezone

from runbooks import cron
from runbooks.models import FireOutcome, RunState, Schedule, ScheduleFire

MOST_A_DAY = 60


@dataclass
class Entry:
    """One moment of a schedule; `kind` is done, failed, missed, planned or running."""

    at: datetime
    schedule: Schedule
    kind: str
    words: str
    run: int | None = None


@dataclass
class Day:
    day: date
    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0

    @property
    def is_today(self) -> bool:
        return self.day == timezone.localdate()


def first_of(day: date, *, month: bool) -> date:
    """The Monday with which the week of a day begins, or the month's first row."""
    start = day.replace(day=1) if month else day
    return start - timedelta(days=start.weekday())


def days(first: date, count: int) -> list[Day]:
    """The days from `first` with what ran and what will run, in the reader's zone."""
    zone = timezone.get_current_timezone()
    begins = datetime.combine(first, time(), tzinfo=zone)
    ends = datetime.combine(first + timedelta(days=count), time(), tzinfo=zone)
    found = {first + timedelta(days=n): Day(first + timedelta(days=n)) for n in range(count)}
    now = timezone.now()
    fires = ScheduleFire.objects.filter(moment__gte=begins, moment__lt=ends).select_related(
        "schedule__runbook", "target", "execution"
    )
    for fire in fires[:5000]:
        _put(found, _past(fire), zone)
    for schedule in Schedule.objects.filter(paused_at=None).select_related("runbook"):
        for at in cron.moments(schedule.cron, schedule.zone, max(now, begins), gap=schedule.gap, fold=schedule.fold):
            if at >= ends:
                break
            day = found.get(at.astimezone(zone).date())
            if day is not None and len(day.entries) >= MOST_A_DAY:
                day.left_out += 1
                if sum(one.left_out for one in found.values()) > 5000:
                    break
                continue
            _put(found, Entry(at, schedule, "planned", "Planned"), zone)
    for day in found.values():
        day.entries.sort(key=lambda entry: (entry.at, entry.schedule.name))
    return list(found.values())


def _put(found: dict[date, Day], entry: Entry, zone: object) -> None:
    day = found.get(timezone.localtime(entry.at).date())
    if day is not None:
        day.entries.append(entry)


def _past(fire: ScheduleFire) -> Entry:
    run = fire.execution
    if run is None:
        kind = "missed"
        words = FireOutcome(fire.outcome).label
    elif run.state == RunState.SUCCEEDED:
        kind, words = "done", "Succeeded"
    elif run.is_final:
        kind, words = "failed", RunState(run.state).label
    else:
        kind, words = "planned", RunState(run.state).label
    return Entry(fire.moment, fire.schedule, kind, f"{words}, {fire.target}", run.pk if run else None)
