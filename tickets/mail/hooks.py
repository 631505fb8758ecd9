"""Mail that providers bring by webhook."""

from typing import Any

from tickets.mail import addresses, incoming
from tickets.models import Mailbox, Via


def take(sender: Any, event: Any, esp_name: str, **more: Any) -> None:
    """Store a mail that a provider brought, once its signature was checked. What fails here, the provider brings again."""
    message = event.message
    recipient = message.envelope_recipient or next((one.addr_spec for one in message.to), "")
    # What is addressed to no mailbox is no reason to lose it: the first takes it.
    mailbox = addresses.mailbox_of(recipient) or Mailbox.objects.filter(active=True).first()
    if mailbox is None:
        raise RuntimeError("There is no mailbox to take the mail")
    envelope = incoming.Envelope(Via.WEBHOOK, message.envelope_sender or "", [recipient], esp_name)
    incoming.store(message.as_bytes(), mailbox=mailbox, envelope=envelope)
