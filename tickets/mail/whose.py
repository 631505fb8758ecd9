"""Whose ticket a mail belongs to."""

from dataclasses import dataclass

from staff.models import User
from tickets.mail import addresses, parsing
from tickets.models import InboundEmail, Mailbox, Message, Ticket

MOST_SIGNED = 10  # signed addresses of one mail that are looked up


@dataclass(frozen=True)
class Found:
    """The ticket that a mail belongs to; `staff` when it came by the signed address of one of them, who is its sender.

    `signed`: it came by something that only somebody whom we wrote to can know.
    """

    ticket: Ticket
    staff: User | None = None
    signed: bool = False


def find(mail: parsing.Mail, inbound: InboundEmail) -> Found | None:
    """By signed reply address, our own Message-IDs, a known foreign one, then [#1042] of a participant."""
    to_us = dict.fromkeys(filter(addresses.is_reply_address, [*mail.recipients, *inbound.envelope_to]))
    for address in list(to_us)[:MOST_SIGNED]:
        if (signed := addresses.participant_of_reply_address(address)) is not None:
            ticket, person = signed
            if person is None:
                return Found(ticket, signed=True)
            proven = person.email == mail.sender and not mail.doubt
            inbound.unverified = not proven
            return Found(ticket, person if proven else None, signed=True)
    for message_id in mail.references:
        if number := addresses.ticket_number_of_ours(message_id):
            ours = Ticket.objects.filter(number=number).first()
            return Found(ours, signed=True) if ours else None
    known = Message.objects.filter(rfc_id__in=mail.references[:50]).order_by("-id").select_related("ticket").first()
    if known is not None and not mail.doubt:
        return Found(known.ticket)
    number = addresses.number_in_subject(mail.subject)
    named = Ticket.objects.select_related("requester").filter(number=number).first() if number else None
    if (
        named is not None
        and not (inbound.unverified or mail.doubt)
        and _takes_part(mail.sender, named, inbound.mailbox)
    ):
        return Found(named)
    inbound.perhaps = named or (known.ticket if known else inbound.perhaps)
    return None


def is_known(sender: str, ticket: Ticket) -> bool:
    """Whether an address is the requester's, or of those who get copies."""
    return sender in {ticket.requester.email, *ticket.cc}


def is_forged(mail: parsing.Mail) -> bool:
    """Whether it may well come from another than it names: an answer would go to whoever it pretends to be."""
    return mail.doubt in {parsing.Doubt.DMARC, parsing.Doubt.OTHER, parsing.Doubt.SEVERAL}


def _takes_part(sender: str, ticket: Ticket, mailbox: Mailbox) -> bool:
    """Whether an address is the requester's or gets copies; of the organisation where that is enough.

    To have written on the ticket is not: by a Message-ID that many know anybody gets there once.
    """
    if sender == parsing.NOBODY:
        return False
    if is_known(sender, ticket):
        return True
    organization = ticket.requester.organization
    domain = sender.rpartition("@")[2]
    return mailbox.trusts_organization and organization is not None and domain in organization.domains
