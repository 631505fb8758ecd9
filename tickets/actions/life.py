"""Open a ticket, and move it through its states."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from staff import actions as staff
from staff.models import Tier, User
from supportdesk.errors import Invalid
from supportdesk.text import clean, one_line
from tickets import policies
from tickets.actions import _messages as messages
from tickets.actions import _values as values
from tickets.mail import outgoing
from tickets.models import (
    Category,
    Channel,
    Clock,
    Message,
    MessageKind,
    Organization,
    Priority,
    Requester,
    Status,
    Ticket,
    TicketEvent,
)
from tickets.models import text as words
from tickets.sla import clocks, rules


@transaction.atomic
def open_ticket(
    *,
    by: User | None,
    requester_email: str,
    subject: str,
    text: str,
    tier: Tier | None = None,
    requester_name: str = "",
    priority: Priority = Priority.NORMAL,
    category: Category | None = None,
    channel: Channel = Channel.WEB,
    tags: Iterable[str] = (),
    cc: Iterable[str] = (),
    custom: Mapping[str, Any] | None = None,
    html: str = "",
    quoted: str = "",
    message_id: str = "",
    automatic: bool = False,
    files: Sequence[messages.NewFile] = (),
    at: datetime | None = None,
    spam: str = "",
) -> tuple[Ticket, Message]:
    """Open a ticket with its first message, which is the requester's, and start its clocks (`ticket.clocks`).

    What is `spam`, for the reason given, is closed at once: no clock runs and no rule hears of it. `by` is the
    member of staff or integration that opens it; None for mail, where the requester does. Without a tier it goes to
    the first. Raises `Invalid` when subject or text is empty.
    """
    subject, text, now = one_line(subject, most=300), clean(text).strip(), at or timezone.now()
    if by is not None:
        policies.check_can_open(by)
        _check_words(subject=subject, text=text)
    requester = find_requester(requester_email, requester_name)
    in_force = rules.current()
    ticket = Ticket(
        subject=subject or "(no subject)",
        priority=priority,
        tier=tier or in_force.tiers[0],
        requester=requester,
        category=category,
        channel=channel,
        tags=values.tags(tags),
        cc=values.copies(cc, requester.email),
        custom=values.custom(category, custom or {}),
        created_at=now,
        updated_at=now,
        snippet=one_line(text),
    )
    # Nobody waits for an answer to an automatic mail; that its ticket is work to be done stays true.
    started = [Clock.RESOLUTION] if automatic else [Clock.FIRST_RESPONSE, Clock.RESOLUTION]
    if spam:
        started, ticket.status, ticket.closed_at, ticket.spam_at = [], Status.CLOSED, now, now
    ticket.clocks = clocks.plan(ticket, started, in_force, at=now)
    ticket.due_at = min((timer.due_at for timer in ticket.clocks if timer.due_at), default=None)
    ticket.save(force_insert=True)
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
        at=now,
        also_words=[
            (words.SUBJECT, ticket.subject),
            *words.custom(ticket.custom),
            (words.REQUESTER, words.who(requester.name, requester.email)),
        ],
    )
    clocks.write(ticket.clocks)
    opener = staff.automation() if spam else by or requester
    TicketEvent.record(ticket, opener, "opened", at=now, channel=Channel(channel).label)
    if spam:
        TicketEvent.record(ticket, opener, "spam", at=now, reason=spam)
    return ticket, message


def _check_words(**words_: str) -> None:
    if missing := {name: ["Write something here."] for name, value in words_.items() if not value}:
        raise Invalid("A ticket needs a subject and a text.", fields=missing)


def new_ticket(*, created_at: datetime, **fields: Any) -> Ticket:
    """A row of its own, without messages, clocks or history: the caller adds them in the same transaction."""
    return Ticket.objects.create(created_at=created_at, updated_at=created_at, **fields)


def find_requester(email: str, name: str = "") -> Requester:
    """Get or make the requester of an address; a name fills an empty one. A new one joins its domain's organisation.

    Until the transaction ends nobody erases them (see `hold_requester`): what is written now is erased with the
    rest, or belongs to a new requester.
    """
    email = one_line(email, most=254).lower()
    known = Requester.objects.raw("SELECT * FROM tickets_requester WHERE lower(email) = %s FOR SHARE", [email])
    requester = next(iter(known), None)
    if requester is None:
        domain = email.rpartition("@")[2]
        organization = Organization.objects.filter(domains__contains=[domain]).first()
        defaults = {"name": one_line(name), "organization": organization}
        requester, _ = Requester.objects.of_address(email).get_or_create(email=email, defaults=defaults)
    if name and not requester.name:
        requester.name = one_line(name)
        # Where another mail of theirs comes in at the same moment, a later one brings the name.
        free = Requester.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=requester.pk, name="")
        Requester.objects.filter(pk__in=list(free.values_list("pk", flat=True))).update(name=requester.name)
    return requester


def hold_requester(requester_id: int | None) -> None:
    """Keep a requester from being erased until the transaction ends; before the lock of a ticket, as in `find_requester`.

    FOR SHARE, against the erasure's FOR NO KEY UPDATE. A foreign key's own lock would not do: PostgreSQL takes that
    also where a ticket is changed twice, while its lock is held, and the erasure would wait in a circle.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM tickets_requester WHERE id = %s FOR SHARE", [requester_id])


@transaction.atomic
def resolve(*, number: int, by: User, version: int | None = None, told: bool = False) -> Ticket:
    """Resolve the ticket, stop its clocks and record who did it; who wrote by mail is told, unless a reply says so (`told`)."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    ticket.move_to(Status.RESOLVED)
    ticket.resolved_at, ticket.resolved_by = timezone.now(), by
    ticket.touch("status", "resolved_at", "resolved_by")
    clocks.stop_all(ticket, at=ticket.resolved_at, reason="Resolved")
    TicketEvent.record(ticket, by, "resolved")
    if not told and ticket.channel == Channel.EMAIL and not by.is_automation:
        outgoing.tell_resolved(ticket)
    return ticket


@transaction.atomic
def close(*, number: int, by: User, version: int | None = None) -> Ticket:
    """Close a resolved ticket for good. Closing one that was never resolved is for merge and spam only."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    if ticket.status != Status.RESOLVED:
        raise Invalid(f"Ticket {number} is not resolved yet; resolve it first.")
    ticket.move_to(Status.CLOSED)
    ticket.closed_at = timezone.now()
    ticket.touch("status", "closed_at")
    clocks.stop_all(ticket, at=ticket.closed_at, reason="Closed")
    TicketEvent.record(ticket, by, "closed")
    return ticket


@transaction.atomic
def mark_spam(*, number: int, by: User, version: int | None = None) -> Ticket:
    """Close a ticket as spam: it leaves the queue for a view of its own, its clocks stop, and nothing is deleted."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    if ticket.spam_at is not None:
        return ticket
    was_open = ticket.is_open
    if not ticket.can_move_to(Status.CLOSED) and was_open:
        ticket.move_to(Status.OPEN)
    if ticket.status != Status.CLOSED:
        ticket.move_to(Status.CLOSED)
    ticket.spam_at = timezone.now()
    ticket.closed_at = ticket.closed_at or ticket.spam_at
    ticket.touch("status", "closed_at", "spam_at")
    clocks.stop_all(ticket, at=ticket.spam_at, reason="Spam")
    TicketEvent.record(ticket, by, "spam", reason=f"{by} says so", was_open=was_open)
    return ticket


@transaction.atomic
def mark_not_spam(*, number: int, by: User, version: int | None = None) -> Ticket:
    """Take it back: the ticket opens, with the clocks that a reopened one gets."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    if ticket.spam_at is None:
        return ticket
    ticket.spam_at = None
    TicketEvent.record(ticket, by, "not_spam")
    move_to_open(ticket, by)
    ticket.touch("spam_at")
    if not ticket.timers.exists():  # it was spam from its first moment
        clocks.begin(ticket, [Clock.FIRST_RESPONSE, Clock.RESOLUTION], at=ticket.updated_at)
    return ticket


@transaction.atomic
def reopen(*, number: int, by: User, version: int | None = None) -> Ticket:
    """Open a resolved or closed ticket again."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    if ticket.spam_at is not None:
        return mark_not_spam(number=number, by=by, version=version)
    if ticket.merged_into is not None:
        raise Invalid(f"Ticket {number} was merged into {ticket.merged_into.number}; take that back instead.")
    if ticket.is_open:
        raise Invalid(f"Ticket {number} is not resolved, so there is nothing to reopen.")
    move_to_open(ticket, by)
    return ticket


def move_to_open(ticket: Ticket, by: User | Requester) -> None:
    """Bring a waiting, held, resolved or closed ticket of this transaction back to open."""
    was_open = ticket.is_open
    was = Status(ticket.status)
    ticket.move_to(Status.OPEN)
    ticket.resolved_at = ticket.resolved_by = ticket.closed_at = None
    ticket.touch("status", "resolved_at", "resolved_by", "closed_at")
    if was_open:
        TicketEvent.record(ticket, by, "status", was=was.label, to=Status.OPEN.label)
        clocks.status_changed(ticket, at=ticket.updated_at)
    else:
        clocks.reopened(ticket, at=ticket.updated_at)
        TicketEvent.record(ticket, by, "reopened")


@transaction.atomic
def wait_on_requester(*, number: int, by: User, version: int | None = None) -> Ticket:
    """Nothing more can be done until the requester answers."""
    return _park(number, by, version, Status.WAITING, "waiting")


@transaction.atomic
def hold(*, number: int, by: User, version: int | None = None) -> Ticket:
    """Nothing can be done for now, and it is not the requester's turn."""
    return _park(number, by, version, Status.ON_HOLD, "held")


def _park(number: int, by: User, version: int | None, status: Status, event: str) -> Ticket:
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    ticket.move_to(status)
    ticket.touch("status")
    clocks.status_changed(ticket, at=ticket.updated_at)
    TicketEvent.record(ticket, by, event)
    return ticket
