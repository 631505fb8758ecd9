from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from staff.models import Tier
from tests.factories import agent, ticket
from tickets import actions
from tickets.models import Priority, SLATimer, TicketEvent
from tickets.sla import clocks
from tickets.sla.targets import response_target

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("level", "minutes"),
    [(1, (60, 120, 180, 240)), (2, (30, 60, 90, 120)), (3, (15, 30, 45, 60))],
)
def test_the_guides_range_spreads_over_the_priorities(db, level, minutes):
    tier = Tier.objects.get(level=level)
    assert tuple(response_target(tier, p) for p in Priority) == tuple(timedelta(minutes=m) for m in minutes)


@given(low=st.integers(1, 500), width=st.integers(0, 2000))
def test_targets_grow_from_urgent_to_low_and_end_at_the_range(low, width):
    tier = Tier(level=1, response_min_minutes=low, response_max_minutes=low + width)
    targets = [response_target(tier, priority) for priority in Priority]
    assert targets == sorted(targets)
    assert (targets[0], targets[-1]) == (timedelta(minutes=low), timedelta(minutes=low + width))


def test_a_new_ticket_starts_its_first_response_clock(db):
    with time_machine.travel(NOON, tick=False):
        timer = ticket(2, priority=Priority.URGENT).timers.get()
    assert timer.due_at == NOON + timedelta(minutes=30)
    assert timer.next_action_at == timer.due_at


def test_the_first_reply_stops_the_clock_and_a_note_does_not(tier2):
    made = ticket(2)
    actions.note(number=made.number, by=tier2, text="Looking.")
    assert made.timers.get().stopped_at is None
    actions.reply(number=made.number, by=tier2, text="Hello.")
    timer = made.timers.get()
    assert timer.met
    made.refresh_from_db()
    assert made.due_at is None


def test_a_breach_is_recorded_once(db):
    with time_machine.travel(NOON, tick=False) as clock:
        made = ticket(3, priority=Priority.URGENT)
        clock.shift(timedelta(minutes=15))
        assert actions.sweep_sla() == 1
        assert actions.sweep_sla() == 0
    assert TicketEvent.objects.filter(ticket=made, kind="breached").count() == 1
    assert made.timers.get().breached_at == NOON + timedelta(minutes=15)


def test_nothing_breaches_a_second_early(db):
    with time_machine.travel(NOON, tick=False) as clock:
        ticket(3, priority=Priority.URGENT)
        clock.shift(timedelta(minutes=15, seconds=-1))
        assert actions.sweep_sla() == 0


def test_a_priority_that_puts_due_into_the_past_breaches_at_once_and_stays_breached(tier3):
    with time_machine.travel(NOON, tick=False) as clock:
        made = ticket(3, priority=Priority.LOW)
        clock.shift(timedelta(minutes=20))
        actions.set_priority(number=made.number, by=tier3, priority=Priority.URGENT)
        assert made.timers.get().breached_at == NOON + timedelta(minutes=20)
        actions.set_priority(number=made.number, by=tier3, priority=Priority.LOW)
    timer = made.timers.get()
    assert timer.due_at == NOON + timedelta(minutes=60)
    assert timer.breached_at is not None
    assert TicketEvent.objects.filter(ticket=made, kind="breached").count() == 1


def test_escalating_gives_the_clock_the_target_of_the_new_tier(tier1):
    with time_machine.travel(NOON, tick=False):
        made = ticket(1)
        actions.escalate(number=made.number, by=tier1, handover="Restarted it.")
    assert made.timers.get().due_at == NOON + timedelta(minutes=90)


def test_a_late_reply_breaches_before_it_stops(tier1):
    with time_machine.travel(NOON, tick=False) as clock:
        made = ticket(1, priority=Priority.URGENT)
        clock.shift(timedelta(hours=2))
        actions.reply(number=made.number, by=tier1, text="Sorry.")
    timer = made.timers.get()
    assert not timer.met
    assert timer.breached_at is not None


def test_a_sweep_of_nothing_is_one_query(db):
    for _ in range(3):
        ticket(1)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert clocks.sweep() == 0
    assert len(queries) == 1


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_breach_each_clock_once(db):
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    from supportdesk import guide

    guide.load()
    with time_machine.travel(NOON, tick=False):
        for _ in range(30):
            ticket(3, priority=Priority.URGENT)

    def sweep() -> int:
        try:
            return actions.sweep_sla()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: sweep(), range(4)))
    assert sum(counts) == 30
    assert SLATimer.objects.filter(breached_at=None).count() == 0
    assert TicketEvent.objects.filter(kind="breached").count() == 30


def test_the_queue_sorts_by_the_due_time_of_the_ticket(db):
    late = ticket(1, priority=Priority.LOW)
    soon = ticket(3, priority=Priority.URGENT)
    assert soon.due_at < late.due_at
    assert agent(1).standing.level == 1
