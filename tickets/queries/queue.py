"""The queue: filters, order, pages. Its cost follows the page, not the number of tickets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.postgres.search import SearchQuery
from django.core.paginator import Page, Paginator
from django.db.models import Case, F, IntegerField, Prefetch, Q, QuerySet, Value, When
from django.utils import timezone
from django.utils.functional import cached_property

from staff.models import User
from supportdesk.text import clean
from tickets.models import OPEN_STATUSES, Priority, Requester, SLATimer, Status, Ticket
from tickets.queries import clocks

MOST_COUNTED = 1000
SIZES = (25, 50, 100)
VIEWS = {
    "open": "All open",
    "mine": "My open",
    "unassigned": "Unassigned",
    "breaching": "Breaching",
    "waiting": "Waiting on requester",
    "resolved": "Recently resolved",
    "all": "All tickets",
}
SOON = timedelta(hours=1)
_RANK = Case(
    *[When(priority=priority, then=Value(rank)) for rank, priority in enumerate(Priority.values)],
    output_field=IntegerField(),
)
SORTS: dict[str, list[Any]] = {
    "due": [F("due_at").asc(nulls_last=True), "number"],
    "-due": [F("due_at").desc(nulls_last=True), "-number"],
    "number": ["number"],
    "-number": ["-number"],
    "updated": ["updated_at"],
    "-updated": ["-updated_at"],
    "priority": [_RANK.asc(), F("due_at").asc(nulls_last=True), "number"],
    "-priority": [_RANK.desc(), F("due_at").asc(nulls_last=True), "number"],
}


@dataclass(frozen=True)
class Filters:
    """What the reader asked of the queue; unknown values are dropped and named in `ignored`."""

    view: str = "open"
    tier: str = ""
    status: str = ""
    priority: str = ""
    assignee: str = ""
    q: str = ""
    sort: str = "due"
    size: int = 25
    ignored: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, parameters: Any) -> "Filters":
        """From a query string; `tier:2 status:open words` in the search box count as filters too."""
        values = {name: parameters.get(name, "").strip() for name in ("tier", "status", "priority", "assignee")}
        words, ignored = [], []
        for word in clean(parameters.get("q", "")[:300]).split():
            name, colon, value = word.partition(":")
            if name == "is" and value in VIEWS:
                values["view"] = value
            elif colon and name in values:
                values[name] = value
            else:
                words.append(word)
        allowed = {"tier": {"1", "2", "3"}, "status": set(Status.values), "priority": set(Priority.values)}
        for name, choices in allowed.items():
            if values[name] and values[name] not in choices:
                ignored.append(f"{name}:{values.pop(name)}")
        if (who := values["assignee"]) and who not in {"me", "none"} and not who.isdecimal():
            ignored.append(f"assignee:{values.pop('assignee')}")
        view, sort, size = (
            parameters.get("view", "open"),
            parameters.get("sort", ""),
            parameters.get("size", ""),
        )
        view = values.pop("view", view if view in VIEWS else "open")
        default_sort = "-updated" if view in {"resolved", "all"} else "due"
        return cls(
            **values,
            view=view,
            q=" ".join(words),
            sort=sort if sort in SORTS else default_sort,
            size=int(size) if size.isdecimal() and int(size) in SIZES else 25,
            ignored=tuple(ignored),
        )


class CappedPaginator(Paginator):
    """Counts to a limit only: a page does not become slow because there are many."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:MOST_COUNTED].count()

    @property
    def is_capped(self) -> bool:
        return self.count >= MOST_COUNTED


@dataclass(frozen=True)
class QueuePage:
    """One page of the queue, its rows in groups of due time when sorted by it."""

    filters: Filters
    page: "Page[Any]"
    capped: bool

    @property
    def groups(self) -> Iterator[tuple[str, str, list[Ticket]]]:
        """(dot colour, heading, tickets) in order; one group without heading for other orders."""
        if self.filters.sort != "due":
            yield "", "", list(self.page)
            return
        now = timezone.now()
        found: dict[tuple[str, str], list[Ticket]] = {}
        for ticket in self.page:
            found.setdefault(_group(ticket, now), []).append(ticket)
        for (dot, heading), tickets in found.items():
            yield dot, heading, tickets


def _group(ticket: Ticket, now: Any) -> tuple[str, str]:
    if ticket.due_at is None:
        return (
            ("hold", "No clock running") if ticket.status in {Status.WAITING, Status.ON_HOLD} else ("info", "Answered")
        )
    if ticket.due_at <= now:
        return "bad", "Breached"
    return ("warn", "Due within the hour") if ticket.due_at <= now + SOON else ("ok", "Later")


def in_view(tickets: QuerySet[Ticket], view: str, user: User) -> QuerySet[Ticket]:
    """The tickets of a named view, as the navigation and the queue mean it."""
    if view == "mine":
        return tickets.filter(status__in=OPEN_STATUSES, assignee=user)
    if view == "unassigned":
        return tickets.filter(status__in=OPEN_STATUSES, assignee=None)
    if view == "breaching":
        return tickets.filter(status__in=OPEN_STATUSES, due_at__lte=timezone.now() + SOON)
    if view == "waiting":
        return tickets.filter(status=Status.WAITING)
    if view == "resolved":
        return tickets.filter(status=Status.RESOLVED)
    return tickets if view == "all" else tickets.filter(status__in=OPEN_STATUSES)


def queue(user: User, filters: Filters, *, page: int | str = 1) -> QueuePage:
    """One page of what the user may see, filtered and sorted."""
    tickets = in_view(Ticket.objects.visible_to(user), filters.view, user)
    if filters.tier:
        tickets = tickets.filter(tier__level=int(filters.tier))
    if filters.status:
        tickets = tickets.filter(status=filters.status)
    if filters.priority:
        tickets = tickets.filter(priority=filters.priority)
    if filters.assignee:
        wanted = (
            {"me": user.pk, "none": None}.get(filters.assignee)
            if filters.assignee in {"me", "none"}
            else int(filters.assignee)
        )
        tickets = tickets.filter(assignee=wanted)
    if filters.q:
        tickets = tickets.filter(matches(filters.q))
    paginator = CappedPaginator(_as_rows(tickets).order_by(*SORTS[filters.sort]), filters.size)
    found = paginator.get_page(page)
    found.object_list = list(found.object_list)
    clocks.bring_up_to_date(found.object_list)
    return QueuePage(filters, found, paginator.is_capped)


def queue_rows(user: User, numbers: list[int]) -> list[Ticket]:
    """The named tickets as rows of the queue, those the user may see."""
    rows = list(_as_rows(Ticket.objects.visible_to(user).filter(number__in=numbers[: max(SIZES)])))
    clocks.bring_up_to_date(rows)
    return rows


def _as_rows(tickets: QuerySet[Ticket]) -> QuerySet[Ticket]:
    """What a row of the queue shows: the clocks that have not stopped."""
    return tickets.select_related("tier", "assignee", "requester").prefetch_related(clocks.SHOWN)


def with_rows(tickets: QuerySet[Ticket]) -> QuerySet[Ticket]:
    """What the API shows of each ticket, in a fixed number of statements."""
    timers: Any = Prefetch("timers", SLATimer.objects.order_by("id"), to_attr="clocks")
    return tickets.select_related("tier", "assignee", "requester").prefetch_related(timers)


def matches(text: str) -> Q:
    """A ticket number, words of subject and last message, or part of the requester's name or address."""
    number = text.removeprefix("#")
    if number.isdecimal() and len(number) < 18:
        return Q(number=int(number))
    people = Requester.objects.filter(Q(email__icontains=text) | Q(name__icontains=text)).values_list("pk", flat=True)[
        :50
    ]
    return Q(search=SearchQuery(text, search_type="websearch", config="english")) | Q(requester__in=list(people))


def requesters_for(user: User) -> QuerySet[Requester]:
    """Requesters of the tickets that the user may see."""
    return Requester.objects.filter(tickets__in=Ticket.objects.visible_to(user).values("pk")).distinct()
