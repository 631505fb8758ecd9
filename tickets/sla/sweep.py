"""Notice the moments of clocks: milestones and breaches, in batches, by any number of workers at once.

A batch takes the clocks that are due first and that nobody holds: it never waits for a lock, so it
cannot wait in a circle, and what is held is left to the next sweep. Milestones are unique in the database, so that
nothing fires twice, whoever sweeps and whoever dies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from staff import actions as staff
from staff.models import Membership, MembershipRole, Notification
from supportdesk import events
from tickets.models import BREACH, Clock, ClockEvent, ClockMilestone, SLATimer, Ticket, TicketEvent
from tickets.sla import clocks
from tickets.sla.replay import Reading
from tickets.sla.rules import Rules, current

BATCH = 250
_COLUMNS = (
    "policy_id",
    "calendar_version_id",
    "target_seconds",
    "used_us",
    "running_since",
    "due_at",
    "next_action_at",
    "breached_at",
)
_TYPES = ("bigint", "bigint", "int", "bigint", "timestamptz", "timestamptz", "timestamptz", "timestamptz")


@dataclass(frozen=True)
class Reached:
    """The highest milestone that a sweep found a clock at."""

    timer: SLATimer
    ticket: Ticket
    percent: int


@dataclass(frozen=True)
class Swept:
    """What one batch did: clocks looked at, clocks breached, and breaches whose policy asks for more."""

    looked_at: int
    breached: int
    consequences: list[Reached]


def batch(*, now: datetime, limit: int = BATCH) -> Swept:
    """Act on the clocks whose moment has come; call inside a transaction.

    A clock that does not run by the rules in force is retargeted before it is judged.
    """
    timers = list(
        SLATimer.objects.acting(now)
        .select_related("ticket__tier", "ticket__requester", "ticket__assignee")
        .select_for_update(skip_locked=True, of=("ticket", "self"), no_key=True)
        .with_log()
        .order_by("next_action_at")[:limit]
    )
    if not timers:
        return Swept(0, 0, [])
    tickets = {timer.ticket_id: timer.ticket for timer in timers}
    rules, reached = current(), []
    rows: list[ClockMilestone] = []
    appended: list[ClockEvent] = []
    breached: list[TicketEvent] = []
    for timer in timers:
        ticket, known = tickets[timer.ticket_id], len(timer.log)
        clocks.follow(timer, ticket, rules, at=rules.edited_at, reason="The promises were edited", save=False)
        appended += timer.log[known:]
        reading = clocks.store(timer, rules)
        fresh = _fire(timer, reading, rules, now)
        rows += fresh
        is_past = reading.breached_at is not None or any(row.percent == BREACH for row in fresh)
        if is_past and timer.breached_at is None:
            timer.breached_at = reading.breached_at or reading.due_at
            breached.append(_event(timer, ticket, now))
        if fresh and max(row.percent for row in fresh) >= max((row.percent for row in timer.fired), default=0):
            reached.append(Reached(timer, ticket, max(row.percent for row in fresh)))
        timer.fired = [*timer.fired, *fresh]
        timer.next_action_at = clocks.next_moment(timer, reading, rules)
    ClockEvent.objects.bulk_create(appended)
    ClockMilestone.objects.bulk_create(rows)
    TicketEvent.let_rules_hear(TicketEvent.objects.bulk_create(breached))
    _save(timers)
    if appended:
        _remember_due_times([timer.ticket_id for timer in timers])
    staff.notify(_notices(reached))
    _tell([tickets[event.ticket_id] for event in breached])
    return Swept(len(timers), len(breached), _consequences(reached, rules))


def _fire(timer: SLATimer, reading: Reading, rules: Rules, now: datetime) -> list[ClockMilestone]:
    done = {row.percent for row in timer.fired}
    fresh = []
    for percent in clocks.milestones(timer, rules):
        moment = reading.reaches(reading.target * percent / 100)
        if percent not in done and moment is not None and moment <= now:
            fresh.append(ClockMilestone(timer=timer, percent=percent, reached_at=moment, fired_at=now))
    return fresh


def _event(timer: SLATimer, ticket: Ticket, now: datetime) -> TicketEvent:
    words = clocks.breach_words(timer)
    return TicketEvent(
        ticket=ticket, kind="breached", actor_name=clocks.SYSTEM, data=words, version=ticket.version, at=now
    )


def _save(timers: Sequence[SLATimer]) -> None:
    """Write the changed columns of all timers in one statement."""
    columns = [[getattr(timer, name) for timer in timers] for name in ("pk", *_COLUMNS)]
    sets = ", ".join(f"{name} = v.{name}" for name in _COLUMNS)
    arrays = ", ".join(f"%s::{kind}[]" for kind in ("bigint", *_TYPES))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE tickets_slatimer t SET {sets} FROM unnest({arrays}) AS v(id, {', '.join(_COLUMNS)}) WHERE t.id = v.id",  # noqa: S608 - names of this module
            columns,
        )


def _remember_due_times(tickets: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tickets_ticket t SET due_at = (SELECT min(s.due_at) FROM tickets_slatimer s"
            " WHERE s.ticket_id = t.id AND s.stopped_at IS NULL) WHERE t.id = ANY(%s)",
            [tickets],
        )


def _tell(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        events.publish(f"ticket.{ticket.number}", "breached")
    if tickets:
        events.publish(
            "queue", "breached", numbers=[ticket.number for ticket in tickets if not ticket.restricted][:100]
        )


def _consequences(reached: list[Reached], rules: Rules) -> list[Reached]:
    """Breaches whose policy raises the priority or escalates."""
    found = []
    for row in reached:
        policy = rules.policy(row.timer.policy_id)
        if row.percent == BREACH and policy and (policy.breach_raises_priority or policy.breach_escalates):
            found.append(row)
    return found


def _notices(reached: list[Reached]) -> list[Notification]:
    """Who is told: the assignee, else the tier's agents, else its leads; from the breach on the leads as well.

    A restricted ticket is named to nobody but its assignee and the leads.
    """
    if not reached:
        return []
    agents, leads = _members(MembershipRole.AGENT), _members(MembershipRole.LEAD)
    notices = []
    for row in reached:
        ticket, level = row.ticket, row.ticket.tier.level
        people: dict[int, str] = {}
        if row.percent >= BREACH or not (ticket.assignee_id or agents.get(level)) or ticket.restricted:
            people |= dict.fromkeys(leads.get(level, ()), f"you lead tier {level}")
        if ticket.assignee_id:
            people[ticket.assignee_id] = "it is assigned to you"
        elif not ticket.restricted:
            people |= dict.fromkeys(agents.get(level, ()), f"nobody has taken it and you are in tier {level}")
        notices += [_notice(row, user_id, reason) for user_id, reason in people.items()]
    return notices


def _members(role: MembershipRole) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    rows = Membership.objects.filter(role=role, tier__isnull=False, user__is_active=True)
    for level, user_id in rows.values_list("tier__level", "user_id"):
        found.setdefault(level, []).append(user_id)
    return found


def _notice(row: Reached, user_id: int, reason: str) -> Notification:
    clock, number = Clock(row.timer.clock).label, row.ticket.number
    if row.percent < BREACH:
        words = f"{clock} of {number} has used {row.percent} % of its time"
    elif row.percent == BREACH:
        words = f"{clock} of {number} is breached"
    else:
        words = f"{clock} of {number} is {row.percent - BREACH} % past its breach"
    return Notification(
        user_id=user_id,
        kind="sla.breach" if row.percent >= BREACH else "sla.warning",
        text=f"{words}: {row.ticket.subject}"[:300],
        reason=f"Because {reason}",
        url=f"/tickets/{number}/",
        key=f"sla:{row.timer.pk}:{row.percent}",
    )
