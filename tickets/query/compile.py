"""A parsed query to conditions on tickets."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any as AnyValue
from zoneinfo import ZoneInfo

from django.contrib.postgres.search import SearchQuery, SearchVectorField
from django.db.models import F, Func, Q, QuerySet, Value
from django.utils import timezone

from staff.models import User
from supportdesk.errors import Invalid
from supportdesk.text import number_of
from tickets.models import (
    OPEN_STATUSES,
    Category,
    Channel,
    Clock,
    CustomField,
    FieldKind,
    LinkKind,
    Message,
    Priority,
    Requester,
    SLATimer,
    Status,
    Ticket,
    TicketApproval,
    TicketLink,
    Watcher,
)
from tickets.models.field import read_value
from tickets.models.message import Attachment
from tickets.query.language import CUSTOM, All, Any, Filter, Node, Not, QueryError, Word

CONFIG = "english"
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DURATION = re.compile(r"(-?)(\d{1,6})([mhdw])")
_COMPARE = {":": "", "=": "", ">": "__gt", ">=": "__gte", "<": "__lt", "<=": "__lte"}


class Compiler:
    """Conditions for one reader at one moment: `me`, their zone, and whether they may read internal notes."""

    def __init__(self, user: User, *, notes: bool, now: datetime | None = None) -> None:
        self.user, self.notes, self.now = user, notes, now or timezone.now()
        zone = timezone.get_current_timezone()
        self.zone = zone if isinstance(zone, ZoneInfo) else ZoneInfo("UTC")

    def apply(self, tickets: QuerySet[Ticket], node: Node) -> QuerySet[Ticket]:
        """The tickets of the set that the query picks."""
        if not self.notes:
            tickets = tickets.annotate(public_text=public_words())
        return tickets.filter(self._condition(node))

    def check(self, node: Node) -> None:
        """Raise `QueryError` for what cannot be asked."""
        self._condition(node)

    def _condition(self, node: Node) -> Q:
        if isinstance(node, Word):
            return self._text(_search(node))
        if isinstance(node, Filter):
            return self._filter(node)
        if isinstance(node, Not):
            return ~self._condition(node.child)
        if isinstance(node, Any):
            condition = Q()
            for child in node.children:
                condition |= self._condition(child)
            return condition
        # Words that stand together are one search, so that one index scan answers them all.
        condition, together = Q(), None
        for child in node.children:
            if isinstance(child, Word):
                together = _search(child) if together is None else together & _search(child)
            else:
                condition &= self._condition(child)
        return condition if together is None else self._text(together) & condition

    def _text(self, search: AnyValue) -> Q:
        found = Q(text__search=search)
        return found if self.notes else found & Q(public_text=search)

    def _filter(self, term: Filter) -> Q:
        is_custom = term.name.startswith(CUSTOM)
        reader: Callable[[Filter], Q] = self._custom if is_custom else getattr(self, f"_{term.name}", self._moment)
        if not term.value:
            raise _wrong(term, "it needs a value")
        if term.op not in {":", "="} and term.name not in _ORDERED and not is_custom:
            raise _wrong(term, f"{term.name} takes “:”")
        return reader(term)

    def _is(self, term: Filter) -> Q:
        open_ones = Q(status__in=OPEN_STATUSES)
        known: dict[str, Callable[[], Q]] = {
            "open": lambda: open_ones,
            "resolved": lambda: Q(status=Status.RESOLVED),
            "closed": lambda: Q(status=Status.CLOSED),
            "new": lambda: Q(status=Status.NEW),
            "waiting": lambda: Q(status=Status.WAITING),
            "held": lambda: Q(status=Status.ON_HOLD),
            "mine": lambda: open_ones & Q(assignee=self.user),
            "unassigned": lambda: open_ones & Q(assignee=None),
            "breached": lambda: open_ones & Q(due_at__lte=self.now),
            "breaching": lambda: open_ones & Q(due_at__lte=self.now + timedelta(hours=1)),
            "restricted": lambda: Q(restricted=True),
            "spam": lambda: Q(spam_at__isnull=False),
            "snoozed": lambda: Q(snoozed_until__isnull=False),
            "awaiting-approval": lambda: Q(pk__in=TicketApproval.objects.filter(state="waiting").values("ticket")),
            "overdue": lambda: open_ones & Q(deadline_at__lte=self.now),
            "watched": lambda: Q(pk__in=Watcher.objects.filter(user=self.user).values("ticket")),
        }
        return _one_of(term, known)()

    def _has(self, term: Filter) -> Q:
        known = {
            "attachment": lambda: Q(pk__in=Attachment.objects.values("message__ticket")),
            "note": lambda: (
                Q(pk__in=Message.objects.filter(kind="note").values("ticket")) if self.notes else Q(pk=None)
            ),
            "assignee": lambda: Q(assignee__isnull=False),
            "tag": lambda: ~Q(tags=[]),
            "deadline": lambda: Q(deadline_at__isnull=False),
            "cc": lambda: ~Q(cc=[]),
            "link": lambda: (
                Q(pk__in=TicketLink.objects.values("source")) | Q(pk__in=TicketLink.objects.values("target"))
            ),
            "children": lambda: Q(pk__in=TicketLink.objects.filter(kind=LinkKind.CHILD).values("target")),
            "parent": lambda: Q(pk__in=TicketLink.objects.filter(kind=LinkKind.CHILD).values("source")),
        }
        return _one_of(term, known)()

    def _tier(self, term: Filter) -> Q:
        if term.value not in {"1", "2", "3"}:
            raise _wrong(term, "a tier is 1, 2 or 3")
        return Q(**{f"tier__level{_COMPARE[term.op]}": int(term.value)})

    def _status(self, term: Filter) -> Q:
        return Q(status=_one_of(term, {status.value: status for status in Status}))

    def _priority(self, term: Filter) -> Q:
        ranked = list(Priority)  # most urgent first
        at = ranked.index(_one_of(term, {priority.value: priority for priority in Priority}))
        chosen = {
            ":": ranked[at : at + 1],
            "=": ranked[at : at + 1],
            ">": ranked[:at],
            ">=": ranked[: at + 1],
            "<": ranked[at + 1 :],
            "<=": ranked[at:],
        }
        return Q(priority__in=chosen[term.op])

    def _assignee(self, term: Filter) -> Q:
        value = term.value.lower()
        if value in {"me", "none"}:
            return Q(assignee=self.user if value == "me" else None)
        if (key := number_of(value)) is not None:
            return Q(assignee=key)
        found = list(
            User.objects.filter(Q(email__iexact=value) | Q(name__icontains=value)).values_list("pk", flat=True)[:50]
        )
        return Q(assignee__in=found)

    def _requester(self, term: Filter) -> Q:
        value = term.value.lower()
        people = Requester.objects.filter(Q(email__icontains=value) | Q(name__icontains=value))
        if value.startswith("@"):
            people = Requester.objects.filter(email__iendswith=value)
        elif "@" in value:
            people = Requester.objects.of_address(value)
        return Q(requester__in=people.values("pk"))

    def _organization(self, term: Filter) -> Q:
        return Q(requester__organization__name__iexact=term.value)

    def _tag(self, term: Filter) -> Q:
        return Q(tags__contains=["-".join(term.value.lower().lstrip("#").split())])

    def _cc(self, term: Filter) -> Q:
        return Q(cc__contains=[term.value.lower()])

    def _custom(self, term: Filter) -> Q:
        """`field.order:4711`, `field.amount>100`, `field.paid:no`; `none` finds tickets without a value."""
        slug = term.name.removeprefix(CUSTOM)
        field = CustomField.objects.filter(slug=slug).first()
        if field is None:
            known = ", ".join(CUSTOM + name for name in CustomField.objects.values_list("slug", flat=True)[:20])
            raise _wrong(term, f"the custom fields are: {known or 'none yet'}")
        if term.value.lower() == "none":
            return ~Q(custom__has_key=slug)
        if field.kind == FieldKind.TEXT and term.op == ":":
            return Q(custom__has_key=slug, **{f"custom__{slug}__icontains": term.value})
        try:
            value = read_value(field, term.value)
        except Invalid as error:
            raise _wrong(term, str(error).rstrip(".")) from None
        if term.op in {":", "="}:
            return Q(custom__contains={slug: value})
        if field.kind not in {FieldKind.NUMBER, FieldKind.DATE}:
            raise _wrong(term, f"{term.name} takes “:”")
        return Q(custom__has_key=slug, **{f"custom__{slug}{_COMPARE[term.op]}": value})

    def _category(self, term: Filter) -> Q:
        if term.value.lower() == "none":
            return Q(category=None)
        found = Category.objects.filter(Q(slug__iexact=term.value) | Q(name__iexact=term.value)).values_list(
            "pk", flat=True
        )
        if not found:
            known = ", ".join(Category.objects.values_list("slug", flat=True)[:20])
            raise _wrong(term, f"the categories are: {known}")
        return Q(category__in=list(found))

    def _channel(self, term: Filter) -> Q:
        return Q(channel=_one_of(term, {channel.value: channel for channel in Channel}))

    def _subject(self, term: Filter) -> Q:
        return Q(subject__icontains=term.value)

    def _number(self, term: Filter) -> Q:
        if (number := number_of(term.value)) is None:
            raise _wrong(term, "a number is made of digits")
        return Q(**{f"number{_COMPARE[term.op]}": number})

    def _breach(self, term: Filter) -> Q:
        """`breach<30m`: a clock that has not stopped comes due within 30 minutes; `breach:resolution`: that clock is breached."""
        if term.op in {"<", "<="} and (match := _DURATION.fullmatch(term.value)) and not match[1]:
            return Q(status__in=OPEN_STATUSES, due_at__lte=self.now + int(match[2]) * _UNITS[match[3]])
        if term.op in {":", "="}:
            clock = _one_of(term, {clock.value: clock for clock in Clock})
            return Q(pk__in=SLATimer.objects.filter(clock=clock, breached_at__isnull=False).values("ticket"))
        raise _wrong(term, "write breach<30m, or breach:resolution for a clock that is breached")

    def _moment(self, term: Filter) -> Q:
        """`created>2026-01-01`, `updated<-7d` (more than seven days ago), `created:today`."""
        name = "snoozed_until" if term.name == "snoozed" else f"{term.name}_at"
        value = term.value.lower()
        if match := _DURATION.fullmatch(value):
            delta = int(match[2]) * _UNITS[match[3]]
            at = self.now - delta if match[1] else self.now + delta
            if term.op in {":", "="}:
                return Q(**{f"{name}__gte": min(at, self.now), f"{name}__lte": max(at, self.now)})
            return Q(**{f"{name}{_COMPARE[term.op]}": at})
        begins, ends = self._span(term, value)
        spans = {
            ":": {"__gte": begins, "__lt": ends}, "=": {"__gte": begins, "__lt": ends}, ">": {"__gte": ends}, ">=": {"__gte": begins},
            "<": {"__lt": begins}, "<=": {"__lt": ends},
        }  # fmt: skip
        return Q(**{f"{name}{lookup}": at for lookup, at in spans[term.op].items()})

    def _span(self, term: Filter, value: str) -> tuple[datetime, datetime]:
        """The day or instant that a value names, in the reader's zone."""
        today = self.now.astimezone(self.zone).date()
        days = {"today": today, "yesterday": today - timedelta(days=1)}
        try:
            if value in days or len(value) == 10:
                day = days.get(value) or datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 - a date
                begins = datetime.combine(day, time(), tzinfo=self.zone)
                return begins, datetime.combine(day + timedelta(days=1), time(), tzinfo=self.zone)
            at = datetime.fromisoformat(value.upper())
            at = at if at.tzinfo else at.replace(tzinfo=self.zone)
            at = at.astimezone(UTC)
        except (ValueError, OverflowError):
            raise _wrong(term, "write a date such as 2026-01-31, today, or an age such as -7d") from None
        return at, at + timedelta(microseconds=1)


def public_words() -> Func:
    """The words of a ticket without those of notes (weight D), which could else be found out by asking for them."""
    return Func(F("text__search"), Value("{a,b,c}"), function="ts_filter", output_field=SearchVectorField())


_ORDERED = {
    "tier",
    "priority",
    "number",
    "breach",
    "created",
    "updated",
    "resolved",
    "closed",
    "due",
    "deadline",
    "snoozed",
}


def _search(word: Word) -> SearchQuery:
    return SearchQuery(word.text, search_type="phrase" if word.phrase else "plain", config=CONFIG)


def words_of(node: Node | None) -> SearchQuery | None:
    """Everything that a query wants to find in the text, for ranking and highlighting; None where it wants no words."""
    if isinstance(node, Word):
        return _search(node)
    if isinstance(node, (All, Any)):
        found = None
        for child in node.children:
            search = words_of(child)
            if search is not None:
                found = search if found is None else found | search
        return found
    return None


def required_by(node: Node | None) -> SearchQuery | None:
    """The words that every match must hold; None where there are none."""
    words = [node] if isinstance(node, Word) else node.children if isinstance(node, All) else []
    found = None
    for word in words:
        if isinstance(word, Word):
            found = _search(word) if found is None else found & _search(word)
    return found


def rest_of(node: Node | None) -> Node | None:
    """The query without what `required_by` returns."""
    if isinstance(node, All):
        kept = tuple(child for child in node.children if not isinstance(child, Word))
        return All(kept) if kept else None
    return None if isinstance(node, Word) else node


def _one_of(term: Filter, known: dict[str, AnyValue]) -> AnyValue:
    value = term.value.lower()
    if value not in known:
        raise _wrong(term, f"choose one of {', '.join(known)}")
    return known[value]


def _wrong(term: Filter, words: str) -> QueryError:
    return QueryError(f"“{term.token}”: {words}.", offending=term.token, position=term.position)
