"""Tickets of a CSV file: a header line, then a ticket a line."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from supportdesk.errors import Invalid
from tickets.importing.shape import OldMessage, OldTicket, Row, address, channel, choice, guarded, maybe_moment, moment
from tickets.models import Priority, Status

NEEDED = ("subject", "text", "requester_email", "created_at")
KNOWN = (
    *NEEDED, "id", "requester_name", "status", "priority", "tier", "category", "tags", "cc", "assignee", "channel", "updated_at",
    "resolved_at", "deadline_at",
)  # fmt: skip
STATUSES = {"pending": Status.WAITING, "waiting": Status.WAITING, "hold": Status.ON_HOLD, "solved": Status.RESOLVED}
PRIORITIES = {"critical": Priority.URGENT, "medium": Priority.NORMAL}
csv.field_size_limit(50_000_000)


def read_csv(path: Path) -> Iterator[Row]:
    """Columns are those of `KNOWN`, in any order; those of `NEEDED` must be there. Raises `Invalid` for the header."""
    try:
        file = path.open(newline="", encoding="utf-8-sig")
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
    with file:
        reader = csv.DictReader(file)
        header = [name.strip().lower() for name in reader.fieldnames or []]
        if missing := [name for name in NEEDED if name not in header]:
            raise Invalid(f"{path.name}: the header line lacks {', '.join(missing)}; it may have: {', '.join(KNOWN)}.")
        if unknown := [name for name in header if name not in KNOWN]:
            raise Invalid(f"{path.name}: the header line has {', '.join(unknown)}; it may have: {', '.join(KNOWN)}.")
        reader.fieldnames = header
        try:
            yield from guarded(((f"line {reader.line_num}", row) for row in reader), _ticket)
        except (csv.Error, UnicodeDecodeError) as error:
            raise Invalid(f"{path.name}, line {reader.line_num}: {error}") from None


def _ticket(where: str, row: dict[str | None, str]) -> OldTicket:
    if None in row or any(value is None for value in row.values()):
        raise ValueError("it has not as many columns as the header")
    cells = {str(name): value.strip() for name, value in row.items()}
    name, email = address(cells["requester_email"])
    if not email:
        raise ValueError(f"requester_email: {cells['requester_email'][:40]!r} is not an address")
    created = moment(cells["created_at"], what="created_at")
    tier = cells.get("tier", "").lower().removeprefix("tier").strip()
    if tier and tier not in {"1", "2", "3"}:
        raise ValueError(f"tier: {tier[:40]!r} is not 1, 2 or 3")
    digest = hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()
    return OldTicket(
        key=cells.get("id") or digest,
        where=where,
        subject=cells["subject"],
        requester_email=email,
        requester_name=cells.get("requester_name") or name,
        created_at=created,
        messages=(OldMessage("requester", created, cells["text"], email=email),),
        status=choice(cells.get("status") or "open", Status, STATUSES, what="status"),
        priority=choice(cells.get("priority") or "normal", Priority, PRIORITIES, what="priority"),
        tier=int(tier) if tier else None,
        category=cells.get("category", ""),
        tags=tuple(cells.get("tags", "").replace(",", " ").split()),
        cc=tuple(cells.get("cc", "").replace(",", " ").replace(";", " ").split()),
        assignee=cells.get("assignee", "").lower(),
        channel=channel(cells.get("channel")),
        updated_at=maybe_moment(cells.get("updated_at"), what="updated_at"),
        resolved_at=maybe_moment(cells.get("resolved_at"), what="resolved_at"),
        deadline_at=maybe_moment(cells.get("deadline_at"), what="deadline_at"),
    )
