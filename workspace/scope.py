"""Who asks for the figures of which period and which tickets."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.utils import timezone

from staff.models import User
from supportdesk.errors import Invalid
from tickets import policies
from tickets.models import Ticket
from tickets.queries import picked, understand

LONGEST = timedelta(days=3 * 366)
FIRST_YEAR, LAST_YEAR = 1970, 2100
DAYS, WEEKS = 92, 730  # a period up to so many days is shown by days, by weeks, longer ones by months
PRESETS = {
    "today": "Today",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "month": "This month",
    "year": "This year",
}


@dataclass(frozen=True)
class Scope:
    """Who asks about which time and which tickets. The period is [start, end) in a zone; `query` as in the search box."""

    user: User
    start: datetime
    end: datetime
    zone: ZoneInfo
    query: str = ""

    @classmethod
    def read(cls, user: User, given: Any) -> "Scope":
        """From a query string: `period` or `from` and `to` (days, both included), `zone`, `q`. Raises `Invalid`."""
        zone = _zone(given.get("zone", "") or timezone.get_current_timezone_name())
        today = timezone.now().astimezone(zone).date()
        first, last = _days(given, today)
        if first.year < FIRST_YEAR or last.year > LAST_YEAR:
            words = f"Choose days from {FIRST_YEAR} to {LAST_YEAR}."
            raise Invalid(words, fields={"from": [words]})
        if last < first or (last - first) > LONGEST:
            raise Invalid("Choose an end after the begin, three years at most.", fields={"to": ["Choose another day."]})
        query = str(given.get("q", ""))[:500].strip()
        return cls(user, _midnight(first, zone), _midnight(last + timedelta(days=1), zone), zone, query)

    @property
    def before(self) -> "Scope":
        """The period before, of the same length in days."""
        days = self.last_day - self.first_day + timedelta(days=1)
        start = _midnight(self.first_day - days, self.zone)
        return Scope(self.user, start, self.start, self.zone, self.query)

    @property
    def first_day(self) -> date:
        return self.start.astimezone(self.zone).date()

    @property
    def last_day(self) -> date:
        return (self.end - timedelta(seconds=1)).astimezone(self.zone).date()

    @property
    def step(self) -> str:
        days = (self.last_day - self.first_day).days
        return "day" if days < DAYS else "week" if days < WEEKS else "month"

    def tickets(self) -> QuerySet[Ticket]:
        """The tickets that the reader may see and asks about. Raises `QueryError`."""
        seen = Ticket.objects.visible_to(self.user)
        return picked(seen, self.user, understand(self.query)) if self.query else seen

    def limit(self, rows: QuerySet[Any], ticket: str = "ticket") -> QuerySet[Any]:
        """Rows of those tickets: without a query all but the few that are hidden, which costs less than naming the rest."""
        if self.query or (not self.user.standing.level and not self.user.standing.reads_only):
            return rows.filter(**{f"{ticket}__in": self.tickets().values("pk")})
        return rows.exclude(**{f"{ticket}__in": Ticket.objects.hidden_from(self.user).values("pk")})

    def within(self, name: str) -> Q:
        return Q(**{f"{name}__gte": self.start, f"{name}__lt": self.end})


def check_can_see_reports(user: User) -> None:
    """Whoever works at the desk or audits it; what they count is what they may see."""
    if not (user.standing.level or user.standing.is_administrator or user.standing.reads_only):
        raise policies.NotPermitted("Reports are for who works at the desk.")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid(
            f"{name[:60]} is no time zone; write one such as Europe/Berlin.", fields={"zone": ["Not known."]}
        ) from None


def _days(given: Any, today: date) -> tuple[date, date]:
    if given.get("from") or given.get("to"):
        try:
            return date.fromisoformat(given.get("from", "")), date.fromisoformat(given.get("to", "") or str(today))
        except ValueError:
            raise Invalid("Write days as 2026-11-30.", fields={"from": ["Write a day as 2026-11-30."]}) from None
    period = given.get("period") or "30d"
    if period == "month":
        return today.replace(day=1), today
    if period == "year":
        return today.replace(month=1, day=1), today
    back = {"today": 0, "7d": 6, "30d": 29, "90d": 89}.get(period)
    if back is None:
        raise Invalid(f"Choose a period: {', '.join(PRESETS)}.", fields={"period": ["Not known."]})
    return today - timedelta(days=back), today


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone)


def steps(scope: Scope) -> list[tuple[datetime, datetime]]:
    """The steps of a period, (begin, end) each, whole days, weeks or months of the zone cut to the period."""
    found, day = [], scope.first_day
    while day <= scope.last_day:
        begin = _midnight(day, scope.zone)
        if scope.step == "day":
            day += timedelta(days=1)
        elif scope.step == "week":
            day += timedelta(days=7 - day.weekday())
        else:
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        found.append((max(begin, scope.start), min(_midnight(day, scope.zone), scope.end)))
    return found


def begin_of_step(scope: Scope, begin: datetime) -> date:
    day = begin.astimezone(scope.zone).date()
    if scope.step == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if scope.step == "month" else day
