"""Mail that providers bring by webhook, and their word of mail that did not arrive."""

import hashlib
from email.message import EmailMessage, Message
from typing import Any

from django.db import transaction

from tickets.mail import addresses, bounces, incoming
from tickets.mail.outgoing import METADATA
from tickets.mail.returned import Bounce
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


FAILED = {"bounced", "rejected", "failed"}


@transaction.atomic
def came_back(sender: Any, event: Any, esp_name: str, **more: Any) -> None:
    """Note that a mail which a provider sent for us did not arrive; it names the mail by what was sent along with it."""
    rfc_id = (event.metadata or {}).get(METADATA)
    if event.event_type in FAILED and rfc_id:
        reason = event.mta_response or event.description or event.reject_reason or f"{esp_name} says {event.event_type}"
        recipients = [event.recipient.lower()] if event.recipient else []
        bounces.came_back(Bounce(recipients, event.reject_reason != "blocked", False, str(reason)[:300], [rfc_id]))


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
