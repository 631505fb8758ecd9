"""Schedules: both DST days in several zones, what was missed, and that a moment fires once."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from django.utils import timezone

from runbooks import actions, cron
from runbooks.models import Execution, FireOutcome, Schedule, ScheduleFire, Target
from staff.models import Notification
from supportdesk.errors import Invalid, NotPermitted
from tests.factories import UserFactory, agent
from tests.factories import lead as make_lead
from tests.runbooks.make import runbook, shell
from tests.runbooks.test_engine import finish, in_thread
from tickets.models import Ticket


def first(rule, zone, after, count, **policy):
    return [at.isoformat() for at in islice(cron.moments(rule, zone, datetime.fromisoformat(after), **policy), count)]


@pytest.mark.parametrize(
    ("zone", "after", "forward", "skip"),
    [
        ("Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00"),
        ("America/New_York", "2026-03-07T12:00:00+00:00", "2026-03-08T07:00:00+00:00", "2026-03-09T06:30:00+00:00"),
        ("Australia/Sydney", "2026-10-03T02:00:00+00:00", "2026-10-03T16:00:00+00:00", "2026-10-04T15:30:00+00:00"),
        ("Australia/Lord_Howe", "2026-10-03T02:00:00+00:00", "2026-10-03T15:30:00+00:00", "2026-10-03T15:30:00+00:00"),
    ],
)
def test_a_skipped_time_runs_at_the_end_of_the_gap_or_not_at_all(zone, after, forward, skip):
    assert first("30 2 * * *", zone, after, 1) == [forward]
    assert first("30 2 * * *", zone, after, 1, gap="skip") == [skip]


@pytest.mark.parametrize(
    ("fold", "moments"),
    [
        ("first", ["2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"]),
        ("second", ["2026-10-25T01:30:00+00:00", "2026-10-26T01:30:00+00:00"]),
        ("both", ["2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"]),
    ],
)
def test_a_time_that_comes_twice_runs_as_declared(fold, moments):
    assert first("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+00:00", 2, fold=fold) == moments


@pytest.mark.parametrize("fold", ["first", "second", "both"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "America/Santiago"])
def test_moments_are_in_order_and_each_once_over_two_years(zone, fold):
    found = list(islice(cron.moments("*/20 * * * *", zone, datetime(2026, 1, 1, tzinfo=UTC), fold=fold), 6000))
    assert found == sorted(set(found))


def test_every_hour_goes_on_through_both_changes():
    for after in ("2026-03-28T20:00:00+00:00", "2026-10-24T20:00:00+00:00"):
        found = [datetime.fromisoformat(text) for text in first("0 * * * *", "Europe/Berlin", after, 12, fold="both")]
        assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


def test_a_rule_that_never_comes_is_refused():
    with pytest.raises(Invalid):
        cron.check("0 0 30 2 *")


@pytest.fixture
def nightly(target):
    runbook("nightly", [shell("true")], risk="read", tier=1)
    return actions.save_schedule(
        name="nightly", slug="nightly", targets=["shop"], cron_rule="0 * * * *", zone="UTC", by=make_lead(2)
    )


def due(schedule, hours):
    moment = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
    Schedule.objects.filter(pk=schedule.pk).update(next_at=moment)
    return moment


def test_only_leads_and_administrators_make_schedules(target):
    runbook("nightly", [shell("true")], risk="read", tier=1)
    with pytest.raises(NotPermitted):
        actions.save_schedule(
            name="x", slug="nightly", targets=["shop"], cron_rule="0 * * * *", zone="UTC", by=agent(3)
        )


@pytest.mark.parametrize(
    "wrong",
    [{"cron_rule": "every day"}, {"cron_rule": "0 0 * * * *"}, {"zone": "Mars/Base"}, {"targets": []}, {"targets": ["nowhere"]},
     {"missed": "maybe"}, {"grace_seconds": 1}, {"name": ""}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_field(target, wrong):
    runbook("nightly", [shell("true")], risk="read", tier=1)
    good = {
        "name": "x",
        "slug": "nightly",
        "targets": ["shop"],
        "cron_rule": "0 * * * *",
        "zone": "UTC",
        "by": make_lead(2),
    }
    with pytest.raises(Invalid) as error:
        actions.save_schedule(**good | wrong)
    assert error.value.fields


@pytest.mark.parametrize(("missed", "started"), [("skip", 0), ("once", 1), ("all", 4)])
def test_missed_moments_follow_their_policy_within_the_grace(nightly, missed, started):
    Schedule.objects.filter(pk=nightly.pk).update(missed=missed, grace_seconds=3 * 3600 + 1800, overlap="allow")
    due(nightly, 6)
    now = timezone.now().replace(minute=20, second=0, microsecond=0)
    assert actions.fire(now=now) == started
    outcomes = list(ScheduleFire.objects.values_list("outcome", flat=True))
    assert len(outcomes) == 7
    assert outcomes.count(FireOutcome.MISSED) == 7 - started
    nightly.refresh_from_db()
    assert nightly.next_at > now
    assert Notification.objects.filter(user=nightly.owner, text__contains="missed").exists()


def test_a_moment_fires_once_under_many_beats(nightly):
    due(nightly, 0)
    now = timezone.now().replace(minute=0, second=10, microsecond=0)
    threads = [in_thread(lambda: actions.fire(now=now)) for _ in range(6)]
    for thread in threads:
        thread.join(timeout=30)
    assert Execution.objects.filter(schedule=nightly).count() == 1
    assert ScheduleFire.objects.filter(outcome="started").count() == 1


def test_a_run_that_goes_on_keeps_the_next_one_out(nightly):
    for hours in (1, 0):
        moment = due(nightly, hours)
        actions.fire(now=moment + timedelta(seconds=10))
    assert list(ScheduleFire.objects.order_by("moment").values_list("outcome", flat=True)) == ["started", "overlapped"]
    assert Execution.objects.count() == 1


def test_a_freeze_keeps_a_change_out(target):
    runbook("nightly", [shell("true") | {"effect": "idempotent"}], risk="change", tier=1)
    schedule = actions.save_schedule(
        name="n", slug="nightly", targets=["shop"], cron_rule="0 * * * *", zone="UTC", by=make_lead(2)
    )
    freeze = {"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
    Target.objects.filter(slug="shop").update(freezes=[freeze])
    moment = due(schedule, 0)
    assert actions.fire(now=moment + timedelta(seconds=5)) == 0
    assert ScheduleFire.objects.get().outcome == FireOutcome.FROZEN


def test_a_schedule_whose_owner_may_no_longer_is_refused_and_its_owner_told(nightly):
    nightly.owner.memberships.all().delete()
    moment = due(nightly, 0)
    assert actions.fire(now=moment + timedelta(seconds=5)) == 0
    fire = ScheduleFire.objects.get()
    assert (fire.outcome, "needs tier" in fire.note) == (FireOutcome.REFUSED, True)
    assert Notification.objects.filter(user=nightly.owner, text__contains="could not run").exists()


def test_pausing_leaves_out_what_falls_into_it(nightly):
    actions.pause_schedule(schedule_id=nightly.pk, by=nightly.owner)
    due(nightly, 5)
    assert actions.fire() == 0
    actions.pause_schedule(schedule_id=nightly.pk, by=nightly.owner, paused=False)
    assert actions.fire() == 0
    nightly.refresh_from_db()
    assert nightly.next_at > timezone.now()


def test_run_now_is_in_the_name_of_who_asks(nightly):
    by = UserFactory(role="administrator")
    (run,) = actions.run_now(schedule_id=nightly.pk, by=by)
    assert (run.requested_by, run.schedule) == (by, nightly)


def test_a_scheduled_run_that_fails_opens_a_ticket_and_one_by_hand_does_not(target):
    runbook("nightly", [shell("exit 1")], risk="read", tier=2)
    by = make_lead(2)
    schedule = actions.save_schedule(
        name="n", slug="nightly", targets=["shop"], cron_rule="0 * * * *", zone="UTC", by=by
    )
    finish(actions.start(slug="nightly", target="shop", by=by))
    assert not Ticket.objects.exists()
    moment = due(schedule, 0)
    actions.fire(now=moment + timedelta(seconds=5))
    finish(Execution.objects.get(schedule=schedule))
    assert Ticket.objects.get().tier.level == 2


def test_the_history_is_exported_with_values_and_approvals(target, browser_of):
    runbook(
        "danger",
        [shell("true") | {"effect": "once"}],
        risk="destructive",
        tier=2,
        params={"word": {"type": "string", "label": "W"}},
    )
    run = actions.start(slug="danger", target="shop", by=agent(2), params={"word": "=cmd()"})
    other = agent(2)
    actions.approve(execution_id=run.pk, by=other)
    finish(run)
    answer = browser_of(other).get("/runs/export.csv?state=succeeded")
    text = b"".join(answer.streaming_content).decode()
    assert '""word"": ""=cmd()""' in text
    assert f"{other.email} yes" in text
