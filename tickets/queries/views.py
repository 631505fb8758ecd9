"""Views of the queue: what they are called, how many tickets they hold, and what a query may say."""

from typing import Any

from staff.models import User
from supportdesk.errors import NotFound
from tickets.models import Category, SavedView, Ticket
from tickets.queries.queue import COLUMNS, MOST_COUNTED, Filters, matching
from tickets.query.language import FIELDS, VALUES, QueryError

MOST_SHOWN = 12  # in the navigation, with their counts
# A named view of the queue in the words of the query language.
_AS_QUERY = {
    "open": "is:open -is:snoozed", "mine": "is:mine -is:snoozed", "unassigned": "is:unassigned -is:snoozed", "breaching": "is:breaching",
    "waiting": "is:waiting -is:snoozed", "snoozed": "is:snoozed", "resolved": "is:resolved", "spam": "is:spam", "all": "",
}  # fmt: skip


def views_of(user: User) -> list[SavedView]:
    """Everybody's views and the reader's own, in their order."""
    return list(SavedView.objects.visible_to(user))


def view(user: User, pk: int) -> SavedView:
    """One view that the reader may use, or NotFound."""
    found = SavedView.objects.visible_to(user).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such view.")
    return found


def counts_of(user: User) -> list[tuple[SavedView, str]]:
    """The first views with how many tickets they hold now, counted to a limit; empty where a query makes no sense any more."""
    found = []
    for kept in views_of(user)[:MOST_SHOWN]:
        try:
            filters = Filters.read({"saved": str(kept.pk)}, user)
            count = matching(user, filters).order_by()[:MOST_COUNTED].count()
            found.append((kept, f"{MOST_COUNTED - 1}+" if count >= MOST_COUNTED else str(count)))
        except QueryError:
            found.append((kept, ""))
    return found


def as_query(filters: Filters) -> str:
    """What the queue shows now, as one query that can be kept."""
    parts = (
        [_AS_QUERY[filters.view]] if not filters.saved else [f"({filters.saved.query})" if filters.saved.query else ""]
    )
    parts += [
        f"{name}:{value}" for name in ("tier", "status", "priority", "assignee") if (value := getattr(filters, name))
    ]
    if filters.q:
        parts.append(f"({filters.q})" if " or " in filters.q.lower() else filters.q)
    return " ".join(filter(None, parts))


def view_initial(kept: SavedView | None, filters: Filters) -> dict[str, Any]:
    """A kept view, or what the queue shows now, as the first values of the form."""
    if kept is None:
        return {"query": as_query(filters), "sort": filters.sort, "columns": list(COLUMNS)[:6]}
    own = {name: getattr(kept, name) for name in ("name", "query", "sort", "group", "position")}
    return own | {"columns": kept.columns or list(COLUMNS)[:6], "for_all": kept.owner_id is None}


def query_words(user: User) -> dict[str, list[str]]:
    """What the query box completes: names, and the values of those that have few."""
    tags = Ticket.objects.visible_to(user).open().exclude(tags=[]).order_by("-id").values_list("tags", flat=True)[:200]
    people = User.objects.filter(is_active=True).exclude(role="integration").order_by("email")
    named = {
        "category": list(Category.objects.values_list("slug", flat=True)[:100]),
        "tag": sorted({tag for row in tags for tag in row})[:100],
        "assignee": ["me", "none", *people.values_list("email", flat=True)[:200]],
    }
    return {name: list(VALUES.get(name, ())) or named.get(name, []) for name in FIELDS}
