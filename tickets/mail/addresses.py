"""Addresses and Message-IDs that carry the ticket, signed so that nobody can make them up."""

import re

from django.conf import settings

from staff.models import User
from supportdesk import crypto
from tickets.models import Mailbox, Ticket

_REPLY = re.compile(r"\+t(\d{1,18})\.([a-z2-7]{20})@", re.IGNORECASE | re.ASCII)
_OURS = re.compile(r"^t(\d{1,18})\.([ml])(\d{1,18})\.([a-z2-7]{20})@", re.IGNORECASE | re.ASCII)
# What the ID of a message, and of a letter, is signed for.
_PURPOSES = {"m": "message-id", "l": "letter-id"}
_TAG = re.compile(r"\[#(\d{1,18})\]", re.ASCII)


def reply_address(mailbox: str, ticket: Ticket, participant: str) -> str:
    """The Reply-To of a mail to one participant: `support+t1042.<signature>@example.com`."""
    local, _, domain = mailbox.partition("@")
    return f"{local}+t{ticket.number}.{crypto.sign('reply', ticket.number, participant.lower())}@{domain}"


def is_reply_address(address: str) -> bool:
    """Whether an address has the form of one of our reply addresses, signed or not."""
    return _REPLY.search(address) is not None


def participant_of_reply_address(address: str) -> tuple[Ticket, User | None] | None:
    """The ticket of a signed reply address, and the member of staff whom it was made for (None: the requester)."""
    if not (match := _REPLY.search(address)):
        return None
    ticket = Ticket.objects.select_related("requester").filter(number=int(match[1])).first()
    if ticket is None:
        return None
    people = [ticket.requester.email, *ticket.cc]
    if any(crypto.verify(match[2], "reply", ticket.number, one) for one in people):
        return ticket, None
    # Whoever may have been written to: staff come and go, so all of them, and the address itself says whom.
    for pk, email in User.objects.filter(is_active=True).values_list("pk", "email"):
        if crypto.verify(match[2], "reply", ticket.number, email):
            return ticket, User.objects.get(pk=pk)
    # The requester's address may have been corrected since.
    for email in ticket.messages.exclude(requester=None).values_list("requester__email", flat=True).distinct():
        if crypto.verify(match[2], "reply", ticket.number, email):
            return ticket, None
    return None


def new_message_id(ticket_number: int, pk: int, *, letter: bool = False) -> str:
    """Our Message-ID, without angle brackets: fixed by the message (or letter) it belongs to, and verifiable."""
    kind = "l" if letter else "m"
    signature = crypto.sign(_PURPOSES[kind], ticket_number, pk)
    return f"t{ticket_number}.{kind}{pk}.{signature}@{settings.MAIL_DOMAIN}"


def ticket_number_of_ours(message_id: str) -> int | None:
    """The ticket number in a Message-ID that we made; None for any other, forged ones included."""
    match = _OURS.match(message_id)
    if match is None:
        return None
    number, kind, pk, signature = int(match[1]), match[2].lower(), int(match[3]), match[4]
    return number if crypto.verify(signature, _PURPOSES[kind], number, pk) else None


def number_in_subject(subject: str) -> int | None:
    """The ticket that a subject names as [#1042]; anybody can write that."""
    found = _TAG.search(subject)
    return int(found[1]) if found else None


def base_of(address: str) -> str:
    """An address in lower case, without what a reply address adds to it."""
    local, _, domain = address.strip().lower().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def mailbox_of(address: str) -> Mailbox | None:
    """The active mailbox of an address, with or without what a reply address adds to it."""
    return Mailbox.objects.select_related("tier").filter(address__iexact=base_of(address), active=True).first()
