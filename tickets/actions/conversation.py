"""Words on a ticket: replies, notes, and what the requester writes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from staff.models import User
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import clean, one_line
from tickets import policies
from tickets.actions import _mentions as mentions
from tickets.actions import _messages as messages
from tickets.actions import _telling as telling
from tickets.actions import _values as values
from tickets.actions.life import hold_requester, move_to_open, open_ticket, resolve, wait_on_requester
from tickets.actions.planning import wake
from tickets.mail import outgoing
from tickets.models import (
    OPEN_STATUSES,
    Channel,
    LinkKind,
    Message,
    MessageKind,
    Priority,
    Requester,
    Status,
    Ticket,
    TicketEvent,
    TicketLink,
)
from tickets.sla import clocks


@transaction.atomic
def reply(
    *,
    number: int,
    by: User,
    text: str,
    version: int | None = None,
    files: Sequence[messages.NewFile] = (),
    then: Status | None = None,
    minutes: int | None = None,
) -> Message:
    """Answer the requester: stop the first-response clock, open a new ticket, and put the mail in the outbox.

    `then` resolves the ticket or waits on the requester in the same transaction.
    """
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_reply(by, ticket)
    if ticket.status == Status.CLOSED:
        raise Invalid(f"Ticket {number} is closed; reopen it to reply.")
    _check_not_erased(ticket)
    message = _say(ticket, by, text, MessageKind.REPLY, files, minutes)
    clocks.replied(ticket, by, at=message.created_at)
    telling.wrote(ticket, message, kind="note", who=by, by=by)
    outgoing.queue(ticket, message, then)
    TicketEvent.record(ticket, by, "replied", message=message.pk)
    if ticket.status == Status.NEW:
        move_to_open(ticket, by)
    else:
        Ticket.objects.filter(pk=ticket.pk).update(updated_at=message.created_at)
    if then is not None and ticket.status != then:
        policies.check_can_change(by, ticket)
        if then == Status.RESOLVED:
            resolve(number=number, by=by, told=True)
        else:
            wait_on_requester(number=number, by=by)
    return message


@transaction.atomic
def note(
    *,
    number: int,
    by: User,
    text: str,
    version: int | None = None,
    files: Sequence[messages.NewFile] = (),
    minutes: int | None = None,
) -> Message:
    """Add an internal note; it moves nothing and leaves by no mail. Whom it names with @ is told."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_note(by, ticket)
    message = _say(ticket, by, text, MessageKind.NOTE, files, minutes)
    TicketEvent.record(ticket, by, "noted", message=message.pk)
    mentions.tell(ticket, message, by)
    telling.wrote(ticket, message, kind="note", who=by, by=by)
    newest = ticket.handovers.first()
    if newest is not None and newest.by_id != by.pk:  # a word after one's own handover is part of it
        clocks.acted(ticket, by, at=message.created_at, reason=f"{by} noted")
    Ticket.objects.filter(pk=ticket.pk).update(updated_at=message.created_at)
    return message


def keep_note(*, ticket: Ticket, by: User, text: str, files: Sequence[messages.NewFile] = ()) -> Message:
    """Keep what one of us sent by mail as an internal note, in the open transaction, whoever may work the ticket now."""
    message = messages.add(ticket, kind=MessageKind.NOTE, author=by, text=text, files=files)
    TicketEvent.record(ticket, by, "noted", message=message.pk)
    return message


def _say(
    ticket: Ticket,
    by: User,
    text: str,
    kind: MessageKind,
    files: Sequence[messages.NewFile],
    minutes: int | None,
) -> Message:
    text = clean(text).strip()
    if not text:
        raise Invalid("Write something first.", fields={"text": ["Write something first."]})
    if minutes is not None and not 0 <= minutes <= 1440:
        raise Invalid("Write minutes from 0 to 1440.", fields={"minutes": ["Write minutes from 0 to 1440."]})
    return messages.add(ticket, kind=kind, author=by, text=text, files=files, minutes=minutes)


@transaction.atomic
def receive(
    *,
    ticket_id: int,
    requester: Requester,
    text: str,
    html: str = "",
    quoted: str = "",
    message_id: str = "",
    automatic: bool = False,
    subject: str = "",
    files: Sequence[messages.NewFile] = (),
    reopen_days: int = 0,
    copies: Sequence[str] = (),
) -> tuple[Ticket, Message]:
    """Add what the requester wrote to their ticket. `copies` get every reply from now on.

    A waiting, held or resolved ticket opens; on a closed one a linked follow-up opens, or it opens itself where it was
    closed no longer than `reopen_days` ago. An automatic message, and one on spam, is kept and moves nothing.
    """
    meant, ticket = _heir(ticket_id)
    automatic = automatic or ticket.spam_at is not None
    reopens = ticket.closed_at is not None and ticket.closed_at > timezone.now() - timedelta(days=reopen_days)
    if ticket.status == Status.CLOSED and not automatic and not reopens:
        if (open_one := _open_follow_up(ticket, requester)) is not None:
            return receive(
                ticket_id=open_one, requester=requester, text=text, html=html, quoted=quoted, message_id=message_id, subject=subject,
                files=files, copies=copies,
            )  # fmt: skip
        return _follow_up(ticket, requester, text, html, quoted, message_id, subject, files)
    message = messages.add(
        ticket,
        kind=MessageKind.REQUESTER,
        requester=requester,
        text=text,
        html=html,
        quoted=quoted,
        message_id=message_id,
        automatic=automatic,
        files=files,
    )
    if meant != ticket.pk:
        Message.objects.filter(pk=message.pk).update(addressed_to=meant)
    if automatic:
        TicketEvent.record(ticket, requester, "auto_reply", message=message.pk)
        return ticket, message
    TicketEvent.record(ticket, requester, "received", message=message.pk)
    if ticket.status in {Status.WAITING, Status.ON_HOLD, Status.RESOLVED, Status.CLOSED}:
        move_to_open(ticket, requester)
    wake(ticket, requester)
    clocks.requester_wrote(ticket, at=message.created_at)
    Ticket.objects.filter(pk=ticket.pk).update(updated_at=timezone.now(), snippet=one_line(text))
    _add_copies(ticket, requester, copies)
    outgoing.tell_staff(ticket, message)
    telling.wrote(ticket, message, kind="reply", who=requester)
    return ticket, message


def _add_copies(ticket: Ticket, by: Requester, addresses: Sequence[str]) -> None:
    """Who else a message went to gets copies from now on."""
    was = ticket.cc
    fresh = [one for one in addresses if one not in was and one != ticket.requester.email]
    wanted = sorted([*was, *fresh[: max(0, values.MOST_COPIES - len(was))]])
    if len(wanted) > len(was):
        ticket.cc = wanted
        ticket.touch("cc")
        TicketEvent.record(ticket, by, "cc", was=", ".join(was) or "nobody", to=", ".join(wanted))


@transaction.atomic
def log_contact(
    *,
    by: User,
    channel: Channel,
    text: str,
    seconds: int,
    number: int | None = None,
    **new: Any,
) -> Ticket:
    """Keep a call or a chat: on the requester's ticket `number`, or as a new one made with `new` (`open_ticket`).

    What was said is the requester's message; the ticket's history says who wrote it down and how long it took.
    """
    if channel not in {Channel.PHONE, Channel.CHAT}:
        raise Invalid("Only calls and chats are logged.", fields={"channel": ["Choose phone or chat."]})
    seconds = max(0, min(seconds, 86_400))
    if number is None:
        ticket, _ = open_ticket(by=by, channel=channel, text=text, **new)
    else:
        hold_requester(Ticket.objects.filter(number=number).values_list("requester", flat=True).first())
        # Not locked here: what is written may belong to the one that it was merged into, and `receive` locks that.
        seen = Ticket.objects.visible_to(by).select_related("tier", "requester").filter(number=number).first()
        if seen is None:
            raise NotFound(f"There is no ticket {number}.")
        ticket = seen
        policies.check_can_note(by, ticket)
        if not clean(text).strip():
            raise Invalid("Write what was said.", fields={"text": ["Write what was said."]})
        _check_not_erased(ticket)
        ticket, _ = receive(ticket_id=ticket.pk, requester=ticket.requester, text=text)
    TicketEvent.record(ticket, by, "logged", channel=channel.label, length=_length(seconds))
    return ticket


def _check_not_erased(ticket: Ticket) -> None:
    if ticket.requester.erased_at is not None:
        raise Invalid(f"The requester of ticket {ticket.number} was erased; open a new ticket for whom you speak with.")


def _length(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"


def _heir(ticket_id: int) -> tuple[int, Ticket]:
    """Lock the ticket, or the one that it was merged into; also returns the merged one that was meant."""
    while True:
        last = _end_of_chain(ticket_id)
        # One lock only: merges lock in the order of keys. Taking back a merge needs the lock of its target, so
        # a chain that still ends here once we hold it stays.
        save = transaction.savepoint()
        ticket = Ticket.objects.lock(Ticket.objects.values_list("number", flat=True).get(pk=last))
        if _end_of_chain(ticket_id) == last:
            transaction.savepoint_commit(save)
            return ticket_id, ticket
        transaction.savepoint_rollback(save)


def _end_of_chain(ticket_id: int) -> int:
    """The ticket that mail to this one goes to, over any number of merges."""
    while (into := Ticket.objects.values_list("merged_into", flat=True).get(pk=ticket_id)) is not None:
        ticket_id = into
    return ticket_id


def _open_follow_up(closed: Ticket, requester: Requester) -> int | None:
    """The open follow-up of a closed ticket that the same person began, if there is one."""
    begun = TicketLink.objects.filter(target=closed, kind=LinkKind.FOLLOW_UP, source__requester=requester)
    still = begun.filter(source__status__in=OPEN_STATUSES, source__merged_into=None)
    return still.order_by("-source").values_list("source", flat=True).first()


def _follow_up(
    closed: Ticket,
    requester: Requester,
    text: str,
    html: str,
    quoted: str,
    message_id: str,
    subject: str,
    files: Sequence[messages.NewFile],
) -> tuple[Ticket, Message]:
    ticket, message = open_ticket(
        by=None,
        requester_email=requester.email,
        requester_name=requester.name,
        subject=subject or closed.subject,
        text=text,
        html=html,
        quoted=quoted,
        message_id=message_id,
        tier=closed.tier,
        priority=Priority(closed.priority),
        category=closed.category,
        channel=Channel.EMAIL,
        files=files,
    )
    if closed.restricted:
        ticket.restricted = True
        ticket.save(update_fields=["restricted"])
    TicketLink.objects.create(source=ticket, target=closed, kind=LinkKind.FOLLOW_UP)
    TicketEvent.record(ticket, requester, "follow_up", of=closed.number)
    TicketEvent.record(closed, requester, "followed_up", follow_up=ticket.number)
    return ticket, message
