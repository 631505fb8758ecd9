"""Start, retarget, stop and breach the clocks of a ticket. Every caller holds the ticket's lock."""

from datetime import datetime, timedelta

from django.db.models import Min
from django.utils import timezone

from tickets.models import Clock, Priority, SLATimer, Ticket, TicketEvent
from tickets.sla.targets import response_target

SYSTEM = "Supportdesk"


def start(ticket: Ticket, clock: Clock, *, at: datetime) -> SLATimer:
    """Start a clock with the target of the ticket's tier and priority."""
    target = response_target(ticket.tier, Priority(ticket.priority))
    timer = SLATimer.objects.create(
        ticket=ticket,
        clock=clock,
        target_seconds=int(target.total_seconds()),
        started_at=at,
        due_at=at + target,
        next_action_at=at + target,
    )
    _remember_next_due(ticket)
    return timer


def retarget(ticket: Ticket, *, at: datetime) -> None:
    """After a change of tier or priority: time used is kept, due moves; due in the past breaches now."""
    target = response_target(ticket.tier, Priority(ticket.priority))
    for timer in ticket.timers.running().select_for_update():
        timer.target_seconds = int(target.total_seconds())
        timer.due_at = timer.started_at + target
        timer.next_action_at = None if timer.breached_at else timer.due_at
        timer.save(update_fields=["target_seconds", "due_at", "next_action_at"])
        if timer.breached_at is None and timer.due_at <= at:
            breach(timer, ticket, at=at)
    _remember_next_due(ticket)


def stop(ticket: Ticket, clock: Clock, *, at: datetime) -> None:
    """Stop a running clock; one that is already past its due time breaches first."""
    for timer in ticket.timers.running().filter(clock=clock).select_for_update():
        if timer.breached_at is None and timer.due_at < at:
            breach(timer, ticket, at=at)
        timer.stopped_at, timer.next_action_at = at, None
        timer.save(update_fields=["stopped_at", "next_action_at"])
    _remember_next_due(ticket)


def breach(timer: SLATimer, ticket: Ticket, *, at: datetime) -> None:
    """Record once that a promise was broken. The moment of the breach is the due time, or now if due moved into the past."""
    changed = SLATimer.objects.filter(pk=timer.pk, breached_at=None).update(breached_at=at, next_action_at=None)
    if changed:
        timer.breached_at, timer.next_action_at = at, None
        TicketEvent.record(
            ticket,
            SYSTEM,
            "breached",
            clock=Clock(timer.clock).label.lower(),
            due=f"{timer.due_at.astimezone(timezone.get_default_timezone()):%d %b %H:%M:%S} UTC",
        )


def sweep(*, now: datetime | None = None, limit: int = 500) -> int:
    """Breach the timers whose moment has come. Several sweeps at once share the work by SKIP LOCKED.

    Call inside a transaction. The ticket is locked before its timer is changed, in the order in
    which every action locks; a ticket that an action holds is left to the next sweep.
    """
    now = now or timezone.now()
    due = list(SLATimer.objects.acting(now).order_by("next_action_at").values_list("pk", "ticket_id")[:limit])
    if not due:
        return 0
    tickets = {
        ticket.pk: ticket
        for ticket in Ticket.objects.filter(pk__in={ticket_id for _, ticket_id in due})
        .select_for_update(skip_locked=True)
        .order_by("pk")
    }
    timers = (
        SLATimer.objects.acting(now)
        .filter(pk__in=[pk for pk, _ in due], ticket__in=tickets)
        .select_for_update(skip_locked=True, of=("self",))
    )
    count = 0
    for timer in timers:
        breach(timer, tickets[timer.ticket_id], at=now)
        count += 1
    return count


def _remember_next_due(ticket: Ticket) -> None:
    """Keep the earliest due time of the running clocks on the ticket, where the queue sorts by it."""
    earliest = ticket.timers.running().aggregate(earliest=Min("due_at"))["earliest"]
    Ticket.objects.filter(pk=ticket.pk).update(due_at=earliest)
    ticket.due_at = earliest


def left(timer: SLATimer, *, now: datetime) -> timedelta:
    """Time left of a timer; negative once it is past due, frozen once it has stopped."""
    return timer.due_at - (timer.stopped_at or now)
