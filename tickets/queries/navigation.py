"""The side navigation's counts, in one statement."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from staff.models import Standing, Tier, User
from staff.policies import can_see_settings, is_administrator
from staff.queries import MOST_UNREAD, newest_of, notifications_for, shown_count
from supportdesk.text import number_of
from tickets import policies
from tickets.models import OPEN_STATUSES, Ticket
from tickets.queries.queue import MOST_COUNTED, SOON, in_view
from tickets.sla import rules

_NOW = datetime(1970, 1, 1, tzinfo=UTC)
LEVELS = (1, 2, 3)  # a constraint of staff.Tier
COUNTED_VIEWS = ("open", "mine", "unassigned", "breaching", "waiting")


def navigation(request: HttpRequest) -> dict[str, Any]:
    """A context processor: `nav` costs nothing on a page or fragment that does not show it."""
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {"nav": None}
    section, section_tier = _section(request)
    return {
        "nav": SimpleLazyObject(lambda: _navigation(user)),
        "section": section,
        "section_tier": section_tier,
        "section_saved": _saved(request),
        "can_open_ticket": SimpleLazyObject(lambda: policies.can_open(user)),
        "can_bulk": SimpleLazyObject(lambda: policies.can_bulk(user)),
        "can_see_settings": SimpleLazyObject(lambda: can_see_settings(user)),
        "is_administrator": SimpleLazyObject(lambda: is_administrator(user)),
    }


def _saved(request: HttpRequest) -> int | None:
    """The kept view that the reader is on."""
    htmx = getattr(request, "htmx", None)
    url = urlsplit((htmx.current_url_abs_path if htmx else "") or request.get_full_path())
    key = parse_qs(url.query).get("saved", [""])[0]
    return number_of(key)


def _section(request: HttpRequest) -> tuple[str, int | None]:
    """The navigation entry of the page that the reader is on, also when htmx asks for a fragment of it."""
    htmx = getattr(request, "htmx", None)
    url = urlsplit((htmx.current_url_abs_path if htmx else "") or request.get_full_path())
    top, _, rest = url.path.strip("/").partition("/")
    if top == "settings":
        return "mail" if rest.startswith("mail/") else "settings", None
    if top != "tickets":
        return top, None
    asked = parse_qs(url.query)
    if "saved" in asked:
        return "saved", None
    tier = asked.get("tier", [""])[0]
    if url.path != "/tickets/" or tier:
        return "", number_of(tier)
    return asked.get("view", ["open"])[0], None


def _count(tickets: QuerySet[Ticket]) -> tuple[str, tuple[Any, ...]]:
    """A subquery that counts to the limit, with its parameters."""
    try:
        sql, values = tickets.order_by().values("status")[:MOST_COUNTED].query.sql_with_params()
    except EmptyResultSet:
        return "0", ()
    return f"(SELECT count(*) FROM ({sql}) AS counted)", values  # noqa: S608 - Django's own statement


@lru_cache(maxsize=1024)
def _counting(user_id: int, standing: Standing) -> tuple[str, tuple[Any, ...]]:
    """The statement of all counts for a person, with `_NOW` where its moment goes: writing it takes longer than running it."""
    user = User(pk=user_id, role=standing.role)
    user.__dict__["standing"] = standing
    halves = Ticket.objects.halves_visible_to(user)
    sets = [[in_view(half, view, user, now=_NOW) for half in halves] for view in COUNTED_VIEWS]
    tiers_of = [Subquery(Tier.objects.filter(level=level).values("pk")[:1]) for level in LEVELS]
    sets += [
        [half.filter(status__in=OPEN_STATUSES, snoozed_until=None, tier=tier) for half in halves] for tier in tiers_of
    ]
    parts: list[str] = []
    parameters: list[Any] = []
    for pair in sets:
        counted = [_count(half) for half in pair]
        parts.append(f"least({MOST_COUNTED}, {' + '.join(sql for sql, _ in counted)})")
        parameters += [value for _, values in counted for value in values]
    unread, values = (
        notifications_for(user).filter(read_at=None).order_by().values("pk")[:MOST_UNREAD].query.sql_with_params()
    )
    parts.append(f"(SELECT count(*) FROM ({unread}) AS counted)")  # noqa: S608 - Django's own statement
    parameters += values
    newest, values = newest_of(user).values("pk")[:1].query.sql_with_params()
    parts.append(f"coalesce(({newest}), 0)")
    parameters += values
    parts += ["(SELECT number FROM tickets_slarevision LIMIT 1)", "(SELECT edited_at FROM tickets_slarevision LIMIT 1)"]
    return "SELECT " + ", ".join(parts), tuple(parameters)


def _navigation(user: User) -> dict[str, Any]:
    """`counts` by view, and the tiers with theirs; every count stops at a limit, so it stays cheap."""
    sql, values = _counting(user.pk, user.standing)
    soon = timezone.now() + SOON
    with connection.cursor() as cursor:
        cursor.execute(sql, [soon if value == _NOW + SOON else value for value in values])
        row = cursor.fetchone()
    *row, waiting, newest, number, edited_at = row
    tiers = rules.of(number, edited_at).tiers if number else ()
    counts = [f"{MOST_COUNTED - 1}+" if count >= MOST_COUNTED else count for count in row]
    return {
        "unread": shown_count(waiting),
        "newest_notice": newest,
        "counts": dict(zip(COUNTED_VIEWS, counts, strict=False)),
        "tiers": list(zip(tiers, counts[len(COUNTED_VIEWS) :], strict=False)),
    }
