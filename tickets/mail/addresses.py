"""Addresses and Message-IDs that carry the ticket, signed so that nobody can make them up."""

import re

from django.conf import settings

from supportdesk import crypto
from tickets.models import Ticket

_REPLY = re.compile(r"\+t(\d{1,18})\.([a-z2-7]{20})@", re.IGNORECASE)
_OURS = re.compile(r"^t(\d{1,18})\.m(\d{1,18})\.([a-z2-7]{20})@", re.IGNORECASE)


def reply_address(mailbox: str, ticket: Ticket, participant: str) -> str:
    """The Reply-To of a mail to one participant: `support+t1042.<signature>@example.com`."""
    local, _, domain = mailbox.partition("@")
    return f"{local}+t{ticket.number}.{crypto.sign('reply', ticket.number, participant.lower())}@{domain}"


def ticket_of_reply_address(address: str) -> Ticket | None:
    """The ticket whose signed reply address this is, or None."""
    if not (match := _REPLY.search(address)):
        return None
    ticket = Ticket.objects.select_related("requester").filter(number=int(match[1])).first()
    if ticket and crypto.verify(match[2], "reply", ticket.number, ticket.requester.email):
        return ticket
    return None


def new_message_id(ticket_number: int, message_pk: int) -> str:
    """Our Message-ID, without angle brackets: fixed by the message it belongs to, and verifiable."""
    signature = crypto.sign("message-id", ticket_number, message_pk)
    return f"t{ticket_number}.m{message_pk}.{signature}@{settings.MAIL_DOMAIN}"


def ticket_number_of_ours(message_id: str) -> int | None:
    """The ticket number in a Message-ID that we made; None for any other, forged ones included."""
    match = _OURS.match(message_id)
    if match and crypto.verify(match[3], "message-id", int(match[1]), int(match[2])):
        return int(match[1])
    return None
