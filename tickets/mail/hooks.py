"""Mail that providers bring by webhook."""

import hashlib
from email.message import EmailMessage, Message
from typing import Any

from tickets.mail import addresses, incoming
from tickets.models import Mailbox, Via


class NoMailbox(RuntimeError):
    """Nobody can take the mail now; the provider brings it again."""


def take(sender: Any, event: Any, esp_name: str, **more: Any) -> None:
    """Store a mail that a provider brought, once its signature was checked. What fails here, the provider brings again."""
    message = event.message
    recipient = message.envelope_recipient or next((one.addr_spec for one in message.to), "")
    # What is addressed to no mailbox is no reason to lose it: the first takes it.
    mailbox = addresses.mailbox_of(recipient) or Mailbox.objects.filter(active=True).first()
    if mailbox is None:
        raise NoMailbox("There is no mailbox to take the mail")
    envelope = incoming.Envelope(Via.WEBHOOK, message.envelope_sender or "", [recipient], esp_name)
    _fix_boundaries(message)
    incoming.store(message.as_bytes(), mailbox=mailbox, envelope=envelope)


def keep_unread(body: bytes, content_type: str, provider: str, error: Exception) -> None:
    """Keep what a provider brought and nobody could read as a mail of its own, with all of it attached."""
    mailbox = Mailbox.objects.filter(active=True).first()
    if mailbox is None:
        raise NoMailbox("There is no mailbox to take the mail")
    kept = EmailMessage()
    kept["Subject"] = f"A mail that {provider} brought could not be read"
    kept["Auto-Submitted"] = "auto-generated"
    kept.set_content(f"{type(error).__name__} while it was read. What {provider} sent is attached.")
    main, _, sub = content_type.partition("/")
    if not (main and sub.isascii() and sub):
        main, sub = "application", "octet-stream"
    kept.add_attachment(
        body, maintype="application", subtype=sub if main == "application" else "octet-stream", filename="webhook.txt"
    )
    _fix_boundaries(kept)
    incoming.store(kept.as_bytes(), mailbox=mailbox, envelope=incoming.Envelope(Via.WEBHOOK, "", [], provider))


def _fix_boundaries(message: Message) -> None:
    """Give the parts of a mail that was put together here boundaries of its content: what is brought twice is the same mail."""
    digest = hashlib.sha256(repr(message.items()).encode("utf-8", "replace"))
    parts = list(message.walk())
    for part in parts:
        if not part.is_multipart():
            digest.update(str(part.get_payload()).encode("utf-8", "replace"))
    for number, part in enumerate(parts):
        if part.get_content_maintype() == "multipart" and part.get_boundary() is None:
            part.set_boundary(f"=_{digest.hexdigest()[:32]}_{number}")
