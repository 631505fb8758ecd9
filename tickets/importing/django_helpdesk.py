"""Tickets of django-helpdesk: `manage.py dumpdata helpdesk auth.user`, or the JSON of its REST API.

Numbers of states and priorities are those of its models: 1 open … 5 duplicate, 1 critical … 5 very low.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tickets.importing.shape import OldMessage, OldTicket, Row, address, guarded, load_json, maybe_moment, moment
from tickets.models import Channel, Priority, Status

_STATUS = {
    1: Status.OPEN, 2: Status.OPEN, 3: Status.RESOLVED, 4: Status.CLOSED, 5: Status.CLOSED, 6: Status.OPEN,
}  # fmt: skip
_PRIORITY = {1: Priority.URGENT, 2: Priority.HIGH, 3: Priority.NORMAL, 4: Priority.LOW, 5: Priority.LOW}


def read_django_helpdesk(path: Path) -> Iterator[Row]:
    """Either shape, told by the rows themselves. Files lie outside of the dump and do not come along."""
    data = load_json(path)
    rows = data.get("results", [data]) if isinstance(data, dict) else data
    if rows and isinstance(rows[0], dict) and "model" in rows[0]:
        rows = _of_dump(rows)
    yield from guarded(((f"ticket {row.get('id', '?')}", row) for row in rows), _ticket)


def _of_dump(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a dump as the REST API would give them, with names in place of keys."""
    tables: dict[str, dict[Any, dict[str, Any]]] = {}
    for row in rows:
        tables.setdefault(str(row["model"]).lower(), {})[row["pk"]] = row["fields"]
    users, queues = tables.get("auth.user", {}), tables.get("helpdesk.queue", {})
    followups: dict[Any, list[dict[str, Any]]] = {}
    for fields in tables.get("helpdesk.followup", {}).values():
        followups.setdefault(fields["ticket"], []).append(fields | {"user": users.get(fields.get("user"), {})})
    copies: dict[Any, list[str]] = {}
    for fields in tables.get("helpdesk.ticketcc", {}).values():
        email = fields.get("email") or users.get(fields.get("user"), {}).get("email", "")
        copies.setdefault(fields["ticket"], []).append(email)
    return [
        fields
        | {
            "id": pk,
            "queue": queues.get(fields.get("queue"), {}).get("title", ""),
            "assigned_to": users.get(fields.get("assigned_to"), {}),
            "followup_set": followups.get(pk, []),
            "cc": copies.get(pk, []),
        }
        for pk, fields in tables.get("helpdesk.ticket", {}).items()
    ]


def _ticket(where: str, row: dict[str, Any]) -> OldTicket:
    created = moment(row["created"], what="created")
    name, email = address(row.get("submitter_email") or "")
    status = _STATUS.get(int(row.get("status", 1)), Status.OPEN)
    if row.get("on_hold") and status == Status.OPEN:
        status = Status.ON_HOLD
    first = OldMessage("requester", created, row.get("description") or row["title"], email=email, name=name)
    later = [_followup(each, email) for each in row.get("followup_set", []) if (each.get("comment") or "").strip()]
    if resolution := (row.get("resolution") or "").strip():
        at = maybe_moment(row.get("modified"), what="modified") or created
        later.append(OldMessage("note", at, f"Resolution: {resolution}"))
    messages = (first, *sorted(later, key=lambda message: message.at))
    updated = maybe_moment(row.get("modified"), what="modified")
    return OldTicket(
        key=str(row["id"]),
        where=where,
        subject=str(row["title"]),
        requester_email=email or "unknown@invalid",
        requester_name=name,
        created_at=created,
        messages=messages,
        status=status,
        priority=_PRIORITY.get(int(row.get("priority") or 3), Priority.NORMAL),
        group=str(row.get("queue") or ""),
        cc=tuple(each for each in row.get("cc", []) if each),
        assignee=_email_of(row.get("assigned_to")),
        channel=Channel.EMAIL if email else Channel.WEB,
        updated_at=updated,
        resolved_at=updated if status in {Status.RESOLVED, Status.CLOSED} else None,
        deadline_at=maybe_moment(row.get("due_date"), what="due_date"),
    )


def _followup(row: dict[str, Any], requester: str) -> OldMessage:
    """A public one without a user, or of the submitter, is the requester's; another public one a reply."""
    user = row.get("user")
    email = _email_of(user)
    name = " ".join(filter(None, (user.get("first_name"), user.get("last_name")))) if isinstance(user, dict) else ""
    theirs = not user or (email and email == requester)
    kind = "note" if not row.get("public") else "requester" if theirs else "reply"
    at = moment(row["date"], what="date of a follow-up")
    return OldMessage(kind, at, row["comment"], email=requester if kind == "requester" else email, name=name)  # type: ignore[arg-type]


def _email_of(user: Any) -> str:
    if isinstance(user, dict):
        return str(user.get("email") or "").lower()
    return str(user).lower() if isinstance(user, str) and "@" in user else ""
