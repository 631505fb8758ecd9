"""The clocks of a ticket: what starts, pauses, retargets and stops them, and who notices."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import IntegrityError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from staff import calendar_file
from staff.calendars import business_time
from staff.models import Calendar, Notification, Tier
from supportdesk import guide
from supportdesk.errors import Invalid, NotPermitted
from tests.factories import agent, lead, ticket
from tickets import actions
from tickets.actions import jobs
from tickets.actions.conversation import receive
from tickets.models import (
    Clock,
    ClockEvent,
    ClockMilestone,
    Job,
    Priority,
    SLAPolicy,
    SLATarget,
    SLATimer,
    Status,
    Ticket,
    TicketEvent,
)
from tickets.queries import explained, queue_rows
from tickets.sla import sweep
from tickets.sla.replay import replay
from tickets.sla.targets import response_target

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def timer(made: Ticket, clock: Clock = Clock.FIRST_RESPONSE) -> SLATimer:
    return made.timers.filter(clock=clock).latest("id")


def wrote(made: Ticket, *, automatic: bool = False) -> None:
    receive(ticket_id=made.pk, requester=made.requester, text="And now?", automatic=automatic)


def log(found: SLATimer) -> list[str]:
    return list(found.events.values_list("kind", flat=True))


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def policy(by, *, targets=None, **more):
    more = {"name": "VIP", "tag": "vip", "calendar": Calendar.objects.get(slug="round-the-clock")} | more
    return actions.save_policy(by=by, targets=targets or {}, **more)


def saved(by, slug="office", **data):
    spec = {"slug": slug, "name": "Office", "zone": "UTC", "hours": {"mon": ["09:00-17:00"], "tue": ["09:00-17:00"]}}
    return actions.save_calendar(spec=calendar_file.check(spec | data), by=by)[0]


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


@pytest.mark.parametrize("level", [1, 2, 3])
def test_resolution_targets_are_those_of_the_guide(db, level):
    hours = {
        row.priority: row.seconds // 3600 for row in SLATarget.objects.filter(tier__level=level, clock=Clock.RESOLUTION)
    }
    assert (
        hours == {"urgent": 2, "high": 4, "normal": 8, "low": 24}
        if level == 3
        else {"urgent": 4, "high": 8, "normal": 24, "low": 72}
    )


def test_a_new_ticket_starts_its_first_response_and_resolution_clocks(db, noon):
    made = ticket(2, priority=Priority.URGENT)
    assert timer(made).due_at == NOON + 30 * MINUTE
    assert timer(made).next_action_at == NOON + 22.5 * MINUTE
    assert timer(made, Clock.RESOLUTION).due_at == NOON + 4 * HOUR
    assert made.due_at == NOON + 30 * MINUTE
    assert made.timers.count() == 2


def test_the_first_reply_stops_the_clock_and_a_note_does_not(tier2):
    made = ticket(2)
    actions.note(number=made.number, by=tier2, text="Looking.")
    assert timer(made).stopped_at is None
    actions.reply(number=made.number, by=tier2, text="Hello.")
    assert timer(made).met
    made.refresh_from_db()
    assert made.due_at == timer(made, Clock.RESOLUTION).due_at


def test_the_next_response_runs_from_the_first_message_left_unanswered(tier1, noon):
    made = ticket(1)
    wrote(made)  # before the first response nothing else starts
    assert not made.timers.filter(clock=Clock.NEXT_RESPONSE).exists()
    actions.reply(number=made.number, by=tier1, text="Hello.")
    noon.shift(HOUR)
    wrote(made)
    noon.shift(MINUTE)
    wrote(made)
    assert timer(made, Clock.NEXT_RESPONSE).started_at == NOON + HOUR
    assert made.timers.filter(clock=Clock.NEXT_RESPONSE).count() == 1
    actions.reply(number=made.number, by=tier1, text="Here.")
    assert timer(made, Clock.NEXT_RESPONSE).met
    noon.shift(HOUR)
    wrote(made)
    assert made.timers.filter(clock=Clock.NEXT_RESPONSE).count() == 2


def test_automatic_mail_starts_and_stops_nothing(tier1, noon):
    made = ticket(1)
    actions.reply(number=made.number, by=tier1, text="Hello.")
    actions.wait_on_requester(number=made.number, by=tier1)
    wrote(made, automatic=True)
    assert not made.timers.filter(clock=Clock.NEXT_RESPONSE).exists()
    assert timer(made, Clock.RESOLUTION).is_paused
    opened = ticket(1, automatic=True, email="robot@shop.example")
    assert [row.clock for row in opened.timers.all()] == [Clock.RESOLUTION]


def test_waiting_pauses_next_response_and_resolution_and_hold_only_the_resolution(tier1, noon):
    made = ticket(1)
    actions.reply(number=made.number, by=tier1, text="Hello.")
    wrote(made)
    noon.shift(HOUR)
    actions.hold(number=made.number, by=tier1)
    assert timer(made, Clock.RESOLUTION).is_paused
    assert not timer(made, Clock.NEXT_RESPONSE).is_paused
    noon.shift(HOUR)
    actions.wait_on_requester(number=made.number, by=tier1)
    assert timer(made, Clock.NEXT_RESPONSE).is_paused
    assert timer(made, Clock.NEXT_RESPONSE).due_at is None
    noon.shift(5 * HOUR)
    actions.set_status(number=made.number, by=tier1, status=Status.OPEN)
    assert timer(made, Clock.RESOLUTION).due_at == NOON + 24 * HOUR + 6 * HOUR
    assert timer(made, Clock.NEXT_RESPONSE).due_at == NOON + 3 * HOUR + 5 * HOUR
    assert log(timer(made, Clock.RESOLUTION)) == ["started", "paused", "resumed"]


def test_a_reopened_ticket_continues_its_resolution_clock_with_the_time_used(tier1, noon):
    made = ticket(1)
    noon.shift(10 * HOUR)
    actions.resolve(number=made.number, by=tier1)
    assert timer(made, Clock.RESOLUTION).met
    assert timer(made, Clock.RESOLUTION).used == 10 * HOUR
    noon.shift(100 * HOUR)
    wrote(made)
    assert timer(made, Clock.RESOLUTION).due_at == NOON + 124 * HOUR
    assert timer(made, Clock.NEXT_RESPONSE).started_at == NOON + 110 * HOUR
    assert made.timers.filter(clock=Clock.RESOLUTION).count() == 1


def test_a_handover_starts_the_tiers_clock_until_somebody_of_it_acts(tier1, tier2, noon):
    made = ticket(1)
    noon.shift(MINUTE)
    actions.escalate(number=made.number, by=tier1, handover="Restarted it.")
    assert timer(made, Clock.TIER_RESPONSE).due_at == NOON + MINUTE + 90 * MINUTE
    assert timer(made).due_at == NOON + 90 * MINUTE  # the others run on, at the terms of the new tier
    actions.note(number=made.number, by=tier1, text="One thing more.")
    assert timer(made, Clock.TIER_RESPONSE).stopped_at is None
    noon.shift(MINUTE)
    actions.take(number=made.number, by=tier2)
    assert timer(made, Clock.TIER_RESPONSE).met
    assert timer(made).stopped_at is None


@pytest.mark.parametrize("act", ["reply", "note"])
def test_a_reply_or_note_of_the_tier_stops_its_clock_too(tier1, tier2, act):
    made = ticket(1)
    actions.escalate(number=made.number, by=tier1, handover="Restarted it.")
    getattr(actions, act)(number=made.number, by=tier2, text="We are on it.")
    assert timer(made, Clock.TIER_RESPONSE).met


def test_handing_back_starts_a_fresh_clock_and_keeps_the_history(tier1, tier2, noon):
    made = ticket(1)
    actions.escalate(number=made.number, by=tier1, handover="Restarted it.")
    noon.shift(MINUTE)
    actions.hand_over(
        number=made.number, by=tier2, to=Tier.objects.get(level=1), tried="It was the cache.", found="A full disk."
    )
    clocks = list(made.timers.filter(clock=Clock.TIER_RESPONSE).order_by("id"))
    assert [row.stopped_at is None for row in clocks] == [False, True]
    assert [(row.from_tier.level, row.to_tier.level, row.found) for row in made.handovers.all()] == [
        (2, 1, "A full disk."),
        (1, 2, ""),
    ]
    assert made.events.filter(kind="handed_back").exists()


def test_only_who_works_the_tier_hands_over(tier1, tier2):
    made = ticket(2)
    with pytest.raises(NotPermitted):
        actions.hand_over(number=made.number, by=tier1, to=Tier.objects.get(level=1), tried="Mine.")
    with pytest.raises(Invalid):
        actions.hand_over(number=made.number, by=tier2, to=Tier.objects.get(level=1), tried=" ")
    actions.resolve(number=made.number, by=tier2)
    with pytest.raises(Invalid):
        actions.hand_over(number=made.number, by=tier2, to=Tier.objects.get(level=3), tried="Late.")


def test_a_breach_is_recorded_once_at_its_due_time(db, noon):
    made = ticket(3, priority=Priority.URGENT)
    noon.shift(16 * MINUTE)
    assert actions.sweep_sla() == 1
    assert actions.sweep_sla() == 0
    assert TicketEvent.objects.filter(ticket=made, kind="breached").count() == 1
    assert timer(made).breached_at == NOON + 15 * MINUTE


def test_nothing_breaches_a_second_early(db, noon):
    ticket(3, priority=Priority.URGENT)
    noon.shift(15 * MINUTE - timedelta(seconds=1))
    assert actions.sweep_sla() == 0


def test_a_priority_that_puts_due_into_the_past_breaches_at_once_and_stays_breached(tier3, noon):
    made = ticket(3, priority=Priority.LOW)
    noon.shift(20 * MINUTE)
    actions.set_priority(number=made.number, by=tier3, priority=Priority.URGENT)
    assert timer(made).breached_at == NOON + 20 * MINUTE
    actions.set_priority(number=made.number, by=tier3, priority=Priority.LOW)
    assert timer(made).due_at == NOON + 60 * MINUTE
    assert timer(made).breached_at is not None
    assert TicketEvent.objects.filter(ticket=made, kind="breached").count() == 1


def test_a_late_reply_breaches_before_it_stops(tier1, noon):
    made = ticket(1, priority=Priority.URGENT)
    noon.shift(2 * HOUR)
    actions.reply(number=made.number, by=tier1, text="Sorry.")
    assert not timer(made).met
    assert timer(made).breached_at == NOON + HOUR


def test_milestones_fire_once_each_and_tell_the_right_people(db, noon):
    first, boss = agent(1), lead(1)
    made = ticket(1, priority=Priority.URGENT)
    for minutes, told in (
        (44, set()),
        (1, {first.pk}),
        (9, {first.pk}),
        (6, {first.pk, boss.pk}),
        (30, {first.pk, boss.pk}),
    ):
        noon.shift(minutes * MINUTE)
        Notification.objects.all().delete()
        actions.sweep_sla()
        assert set(Notification.objects.values_list("user_id", flat=True)) == told
    actions.sweep_sla()
    assert sorted(ClockMilestone.objects.filter(timer=timer(made)).values_list("percent", flat=True)) == [
        75,
        90,
        100,
        150,
    ]
    assert timer(made).next_action_at is None


def test_the_assignee_alone_is_warned_and_a_restricted_ticket_is_named_to_no_agent(db, noon):
    mine, boss = agent(1), lead(1)
    agent(1)
    made = ticket(1, priority=Priority.URGENT)
    actions.take(number=made.number, by=mine)
    hidden = ticket(1, priority=Priority.URGENT)
    Ticket.objects.filter(pk=hidden.pk).update(restricted=True)
    noon.shift(50 * MINUTE)
    actions.sweep_sla()
    told = Notification.objects.filter(text__contains=str(made.number)).values_list("user_id", flat=True)
    assert list(told) == [mine.pk]
    assert list(Notification.objects.filter(text__contains=str(hidden.number)).values_list("user_id", flat=True)) == [
        boss.pk
    ]


def test_several_milestones_at_once_tell_only_the_gravest(db, noon):
    agent(1)
    made = ticket(1, priority=Priority.URGENT)
    noon.shift(70 * MINUTE)
    actions.sweep_sla()
    assert ClockMilestone.objects.filter(timer=timer(made)).count() == 3
    assert [n.kind for n in Notification.objects.all()] == ["sla.breach"]


def test_a_milestone_cannot_be_written_twice(db, noon):
    made = ticket(1)
    row = {"timer": timer(made), "percent": 75, "reached_at": NOON, "fired_at": NOON}
    ClockMilestone.objects.create(**row)
    with pytest.raises(IntegrityError), transaction.atomic():
        ClockMilestone.objects.create(**row)


def test_the_log_of_a_clock_is_append_only(db):
    ticket(1)
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        ClockEvent.objects.update(reason="Never happened")


def test_a_sweep_of_nothing_is_one_query(db):
    for _ in range(3):
        ticket(1)
    with CaptureQueriesContext(connection) as queries:
        assert sweep.batch(now=datetime.now(UTC)).looked_at == 0
    assert len(queries) == 1


def test_a_batch_takes_the_same_statements_for_2_and_20_clocks(db, noon):
    counts = []
    for many in (2, 20):
        for _ in range(many):
            ticket(3, priority=Priority.URGENT)
        noon.shift(15 * MINUTE)
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            assert sweep.batch(now=datetime.now(UTC)).looked_at >= many
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.django_db(transaction=True)
def test_sweeps_at_once_act_on_each_clock_once(db):
    guide.load()
    with time_machine.travel(NOON, tick=False):
        for _ in range(30):
            ticket(3, priority=Priority.URGENT)

    def run() -> int:
        try:
            return actions.sweep_sla()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: run(), range(4)))
    assert sum(counts) == 60
    assert SLATimer.objects.filter(breached_at=None).count() == 0
    assert TicketEvent.objects.filter(kind="breached").count() == 60
    assert ClockMilestone.objects.count() == 60 * 4


def test_the_first_policy_that_matches_wins_and_the_fallback_lends_its_targets(administrator, tier1, noon):
    policy(administrator, targets={(1, "normal", "first_response"): 600})
    made = ticket(1)
    assert timer(made).policy.is_fallback
    actions.set_tags(number=made.number, by=tier1, tags=["VIP"])
    assert timer(made).policy.name == "VIP"
    assert timer(made).due_at == NOON + 10 * MINUTE
    assert timer(made, Clock.RESOLUTION).due_at == NOON + 24 * HOUR
    assert log(timer(made)) == ["started", "retargeted"]
    actions.set_tags(number=made.number, by=tier1, tags=[])
    assert timer(made).due_at == NOON + 180 * MINUTE


def test_a_breach_raises_the_priority_and_escalates_where_the_policy_says_so(administrator, noon):
    policy(
        administrator,
        tag="",
        targets={(1, "normal", "first_response"): 600},
        breach_raises_priority=True,
        breach_escalates=True,
    )
    made = ticket(1)
    noon.shift(10 * MINUTE)
    actions.sweep_sla()
    made.refresh_from_db()
    assert (made.priority, made.tier.level) == (Priority.HIGH, 2)
    assert "policy “VIP”" in made.handovers.get().tried
    assert set(made.events.values_list("kind", flat=True)) >= {"breached", "breach_raised", "breach_escalated"}


def test_editing_a_policy_moves_running_clocks_in_the_background_and_never_shows_an_old_due_time(administrator, noon):
    made = ticket(1)
    fallback = SLAPolicy.objects.get(is_fallback=True)
    actions.save_policy(
        by=administrator,
        pk=fallback.pk,
        name=fallback.name,
        calendar=fallback.calendar,
        targets={(1, "normal", "first_response"): 1200},
    )
    assert timer(made).due_at == NOON + 180 * MINUTE  # the job has not run
    assert queue_rows(administrator, [made.number])[0].next_clock.due_at == NOON + 20 * MINUTE
    assert explained(made)[0].timer.due_at == NOON + 20 * MINUTE
    job = Job.objects.latest("id")
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.done, job.total, job.changed) == ("done", 2, 2, 1)
    assert timer(made).due_at == NOON + 20 * MINUTE
    jobs.run(job.pk)  # a second delivery finds nothing to do
    assert timer(made).events.count() == 2


def test_a_sweep_judges_by_the_rules_in_force_before_the_job_came_by(administrator, noon):
    made = ticket(1)
    fallback = SLAPolicy.objects.get(is_fallback=True)
    noon.shift(170 * MINUTE)
    actions.save_policy(
        by=administrator,
        pk=fallback.pk,
        name=fallback.name,
        calendar=fallback.calendar,
        targets={(1, "normal", "first_response"): 600 * 60},
    )
    noon.shift(20 * MINUTE)
    assert actions.sweep_sla() == 0
    assert timer(made).due_at == NOON + 600 * MINUTE


def test_a_calendar_edit_keeps_the_time_used_and_breaches_nothing_backwards(administrator, noon):
    office = saved(administrator)
    policy(administrator, tag="", calendar=office, targets={(1, "normal", "first_response"): 4 * 3600})
    made = ticket(1)
    noon.shift(2 * HOUR)
    saved(administrator, hours={"mon": ["09:00-15:00"], "wed": ["09:00-12:00"]})
    jobs.run(Job.objects.latest("id").pk)
    assert timer(made).due_at == datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
    assert timer(made).used == 2 * HOUR
    assert timer(made).breached_at is None


def test_a_pause_edit_pauses_the_clocks_that_run_now(administrator, tier1, noon):
    made = ticket(1)
    actions.hold(number=made.number, by=tier1)
    actions.save_pauses(by=administrator, pauses=[("on_hold", "first_response")])
    jobs.run(Job.objects.latest("id").pk)
    assert timer(made).is_paused
    assert not timer(made, Clock.RESOLUTION).is_paused


def test_a_preview_changes_nothing(administrator, noon):
    made = ticket(1)
    noon.shift(30 * MINUTE)
    fallback = SLAPolicy.objects.get(is_fallback=True)
    preview = actions.preview_policy(
        by=administrator,
        pk=fallback.pk,
        name=fallback.name,
        calendar=fallback.calendar,
        targets={(1, "normal", "first_response"): 600},
    )
    assert (preview.looked_at, preview.changed, preview.breaches) == (2, 1, 1)
    assert preview.shown[0].becomes == NOON + 10 * MINUTE
    assert timer(made).breached_at is None
    assert (
        SLATarget.objects.get(policy=fallback, tier__level=1, priority="normal", clock="first_response").seconds
        == 180 * 60
    )
    assert not Job.objects.exists()


def test_loading_the_guide_again_keeps_what_was_edited(administrator, db):
    fallback = SLAPolicy.objects.get(is_fallback=True)
    actions.save_policy(
        by=administrator,
        pk=fallback.pk,
        name="Ours",
        calendar=fallback.calendar,
        targets={(1, "normal", "first_response"): 60},
    )
    guide.load()
    assert (
        SLATarget.objects.get(policy=fallback, tier__level=1, priority="normal", clock="first_response").seconds == 60
    )


def test_the_fallback_cannot_be_deleted_and_agents_edit_nothing(administrator, tier3, lead):
    fallback = SLAPolicy.objects.get(is_fallback=True)
    with pytest.raises(Invalid):
        actions.delete_policy(by=administrator, pk=fallback.pk)
    for person in (tier3, lead):
        with pytest.raises(NotPermitted):
            policy(person)


def test_clocks_explain_themselves_in_words(administrator, tier1, noon):
    policy(administrator, tag="", calendar=saved(administrator), targets={(1, "normal", "resolution"): 5 * 3600})
    made = ticket(1)
    noon.shift(2 * HOUR)
    actions.wait_on_requester(number=made.number, by=tier1)
    noon.shift(HOUR)
    wrote(made)
    told = {row.timer.clock: row for row in explained(made)}[Clock.RESOLUTION]
    assert told.summary == "target 5 h of business time, Office; paused 14:00–15:00; due tomorrow 10:00"
    assert [text for _, text in told.history] == [
        "Started: 5 h of business time, Office",
        "Paused (Waiting on requester)",
        "Resumed (Open)",
    ]


@pytest.mark.parametrize("seed", range(25))
def test_stored_columns_equal_the_replay_whatever_happened(administrator, seed, db):
    """Random histories through the product's own actions, sweeps and edits among them."""
    dice = random.Random(seed)
    boss = lead(1, 2, 3)
    with time_machine.travel(NOON, tick=False) as clock:
        office = saved(administrator)
        policy(
            administrator,
            calendar=office,
            targets={(2, "high", "resolution"): 7200},
            breach_raises_priority=bool(seed % 2),
        )
        made = ticket(1)
        moves = [
            lambda: actions.set_priority(number=made.number, by=boss, priority=dice.choice(list(Priority))),
            lambda: actions.hand_over(
                number=made.number, by=boss, to=Tier.objects.get(level=dice.randint(1, 3)), tried="x"
            ),
            lambda: actions.set_status(number=made.number, by=boss, status=dice.choice(list(Status))),
            lambda: actions.set_tags(number=made.number, by=boss, tags=dice.choice([[], ["vip"]])),
            lambda: actions.reply(number=made.number, by=boss, text="x"),
            lambda: actions.note(number=made.number, by=boss, text="x"),
            lambda: wrote(Ticket.objects.get(pk=made.pk)),
            lambda: actions.take(number=made.number, by=boss),
            actions.sweep_sla,
            lambda: saved(
                administrator, hours={"mon": [f"{dice.randint(6, 11):02d}:00-18:00"], "thu": ["22:00-03:00"]}
            ),
            jobs.sweep,
        ]
        for _ in range(25):
            clock.shift(timedelta(seconds=dice.choice((0, 1, 600, 5000, 40_000))))
            try:
                with transaction.atomic():
                    dice.choice(moves)()
            except Exception as refused:
                if not hasattr(refused, "code"):  # the desk refuses some moves; anything else is a fault
                    raise
            for found in SLATimer.objects.filter(ticket=made).with_log():
                reading = replay(found.log, business_time)
                assert found.used_us == reading.used // timedelta(microseconds=1)
                assert (found.due_at, found.running_since, found.stopped_at) == (
                    reading.due_at,
                    reading.since,
                    reading.stopped_at,
                )
                assert found.target_seconds == reading.target.total_seconds()
                assert reading.breached_at is None or found.breached_at == reading.breached_at
            running = [t.due_at for t in SLATimer.objects.unstopped().filter(ticket=made) if t.due_at]
            assert Ticket.objects.get(pk=made.pk).due_at == min(running, default=None)


def test_policies_and_calendars_over_rest(administrator, client):
    from staff.actions import create_token

    _, token = create_token(email=administrator.email)
    headers = {"Authorization": f"Token {token}"}
    spec = {"slug": "night", "name": "Night", "zone": "Europe/Berlin", "hours": {"fri": ["22:00-02:00"]}}
    made = client.post("/api/v1/calendars/", {"spec": spec}, "application/json", headers=headers)
    assert (made.status_code, made.json()["version"]) == (201, 1)
    bad = client.post("/api/v1/calendars/", {"spec": spec | {"zone": "Mars"}}, "application/json", headers=headers)
    assert (bad.status_code, "not a time zone" in bad.content.decode()) == (400, True)
    target = {"tier": 1, "priority": "high", "clock": "resolution", "seconds": 600}
    body = {"name": "VIP", "calendar": "night", "tag": "vip", "milestones": [50, 100], "targets": [target]}
    policy = client.post("/api/v1/sla-policies/", body, "application/json", headers=headers).json()
    assert (policy["calendar"], policy["milestones"], policy["targets"]) == ("night", [50, 100], [target])
    url = f"/api/v1/sla-policies/{policy['id']}/"
    changed = client.patch(url, body | {"name": "Gold", "targets": []}, "application/json", headers=headers).json()
    assert (changed["name"], changed["targets"]) == ("Gold", [target])
    assert len(client.get("/api/v1/sla-policies/", headers=headers).json()["results"]) == 2
