"""Write a message with its files. Shared by the actions that add one; not an action itself."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from django.conf import settings
from django.core.files.base import ContentFile
from django.utils import timezone

from staff.models import User
from supportdesk.errors import Invalid
from supportdesk.text import clean, one_line
from tickets.files import danger_of
from tickets.models import Attachment, Message, MessageKind, Requester, Ticket, TicketText
from tickets.models import text as text_model

MOST_FILES = 200


@dataclass(frozen=True)
class NewFile:
    """A file that comes with a message; `name` is made safe when it is stored."""

    name: str
    content_type: str
    content: bytes
    content_id: str = ""  # by which the HTML of a mail calls it


def safe_name(name: str) -> str:
    """A file name without folders, control characters or leading dots, still readable."""
    leaf = PurePosixPath(one_line(name, most=400).replace("\\", "/")).name.lstrip(".").strip()
    leaf = "".join("_" if c in '<>:"|?*\0' else c for c in leaf)
    if len(leaf) > 150:
        stem, dot, suffix = leaf.rpartition(".")
        leaf = stem[: 149 - len(suffix)] + dot + suffix if dot and len(suffix) < 12 else leaf[:150]
    return leaf or "attachment"


def check_sizes(sizes: Sequence[int]) -> None:
    """Refuse files of people and programs beyond DESK_MAX_UPLOAD_MB or DESK_MAX_FILES; mail is kept whole."""
    most = settings.MAX_UPLOAD_MB
    if sum(sizes) > most * 1024 * 1024:
        words = f"The files are larger than {most} MB together; send fewer or smaller ones."
        raise Invalid(words, fields={"files": [words]})
    if len(sizes) > settings.MAX_FILES:
        words = f"A message takes {settings.MAX_FILES} files at most; pack them together."
        raise Invalid(words, fields={"files": [words]})


def add(
    ticket: Ticket,
    *,
    kind: MessageKind,
    text: str,
    author: User | None = None,
    requester: Requester | None = None,
    html: str = "",
    quoted: str = "",
    message_id: str = "",
    automatic: bool = False,
    files: Sequence[NewFile] = (),
    at: datetime | None = None,
    minutes: int | None = None,
    also_words: Sequence[tuple[str, str]] = (),
) -> Message:
    """Add the message, its words to the search, and its attachments, in the open transaction.

    `also_words` are other (weight, text) pairs that the ticket is found by from now on.
    """
    message = Message.objects.create(
        ticket=ticket,
        kind=kind,
        author=author,
        requester=requester,
        text=clean(text),
        quoted=clean(quoted),
        html=html,
        rfc_id=message_id,
        automatic=automatic,
        minutes=minutes,
        created_at=at or timezone.now(),
    )
    if ticket.erased_at is not None:  # there are words on it again, for the next erasure to find
        Ticket.objects.filter(pk=ticket.pk).update(erased_at=None)
    weights = {
        MessageKind.REQUESTER: text_model.REQUESTER,
        MessageKind.REPLY: text_model.REPLY,
        MessageKind.NOTE: text_model.NOTE,
    }
    TicketText.add(ticket, [*also_words, (weights[kind], message.text)])
    for new in files[:MOST_FILES]:
        attachment = Attachment(
            message=message,
            name=safe_name(new.name),
            content_type=one_line(new.content_type, most=120),
            size=len(new.content),
            sha256=hashlib.sha256(new.content).hexdigest(),
            danger=danger_of(new.name, new.content),
            content_id=new.content_id[:255],
        )
        # The stored name carries nothing of the sender's; `name` is what a reader sees and downloads.
        attachment.file.save(f"{message.pk}", ContentFile(new.content), save=False)
        attachment.save()
    return message
