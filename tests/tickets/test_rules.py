"""Rules and recurring tickets: what the desk does by itself."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.utils import timezone

from staff.models import AuditEntry, Notification
from supportdesk import outbox
from supportdesk.errors import Invalid, NotPermitted
from supportdesk.outbox import OutboxItem
from tests.factories import UserFactory, agent, ticket
from tickets import actions
from tickets.actions import recurrences, rules
from tickets.models import (
    Message,
    OutboundEmail,
    Priority,
    Recurrence,
    Rule,
    RuleOutcome,
    RuleRun,
    Status,
    Ticket,
    TicketEvent,
)
from tickets.recipe import read


@pytest.fixture
def make(administrator):
    def rule(name="Rule", **more):
        recipe = read(more.pop("recipe"))
        return actions.save_rule(by=administrator, name=name, recipe=recipe, active=more.pop("active", True), **more)

    return rule


def deliver():
    """What the workers would do now."""
    for item in OutboxItem.objects.filter(done_at=None).order_by("pk"):
        outbox.deliver(item.pk)


def test_a_rule_acts_on_what_its_query_picks(make, tier1):
    make(events=["opened"], query="tier:1 parcel", recipe={"priority": "high", "add_tags": ["lost"]})
    parcel, other = ticket(subject="Lost parcel"), ticket()
    deliver()
    parcel.refresh_from_db()
    assert (parcel.priority, parcel.tags) == (Priority.HIGH, ["lost"])
    assert Ticket.objects.get(pk=other.pk).priority == Priority.NORMAL
    run = RuleRun.objects.get()
    assert run.outcome == RuleOutcome.DONE
    assert run.said == "changed the priority from Normal to High; changed the tags from none to lost"
    assert parcel.events.last().actor_name == "Automation"


def test_nothing_is_queued_where_no_rule_listens(make, tier1):
    make(events=["resolved"], recipe={"priority": "low"})
    make(name="Off", events=["opened"], recipe={"priority": "low"}, active=False)
    ticket()
    assert not OutboxItem.objects.exists()


def test_rules_act_in_order_and_one_may_stop_the_rest(make, tier1):
    make(name="Third", position=3, events=["opened"], recipe={"add_tags": ["third"]})
    make(name="First", position=1, events=["opened"], recipe={"priority": "urgent"})
    make(name="Second", position=2, events=["opened"], query="priority:urgent", recipe={"note": "Look."}, stops=True)
    one = ticket()
    deliver()
    assert [run.rule.name for run in RuleRun.objects.order_by("id")] == ["First", "Second"]
    assert Ticket.objects.get(pk=one.pk).tags == []


def test_rules_do_not_set_each_other_off(make, tier1):
    make(name="Up", events=["priority", "opened"], recipe={"priority": "high"})
    make(name="Down", events=["priority", "opened"], recipe={"priority": "low"})
    ticket()
    deliver()
    deliver()
    assert RuleRun.objects.count() == 2
    assert not OutboxItem.objects.filter(done_at=None).exists()


def test_an_event_that_is_delivered_twice_acts_once(make, tier1):
    make(events=["opened"], recipe={"note": "Once."})
    one = ticket()
    event = TicketEvent.objects.get(ticket=one, kind="opened")
    for _ in range(3):
        rules.hear(event.pk)
    assert one.messages.filter(kind="note").count() == 1


def test_what_a_rule_may_not_do_is_refused_and_the_next_one_acts(make, tier1):
    make(name="Merge", position=1, events=["opened"], recipe={"merge_into": 999999})
    make(name="Tag", position=2, events=["opened"], recipe={"add_tags": ["x"]})
    one = ticket()
    deliver()
    assert list(RuleRun.objects.order_by("id").values_list("outcome", flat=True)) == ["refused", "done"]
    assert Ticket.objects.get(pk=one.pk).tags == ["x"]


def test_a_breach_is_heard(make, tier1, lead):
    make(events=["breached"], query="tier:1", recipe={"notify": ["leads"], "notify_text": "Breached"})
    one = ticket(priority=Priority.URGENT)
    with time_machine.travel(timezone.now() + timedelta(hours=2), tick=False):
        actions.sweep_sla()
        deliver()
    notice = Notification.objects.get(kind="ticket.rule")
    assert (notice.user, notice.text) == (lead, f"Breached: {one.number} Help")


def test_a_rule_writes_to_a_requester_a_few_times_a_day_only(make, tier1):
    make(events=["received"], recipe={"reply": "We got it."})
    one = ticket()
    for n in range(8):
        actions.receive(ticket_id=one.pk, requester=one.requester, text=f"Again {n}")
    deliver()
    assert OutboundEmail.objects.count() == rules.MOST_MAILS
    assert RuleRun.objects.filter(outcome="refused").count() == 3


def test_automatic_mail_is_not_heard(make, tier1):
    make(events=["received"], recipe={"reply": "We got it."})
    one = ticket()
    actions.receive(ticket_id=one.pk, requester=one.requester, text="I am away", automatic=True)
    assert not OutboxItem.objects.filter(handler="tickets.rules").exists()


def test_a_resolved_ticket_closes_after_two_weeks(tier1):
    actions.switch_rule(
        pk=Rule.objects.get(built_in="close-resolved").pk, by=UserFactory(role="administrator"), active=True
    )
    one, other = ticket(), ticket()
    actions.resolve(number=one.number, by=tier1)
    assert actions.sweep_rules() == 0
    with time_machine.travel(timezone.now() + timedelta(days=14, seconds=1), tick=False):
        assert actions.sweep_rules() == 1
        assert actions.sweep_rules() == 0
    assert Ticket.objects.get(pk=one.pk).status == Status.CLOSED
    assert Ticket.objects.get(pk=other.pk).status == Status.NEW


def test_a_timed_rule_acts_once_until_a_person_does_something(make, tier1):
    make(name="Up", since="created", after="1h", query="is:open", recipe={"add_tags": ["old"]})
    make(name="Down", since="created", after="1h", query="is:open", recipe={"remove_tags": ["old"]})
    one = ticket()
    start = timezone.now()
    with time_machine.travel(start + timedelta(hours=2), tick=False):
        assert actions.sweep_rules() == 2
        assert actions.sweep_rules() == 0  # neither hears what the other did
        actions.set_priority(number=one.number, by=tier1, priority=Priority.LOW)
        assert actions.sweep_rules() == 2
    assert RuleRun.objects.count() == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"events": ["opened"], "since": "created", "after": "1h"}, "either"),
        ({}, "either"),
        ({"events": ["exploded"]}, "Unknown"),
        ({"since": "created", "after": "soon"}, "such as 30m"),
        ({"events": ["opened"], "query": "colour:red"}, "colour"),
        ({"events": ["opened"], "recipe": {}}, "what is to be done"),
        ({"events": ["opened"], "name": " "}, "name"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(make, given, words):
    with pytest.raises(Invalid, match=words):
        make(**{"recipe": {"priority": "low"}} | given)


def test_a_query_that_is_not_understood_any_more_blocks_no_other_rule(make, tier1, administrator):
    category = actions.save_category(by=administrator, slug="d1", name="Deliveries")
    broken = make(name="A", position=1, events=["opened"], query="category:Deliveries", recipe={"priority": "low"})
    make(name="B", position=2, events=["opened"], recipe={"add_tags": ["x"]})
    actions.save_category(by=administrator, pk=category.pk, name="Parcels")
    one = ticket()
    deliver()
    assert Ticket.objects.get(pk=one.pk).tags == ["x"]
    broken.refresh_from_db()
    assert "Deliveries" in broken.error
    assert not OutboxItem.objects.filter(done_at=None).exists()


def test_a_rule_of_a_lead_does_not_reach_restricted_tickets_of_other_tiers(lead, administrator):
    near, far = ticket(1), ticket(3)
    for each in (near, far):
        actions.set_restricted(number=each.number, by=administrator, restricted=True)
    recipe = read({"watchers": [lead.email]})
    actions.save_rule(by=lead, name="Peek", since="created", after="1h", recipe=recipe, active=True)
    with time_machine.travel(timezone.now() + timedelta(hours=2), tick=False):
        actions.sweep_rules()
    assert [run.ticket for run in RuleRun.objects.all()] == [near]


def test_a_robot_that_answers_does_not_wake_a_timed_rule_again(make, tier1):
    make(since="updated", after="1h", query="is:waiting", recipe={"reply": "Well?"})
    one = ticket()
    actions.wait_on_requester(number=one.number, by=tier1)
    start = timezone.now()
    with time_machine.travel(start + timedelta(hours=2), tick=False):
        assert actions.sweep_rules() == 1
        actions.receive(ticket_id=one.pk, requester=one.requester, text="I am away", automatic=True)
    with time_machine.travel(start + timedelta(hours=9), tick=False):
        assert actions.sweep_rules() == 0
        deliver()
    (sent,) = mail.outbox
    assert sent.extra_headers["Auto-Submitted"] == "auto-generated"


def test_only_leads_and_administrators_make_rules(make, tier1, lead, auditor):
    made = make(events=["opened"], recipe={"priority": "low"})
    for user in (tier1, auditor):
        with pytest.raises(NotPermitted):
            actions.switch_rule(pk=made.pk, by=user, active=False)
    actions.switch_rule(pk=made.pk, by=lead, active=False)
    actions.delete_rule(pk=made.pk, by=lead)
    assert list(AuditEntry.objects.filter(action__startswith="rule").values_list("action", flat=True)) == [
        "rule.deleted", "rule.switched", "rule.saved",
    ]  # fmt: skip
    with pytest.raises(Invalid, match="comes with the desk"):
        actions.delete_rule(pk=Rule.objects.get(built_in="close-resolved").pk, by=lead)


def test_a_dry_run_shows_each_change_and_keeps_nothing(make, tier1, administrator):
    made = make(events=["opened"], query="parcel", recipe={"priority": "high", "reply": "Found it."}, active=False)
    parcel, _ = ticket(subject="Parcel"), ticket()
    trial = rules.dry_run(made, by=administrator)
    assert (trial.looked_at, trial.matched) == (2, 1)
    ((shown, outcome, said),) = trial.rows
    assert (shown, outcome) == (parcel, "Done")
    assert "changed the priority from Normal to High" in said
    assert Ticket.objects.get(pk=parcel.pk).priority == Priority.NORMAL
    assert not OutboundEmail.objects.exists()
    assert not RuleRun.objects.exists()
    assert Message.objects.count() == 2


def test_the_pages_of_rules(lead, browser_of):
    browser = browser_of(lead)
    assert "Close what stayed resolved" in browser.get("/settings/rules/").content.decode()
    ticket(subject="Parcel")
    data = {"name": "Mine", "position": "5", "events": ["opened", "received"], "query": "parcel", "add_tags": "a b"}
    trial = browser.post("/settings/rules/new/", data | {"dry-run": "1"}).content.decode()
    assert "it picks 1 of the newest 1 tickets" in trial
    assert not Rule.objects.filter(name="Mine").exists()
    assert browser.post("/settings/rules/new/", data | {"query": "colour:red"}).status_code == 422
    assert browser.post("/settings/rules/new/", data).status_code == 302
    made = Rule.objects.get(name="Mine")
    assert (made.recipe, made.events) == ({"add_tags": ["a", "b"]}, ["opened", "received"])
    again = browser.get(f"/settings/rules/{made.pk}/").content.decode()
    assert 'value="a b"' in again
    browser.post(f"/settings/rules/{made.pk}/switch/", {"active": "yes"})
    ticket(subject="Parcel")
    deliver()
    assert "changed the tags from none to a, b" in browser.get(f"/settings/rules/{made.pk}/").content.decode()


# ------------------------------------------------------------------ again and again


def recurring(by, **more):
    from staff.models import Tier

    given = {
        "name": "Backups", "cron": "30 2 * * *", "zone": "Europe/Berlin", "requester_email": "ops@desk.example",
        "subject": "Check the backups", "text": "Look at last night’s.", "tier": Tier.objects.get(level=2),
        "recipe": read({"checklist": ["Read the log", "Restore one"], "add_tags": ["routine"]}),
    }  # fmt: skip
    return actions.save_recurrence(by=by, **given | more)


def test_a_recurring_ticket_is_opened_whole_and_once(administrator):
    with time_machine.travel(datetime(2026, 11, 25, 12, tzinfo=UTC), tick=False):
        made = recurring(administrator)
        assert made.next_at == datetime(2026, 11, 26, 1, 30, tzinfo=UTC)
        assert actions.sweep_recurrences() == 0
    with time_machine.travel(datetime(2026, 11, 26, 1, 30, tzinfo=UTC), tick=False):
        assert actions.sweep_recurrences() == 1
        assert actions.sweep_recurrences() == 0
    made.refresh_from_db()
    opened = made.last_ticket
    assert (opened.subject, opened.tags, opened.checklist.count()) == ("Check the backups", ["routine"], 2)
    assert made.next_at == datetime(2026, 11, 27, 1, 30, tzinfo=UTC)


def test_after_an_outage_one_ticket_is_opened_not_ten(administrator):
    with time_machine.travel(datetime(2026, 11, 25, 12, tzinfo=UTC), tick=False):
        made = recurring(administrator)
    with time_machine.travel(datetime(2026, 12, 5, 12, tzinfo=UTC), tick=False):
        assert actions.sweep_recurrences() == 1
    made.refresh_from_db()
    assert made.next_at == datetime(2026, 12, 6, 1, 30, tzinfo=UTC)


def test_the_hour_that_dst_leaves_out_and_the_one_that_it_doubles():
    spring = recurrences.next_times("30 2 * * *", "Europe/Berlin", after=datetime(2026, 3, 28, 12, tzinfo=UTC), count=2)
    assert spring == [datetime(2026, 3, 29, 1, 0, tzinfo=UTC), datetime(2026, 3, 30, 0, 30, tzinfo=UTC)]
    autumn = recurrences.next_times(
        "30 2 * * *", "Europe/Berlin", after=datetime(2026, 10, 24, 12, tzinfo=UTC), count=2
    )
    assert autumn == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cron": "61 * * * *"}, "not a cron rule"),
        ({"cron": "* * * * *"}, "five minutes"),
        ({"cron": "0 0 30 2 *"}, "not a cron rule"),
        ({"zone": "Mars/Base"}, "not a time zone"),
        ({"requester_email": "ops"}, "not an address"),
        ({"subject": ""}, "Write something"),
    ],
)
def test_what_can_never_work_is_refused(administrator, more, words):
    with pytest.raises(Invalid, match=words):
        recurring(administrator, **more)


def test_what_fails_says_so_and_comes_again(administrator):
    gone = agent(2)
    with time_machine.travel(datetime(2026, 11, 25, 12, tzinfo=UTC), tick=False):
        made = recurring(administrator, recipe=read({"assignee": gone.email}))
    gone.is_active = False
    gone.save()
    with time_machine.travel(datetime(2026, 11, 26, 12, tzinfo=UTC), tick=False):
        assert actions.sweep_recurrences() == 0
    made.refresh_from_db()
    assert "is not on the desk" in made.error
    assert made.next_at == datetime(2026, 11, 27, 1, 30, tzinfo=UTC)
    assert not Ticket.objects.exists()


def test_what_only_the_api_sets_survives_an_edit_in_the_browser(lead, make, browser_of):
    made = make(events=["opened"], recipe={"custom": {"order": 1}, "priority": "low"}, active=False)
    data = {"name": "Renamed", "position": "0", "events": ["opened"], "priority": "high"}
    browser_of(lead).post(f"/settings/rules/{made.pk}/", data)
    made.refresh_from_db()
    assert (made.name, made.recipe) == ("Renamed", {"custom": {"order": 1}, "priority": "high"})


def test_the_pages_of_recurring_tickets(lead, browser_of):
    browser = browser_of(lead)
    assert "Nothing recurs yet" in browser.get("/settings/recurring/").content.decode()
    data = {
        "name": "Weekly", "cron": "0 9 * * mon", "zone": "Asia/Kolkata", "requester_email": "a@b.example", "subject": "s",
        "text": "t", "tier": "1", "priority": "low", "active": "on", "checklist": "One\nTwo",
    }  # fmt: skip
    assert "Next times" in browser.post("/settings/recurring/new/", data | {"preview": "1"}).content.decode()
    assert browser.post("/settings/recurring/new/", data | {"cron": "x"}).status_code == 422
    assert browser.post("/settings/recurring/new/", data)["Location"] == "/settings/recurring/"
    made = Recurrence.objects.get()
    assert (made.recipe, made.priority) == ({"checklist": ["One", "Two"]}, "low")
    assert "Weekly" in browser.get(f"/settings/recurring/{made.pk}/").content.decode()
    browser.post(f"/settings/recurring/{made.pk}/delete/")
    assert not Recurrence.objects.exists()
