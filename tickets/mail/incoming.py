"""Mail in: stored raw and committed first, applied after, once.

`store` is what a mail server waits for. `apply` may run any number of times for one message, in
any process; the claim and the state make it happen once.
"""

import hashlib
import logging
from dataclasses import dataclass

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from supportdesk import events
from supportdesk.doorbell import ring_on_commit
from supportdesk.errors import Invalid
from supportdesk.text import clean
from tickets import actions
from tickets.actions._messages import NewFile
from tickets.actions.life import find_requester
from tickets.mail import addresses, parsing
from tickets.models import (
    Channel,
    InboundEmail,
    Mailbox,
    Message,
    OutboundEmail,
    Priority,
    Ticket,
    TicketEvent,
)
from tickets.models.mail import InboundState

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 5


@dataclass(frozen=True)
class Outcome:
    """What became of a mail: the line that `receive_mail` prints."""

    outcome: str
    ticket: int | None
    inbound: int
    reason: str = ""


def store(raw: bytes, *, mailbox: Mailbox) -> InboundEmail:
    """Keep the raw message. When this returns outside a transaction the mail is committed and may be acknowledged."""
    if not raw.strip():
        raise Invalid("The message is empty: pipe a whole mail, headers and body, to standard input.")
    content_hash = parsing.content_hash(raw)
    try:
        with transaction.atomic():
            inbound = InboundEmail.objects.create(mailbox=mailbox, raw=raw, content_hash=content_hash)
            ring_on_commit("tickets.apply_mail", inbound.pk)
            return inbound
    except IntegrityError:
        first = InboundEmail.objects.exclude(state=InboundState.DUPLICATE).get(content_hash=content_hash)
        return InboundEmail.objects.create(
            mailbox=mailbox,
            raw=raw if first.raw else b"",  # what was erased does not come back with a second delivery
            content_hash=content_hash,
            rfc_id=first.rfc_id,
            state=InboundState.DUPLICATE,
            outcome="duplicate",
            ticket=first.ticket,
            applied_at=timezone.now(),
        )


def apply(inbound_id: int) -> Outcome:
    """Turn a stored message into a ticket, a reply or a note of a bounce; say what it became.

    A message that breaks the parser becomes a ticket with the raw mail attached.
    """
    with transaction.atomic():
        # Without joins: what another process did while this one waited must be seen whole.
        inbound = InboundEmail.objects.select_for_update().get(pk=inbound_id)
        if inbound.state != InboundState.STORED:
            return _said(inbound)
        inbound.attempts += 1
        try:
            with transaction.atomic():
                _apply(inbound, parsing.parse(bytes(inbound.raw)))
        except DatabaseError as error:
            if inbound.attempts < MOST_ATTEMPTS and not isinstance(error, IntegrityError):
                raise
            _keep_unread(inbound, error)
        except Exception as error:
            log.exception("mail %s could not be applied", inbound.pk)
            _keep_unread(inbound, error)
        inbound.applied_at = timezone.now()
        inbound.save()
    return _said(inbound)


def _said(inbound: InboundEmail) -> Outcome:
    number = inbound.ticket.number if inbound.ticket else None
    return Outcome(
        inbound.outcome or "stored",
        number,
        inbound.pk,
        reason=inbound.error if inbound.outcome == "rejected" else "",
    )


def _apply(inbound: InboundEmail, mail: parsing.Mail) -> None:
    inbound.state, inbound.rfc_id = InboundState.APPLIED, mail.message_id
    if mail.message_id and addresses.ticket_number_of_ours(mail.message_id):
        inbound.outcome, inbound.error = "rejected", "a mail of this desk came back to it (loop)"
        return
    if mail.is_bounce and _note_bounce(inbound, mail):
        inbound.outcome = "bounce"
        return
    ticket = _ticket_of(mail)
    files = [NewFile(file.name, file.content_type, file.content) for file in mail.files]
    if ticket is None:
        _open(inbound, mail, files)
        return
    text, quoted = parsing.split_reply(mail.text)
    inbound.ticket, inbound.message = actions.receive(
        ticket_id=ticket.pk,
        requester=find_requester(mail.sender, mail.sender_name),
        text=text,
        quoted=quoted,
        message_id=mail.message_id,
        automatic=mail.automatic,
        subject=mail.subject,
        files=files,
    )
    inbound.outcome = "auto_reply" if mail.automatic else "ticket" if inbound.ticket.pk != ticket.pk else "reply"


def _open(inbound: InboundEmail, mail: parsing.Mail, files: list[NewFile]) -> None:
    inbound.ticket, inbound.message = actions.open_ticket(
        by=None,
        requester_email=mail.sender,
        requester_name=mail.sender_name,
        subject=mail.subject,
        text=mail.text,
        html=mail.html,
        message_id=mail.message_id,
        automatic=mail.automatic,
        tier=inbound.mailbox.tier,
        priority=Priority(inbound.mailbox.priority),
        channel=Channel.EMAIL,
        files=files,
    )
    inbound.outcome = "bounce" if mail.is_report else "auto_reply" if mail.auto_reply else "ticket"


def _ticket_of(mail: parsing.Mail) -> Ticket | None:
    """Whose ticket: signed reply address, then our own Message-IDs, then a known foreign one."""
    for address in mail.recipients:
        if ticket := addresses.ticket_of_reply_address(address):
            return ticket
    for message_id in mail.references:
        if number := addresses.ticket_number_of_ours(message_id):
            return Ticket.objects.filter(number=number).first()
    known = Message.objects.filter(rfc_id__in=mail.references[:50]).order_by("-id").select_related("ticket").first()
    return known.ticket if known else None


def _note_bounce(inbound: InboundEmail, mail: parsing.Mail) -> bool:
    """Tie a bounce to the mail that came back. False when it names none of ours: then a person reads it."""
    sent = OutboundEmail.objects.filter(rfc_id__in=mail.bounce_of).select_related("ticket").first()
    if sent is None:
        return False
    inbound.ticket = sent.ticket
    OutboundEmail.objects.filter(pk=sent.pk, bounced_at=None).update(bounced_at=timezone.now())
    TicketEvent.record(sent.ticket, "The mail server", "bounced", to=sent.to)
    return True


def _keep_unread(inbound: InboundEmail, error: Exception) -> None:
    """The parser broke: open a ticket that carries the raw mail, so that a person reads it."""
    raw = bytes(inbound.raw)
    inbound.state, inbound.error, inbound.outcome = (
        InboundState.FAILED,
        f"{type(error).__name__}: {error}"[:2000],
        "ticket",
    )
    shown = clean(raw[:4000].decode("utf-8", "replace"))
    inbound.ticket, inbound.message = actions.open_ticket(
        by=None,
        requester_email="unknown@invalid",
        subject=f"Mail {hashlib.sha256(raw).hexdigest()[:8]} that could not be read",
        text=f"This mail could not be read; all of it is attached. Its beginning:\n\n{shown}",
        tier=inbound.mailbox.tier,
        priority=Priority(inbound.mailbox.priority),
        channel=Channel.EMAIL,
        files=[NewFile("message.eml", "message/rfc822", raw)],
    )
    events.publish("mail", "failed")


def sweep(*, limit: int = 200) -> int:
    """Apply what was stored and never rung for, oldest first; one bad message delays no other."""
    ids = (
        InboundEmail.objects.filter(state=InboundState.STORED)
        .order_by("received_at")
        .values_list("pk", flat=True)[:limit]
    )
    done = 0
    for inbound_id in list(ids):
        try:
            apply(inbound_id)
            done += 1
        except Exception:
            InboundEmail.objects.filter(pk=inbound_id).update(attempts=F("attempts") + 1)
            log.exception("mail %s is tried again later", inbound_id)
    return done
