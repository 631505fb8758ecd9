"""Start, pause, resume, retarget and stop the clocks of a ticket. Every caller holds the ticket's lock.

Each change appends to the log of the clock and then stores what the whole log says (`settle`).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from staff.calendars import business_time
from staff.models import User
from tickets.models import (
    BREACH,
    Clock,
    ClockEvent,
    ClockEventKind,
    SLATimer,
    Status,
    Ticket,
    TicketEvent,
)
from tickets.sla.replay import Reading, replay
from tickets.sla.rules import RESPONSE_CLOCKS, Rules, Terms, current

SYSTEM = "Supportdesk"


def begin(ticket: Ticket, clocks: Sequence[Clock], *, at: datetime) -> None:
    """Start clocks for which a promise holds, at the terms of the ticket; paused at once where its status says so."""
    write(plan(ticket, clocks, current(), at=at))
    remember_next_due(ticket)


def plan(ticket: Ticket, clocks: Sequence[Clock], rules: Rules, *, at: datetime) -> list[SLATimer]:
    """The clocks that `begin` starts, not stored yet; the ticket need not be either."""
    timers = []
    for clock in clocks:
        terms = rules.terms(ticket, clock)
        if terms is None:
            continue
        timer = SLATimer(ticket=ticket, clock=clock, started_at=at)
        timer.log = [_entry(timer, ClockEventKind.STARTED, at, terms=terms)]
        if rules.is_paused(ticket, clock):
            timer.log.append(_entry(timer, ClockEventKind.PAUSED, at, reason=Status(ticket.status).label))
        timer.fired = []
        timer.policy_id = terms.policy_id
        store(timer, rules)
        timers.append(timer)
    return timers


def write(timers: Sequence[SLATimer]) -> None:
    """Store planned clocks with their logs."""
    SLATimer.objects.bulk_create(timers)
    entries = [entry for timer in timers for entry in timer.log]
    for entry in entries:
        entry.timer_id = entry.timer.pk
    ClockEvent.objects.bulk_create(entries)


def stop(ticket: Ticket, clocks: Iterable[Clock], *, at: datetime, reason: str) -> None:
    """Stop those of the clocks that have not stopped; one that is past its due time breaches first."""
    rules = current()
    for timer in _unstopped(ticket, clocks):
        _append(timer, ClockEventKind.STOPPED, at, reason=reason)
        settle(timer, ticket, rules)
    remember_next_due(ticket)


def stop_all(ticket: Ticket, *, at: datetime, reason: str) -> None:
    stop(ticket, list(Clock), at=at, reason=reason)


def retarget(ticket: Ticket, *, at: datetime, reason: str) -> None:
    """After a change of tier, priority or anything a policy asks for: used time is kept, due moves.

    A due time that comes to lie in the past breaches now.
    """
    rules = current()
    for timer in _unstopped(ticket):
        if follow(timer, ticket, rules, at=at, reason=reason):
            settle(timer, ticket, rules)
    remember_next_due(ticket)


def status_changed(ticket: Ticket, *, at: datetime) -> None:
    """Pause or resume each clock as the new status says."""
    rules = current()
    for timer in _unstopped(ticket):
        if follow(timer, ticket, rules, at=at, reason=Status(ticket.status).label):
            settle(timer, ticket, rules)
    remember_next_due(ticket)


def follow(timer: SLATimer, ticket: Ticket, rules: Rules, *, at: datetime, reason: str, save: bool = True) -> bool:
    """Append what it takes for the clock to run by the rules in force; False when it does already."""
    terms, known, policy_id = rules.terms(ticket, timer.clock), len(timer.log), timer.policy_id
    if terms is not None:
        timer.policy_id = terms.policy_id
        if not _runs_by(timer, terms):
            append(timer, ClockEventKind.RETARGETED, at, terms=terms, reason=reason)
    paused = rules.is_paused(ticket, timer.clock)
    if paused != timer.is_paused:
        append(timer, ClockEventKind.PAUSED if paused else ClockEventKind.RESUMED, at, reason=reason)
    if save:
        for entry in timer.log[known:]:
            entry.save()
    return len(timer.log) > known or timer.policy_id != policy_id


def _runs_by(timer: SLATimer, terms: Terms) -> bool:
    return (timer.target_seconds, timer.calendar_version_id) == (terms.target_seconds, terms.calendar_version_id)


def reopened(ticket: Ticket, *, at: datetime) -> None:
    """The resolution clock goes on with the time already used."""
    timer = SLATimer.objects.filter(ticket=ticket, clock=Clock.RESOLUTION).with_log().order_by("-id").first()
    if timer is not None and timer.stopped_at is not None:
        rules = current()
        _append(timer, ClockEventKind.RESUMED, at, reason="Reopened")
        timer.stopped_at, timer.running_since = None, at
        follow(timer, ticket, rules, at=at, reason="Reopened")
        settle(timer, ticket, rules)
        remember_next_due(ticket)


def requester_wrote(ticket: Ticket, *, at: datetime) -> None:
    """Start the next-response clock with the first message left unanswered, once the first response is over."""
    if not SLATimer.objects.unstopped().filter(ticket=ticket, clock__in=RESPONSE_CLOCKS).exists():
        begin(ticket, [Clock.NEXT_RESPONSE], at=at)


def replied(ticket: Ticket, by: User, *, at: datetime) -> None:
    """A public reply of staff answers the requester, and shows that the tier has taken over."""
    stopped = [*RESPONSE_CLOCKS]
    if works_tier(by, ticket):
        stopped.append(Clock.TIER_RESPONSE)
    stop(ticket, stopped, at=at, reason=f"{by} replied")


def acted(ticket: Ticket, by: User, *, at: datetime, reason: str) -> None:
    """Someone of the tier took the ticket or noted on it: its operational-level clock stops."""
    if works_tier(by, ticket):
        stop(ticket, [Clock.TIER_RESPONSE], at=at, reason=reason)


def works_tier(user: User, ticket: Ticket) -> bool:
    """Whether the person works the ticket's tier or a higher one."""
    return user.standing.level >= ticket.tier.level


def handed_over(ticket: Ticket, *, at: datetime) -> None:
    """A fresh tier-response clock for the tier that the ticket came to; the others run on at new terms."""
    stop(ticket, [Clock.TIER_RESPONSE], at=at, reason="Handed on")
    retarget(ticket, at=at, reason=f"Now with {ticket.tier}")
    begin(ticket, [Clock.TIER_RESPONSE], at=at)


def merge(source: Ticket, target: Ticket, *, at: datetime) -> dict[str, list[int]]:
    """Of two clocks for one promise keep the one with more time used. Returns the keys of those moved and stopped.

    Both tickets are locked. The source's other clocks are the caller's to stop.
    """
    rules = current()
    own = {timer.clock: timer for timer in _unstopped(target)}
    moved: list[int] = []
    stopped: list[int] = []
    for timer in _unstopped(source):
        rival = own.get(timer.clock)
        if timer.clock == Clock.TIER_RESPONSE or (rival is not None and _used(timer, at) <= _used(rival, at)):
            continue
        if rival is not None:
            _append(rival, ClockEventKind.STOPPED, at, reason=f"Merged with {source.number}")
            settle(rival, target, rules)
            stopped.append(rival.pk)
        timer.ticket = target
        timer.save(update_fields=["ticket"])
        moved.append(timer.pk)
    ended = [timer.pk for timer in _unstopped(source)]
    remember_next_due(source)
    return {"clocks_moved": moved, "clocks_stopped": stopped, "clocks_ended": ended}


def unmerge(source: Ticket, target: Ticket, kept: Mapping[str, Any], *, at: datetime) -> None:
    """Give each ticket its own clocks back, as if they had never stopped; a reply since then stops what it answered."""
    for timer in SLATimer.objects.filter(pk__in=kept["clocks_moved"], ticket=target):
        timer.ticket = source
        timer.save(update_fields=["ticket"])
    for ticket, keys in ((target, kept["clocks_stopped"]), (source, kept["clocks_ended"])):
        resume(ticket, keys, reason="The merge was taken back")
    for ticket in (source, target):
        retarget(ticket, at=at, reason="The merge was taken back")


def resume(ticket: Ticket, keys: Sequence[int], *, reason: str) -> None:
    """Let stopped clocks run on as if they had never stopped; a reply since then stops what it answered."""
    rules = current()
    answered = ticket.messages.filter(kind="reply").order_by("id")
    for timer in SLATimer.objects.filter(pk__in=keys, ticket=ticket).with_log().order_by("id"):
        since = timer.stopped_at
        if since is None or SLATimer.objects.unstopped().filter(ticket=ticket, clock=timer.clock).exists():
            continue
        _append(timer, ClockEventKind.RESUMED, since, reason=reason)
        reply = answered.filter(created_at__gte=since).first() if timer.clock in RESPONSE_CLOCKS else None
        if reply is not None:
            _append(timer, ClockEventKind.STOPPED, reply.created_at, reason="Replied meanwhile")
        settle(timer, ticket, rules)


def _used(timer: SLATimer, at: datetime) -> timedelta:
    return replay(timer.log, business_time).used_by(at)


def settle(timer: SLATimer, ticket: Ticket, rules: Rules) -> None:
    """Store what the log says, and record a breach that it shows, once."""
    reading = store(timer, rules)
    timer.save()
    if timer.breached_at is None and reading.breached_at is not None:
        breach(timer, ticket, at=reading.breached_at)


def store(timer: SLATimer, rules: Rules) -> Reading:
    """Set the columns from the replay of the log; save nothing. What breached stays breached."""
    reading = replay(timer.log, business_time)
    timer.target_seconds = int(reading.target.total_seconds())
    timer.calendar_version_id = reading.calendar_version_id
    timer.used_us = _microseconds(reading.used)
    timer.running_since, timer.stopped_at, timer.due_at = reading.since, reading.stopped_at, reading.due_at
    timer.next_action_at = next_moment(timer, reading, rules)
    return reading


def next_moment(timer: SLATimer, reading: Reading, rules: Rules) -> datetime | None:
    """When the sweep has something to do: the earliest milestone that has not been acted upon."""
    if reading.since is None and reading.breached_at is None:
        return None
    if reading.stopped_at is not None:
        return None
    done = {milestone.percent for milestone in timer.fired}
    moments = (
        reading.reaches(reading.target * percent / 100) for percent in milestones(timer, rules) if percent not in done
    )
    return min((moment for moment in moments if moment is not None), default=None)


def milestones(timer: SLATimer, rules: Rules) -> list[int]:
    """The percents at which something happens; the promise itself is always one."""
    policy = rules.policy(timer.policy_id)
    return sorted({*(policy.milestones if policy else ()), BREACH})


def breach(timer: SLATimer, ticket: Ticket, *, at: datetime) -> None:
    """Record once that a promise was broken, with the moment at which it was."""
    if SLATimer.objects.filter(pk=timer.pk, breached_at=None).update(breached_at=at):
        timer.breached_at = at
        TicketEvent.record(ticket, SYSTEM, "breached", **breach_words(timer))


def breach_words(timer: SLATimer) -> dict[str, Any]:
    due = timer.due_at or timer.breached_at
    assert due is not None  # noqa: S101 - a breach has its moment
    return {"clock": Clock(timer.clock).label.lower(), "due": f"{due:%d %b %H:%M:%S} UTC"}


def _entry(
    timer: SLATimer, kind: ClockEventKind, at: datetime, *, terms: Terms | None = None, reason: str = ""
) -> ClockEvent:
    return ClockEvent(
        timer=timer,
        kind=kind,
        at=at,
        target_seconds=terms.target_seconds if terms else None,
        calendar_version_id=terms.calendar_version_id if terms else None,
        reason=reason[:120],
    )


def append(
    timer: SLATimer, kind: ClockEventKind, at: datetime, *, terms: Terms | None = None, reason: str = ""
) -> ClockEvent:
    """Add to the log in memory. Time never runs backwards, whatever two machines think it is."""
    entry = _entry(timer, kind, max(at, timer.log[-1].at), terms=terms, reason=reason)
    timer.log.append(entry)
    return entry


def _append(
    timer: SLATimer, kind: ClockEventKind, at: datetime, *, terms: Terms | None = None, reason: str = ""
) -> None:
    append(timer, kind, at, terms=terms, reason=reason).save()


def _unstopped(ticket: Ticket, clocks: Iterable[Clock] | None = None) -> list[SLATimer]:
    timers = SLATimer.objects.unstopped().filter(ticket=ticket)
    if clocks is not None:
        timers = timers.filter(clock__in=list(clocks))
    return list(timers.select_for_update(of=("self",)).with_log().order_by("id"))


def remember_next_due(ticket: Ticket) -> None:
    """Keep the earliest due time of the running clocks on the ticket, where the queue sorts by it."""
    running = SLATimer.objects.unstopped().filter(ticket=ticket)
    earliest = running.aggregate(earliest=Min("due_at"))["earliest"]
    if ticket.due_at != earliest:
        Ticket.objects.filter(pk=ticket.pk).update(due_at=earliest)
        ticket.due_at = earliest


def _microseconds(delta: Any) -> int:
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
