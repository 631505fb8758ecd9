"""Find the article that helps."""

import re
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.search import SearchHeadline, SearchQuery, SearchRank
from django.db import connection
from django.db.models import Count, F, Q, QuerySet, TextField, Value
from django.db.models.functions import Concat

from knowledge.models import Article, Diagnosis, Fix
from runbooks.policies import can_run
from staff.models import User
from supportdesk.errors import NotFound
from supportdesk.templatetags.desk import MARK_END, MARK_START
from supportdesk.text import one_line
from tickets.models import Message, MessageKind, Ticket

CONFIG = "english"
WEIGHTS = [0.1, 0.3, 0.6, 1.0]  # of D (commands), C (summary), B (symptoms), A (title)
SUGGESTIONS = 3
MOST_RESULTS = 50
_WORD = re.compile(r"[^\W\d_][\w]{2,}")
# The weights of WEIGHTS, and inverse document frequency ln(1 + N/df) over the 300 nearest articles.
_SCORES = """
WITH asked AS (
    SELECT lexeme, max(boost) AS boost FROM (
        SELECT lexeme, 1.5 AS boost FROM unnest(to_tsvector('english', %(subject)s))
        UNION ALL SELECT lexeme, 1.0 FROM unnest(to_tsvector('english', %(body)s))
    ) AS words WHERE length(lexeme) > 2 AND lexeme !~ '^[0-9.]+$' GROUP BY lexeme
), query AS (
    SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS any FROM asked
), candidate AS (
    SELECT id, category_id, search FROM knowledge_article, query
    WHERE state = 'published' AND search @@ query.any ORDER BY ts_rank(search, query.any) DESC LIMIT 300
), hit AS (
    SELECT candidate.id, asked.lexeme, asked.boost,
           CASE WHEN 'A' = ANY(word.weights) THEN 1.0 WHEN 'B' = ANY(word.weights) THEN 0.8
                WHEN 'C' = ANY(word.weights) THEN 0.4 ELSE 0.15 END AS weight
    FROM candidate CROSS JOIN LATERAL unnest(candidate.search) AS word JOIN asked ON asked.lexeme = word.lexeme
), rarity AS (
    SELECT lexeme, ln(1 + (SELECT count(*) FROM candidate)::float / count(DISTINCT id)) AS value FROM hit GROUP BY lexeme
)
SELECT candidate.id, sum(hit.boost * hit.weight * rarity.value)
                     * CASE WHEN candidate.category_id = %(category)s THEN 1.3 ELSE 1 END AS score
FROM candidate JOIN hit USING (id) JOIN rarity USING (lexeme)
GROUP BY candidate.id, candidate.category_id ORDER BY score DESC LIMIT 10
"""


@dataclass(frozen=True)
class Results:
    """What a search found; `corrected` is the query that was searched when words of the asked one are unknown."""

    asked: str
    corrected: str
    articles: list[Article]


@dataclass(frozen=True)
class Step:
    """A diagnosis or fix with whether this reader may run its runbook."""

    item: Diagnosis | Fix
    can_run: bool


@dataclass(frozen=True)
class ArticlePage:
    article: Article
    diagnoses: list[Step]
    fixes: list[Step]
    related: list[Article]


def search(user: User, text: str) -> Results:
    """Articles for a query, best first. A mistyped word is replaced by the nearest word of the articles."""
    text = one_line(text)
    if not text:
        return Results("", "", list(_listed(user).order_by("category__position", "title")[:MOST_RESULTS]))
    corrected = _corrected(text)
    found = _ranked(user, SearchQuery(corrected, search_type="websearch", config=CONFIG))
    if not found:
        found = _ranked(user, _any_of(corrected))
    return Results(text, corrected if corrected != text.lower() else "", found)


def _listed(user: User) -> QuerySet[Article]:
    return (
        Article.objects.visible_to(user)
        .select_related("category")
        .annotate(
            fix_count=Count("fixes", distinct=True),
            runnable=Count("fixes", filter=Q(fixes__runbook__isnull=False), distinct=True),
        )
    )


def _ranked(user: User, query: SearchQuery | None) -> list[Article]:
    if query is None:
        return []
    options: dict[str, Any] = {"config": CONFIG, "start_sel": MARK_START, "stop_sel": MARK_END}
    return list(
        _listed(user)
        .filter(search=query)
        .annotate(
            rank=SearchRank(F("search"), query, weights=WEIGHTS, normalization=Value(1)),
            shown_title=SearchHeadline("title", query, highlight_all=True, **options),
            shown_text=SearchHeadline(
                Concat("summary", Value(" "), "symptoms", output_field=TextField()),
                query,
                max_words=38,
                min_words=20,
                max_fragments=2,
                **options,
            ),
        )
        .order_by("-rank", "title")[:MOST_RESULTS]
    )


def _corrected(text: str) -> str:
    """The query with every unknown word replaced by the nearest known one, or left when none is near."""
    words = list(dict.fromkeys(word for word in _WORD.findall(text.lower()) if word.isascii()))
    if not words:
        return text.lower()
    with connection.cursor() as cursor:
        # A word is known when the articles have it or a word of its stem.
        cursor.execute(
            """
            SELECT asked.word, near.text
            FROM unnest(%s::text[]) AS asked(word)
            JOIN LATERAL (
                SELECT text FROM knowledge_word WHERE text %% asked.word
                ORDER BY similarity(text, asked.word) DESC, length(text), text LIMIT 1
            ) AS near ON true
            WHERE NOT EXISTS (SELECT 1 FROM knowledge_word WHERE text = asked.word)
              AND NOT EXISTS (
                SELECT 1 FROM knowledge_article
                WHERE state = 'published' AND search @@ plainto_tsquery('english', asked.word)
                  AND numnode(plainto_tsquery('english', asked.word)) > 0
              )
              AND numnode(plainto_tsquery('english', asked.word)) > 0
            """,
            [words],
        )
        nearest = dict(cursor.fetchall())
    return _WORD.sub(lambda match: nearest.get(match[0], match[0]), text.lower())


def _any_of(text: str, *, most: int = 60) -> SearchQuery | None:
    """A query that any word of the text satisfies; None when it has none."""
    words = list(dict.fromkeys(word for word in _WORD.findall(text.lower()) if len(word) < 40))[:most]
    query: SearchQuery | None = None
    for word in words:
        one = SearchQuery(word, config=CONFIG)
        query = one if query is None else query | one
    return query


def suggestions(user: User, ticket: Ticket) -> list[Article]:
    """The best three articles for what a ticket's subject and its requester's first words say.

    Each word that an article shares with the ticket counts by where it stands in the article (title,
    symptoms, summary, commands) and by how rare it is among the candidates, so that "slots" says
    more than "failing". Words of the subject count half as much again; an article of the ticket's
    category is lifted.
    """
    first = (
        Message.objects.filter(ticket=ticket, kind=MessageKind.REQUESTER)
        .order_by("id")
        .values_list("text", flat=True)
        .first()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            _SCORES, {"subject": ticket.subject, "body": (first or "")[:4000], "category": ticket.category_id}
        )
        scores: dict[int, float] = dict(cursor.fetchall())
    found = _listed(user).filter(pk__in=scores)
    return sorted(found, key=lambda article: (-scores[article.pk], article.title))[:SUGGESTIONS]


def article(user: User, slug: str) -> ArticlePage:
    """The article page's facts, or `NotFound`."""
    found = Article.objects.visible_to(user).select_related("category").filter(slug=slug).first()
    if found is None:
        raise NotFound("There is no such article.")
    related = Article.objects.visible_to(user).filter(category=found.category).exclude(pk=found.pk)[:5]
    return ArticlePage(
        article=found,
        diagnoses=[_step(user, item) for item in found.diagnoses.select_related("runbook")],
        fixes=[_step(user, item) for item in found.fixes.select_related("runbook")],
        related=list(related),
    )


def _step(user: User, item: Diagnosis | Fix) -> Step:
    return Step(item, item.runbook is not None and can_run(user, item.runbook))
