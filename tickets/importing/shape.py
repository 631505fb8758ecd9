"""What every reader makes of its file."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Literal

from supportdesk.errors import Invalid
from tickets.models import Channel, Priority, Status

Kind = Literal["requester", "reply", "note"]
_CHANNELS = {"web form": Channel.WEB, "twitter": Channel.CHAT, "sms": Channel.CHAT, "e-mail": Channel.EMAIL}


@dataclass(frozen=True)
class OldFile:
    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class OldMessage:
    """A message; `email` and `name` are its writer's."""

    kind: Kind
    at: datetime
    text: str
    email: str = ""
    name: str = ""
    html: bool = False
    files: tuple[OldFile, ...] = ()


@dataclass(frozen=True)
class OldTicket:
    """A ticket of another system. `key` is its own id there: what was imported under it is not imported again."""

    key: str
    where: str
    subject: str
    requester_email: str
    created_at: datetime
    messages: tuple[OldMessage, ...]
    requester_name: str = ""
    status: Status = Status.OPEN
    priority: Priority = Priority.NORMAL
    tier: int | None = None
    group: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    assignee: str = ""
    channel: Channel = Channel.EMAIL
    updated_at: datetime | None = None
    resolved_at: datetime | None = None
    deadline_at: datetime | None = None


@dataclass(frozen=True)
class Unreadable:
    """A row that could not be understood, where it stands, and why."""

    where: str
    reason: str


Row = OldTicket | Unreadable


def load_json(path: Path) -> Any:
    """A JSON document, or a list of documents of one line each. Raises `Invalid`."""
    text = path.read_text(encoding="utf-8-sig")
    try:
        return json.loads(text)
    except ValueError as whole:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise Invalid(f"{path.name} is not JSON: {whole}") from None


def moment(value: Any, *, what: str) -> datetime:
    """A time as other systems write it; without a zone it is UTC. Raises ValueError that says what to write."""
    text = str(value or "").strip()
    try:
        at = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    except ValueError:
        raise ValueError(f"{what}: {text[:40]!r} is not a time such as 2026-01-31T09:00:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def maybe_moment(value: Any, *, what: str) -> datetime | None:
    return moment(value, what=what) if str(value or "").strip() else None


def address(text: str) -> tuple[str, str]:
    """(name, address) of `Nicole Braun <nicole@zammad.org>` or of an address alone."""
    name, email = parseaddr(text)
    return name, email.lower() if "@" in email else ""


def choice(value: Any, choices: Any, aliases: Mapping[str, Any], *, what: str) -> Any:
    """One of a TextChoices by value, label or alias. Raises ValueError that names what there is."""
    text = re.sub(r"[\s_]+", " ", str(value).strip().lower())
    known = (
        {str(c.value).replace("_", " "): c for c in choices}
        | {str(c.label).lower(): c for c in choices}
        | dict(aliases)
    )
    if text not in known:
        raise ValueError(f"{what}: {text[:40]!r} is none of {', '.join(sorted(known))}")
    return known[text]


def channel(value: Any) -> Channel:
    """How it came; what is not known came over the web."""
    text = str(value or "").strip().lower()
    return _CHANNELS.get(text) or (Channel(text) if text in Channel.values else Channel.WEB)


def guarded(rows: Iterator[tuple[str, Any]], read: Any) -> Iterator[Row]:
    """Read each (where, row); one that cannot be understood is named and the next one read."""
    for where, row in rows:
        try:
            yield read(where, row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            yield Unreadable(where, reason)
