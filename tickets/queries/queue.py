"""The queue: filters, order, pages. Its cost follows the page, not the number of tickets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from django.core.paginator import Page, Paginator
from django.db.models import Case, F, IntegerField, Prefetch, QuerySet, Subquery, Value, When
from django.utils import timezone
from django.utils.functional import cached_property

from staff.models import Tier, User
from supportdesk.text import clean, number_of
from tickets.models import OPEN_STATUSES, Organization, Priority, Requester, SavedView, SLATimer, Status, Ticket
from tickets.queries import clocks, search
from tickets.query import language
from tickets.query.language import QueryError

MOST_COUNTED = 1000
MOST_QUERY = 500
SIZES = (25, 50, 100)
VIEWS = {
    "open": "All open",
    "mine": "My open",
    "unassigned": "Unassigned in my tiers",
    "breaching": "Breaching",
    "waiting": "Waiting on requester",
    "snoozed": "Snoozed",
    "resolved": "Recently resolved",
    "spam": "Spam",
    "all": "All tickets",
}
# The filters that say which tickets; the rest say how they are shown.
BULK_FILTERS = ("view", "saved_key", "tier", "status", "priority", "assignee", "q")
# What a row can show beside number and subject; the first are the usual ones.
COLUMNS = {
    "who": "Requester", "tier": "Tier", "priority": "Priority", "assignee": "Assignee", "status": "Status", "sla": "SLA", "updated": "Updated",
    "organization": "Organisation", "category": "Category", "tags": "Tags", "channel": "Channel", "created": "Created", "deadline": "Deadline",
}  # fmt: skip
USUAL = ("who", "tier", "priority", "assignee", "status", "sla", "updated")
GROUPS = {
    "": "By time left, where sorted by it", "status": "Status", "priority": "Priority", "tier": "Tier", "assignee": "Assignee",
    "who": "Requester", "category": "Category", "none": "None",
}  # fmt: skip
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
    saved: SavedView | None = None
    group: str = ""
    ignored: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, parameters: Any, user: User | None = None) -> "Filters":
        """From a query string; `tier:2 status:open words` in the search box count as filters too.

        `saved` names a view that the reader kept, or one for all.
        """
        values = {name: parameters.get(name, "").strip() for name in ("tier", "status", "priority", "assignee")}
        q, ignored = clean(parameters.get("q", "")[:MOST_QUERY]).strip(), []
        allowed = {"tier": {"1", "2", "3"}, "status": set(Status.values), "priority": set(Priority.values)}
        for name, choices in allowed.items():
            if values[name] and values[name] not in choices:
                ignored.append(f"{name}:{values.pop(name)}")
        if (who := values["assignee"]) and who not in {"me", "none"} and number_of(who) is None:
            ignored.append(f"assignee:{values.pop('assignee')}")
        view, sort, size = (
            parameters.get("view", "open"),
            parameters.get("sort", ""),
            parameters.get("size", ""),
        )
        view = view if view in VIEWS else "open"
        saved = None
        if (key := parameters.get("saved", "") or parameters.get("saved_key", "")) and user is not None:
            known = SavedView.objects.visible_to(user)
            saved = known.filter(pk=number_of(key) or 0).first()
            if saved is None:
                ignored.append(f"saved:{key[:20]}")
        view = "all" if saved else view
        default_sort = (saved.sort if saved else "") or ("-updated" if view in {"resolved", "all"} else "due")
        group = parameters.get("group", "") or (saved.group if saved else "")
        return cls(
            **values,
            view=view,
            q=q,
            saved=saved,
            group=group if group in GROUPS else "",
            sort=sort if sort in SORTS or sort == "relevance" else ("" if q else default_sort),
            size=number if (number := number_of(size)) in SIZES else 25,
            ignored=tuple(ignored),
        )

    @property
    def saved_key(self) -> str:
        return str(self.saved.pk) if self.saved else ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table, in their order."""
        chosen = tuple(self.saved.columns) if self.saved else ()
        return tuple(name for name in COLUMNS if name in chosen) or USUAL

    @property
    def whole_query(self) -> str:
        """What the view asks for and what is typed, as one query."""
        typed = "" if self.number is not None else self.q
        kept = self.saved.query if self.saved else ""
        return f"({kept}) ({typed})" if kept and typed else kept or typed

    @property
    def number(self) -> int | None:
        """The ticket that a bare number in the search box names."""
        return number_of(self.q.removeprefix("#"))


class CappedPaginator(Paginator):
    """Counts to a limit only: a page does not become slow because there are many.

    `counted` are sets without overlap that together are the rows, cheaper to count.
    """

    counted: Sequence[QuerySet[Any]] = ()

    @cached_property
    def count(self) -> int:
        sets = self.counted or [cast(QuerySet[Any], self.object_list)]
        return min(MOST_COUNTED, sum(rows.order_by()[:MOST_COUNTED].count() for rows in sets))

    @property
    def is_capped(self) -> bool:
        return self.count >= MOST_COUNTED


@dataclass(frozen=True)
class QueuePage:
    """One page of the queue, its rows in groups of due time when sorted by it."""

    filters: Filters
    page: "Page[Any]"
    capped: bool
    error: str = ""
    sort: str = "due"

    @property
    def groups(self) -> Iterator[tuple[str, str, list[Ticket]]]:
        """(dot colour, heading, tickets) in order; one group without heading for other orders."""
        by = self.filters.group
        if by == "none" or (not by and self.sort != "due"):
            yield "", "", list(self.page)
            return
        now = timezone.now()
        found: dict[tuple[str, str], list[Ticket]] = {}
        for ticket in self.page:
            found.setdefault(("info", _word_of(ticket, by)) if by else _group(ticket, now), []).append(ticket)
        if by in _ORDER:
            found = dict(sorted(found.items(), key=lambda item: _ORDER[by](item[1][0])))
        for (dot, heading), tickets in found.items():
            yield dot, heading, tickets


# Groups whose order means something stand in it; others as the first ticket of each stands in the list.
_ORDER: dict[str, Callable[[Ticket], Any]] = {
    "status": lambda ticket: Status.values.index(ticket.status), "priority": lambda ticket: Priority.values.index(ticket.priority),
    "tier": lambda ticket: ticket.tier.level,
}  # fmt: skip


def _word_of(ticket: Ticket, group: str) -> str:
    """The heading that a ticket stands under."""
    words = {
        "status": ticket.get_status_display, "priority": ticket.get_priority_display, "tier": lambda: str(ticket.tier),
        "assignee": lambda: str(ticket.assignee or "Nobody"), "who": lambda: str(ticket.requester),
        "category": lambda: str(ticket.category or "No category"),
    }  # fmt: skip
    return words[group]()


def _group(ticket: Ticket, now: Any) -> tuple[str, str]:
    if ticket.due_at is None:
        return (
            ("hold", "No clock running") if ticket.status in {Status.WAITING, Status.ON_HOLD} else ("info", "Answered")
        )
    if ticket.due_at <= now:
        return "bad", "Breached"
    return ("warn", "Due within the hour") if ticket.due_at <= now + SOON else ("ok", "Later")


def in_view(tickets: QuerySet[Ticket], view: str, user: User, *, now: datetime | None = None) -> QuerySet[Ticket]:
    """The tickets of a named view, as the navigation and the queue mean it."""
    here = {"status__in": OPEN_STATUSES, "snoozed_until": None}
    if view == "mine":
        return tickets.filter(**here, assignee=user)
    if view == "unassigned":  # of the tiers that one works
        level = user.standing.level
        mine = {"tier__in": Tier.objects.filter(level__lte=level).values("pk")} if 0 < level < 3 else {}
        return tickets.filter(**here, assignee=None, **mine)
    if view == "snoozed":
        return tickets.filter(snoozed_until__isnull=False)
    if view == "breaching":  # also snoozed ones: a promise is not put off by looking away
        return tickets.filter(status__in=OPEN_STATUSES, due_at__lte=(now or timezone.now()) + SOON)
    if view == "waiting":
        return tickets.filter(status=Status.WAITING, snoozed_until=None)
    if view == "spam":
        return tickets.filter(spam_at__isnull=False)
    if view == "resolved":
        return tickets.filter(status=Status.RESOLVED)
    return tickets if view == "all" else tickets.filter(**here)


def queue(user: User, filters: Filters, *, page: int | str = 1) -> QueuePage:
    """One page of what the user may see, filtered and sorted. A query that is not understood shows nothing and why."""
    try:
        asked = search.understand(filters.whole_query)
        tickets = _as_rows(_filtered(Ticket.objects.visible_to(user), user, filters, asked))
        if asked.words is None:
            paginator: CappedPaginator = CappedPaginator(tickets.order_by(*SORTS[filters.sort or "due"]), filters.size)
            halves = Ticket.objects.halves_visible_to(user)
            paginator.counted = [_filtered(half, user, filters, asked).values("status") for half in halves]
            return _page(filters, paginator, page, filters.sort or "due")
        return _found(user, filters, asked, tickets, page)
    except QueryError as error:
        empty = CappedPaginator(Ticket.objects.none().order_by("pk"), filters.size)
        return QueuePage(filters, empty.get_page(1), False, error=str(error))


def matching(user: User, filters: Filters) -> QuerySet[Ticket]:
    """Every ticket that the filters pick, for work on all of them. Raises `QueryError`."""
    asked = search.understand(filters.whole_query)
    return _filtered(Ticket.objects.visible_to(user), user, filters, asked)


def chosen(user: User, numbers: Sequence[int]) -> QuerySet[Ticket]:
    """The tickets of these numbers, as far as the user may see them."""
    return Ticket.objects.visible_to(user).filter(number__in=numbers)


def _filtered(
    tickets: QuerySet[Ticket], user: User, filters: Filters, asked: search.Asked, whole: language.Node | None = None
) -> QuerySet[Ticket]:
    if filters.number is not None:
        return tickets.filter(number=filters.number)
    # A query that names a status or an age of its own is not narrowed to the view.
    view = (
        "all"
        if filters.view == "open" and language.names(whole or asked.node) & {"is", "status", "snoozed"}
        else filters.view
    )
    tickets = in_view(tickets, view, user)
    if filters.tier:
        tickets = tickets.filter(tier=Subquery(Tier.objects.filter(level=int(filters.tier)).values("pk")[:1]))
    if filters.status:
        tickets = tickets.filter(status=filters.status)
    if filters.priority:
        tickets = tickets.filter(priority=filters.priority)
    if filters.assignee:
        who = {"me": user.pk, "none": None}
        tickets = tickets.filter(assignee=who[filters.assignee] if filters.assignee in who else int(filters.assignee))
    return search.picked(tickets, user, asked)


def _narrows(filters: Filters) -> bool:
    """Whether the filters beside the search box leave tickets out."""
    return filters.view != "all" or any((filters.tier, filters.status, filters.priority, filters.assignee))


def _found(user: User, filters: Filters, asked: search.Asked, tickets: QuerySet[Ticket], page: int | str) -> QueuePage:
    """A page of a search for words: the best of the newest matches, or those in another order."""
    assert asked.words is not None  # noqa: S101 - asked by the caller
    rest = search.without_required(user, asked)
    if asked.required is not None and rest.node is None and not _narrows(filters):
        matches = search.newest_by_words(Ticket.objects.hidden_from(user), asked.required)
    else:
        matches = search.newest(
            tickets, _filtered(Ticket.objects.visible_to(user), user, filters, rest, asked.node), asked
        )
    capped, keys = len(matches.keys) > search.MOST_MATCHES, matches.keys[: search.MOST_MATCHES]
    sort = filters.sort or "relevance"
    paginator = Paginator(keys, filters.size)
    shown = paginator.get_page(page)
    start = (shown.number - 1) * filters.size
    if sort == "relevance":
        wanted = search.by_relevance(matches, asked.words, start=start, size=filters.size)
    else:
        ordered = Ticket.objects.filter(search.these(Ticket, keys)).order_by(*SORTS[sort])
        wanted = list(ordered.values_list("pk", flat=True)[start : start + filters.size])
    rows = {ticket.pk: ticket for ticket in _as_rows(Ticket.objects.filter(pk__in=wanted))}
    found = [rows[pk] for pk in wanted if pk in rows]
    search.highlight(found, asked.words, user)
    clocks.bring_up_to_date(found)
    shown.object_list = cast(Any, found)
    return QueuePage(filters, shown, capped, sort=sort)


def _page(filters: Filters, paginator: CappedPaginator, page: int | str, sort: str) -> QueuePage:
    found = paginator.get_page(page)
    found.object_list = list(found.object_list)
    clocks.bring_up_to_date(found.object_list)
    return QueuePage(filters, found, paginator.is_capped, sort=sort)


def queue_rows(user: User, numbers: list[int]) -> list[Ticket]:
    """The named tickets as rows of the queue, those the user may see."""
    return as_rows(Ticket.objects.visible_to(user).filter(number__in=numbers[: max(SIZES)]))


def as_rows(tickets: QuerySet[Ticket]) -> list[Ticket]:
    """Tickets as rows of a list, with the clocks that have not stopped, up to date."""
    rows = list(_as_rows(tickets))
    clocks.bring_up_to_date(rows)
    return rows


def _as_rows(tickets: QuerySet[Ticket]) -> QuerySet[Ticket]:
    """What a row of the queue shows: the clocks that have not stopped."""
    related = ("tier", "assignee", "requester__organization", "category")
    return tickets.select_related(*related).prefetch_related(clocks.SHOWN)


def with_rows(tickets: QuerySet[Ticket]) -> QuerySet[Ticket]:
    """What the API shows of each ticket, in a fixed number of statements."""
    timers: Any = Prefetch("timers", SLATimer.objects.order_by("id"), to_attr="clocks")
    return tickets.select_related("tier", "assignee", "requester").prefetch_related(timers)


def requesters_for(user: User) -> QuerySet[Requester]:
    """Requesters of the tickets that the user may see."""
    return Requester.objects.filter(tickets__in=Ticket.objects.visible_to(user).values("pk")).distinct()


def organizations_for(user: User) -> QuerySet[Organization]:
    """Organisations, for everybody who sees tickets."""
    reaches = user.standing.is_administrator or user.standing.reads_only or user.standing.is_integration
    return Organization.objects.all() if reaches or user.standing.level else Organization.objects.none()
