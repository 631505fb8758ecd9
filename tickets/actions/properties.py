"""Who works on a ticket, how urgent it is, what it is about."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F

from staff.models import Tier, User
from supportdesk.errors import Invalid
from supportdesk.text import clean, one_line
from tickets import policies
from tickets.actions import _messages as messages
from tickets.actions import _telling as telling
from tickets.actions import _values as values
from tickets.actions import life
from tickets.actions.fields import set_custom
from tickets.actions.planning import set_deadline, snooze
from tickets.models import (
    Category,
    Handover,
    MessageKind,
    Priority,
    Status,
    Ticket,
    TicketEvent,
    TicketText,
    Watcher,
)
from tickets.sla import clocks


@transaction.atomic
def take(*, number: int, by: User, version: int | None = None) -> Ticket:
    """Become the assignee; a new ticket opens."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_take(by, ticket)
    if ticket.assignee_id == by.pk:
        return ticket
    ticket.assignee = by
    ticket.touch("assignee")
    TicketEvent.record(ticket, by, "taken")
    clocks.acted(ticket, by, at=ticket.updated_at, reason=f"{by} took it")
    if ticket.status == Status.NEW:
        life.move_to_open(ticket, by)
    return ticket


@transaction.atomic
def take_next(*, by: User) -> Ticket:
    """Take the unassigned ticket of one's own tiers that is due first by its clocks.

    A ticket that somebody else is just taking is passed over, so two people never get the same.
    """
    levels = policies.check_can_take_next(by)
    waiting = Ticket.objects.visible_to(by).filter(
        status__in=[Status.NEW, Status.OPEN],
        assignee=None,
        snoozed_until=None,
        tier__in=Tier.objects.filter(level__in=levels).values("pk"),
    )
    first = (
        waiting.order_by(F("due_at").asc(nulls_last=True), "number")
        .select_for_update(skip_locked=True, of=("self",), no_key=True)
        .first()
    )
    if first is None:
        raise Invalid("Nothing waits for you: every open ticket of your tiers has an assignee.")
    return take(number=first.number, by=by)


@transaction.atomic
def assign(*, number: int, by: User, to: User | None, version: int | None = None) -> Ticket:
    """Make somebody the assignee, or nobody."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_assign(by, ticket, to)
    if ticket.assignee_id == (to.pk if to else None):
        return ticket
    ticket.assignee = to
    ticket.touch("assignee")
    TicketEvent.record(ticket, by, "assigned" if to else "unassigned", to=str(to or ""))
    telling.given(ticket, by=by)
    return ticket


@transaction.atomic
def set_priority(*, number: int, by: User, priority: Priority, version: int | None = None) -> Ticket:
    """Change the priority; the clocks get the target of the new one."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    if ticket.priority != priority:
        _prioritise(ticket, by, priority, "priority")
    return ticket


@transaction.atomic
def raise_priority(*, number: int, by: User, clock: str) -> Ticket:
    """Raise the priority by one step, because a clock is breached; an urgent ticket stays so."""
    ticket = Ticket.objects.visible_to(by).lock(number)
    policies.check_can_change(by, ticket)
    values = list(Priority)
    position = values.index(Priority(ticket.priority))
    if position:
        _prioritise(ticket, by, values[position - 1], "breach_raised", clock=clock)
    return ticket


def _prioritise(ticket: Ticket, by: User, priority: Priority, event: str, **data: Any) -> None:
    was, ticket.priority = Priority(ticket.priority), priority
    ticket.touch("priority")
    TicketEvent.record(ticket, by, event, was=was.label, to=priority.label, **data)
    clocks.retarget(ticket, at=ticket.updated_at, reason=f"Priority {priority.label.lower()}")


@transaction.atomic
def set_category(*, number: int, by: User, category: Category | None, version: int | None = None) -> Ticket:
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    if ticket.category == category:
        return ticket
    was, ticket.category = ticket.category, category
    ticket.touch("category")
    TicketEvent.record(ticket, by, "category", was=str(was or "none"), to=str(category or "none"))
    clocks.retarget(ticket, at=ticket.updated_at, reason=f"Category {category or 'none'}")
    return ticket


@transaction.atomic
def set_subject(*, number: int, by: User, subject: str, version: int | None = None) -> Ticket:
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    subject = one_line(subject, most=300)
    if not subject:
        raise Invalid("A ticket needs a subject.", fields={"subject": ["Write something here."]})
    if subject == ticket.subject:
        return ticket
    was, ticket.subject = ticket.subject, subject
    ticket.touch("subject")
    TicketText.rebuild(ticket)
    TicketEvent.record(ticket, by, "subject", was=was, to=subject)
    return ticket


@transaction.atomic
def set_tags(*, number: int, by: User, tags: Iterable[str], version: int | None = None) -> Ticket:
    """Replace the tags; they are lower case, without spaces, each once."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    wanted = values.tags(tags)
    if wanted == ticket.tags:
        return ticket
    was, ticket.tags = ticket.tags, wanted
    ticket.touch("tags")
    TicketEvent.record(ticket, by, "tagged", was=", ".join(was) or "none", to=", ".join(wanted) or "none")
    clocks.retarget(ticket, at=ticket.updated_at, reason="Tags changed")
    return ticket


@transaction.atomic
def set_cc(*, number: int, by: User, addresses: Iterable[str], version: int | None = None) -> Ticket:
    """Replace the addresses that get a copy of every public reply. The requester and the desk's own are left out."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    wanted = values.copies(addresses, ticket.requester.email)
    if wanted == ticket.cc:
        return ticket
    was, ticket.cc = ticket.cc, wanted
    ticket.touch("cc")
    TicketEvent.record(ticket, by, "cc", was=", ".join(was) or "nobody", to=", ".join(wanted) or "nobody")
    return ticket


@transaction.atomic
def escalate(
    *,
    number: int,
    by: User,
    handover: str,
    to: Tier | None = None,
    found: str = "",
    runs: Sequence[dict[str, Any]] = (),
    version: int | None = None,
) -> Ticket:
    """Hand the ticket to the next tier, or to `to` above it."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    target = to or Tier.objects.filter(level__gt=ticket.tier.level).first()
    if target is None:
        raise Invalid(f"Ticket {number} is with tier {ticket.tier.level}, the last one.")
    policies.check_can_escalate(by, ticket, target)
    return hand_over(number=number, by=by, to=target, tried=handover, found=found, runs=runs)


@transaction.atomic
def hand_over(
    *,
    number: int,
    by: User,
    to: Tier,
    tried: str,
    found: str = "",
    runs: Sequence[dict[str, Any]] = (),
    version: int | None = None,
    because: str = "",
) -> Ticket:
    """Pass the ticket to another tier, upwards or back, with what was tried and found.

    The assignee is removed unless they work the new tier. The clocks get its targets, and its own
    response clock starts. `because` names the clock whose breach did it.
    """
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_hand_over(by, ticket, to)
    if not ticket.is_open:
        raise Invalid(f"Ticket {number} is {ticket.get_status_display().lower()}; reopen it to hand it over.")
    tried, found = clean(tried).strip(), clean(found).strip()
    if not tried:
        raise Invalid("Write what was tried, for those who take over.", fields={"handover": ["Write what was tried."]})
    was, ticket.tier = ticket.tier, to
    if ticket.assignee and ticket.assignee.standing.level < to.level:
        ticket.assignee = None
    ticket.touch("tier", "assignee")
    row = Handover.objects.create(
        ticket=ticket, from_tier=was, to_tier=to, by=by, tried=tried, found=found, runs=list(runs), at=ticket.updated_at
    )
    title = f"**{'Handover' if row.is_escalation else 'Handed back'} to {to}, {to.name}**"
    text = "\n\n".join([title, tried, *([f"**Found:** {found}"] if found else [])])
    messages.add(ticket, kind=MessageKind.NOTE, author=by, text=text)
    if because:
        TicketEvent.record(ticket, by, "breach_escalated", was=str(was), to=str(to), clock=because)
    else:
        TicketEvent.record(ticket, by, "escalated" if row.is_escalation else "handed_back", was=str(was), to=str(to))
    clocks.handed_over(ticket, at=ticket.updated_at)
    return ticket


@transaction.atomic
def set_restricted(*, number: int, by: User, restricted: bool, version: int | None = None) -> Ticket:
    """Let only the assignee, watchers, leads of the tier and administrators see the ticket, or everybody again."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_restrict(by, ticket)
    if ticket.restricted == restricted:
        return ticket
    ticket.restricted = restricted
    ticket.touch("restricted")
    TicketEvent.record(ticket, by, "restricted" if restricted else "unrestricted")
    return ticket


@transaction.atomic
def watch(*, number: int, by: User) -> Ticket:
    ticket = Ticket.objects.visible_to(by).lock(number)
    policies.check_can_watch(by, ticket)
    Watcher.objects.get_or_create(ticket=ticket, user=by)
    return ticket


@transaction.atomic
def unwatch(*, number: int, by: User) -> Ticket:
    ticket = Ticket.objects.visible_to(by).lock(number)
    policies.check_can_watch(by, ticket)
    Watcher.objects.filter(ticket=ticket, user=by).delete()
    return ticket


_MOVES = {
    Status.RESOLVED: life.resolve,
    Status.WAITING: life.wait_on_requester,
    Status.ON_HOLD: life.hold,
    Status.CLOSED: life.close,
}


@transaction.atomic
def set_status(*, number: int, by: User, status: Status, version: int | None = None) -> Ticket:
    """Move the ticket by the action that belongs to the status; the same status again changes nothing."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    if ticket.status == status:
        policies.check_can_change(by, ticket)
        return ticket
    if status in _MOVES:
        return _MOVES[status](number=number, by=by)
    if status == Status.OPEN and not ticket.is_open:
        return life.reopen(number=number, by=by)
    policies.check_can_change(by, ticket)
    if status == Status.NEW:
        ticket.move_to(status)
    life.move_to_open(ticket, by)
    return ticket


@transaction.atomic
def update(*, number: int, by: User, version: int | None = None, **changes: Any) -> Ticket:
    """Change several properties as one: all of them or none, one version check.

    `changes` may hold subject, priority, category, tags, cc, custom, assignee, deadline_at,
    restricted, status and snoozed_until, applied in this order.
    """
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    steps: dict[str, tuple[Any, str]] = {
        "subject": (set_subject, "subject"),
        "priority": (set_priority, "priority"),
        "category": (set_category, "category"),
        "tags": (set_tags, "tags"),
        "cc": (set_cc, "addresses"),
        "custom": (set_custom, "values"),
        "assignee": (assign, "to"),
        "deadline_at": (set_deadline, "at"),
        "restricted": (set_restricted, "restricted"),
        "status": (set_status, "status"),
        "snoozed_until": (snooze, "until"),
    }
    for name, (action, argument) in steps.items():
        if name in changes:
            ticket = action(number=number, by=by, **{argument: changes[name]})
    return ticket
