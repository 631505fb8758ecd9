"""One ticket with its conversation, clocks and what the reader may do."""

from dataclasses import dataclass
from typing import Any

from staff.models import Tier, User
from supportdesk.errors import NotFound
from tickets import policies
from tickets.models import TRANSITIONS, Category, Priority, SLATimer, Status, Ticket

# Events that a message of the conversation already shows.
_SHOWN_AS_MESSAGES = {"replied", "noted", "received", "auto_reply"}


@dataclass(frozen=True)
class Detail:
    """Everything the ticket page shows. Built in a fixed number of statements."""

    ticket: Ticket
    timeline: list[tuple[str, Any]]
    timers: list[SLATimer]
    cursor: int
    statuses: list[tuple[str, str]]
    priorities: list[tuple[str, str]]
    categories: list[Category]
    assignees: list[User]
    next_tier: Tier | None
    watched: bool
    can_reply: bool
    can_note: bool
    can_change: bool
    can_restrict: bool


def ticket_for(user: User, number: int) -> Ticket:
    """One ticket that the user may see, or `NotFound`."""
    found = (
        Ticket.objects.visible_to(user)
        .select_related("tier", "assignee", "requester", "category")
        .filter(number=number)
        .first()
    )
    if found is None:
        raise NotFound(f"There is no ticket {number}.")
    return found


def ticket_detail(user: User, number: int) -> Detail:
    """The ticket page's facts."""
    ticket = ticket_for(user, number)
    messages = ticket.messages.select_related("author", "requester").prefetch_related("attachments")
    events = list(ticket.events.all())
    entries: list[tuple[Any, str, Any]] = [(message.created_at, "message", message) for message in messages]
    entries += [(event.at, "event", event) for event in events if event.kind not in _SHOWN_AS_MESSAGES]
    # At the same instant the message comes before what it caused; `sorted` keeps that order.
    entries.sort(key=lambda entry: entry[0])
    can_change = policies.can_change(user, ticket)
    tiers = list(Tier.objects.all())
    return Detail(
        ticket=ticket,
        timeline=[(kind, entry) for _, kind, entry in entries],
        timers=list(ticket.timers.order_by("id")),
        cursor=events[-1].pk if events else 0,
        statuses=_statuses(ticket),
        priorities=Priority.choices,
        categories=list(Category.objects.all()),
        assignees=_assignees(ticket) if can_change or ticket.assignee_id == user.pk else [],
        next_tier=next((tier for tier in tiers if tier.level > ticket.tier.level), None),
        watched=ticket.watchers.filter(user=user).exists(),
        can_reply=policies.can_reply(user, ticket) and ticket.status != Status.CLOSED,
        can_note=policies.can_note(user, ticket),
        can_change=can_change,
        can_restrict=policies.can_restrict(user, ticket),
    )


def _statuses(ticket: Ticket) -> list[tuple[str, str]]:
    """The ticket's own status and those it may move to by hand; closing needs it resolved."""
    now = Status(ticket.status)
    reachable = TRANSITIONS[now] | {now}
    if now != Status.RESOLVED and now != Status.CLOSED:
        reachable -= {Status.CLOSED}
    return [(status.value, status.label) for status in Status if status in reachable]


def _assignees(ticket: Ticket) -> list[User]:
    """Who works the ticket's tier."""
    people = User.objects.filter(is_active=True).prefetch_related("memberships__tier")
    able = [person for person in people if person.standing.level >= ticket.tier.level]
    return sorted(able, key=lambda person: person.name.lower())
