"""Home: what waits for the reader, what changed since they left, and for leads how the work lies."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from runbooks import queries as runs
from runbooks.models import Execution
from staff.models import Tier, User
from tickets import queries as tickets
from tickets.actions.approvals import waiting_for
from tickets.models import Draft, Ticket, TicketEvent
from tickets.models.approval import TicketApproval
from tickets.queries.people import Colleague, team
from tickets.queries.queue import in_view

MOST = 12
LONGEST = timedelta(days=7)  # what happened before is no news
ABSENCE = timedelta(minutes=30)  # who was away for less has not left


@dataclass(frozen=True)
class Home:
    """Everything the page shows; a fixed number of statements."""

    mine: list[Ticket]
    near: list[Ticket]
    approvals: list[TicketApproval]
    runs_to_approve: list[Execution]
    runs: list[Execution]
    writing: list[Draft]
    since: datetime
    changes: list[TicketEvent]
    board: "Board | None"

    @property
    def is_empty(self) -> bool:
        return not (self.mine or self.near or self.approvals or self.runs_to_approve)


@dataclass(frozen=True)
class Board:
    """A lead's: who has how much, what nobody has, and what is at risk; any of it can be given to anybody."""

    tiers: list[tuple[Tier, list[Colleague]]]
    unassigned: list[Ticket]
    at_risk: list[Ticket]


def home(user: User) -> Home:
    """The reader's home."""
    now = timezone.now()
    since = max(user.home_left_at or max(user.created_at, now - timedelta(days=1)), now - LONGEST)
    level = user.standing.level or 3
    seen = Ticket.objects.visible_to(user)
    due = F("due_at").asc(nulls_last=True)
    near = in_view(seen, "breaching", user).filter(tier__level__lte=level).order_by(due, "number")
    return Home(
        mine=tickets.as_rows(in_view(seen, "mine", user).order_by(due, "number")[:MOST]),
        near=tickets.as_rows(near[:MOST]),
        approvals=list(waiting_for(user))[:MOST],
        runs_to_approve=[run for run, may in runs.waiting_for_approval(user) if may][:MOST],
        runs=list(runs.executions(user).filter(requested_by=user).order_by("-id")[:6]),
        writing=list(Draft.objects.filter(user=user, ticket__in=seen).select_related("ticket").order_by("-updated_at")[:MOST]),
        since=since,
        changes=_changes(user, since),
        board=_board(user) if user.standing.is_lead or user.standing.is_administrator else None,
    )  # fmt: skip


def _changes(user: User, since: datetime) -> list[TicketEvent]:
    """What others did since then on tickets that are the reader's or that they watch, newest first."""
    concerned = Ticket.objects.visible_to(user).filter(Q(assignee=user) | Q(watchers__user=user), updated_at__gt=since)
    events = TicketEvent.objects.filter(ticket__in=concerned.values("pk"), at__gt=since).exclude(actor=user)
    return list(events.select_related("ticket", "actor").order_by("-id")[:20])


def _board(user: User) -> Board:
    levels = set(user.standing.lead_levels) or {1, 2, 3}
    seen = Ticket.objects.visible_to(user).filter(tier__level__in=levels)
    due = F("due_at").asc(nulls_last=True)
    nobodys = in_view(seen, "unassigned", user).order_by(due, "number")
    return Board(
        [(tier, people) for tier, people in team(user) if tier.level in levels],
        tickets.as_rows(nobodys[:MOST]),
        tickets.as_rows(in_view(seen, "breaching", user).exclude(assignee=None).order_by(due, "number")[:MOST]),
    )
