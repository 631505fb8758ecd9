"""Two versions of a ticket side by side: what somebody wanted to write, and what it says now."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from staff.models import User
from supportdesk.text import number_of
from tickets.models.ticket import Category, Priority, Status, Ticket

NOBODY = "Nobody"


def compared(ticket: Ticket, posted: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(property, as wanted, as it is now) of each property that was posted and differs, in words."""
    rows = []
    for name, (label, mine, now) in _PROPERTIES.items():
        if name in posted and (wanted := mine(posted[name].strip())) != (theirs := now(ticket)):
            rows.append((label, wanted, theirs))
    for field in ticket.custom:
        if field in posted and posted[field].strip() != str(ticket.custom[field]):
            rows.append((field, posted[field].strip() or "Nothing", str(ticket.custom[field])))
    return rows


def _row(model: Any, missing: str) -> Any:
    """What shows a row that a form names by its key."""
    return lambda text: str(model.objects.filter(pk=number_of(text)).first() or missing)


def _moment(text: str) -> str:
    try:
        found = parse_datetime(text)
    except ValueError:
        return text
    return f"{found:%d %b %Y %H:%M}" if found else "None"


def _list(text: str) -> str:
    return ", ".join(sorted(part.lower().lstrip("#") for part in text.replace(",", " ").split())) or "None"


def _label(choices: Any) -> Any:
    return lambda text: choices(text).label if text in choices.values else text


_PROPERTIES: dict[str, tuple[str, Any, Any]] = {
    "subject": ("Subject", lambda text: text, lambda t: t.subject),
    "status": ("Status", _label(Status), lambda t: Status(t.status).label),
    "priority": ("Priority", _label(Priority), lambda t: Priority(t.priority).label),
    "assignee": ("Assignee", _row(User, NOBODY), lambda t: str(t.assignee or NOBODY)),
    "category": ("Category", _row(Category, "None yet"), lambda t: str(t.category or "None yet")),
    "tags": ("Tags", _list, lambda t: ", ".join(sorted(t.tags)) or "None"),
    "cc": ("Copies to", _list, lambda t: ", ".join(sorted(t.cc)) or "None"),
    "deadline_at": (
        "Deadline", _moment, lambda t: f"{timezone.localtime(t.deadline_at):%d %b %Y %H:%M}" if t.deadline_at else "None",
    ),
}  # fmt: skip
