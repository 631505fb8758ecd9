"""One ticket with its conversation, clocks and what the reader may do."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Lower

from staff.models import Membership, Role, Tier, User
from supportdesk.errors import NotFound
from tickets import policies
from tickets.models import (
    TRANSITIONS,
    Category,
    CustomField,
    Draft,
    Handover,
    MailAddress,
    Message,
    MessageKind,
    Priority,
    SLAPolicy,
    SLATimer,
    Status,
    Ticket,
    TicketEvent,
    Watcher,
)
from tickets.queries import related
from tickets.queries.clocks import bring_up_to_date
from tickets.queries.writing import Writing, writing_on
from tickets.sla import rules

# Events that a message of the conversation already shows.
_HANDOVERS = {"escalated", "handed_back", "breach_escalated"}
_SHOWN_AS_MESSAGES = {"replied", "noted", "received", "auto_reply"}


@dataclass(frozen=True)
class Detail:
    """Everything the ticket page shows. Built in a fixed number of statements."""

    ticket: Ticket
    timeline: list[tuple[str, Any]]
    clocks: list[SLATimer]
    policy: SLAPolicy | None
    handovers: list[Handover]
    cursor: int
    statuses: list[tuple[str, str]]
    priorities: list[tuple[str, str]]
    categories: list[Category]
    assignees: list[User]
    next_tier: Tier | None
    other_tiers: list[Tier]
    links: list[related.Related]
    steps: list[related.Step]
    approvals: list[related.Asked]
    fields: list[tuple[CustomField, Any]]
    watched: bool
    unreachable: str
    writing: Writing
    newest: int  # the newest message's key
    can_reply: bool
    can_note: bool
    can_change: bool
    can_restrict: bool
    can_merge: bool

    @property
    def open_children(self) -> list[related.Related]:
        return [other for other in self.links if other.is_open_child]

    @property
    def steps_done(self) -> int:
        return sum(step.done for step in self.steps)


def ticket_for(user: User, number: int) -> Ticket:
    """One ticket that the user may see, or `NotFound`."""
    found = _visible(user, number).first()
    if found is None:
        raise NotFound(f"There is no ticket {number}.")
    return found


def readable(ticket: Ticket, user: User) -> QuerySet[Message]:
    """The messages of a ticket that the user, who sees it, may read."""
    messages = ticket.messages.all()
    return messages if policies.can_read_notes(user) else messages.exclude(kind=MessageKind.NOTE)


def can_see(user: User, number: int) -> bool:
    """Whether the user may see a ticket."""
    return Ticket.objects.visible_to(user).filter(number=number).exists()


def _visible(user: User, number: int) -> QuerySet[Ticket]:
    related = ("tier", "assignee", "requester", "category", "merged_into")
    return Ticket.objects.visible_to(user).select_related(*related).filter(number=number)


def ticket_detail(user: User, number: int) -> Detail:
    """The ticket page's facts."""
    watching = Watcher.objects.filter(ticket=OuterRef("pk"), user=user)
    dead = MailAddress.objects.filter(address=OuterRef("requester__email"), bounced_at__isnull=False)
    written = Exists(Draft.objects.filter(ticket=OuterRef("pk")))
    found = (
        _visible(user, number)
        .select_related("rating")
        .annotate(watched=Exists(watching), written=written, **related.ARRAYS)
    )
    row = found.annotate(dead=Exists(dead), dead_because=Subquery(dead.values("reason")[:1])).first()
    if row is None:
        raise NotFound(f"There is no ticket {number}.")
    ticket, watched = row, row.watched
    messages = (
        ticket.messages.select_related("author", "requester", "inbound__perhaps", "outbound")
        .defer("inbound__raw")
        .prefetch_related("attachments")
    )
    events = list(ticket.events.all())
    entries: list[tuple[Any, str, Any]] = [(message.created_at, "message", message) for message in messages]
    entries += [(event.at, "event", event) for event in events if event.kind not in _SHOWN_AS_MESSAGES]
    # At the same instant the message comes before what it caused; `sorted` keeps that order.
    entries.sort(key=lambda entry: entry[0])
    can_change = policies.can_change(user, ticket)
    in_force = rules.current()
    tiers = in_force.tiers
    return Detail(
        ticket=ticket,
        timeline=[(kind, entry) for _, kind, entry in entries],
        clocks=_clocks(ticket, in_force),
        policy=in_force.policy_for(ticket),
        handovers=_handovers(ticket, events),
        cursor=events[-1].pk if events else 0,
        statuses=_statuses(ticket),
        priorities=Priority.choices,
        categories=list(in_force.categories),
        assignees=_assignees(ticket) if can_change or ticket.assignee_id == user.pk else [],
        next_tier=next((tier for tier in tiers if tier.level > ticket.tier.level), None),
        other_tiers=[tier for tier in tiers if tier.pk != ticket.tier_id],
        links=related.links(user, row),
        steps=related.steps(row),
        approvals=related.approvals(row),
        fields=[
            (field, ticket.custom.get(field.slug)) for field in in_force.fields if field.is_for(ticket.category_id)
        ],
        watched=watched,
        unreachable=(row.dead_because or "mail to it came back") if row.dead else "",
        writing=writing_on(ticket, user) if row.written else Writing(),
        newest=max((entry.pk for _, kind, entry in entries if kind == "message"), default=0),
        can_reply=policies.can_reply(user, ticket) and ticket.status != Status.CLOSED,
        can_note=policies.can_note(user, ticket),
        can_change=can_change,
        can_merge=policies.can_merge(user, ticket),
        can_restrict=policies.can_restrict(user, ticket),
    )


def _clocks(ticket: Ticket, in_force: rules.Rules) -> list[SLATimer]:
    """Every clock of the ticket, by the rules in force."""
    ticket.clocks = list(ticket.timers.order_by("id"))
    bring_up_to_date([ticket], in_force)
    return ticket.clocks


def _handovers(ticket: Ticket, events: list[TicketEvent]) -> list[Handover]:
    """How often and why the ticket moved, newest first; asked only where its history says that it did."""
    if not any(event.kind in _HANDOVERS for event in events):
        return []
    return list(ticket.handovers.select_related("from_tier", "to_tier", "by"))


def _statuses(ticket: Ticket) -> list[tuple[str, str]]:
    """The ticket's own status and those it may move to by hand; closing needs it resolved."""
    now = Status(ticket.status)
    reachable = TRANSITIONS[now] | {now}
    if now != Status.RESOLVED and now != Status.CLOSED:
        reachable -= {Status.CLOSED}
    return [(status.value, status.label) for status in Status if status in reachable]


def _assignees(ticket: Ticket) -> list[User]:
    """Who works the ticket's tier."""
    works = Membership.objects.filter(user=OuterRef("pk"), tier__level__gte=ticket.tier.level)
    able = User.objects.filter(Q(role=Role.ADMINISTRATOR) | Q(Exists(works), role=Role.STAFF), is_active=True)
    return list(able.order_by(Lower("name"), "pk"))
