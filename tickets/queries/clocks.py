"""Clocks as pages and endpoints show them: by the rules in force now, also while a recomputation is under way."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Prefetch
from django.utils import timezone

from staff.calendars import business_time
from staff.models import CalendarVersion
from tickets.models import SLATimer, Ticket
from tickets.sla import clocks, rules
from tickets.sla.replay import replay
from tickets.sla.words import Explained, explain

SHOWN: Any = Prefetch("timers", SLATimer.objects.unstopped().order_by("id"), to_attr="clocks")


def bring_up_to_date(tickets: Sequence[Ticket], in_force: rules.Rules | None = None) -> None:
    """Show due times by the rules in force on `ticket.clocks`; nothing is saved.

    An edit of a policy or calendar reaches every clock in the background; until then the stored
    due time is that of the old rules, and must not be shown. One statement, two where a clock is behind.
    """
    in_force = in_force or rules.current()
    behind = [
        (timer, ticket) for ticket in tickets for timer in ticket.clocks
        if timer.stopped_at is None and _is_behind(timer, ticket, in_force)
    ]  # fmt: skip
    if not behind:
        return
    logs: dict[int, list[clocks.ClockEvent]] = {}
    for event in clocks.ClockEvent.objects.filter(timer__in=[timer.pk for timer, _ in behind]).order_by("id"):
        logs.setdefault(event.timer_id, []).append(event)
    for timer, ticket in behind:
        timer.log, timer.fired = logs[timer.pk], []
        _preview(timer, ticket, in_force)


def _is_behind(timer: SLATimer, ticket: Ticket, in_force: rules.Rules) -> bool:
    terms = in_force.terms(ticket, timer.clock)
    return (
        terms is not None
        and (timer.target_seconds, timer.calendar_version_id) != (terms.target_seconds, terms.calendar_version_id)
    ) or in_force.is_paused(ticket, timer.clock) != timer.is_paused


def _preview(timer: SLATimer, ticket: Ticket, in_force: rules.Rules) -> None:
    """What the recomputation will make of the clock, in memory."""
    clocks.follow(timer, ticket, in_force, at=in_force.edited_at, reason="The promises were edited", save=False)
    clocks.store(timer, in_force)


def explained(ticket: Ticket, *, now: datetime | None = None) -> list[Explained]:
    """Every clock of a ticket with its history in words."""
    now = now or timezone.now()
    timers = list(ticket.timers.order_by("id").with_log())
    ticket.clocks = timers
    in_force = rules.current()
    for timer in timers:
        if timer.stopped_at is None and _is_behind(timer, ticket, in_force):
            _preview(timer, ticket, in_force)
    used = {event.calendar_version_id for timer in timers for event in timer.log if event.calendar_version_id}
    versions = CalendarVersion.objects.select_related("calendar").in_bulk(used)
    return [explain(timer, replay(timer.log, business_time), versions, now=now) for timer in timers]
