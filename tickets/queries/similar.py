"""Earlier tickets of a requester, and those that may be the same: asked while a new one is written."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations

from django.contrib.postgres.search import SearchQuery, SearchRank, TrigramSimilarity
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone

from staff.models import User
from tickets.models import OPEN_STATUSES, Requester, Ticket
from tickets.policies import can_read_notes
from tickets.queries.queue import requesters_for
from tickets.query.compile import public_words

LOOK_BACK, ALIKE = timedelta(days=90), 0.35
MOST_EARLIER, MOST_ALIKE, MOST_WORDS, MOST_SUGGESTED = 10, 5, 12, 8


@dataclass(frozen=True)
class Earlier:
    """A requester's tickets, newest first; `alike` are those that may be about the same."""

    requester: Requester | None
    tickets: list[Ticket]
    alike: set[int]
    total: int


def earlier(user: User, email: str, *, words: str = "") -> Earlier:
    """What the user may see of the requester of an address."""
    requester = (
        requesters_for(user)
        .select_related("organization")
        .alias(address=Lower("email"))
        .filter(address=email.strip().lower())
        .first()
    )
    if requester is None:
        return Earlier(None, [], set(), 0)
    theirs = Ticket.objects.visible_to(user).filter(requester=requester)
    newest = list(theirs.select_related("tier", "assignee").order_by("-pk")[:MOST_EARLIER])
    same = {ticket.pk for ticket in alike(user, theirs, words)} if words.strip() else set()
    return Earlier(requester, newest, same, theirs[:1000].count())


def alike(user: User, tickets: QuerySet[Ticket], words: str) -> list[Ticket]:
    """Tickets of the set, open or of the last 90 days, whose subject is like the words or that hold two of them.

    Words of internal notes count for those who may read these.
    """
    recent = tickets.filter(Q(status__in=OPEN_STATUSES) | Q(created_at__gte=timezone.now() - LOOK_BACK))
    recent = recent.filter(merged_into=None)
    near = recent.annotate(likeness=TrigramSimilarity("subject", words[:300])).filter(likeness__gte=ALIKE)
    found: list[Ticket] = list(near.order_by("-likeness", "-pk")[:MOST_ALIKE])
    if (query := _most_of(words)) is not None and len(found) < MOST_ALIKE:
        by_words = recent.filter(text__search=query)
        if not can_read_notes(user):
            by_words = by_words.annotate(public_text=public_words()).filter(public_text=query)
        by_words = by_words.exclude(pk__in=[ticket.pk for ticket in found])
        ranked = by_words.annotate(rank=SearchRank(F("text__search"), query, weights=[0.0, 0.2, 0.4, 1.0]))
        found += list(ranked.order_by("-rank", "-pk")[: MOST_ALIKE - len(found)])
    return found


def _most_of(words: str) -> SearchQuery | None:
    """A search for tickets that hold any two of the words, or the only one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tsvector_to_array(to_tsvector('english', %s))", [words[:2000]])
        stems = cursor.fetchone()[0][:MOST_WORDS]
    if not stems:
        return None
    if len(stems) == 1:
        return SearchQuery(stems[0], config="simple")
    pairs = [f"({_quoted(one)} & {_quoted(other)})" for one, other in combinations(stems, 2)]
    return SearchQuery(" | ".join(pairs), search_type="raw", config="simple")


def _quoted(stem: str) -> str:
    return "'" + stem.replace("\\", "\\\\").replace("'", "''") + "'"


def people_like(user: User, text: str) -> QuerySet[Requester]:
    """Requesters whose name or address holds the text, of tickets that the user may see."""
    like = Q(email__icontains=text) | Q(name__icontains=text)
    return requesters_for(user).filter(like)[:MOST_SUGGESTED]
