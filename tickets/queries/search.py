"""Find tickets by words among very many: the newest ten thousand matches, then the best of those."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.search import SearchHeadline, SearchQuery, SearchRank, SearchVector
from django.db.models import F, Func, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL

from staff.models import User
from supportdesk.templatetags.desk import MARK_END, MARK_START
from tickets.models import Message, MessageKind, Ticket, TicketText
from tickets.policies import can_read_notes
from tickets.query.compile import CONFIG, Compiler, required_by, rest_of, words_of
from tickets.query.language import Node, parse

MOST_MATCHES = 10_000
_WEIGHTS = [0.15, 0.3, 0.5, 1.0]  # of D (notes), C (replies), B (requester), A (subject)
_FEW = 5_000  # tickets that hold a word: so many are looked at one by one
_FIRST_WINDOW = 16_384


@dataclass(frozen=True)
class Asked:
    """A query understood: its tree, what it wants to find in the text, and what every match holds (None: nothing)."""

    node: Node | None
    words: SearchQuery | None
    required: SearchQuery | None


def understand(text: str) -> Asked:
    """Parse a query; raises `QueryError`."""
    node = parse(text)
    return Asked(node, words_of(node), required_by(node))


def picked(tickets: QuerySet[Ticket], user: User, asked: Asked) -> QuerySet[Ticket]:
    """The tickets of the set that the query picks."""
    return tickets if asked.node is None else Compiler(user, notes=can_read_notes(user)).apply(tickets, asked.node)


def without_required(user: User, asked: Asked) -> Asked:
    """The query less the words that every match holds; all of it for who reads no notes, whose words need more."""
    return Asked(rest_of(asked.node), None, None) if can_read_notes(user) else asked


def these(keys: Sequence[int]) -> RawSQL:
    """Very many keys as one parameter: a list of ten thousand literals takes longer to read than to look up."""
    return RawSQL("SELECT unnest(%s::bigint[])", [list(keys)])


def newest(tickets: QuerySet[Ticket], rest: QuerySet[Ticket], asked: Asked, *, most: int = MOST_MATCHES) -> list[int]:
    """Primary keys of the newest matches, newest first, one more than `most` where there are more.

    `rest` is the same set without the words that every match holds. Words that few tickets hold are looked up first, and the other conditions are put to those
    tickets alone. Else it goes back in windows of keys, each twice as wide: a common word is found
    often enough in the first ones.
    """
    if asked.required is not None:
        holding = list(TicketText.objects.filter(search=asked.required).values_list("pk", flat=True)[: _FEW + 1])
        if len(holding) <= _FEW:
            keys = rest.filter(pk__in=these(holding)).order_by().values_list("pk", flat=True)
            return sorted(keys, reverse=True)[: most + 1]
    high = Ticket.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    found: list[int] = []
    width = _FIRST_WINDOW
    while high > 0 and len(found) <= most:
        window = tickets.filter(pk__gt=high - width, pk__lte=high).order_by("-pk")
        found += window.values_list("pk", flat=True)[: most + 1 - len(found)]
        high, width = high - width, width * 2
    return found


def by_relevance(keys: Sequence[int], words: SearchQuery, *, start: int, size: int) -> list[int]:
    """One page of the keys, best match first, then newest; weights 1 for the subject to 0.15 for notes."""
    rank = SearchRank(F("search"), words, weights=_WEIGHTS)
    best = TicketText.objects.filter(pk__in=these(keys)).annotate(rank=rank).order_by("-rank", "-pk")
    return list(best.values_list("pk", flat=True)[start : start + size])


def highlight(tickets: Sequence[Ticket], words: SearchQuery, user: User) -> None:
    """Set `found` on each ticket: the place of a message that was found, with marks; and the subject with marks."""
    options: dict[str, Any] = {"start_sel": MARK_START, "stop_sel": MARK_END, "config": CONFIG}
    numbers = [ticket.pk for ticket in tickets]
    subjects = dict(
        Ticket.objects.filter(pk__in=numbers)
        .annotate(marked=SearchHeadline("subject", words, highlight_all=True, **options))
        .values_list("pk", "marked")
    )
    messages = Message.objects.filter(ticket__in=numbers)
    if not can_read_notes(user):
        messages = messages.exclude(kind=MessageKind.NOTE)
    places: dict[int, str] = {}
    # PostgreSQL works out a headline for the rows that it returns, and these are few.
    matching = messages.annotate(words=_vector()).filter(words=words).order_by("ticket_id", "-pk").distinct("ticket_id")
    marked = SearchHeadline("text", words, max_words=18, min_words=8, max_fragments=1, **options)
    for ticket_id, place in matching.annotate(place=marked).values_list("ticket_id", "place"):
        places[ticket_id] = place
    for ticket in tickets:
        ticket.marked_subject, ticket.found = subjects.get(ticket.pk, ""), places.get(ticket.pk, "")


def _vector() -> SearchVector:
    text = Func(F("text"), Value(20_000), function="left", output_field=TextField())
    return SearchVector(text, config=CONFIG)
