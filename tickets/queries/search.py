"""Find tickets by words among very many: the newest ten thousand matches, then the best of those."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.search import SearchHeadline, SearchQuery, SearchRank, SearchVector
from django.db.models import BooleanField, Exists, F, Func, Model, OuterRef, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL

from staff.models import User
from supportdesk.templatetags.desk import MARK_END, MARK_START
from tickets.models import Message, MessageKind, Ticket, TicketText
from tickets.policies import can_read_notes
from tickets.query.compile import CONFIG, Compiler, required_by, rest_of, words_of
from tickets.query.language import Node, parse

MOST_MATCHES = 10_000
_WEIGHTS = [0.15, 0.3, 0.5, 1.0]  # of D (notes), C (replies), B (requester), A (subject)
_FEW = 2_500  # tickets that hold a word: so many are looked at one by one
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


def these(model: type[Model], keys: Sequence[int]) -> RawSQL:
    """The rows of these keys, as one parameter: ten thousand literals take longer to read than to look up."""
    column = f'"{model._meta.db_table}"."{model._meta.pk.column}"'
    return RawSQL(f"{column} = ANY(%s::bigint[])", [list(keys)], output_field=BooleanField())  # noqa: S611 - a column of ours


@dataclass(frozen=True)
class Found:
    """Primary keys of matches, newest first; with their ranks where these are known already."""

    keys: list[int]
    ranks: dict[int, float] | None = None


def newest(tickets: QuerySet[Ticket], rest: QuerySet[Ticket], asked: Asked, *, most: int = MOST_MATCHES) -> Found:
    """The newest matches, newest first, one more than `most` where there are more.

    `rest` is the same set without the words that every match holds. Words that few tickets hold are
    looked up first, and the other conditions are put to those tickets alone. Else it goes back in windows.
    """
    if asked.required is not None:
        holding = list(TicketText.objects.filter(search=asked.required).values_list("pk", flat=True)[: _FEW + 1])
        if len(holding) <= _FEW:
            keys = rest.filter(these(Ticket, holding)).order_by().values_list("pk", flat=True)
            return Found(sorted(keys, reverse=True))
    return Found(_in_windows(lambda low, high: tickets.filter(pk__gt=low, pk__lte=high), most))


def newest_by_words(hidden: QuerySet[Ticket], words: SearchQuery, *, most: int = MOST_MATCHES) -> Found:
    """The same for who asks for words and nothing else, from the words alone: joining each match with its ticket costs more.

    `hidden` are the few tickets that the reader may not see.
    """
    seen = TicketText.objects.filter(~Exists(hidden.filter(pk=OuterRef("pk"))), search=words)
    # A word that few tickets hold is ranked while its tickets are looked at.
    ranks = dict(seen.annotate(rank=_rank(words)).values_list("pk", "rank")[: _FEW + 1])
    if len(ranks) <= _FEW:
        return Found(sorted(ranks, reverse=True), ranks)
    return Found(_in_windows(lambda low, high: seen.filter(pk__gt=low, pk__lte=high), most))


def _in_windows(between: Callable[[int, int], QuerySet[Any]], most: int) -> list[int]:
    """The newest keys, going back in windows, each twice as wide: a common word is found often enough in the first ones."""
    high = Ticket.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    found: list[int] = []
    width = _FIRST_WINDOW
    while high > 0 and len(found) <= most:
        window = between(high - width, high).order_by("-pk")
        found += window.values_list("pk", flat=True)[: most + 1 - len(found)]
        high, width = high - width, width * 2
    return found


def by_relevance(found: Found, words: SearchQuery, *, start: int, size: int) -> list[int]:
    """One page of the newest matches, best first, then newest; weights 1 for the subject to 0.15 for notes."""
    if found.ranks is not None:
        ranks = found.ranks
        return sorted(found.keys, key=lambda key: (-ranks[key], -key))[start : start + size]
    texts = TicketText.objects.filter(these(TicketText, found.keys[:MOST_MATCHES]))
    best = texts.annotate(rank=_rank(words)).order_by("-rank", "-pk")
    return list(best.values_list("pk", flat=True)[start : start + size])


def _rank(words: SearchQuery) -> SearchRank:
    return SearchRank(F("search"), words, weights=_WEIGHTS)


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
