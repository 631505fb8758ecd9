"""Tickets of Zammad: what GET /api/v1/tickets?expand=true answers, with each ticket's articles.

The file is a list of tickets, `{"tickets": […], "articles": […], "users": […]}`, or a document a line. A ticket has
its articles under `articles`, or they stand in the list of articles with its `ticket_id`. Attachments come along
where an article carries them as base64 under `data`.
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tickets.importing.shape import (
    OldFile,
    OldMessage,
    OldTicket,
    Row,
    address,
    channel,
    choice,
    guarded,
    load_json,
    maybe_moment,
    moment,
)
from tickets.models import Priority, Status

# The names and ids that a fresh Zammad has.
_STATES = {
    "new": Status.NEW, "open": Status.OPEN, "pending reminder": Status.ON_HOLD, "pending close": Status.ON_HOLD,
    "closed": Status.CLOSED, "merged": Status.CLOSED, "removed": Status.CLOSED,
}  # fmt: skip
_STATE_IDS = {1: "new", 2: "open", 3: "pending reminder", 4: "closed", 5: "merged", 6: "removed", 7: "pending close"}
_PRIORITIES = {"1 low": Priority.LOW, "2 normal": Priority.NORMAL, "3 high": Priority.HIGH}
_PRIORITY_IDS = {1: "1 low", 2: "2 normal", 3: "3 high"}


def read_zammad(path: Path) -> Iterator[Row]:
    """Either shape; articles and users are found by id where they stand apart."""
    data = load_json(path)
    whole = (
        data
        if isinstance(data, dict) and "tickets" in data
        else {"tickets": data if isinstance(data, list) else [data]}
    )
    articles: dict[Any, list[dict[str, Any]]] = {}
    for article in _rows(whole.get("articles") or whole.get("ticket_articles")):
        articles.setdefault(article.get("ticket_id"), []).append(article)
    users = {user.get("id"): user for user in _rows(whole.get("users"))}
    rows = _rows(whole["tickets"])
    joined = (
        row | {"articles": row.get("articles") or articles.get(row.get("id"), []), "_users": users} for row in rows
    )
    yield from guarded(((f"ticket {row.get('number') or row.get('id', '?')}", row) for row in joined), _ticket)


def _rows(value: Any) -> list[dict[str, Any]]:
    """A list, or Zammad's assets: rows by id."""
    return list(value.values()) if isinstance(value, dict) else list(value or [])


def _ticket(where: str, row: dict[str, Any]) -> OldTicket:
    created = moment(row["created_at"], what="created_at")
    name, email = _person(row, "customer")
    messages = [_article(article, created, row) for article in row["articles"]]
    messages.sort(key=lambda message: message.at)
    if not email and messages:
        written = next((m for m in messages if m.kind == "requester" and m.email), None)
        name, email = (written.name, written.email) if written else ("", "")
    status = choice(row.get("state") or _STATE_IDS.get(row.get("state_id", 2), "open"), Status, _STATES, what="state")
    priority = row.get("priority") or _PRIORITY_IDS.get(row.get("priority_id", 2), "2 normal")
    _, owner = _person(row, "owner")
    return OldTicket(
        key=str(row["id"]),
        where=where,
        subject=str(row.get("title") or "(no subject)"),
        requester_email=email or "unknown@invalid",
        requester_name=name,
        created_at=created,
        messages=tuple(messages)
        or (OldMessage("requester", created, str(row.get("title") or "(no text)"), email=email),),
        status=status,
        priority=choice(priority, Priority, _PRIORITIES, what="priority"),
        group=str(row.get("group") or ""),
        tags=tuple(row.get("tags") or ()),
        assignee=owner,
        channel=channel(
            row.get("create_article_type") or (row["articles"][0].get("type") if row["articles"] else "web")
        ),
        updated_at=maybe_moment(row.get("updated_at"), what="updated_at"),
        resolved_at=maybe_moment(row.get("close_at"), what="close_at"),
        deadline_at=maybe_moment(row.get("pending_time"), what="pending_time"),
    )


def _person(row: dict[str, Any], name: str) -> tuple[str, str]:
    """(name, address) of the customer or owner: expanded, nested, or by id; `-` is Zammad's nobody."""
    user = row.get(name)
    if user is None or (isinstance(user, str) and "@" not in user):
        user = row["_users"].get(row.get(f"{name}_id"), user)
    if isinstance(user, dict):
        full = " ".join(filter(None, (user.get("firstname"), user.get("lastname"))))
        return full, str(user.get("email") or user.get("login") or "").lower()
    return address(user) if isinstance(user, str) else ("", "")


def _article(article: dict[str, Any], created: Any, row: dict[str, Any]) -> OldMessage:
    name, email = address(str(article.get("from") or article.get("created_by") or ""))
    sender = str(
        article.get("sender") or {1: "Agent", 2: "Customer", 3: "System"}.get(article.get("sender_id", 2))
    ).lower()
    kind = "note" if article.get("internal") or sender == "system" else "requester" if sender == "customer" else "reply"
    files = tuple(_files(article.get("attachments") or ()))
    return OldMessage(
        kind,  # type: ignore[arg-type]
        maybe_moment(article.get("created_at"), what="created_at of an article") or created,
        str(article.get("body") or ""),
        email=email,
        name=name or str(article.get("from") or ""),
        html=article.get("content_type") == "text/html",
        files=files,
    )


def _files(rows: Any) -> Iterator[OldFile]:
    for row in rows:
        if row.get("data"):
            kind = (
                row.get("mime-type") or (row.get("preferences") or {}).get("Content-Type") or "application/octet-stream"
            )
            yield OldFile(str(row.get("filename") or "file"), str(kind), base64.b64decode(row["data"]))
