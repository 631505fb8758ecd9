"""The same change to many tickets, and giving tickets out by themselves."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from staff.models import AuditEntry, Membership, Tier
from supportdesk import guide
from supportdesk.errors import Invalid, NotPermitted
from tests.factories import UserFactory, agent, lead, ticket
from tickets import actions, queries
from tickets.actions import assignment, jobs
from tickets.models import Job, JobRow, JobState, Message, OutboundEmail, Priority, Status, Ticket
from tickets.recipe import read


def bulk(by, numbers, **changes):
    job = actions.start_bulk(by=by, tickets=queries.chosen(by, numbers), recipe=read(changes))
    jobs.run(job.pk)
    job.refresh_from_db()
    return job


def outcomes(job):
    return list(job.rows.values_list("outcome", flat=True))


def test_a_bulk_change_tells_what_became_of_each_ticket(tier1):
    mine, done, beyond = ticket(), ticket(priority=Priority.HIGH), ticket(2)
    job = bulk(tier1, [mine.number, done.number, beyond.number], priority="high")
    assert (job.state, job.done, job.changed, job.failed) == (JobState.DONE, 3, 1, 1)
    assert outcomes(job) == ["done", "unchanged", "refused"]
    assert "only that tier" in job.rows.last().said
    assert job.rows.first().said == "changed the priority from Normal to High"
    assert Ticket.objects.get(pk=beyond.pk).priority == Priority.NORMAL


def test_what_somebody_changed_before_its_turn_is_left_alone(tier1, tier2):
    one, other = ticket(), ticket()
    job = actions.start_bulk(
        by=tier1, tickets=queries.chosen(tier1, [one.number, other.number]), recipe=read({"status": "resolved"})
    )
    actions.set_priority(number=other.number, by=tier2, priority=Priority.URGENT)
    jobs.run(job.pk)
    assert outcomes(job) == ["done", "refused"]
    assert "changed by somebody else" in job.rows.last().said
    assert Ticket.objects.get(pk=other.pk).status == Status.NEW


def test_all_that_match_are_meant_not_only_those_on_the_page(tier1):
    for n in range(60):
        ticket(subject=f"Parcel {n}")
    ticket(subject="Other")
    filters = queries.Filters.read({"q": "parcel", "view": "open"})
    job = actions.start_bulk(by=tier1, tickets=queries.matching(tier1, filters), recipe=read({"add_tags": ["lost"]}))
    assert job.total == 60
    jobs.run(job.pk)
    assert Ticket.objects.filter(tags=["lost"]).count() == 60


def test_nobody_reaches_what_they_may_not_see(tier1, administrator):
    secret = ticket()
    actions.set_restricted(number=secret.number, by=administrator, restricted=True)
    with pytest.raises(Invalid, match="No ticket"):
        bulk(tier1, [secret.number], priority="high")
    with pytest.raises(NotPermitted):
        bulk(UserFactory(role="integration"), [ticket().number], priority="high")


def test_who_left_the_desk_meanwhile_changes_nothing(tier1):
    one = ticket()
    job = actions.start_bulk(by=tier1, tickets=queries.chosen(tier1, [one.number]), recipe=read({"priority": "low"}))
    tier1.is_active = False
    tier1.save()
    jobs.run(job.pk)
    assert outcomes(job) == ["refused"]


def test_a_bulk_change_is_taken_back_but_for_what_was_changed_since(tier1, tier2):
    one, other = ticket(priority=Priority.LOW), ticket()
    actions.take(number=one.number, by=tier2)
    actions.set_tags(number=one.number, by=tier1, tags=["vip"])
    changes = {
        "priority": "urgent", "assignee": "nobody", "add_tags": ["x"], "remove_tags": ["vip"], "category": "database",
        "deadline": "2d", "status": "resolved", "note": "As agreed.",
    }  # fmt: skip
    job = bulk(tier1, [one.number, other.number], **changes)
    assert outcomes(job) == ["done", "done"]
    actions.set_priority(number=other.number, by=tier2, priority=Priority.HIGH)
    back = actions.undo_bulk(job_id=job.pk, by=tier1)
    jobs.run(back.pk)
    assert outcomes(back) == ["refused", "done"]  # newest first
    one.refresh_from_db()
    assert (one.priority, one.assignee, one.tags, one.category) == (Priority.LOW, tier2, ["vip"], None)
    assert (one.deadline_at, one.status, one.resolved_at) == (None, Status.OPEN, None)
    assert {timer.clock for timer in one.timers.all() if timer.stopped_at is None} == {"first_response", "resolution"}
    assert Message.objects.filter(ticket=one, kind="note").count() == 1
    with pytest.raises(Invalid, match="already"):
        actions.undo_bulk(job_id=job.pk, by=tier1)


@pytest.mark.parametrize("status", [Status.WAITING, Status.ON_HOLD, Status.NEW, Status.RESOLVED, Status.CLOSED])
def test_undo_goes_back_to_every_status(tier1, status):
    one = ticket()
    if status in {Status.RESOLVED, Status.CLOSED}:
        actions.resolve(number=one.number, by=tier1)
    if status != Status.NEW:
        actions.set_status(number=one.number, by=tier1, status=status)
    before = Ticket.objects.get(pk=one.pk)
    wanted = "open" if status in {Status.RESOLVED, Status.CLOSED} else "resolved"
    job = bulk(tier1, [one.number], status=wanted)
    assert outcomes(job) == ["done"]
    back = actions.undo_bulk(job_id=job.pk, by=tier1)
    jobs.run(back.pk)
    assert outcomes(back) == ["done"], back.rows.get().said
    after = Ticket.objects.get(pk=one.pk)
    for name in ("status", "resolved_at", "resolved_by", "closed_at"):
        assert getattr(after, name) == getattr(before, name), name
    running = after.timers.filter(stopped_at=None).count()
    assert running == (0 if status in {Status.RESOLVED, Status.CLOSED} else 2)


def test_undo_takes_back_tier_watchers_steps_and_fields_of_a_category(lead, administrator):
    from tickets.models import Category, FieldKind

    database = Category.objects.get(slug="database")
    actions.save_field(by=administrator, slug="f", label="F", kind=FieldKind.TEXT, categories=[database])
    one, watcher = ticket(), agent(2)
    changes = {
        "category": "database", "custom": {"f": "x"}, "escalate_to": 2, "note": "Why.", "watchers": [watcher.email], "checklist": ["Look"],
    }  # fmt: skip
    job = bulk(lead, [one.number], **changes)
    assert outcomes(job) == ["done"]
    assert (one.watchers.count(), one.checklist.count()) == (1, 1)
    back = actions.undo_bulk(job_id=job.pk, by=lead)
    jobs.run(back.pk)
    assert outcomes(back) == ["done"], back.rows.get().said
    one.refresh_from_db()
    assert (one.tier.level, one.category, one.custom) == (1, None, {})
    assert (one.watchers.count(), one.checklist.count()) == (0, 0)


def test_nobody_lets_a_friend_read_a_restricted_ticket_in_bulk(tier1, tier2, administrator):
    secret = ticket()
    actions.watch(number=secret.number, by=tier1)
    actions.set_restricted(number=secret.number, by=administrator, restricted=True)
    job = bulk(tier1, [secret.number], watchers=[tier2.email])
    assert outcomes(job) == ["refused"]
    assert not Ticket.objects.visible_to(tier2).exists()


def test_a_query_that_can_match_nothing_says_so(tier1, administrator, client):
    from staff.actions import create_token

    _, token = create_token(email=tier1.email)
    headers = {"Authorization": f"Token {token}"}
    for chosen in ({"q": "assignee:nobodyhere"}, {"numbers": []}):
        body = {**chosen, "changes": {"priority": "low"}}
        answer = client.post("/api/v1/tickets/bulk/", body, "application/json", headers=headers)
        assert answer.status_code == 400, answer.content


def test_merges_in_bulk_are_taken_back_whole(tier1):
    goal, *others = [ticket(text=f"Words {n}") for n in range(4)]
    job = bulk(tier1, [t.number for t in (goal, *others)], merge_into=goal.number)
    assert outcomes(job) == ["done"] * 3
    assert goal.messages.count() == 4
    jobs.run(actions.undo_bulk(job_id=job.pk, by=tier1).pk)
    assert [t.messages.get().text for t in (goal, *others)] == [f"Words {n}" for n in range(4)]


def test_a_reply_in_bulk_is_one_mail_each(tier1):
    made = [ticket(email=f"p{n}@b.example") for n in range(3)]
    job = bulk(tier1, [t.number for t in made], reply="It works again.", status="resolved")
    assert outcomes(job) == ["done"] * 3
    assert sorted(OutboundEmail.objects.values_list("to", flat=True)) == [f"p{n}@b.example" for n in range(3)]
    assert {t.status for t in Ticket.objects.all()} == {Status.RESOLVED}


def test_stopping_leaves_the_rest_as_it_is(tier1):
    made = [ticket() for _ in range(3)]
    job = actions.start_bulk(
        by=tier1, tickets=queries.chosen(tier1, [t.number for t in made]), recipe=read({"priority": "low"})
    )
    actions.stop_bulk(job_id=job.pk, by=tier1)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, outcomes(job)) == (JobState.STOPPED, ["waiting"] * 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"status": "new"}, "new again"),
        ({"escalate_to": 2}, "needs a note"),
        ({"merge_into": 5, "priority": "low"}, "goes alone"),
        ({"snooze": "soon"}, "such as 30m"),
        ({"colour": "red"}, "extra inputs"),
        ({"priority": "huge"}, "priority"),
    ],
)
def test_a_recipe_that_makes_no_sense_says_why(data, words):
    with pytest.raises(Invalid, match=f"(?i){words}"):
        read(data)


def test_the_pages_choose_change_and_take_back(tier1, browser_of):
    made = [ticket(subject=f"Parcel {n}") for n in range(3)]
    browser = browser_of(tier1)
    html = browser.get("/tickets/").content.decode()
    assert f'value="{made[0].number}" form="bulk"' in html
    numbers = ",".join(str(t.number) for t in made[:2])
    assert "Change 2 tickets" in browser.get(f"/tickets/bulk/?numbers={numbers}").content.decode()
    assert "Change 3 tickets" in browser.get("/tickets/bulk/?all=1&in-q=parcel").content.decode()
    assert browser.get("/tickets/bulk/").status_code == 400
    empty = browser.post("/tickets/bulk/", {"numbers": numbers})
    assert (empty.status_code, b"Choose what is to be done" in empty.content) == (422, True)
    where = browser.post("/tickets/bulk/", {"all": "1", "in-q": "parcel", "priority": "high", "add_tags": "a, b"})
    job = Job.objects.get(kind="bulk")
    assert where["Location"] == f"/jobs/{job.pk}/"
    jobs.run(job.pk)
    page = browser.get(f"/jobs/{job.pk}/?outcome=done").content.decode()
    assert page.count("changed the priority from Normal to High") == 3
    undo = browser.post(f"/jobs/{job.pk}/undo/")
    jobs.run(int(undo["Location"].split("/")[2]))
    assert not Ticket.objects.filter(priority=Priority.HIGH).exists()
    assert browser_of(agent(1)).get(f"/jobs/{job.pk}/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_bulk_change_beside_other_writers_loses_no_row(db):
    """Two workers get the job at once while somebody else writes on the same tickets."""
    guide.load()
    boss, other = lead(1, 2), agent(2)
    made = [ticket() for _ in range(12)]
    job = actions.start_bulk(
        by=boss, tickets=queries.chosen(boss, [t.number for t in made]), recipe=read({"add_tags": ["x"]})
    )
    start = threading.Barrier(3)

    def work(move) -> None:
        try:
            start.wait()
            move()
        finally:
            connections.close_all()

    def write() -> None:
        for each in made[::2]:
            actions.set_priority(number=each.number, by=other, priority=Priority.HIGH)
            actions.receive(ticket_id=each.pk, requester=each.requester, text="More")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, [lambda: jobs.run(job.pk), lambda: jobs.run(job.pk), write]))
    job.refresh_from_db()
    rows = JobRow.objects.filter(job=job)
    assert job.state == JobState.DONE
    assert (job.done, rows.exclude(outcome__in=["done", "refused"]).count()) == (12, 0)
    tagged = set(Ticket.objects.filter(tags=["x"]).values_list("pk", flat=True))
    assert tagged == set(rows.filter(outcome="done").values_list("ticket", flat=True))
    assert Ticket.objects.filter(priority=Priority.HIGH).count() == 6
    assert Message.objects.count() == 18


# ------------------------------------------------------------------ who gets it


def test_in_turn_everybody_of_the_tier_gets_the_same_number(lead):
    crew = [agent(1), agent(1), agent(1)]
    agent(2)
    for _ in range(6):
        assignment.assign_in_turn(number=ticket().number, by=lead)
    assert [Ticket.objects.filter(assignee=each).count() for each in crew] == [2, 2, 2]


def test_the_least_loaded_one_gets_it_and_snoozed_tickets_do_not_count(lead):
    busy, idle = agent(1), agent(1)
    for _ in range(2):
        actions.take(number=ticket().number, by=busy)
    asleep = [ticket() for _ in range(3)]
    for each in asleep:
        actions.take(number=each.number, by=idle)
        actions.snooze(number=each.number, by=idle, until=timezone.now() + timedelta(days=1))
    assert assignment.assign_to_least_loaded(number=ticket().number, by=lead).assignee == idle


def test_who_is_away_gets_nothing(lead):
    away, here = agent(1), agent(1)
    actions.set_away(user_id=away.pk, by=away, until=timezone.now() + timedelta(days=2))
    for _ in range(3):
        assert assignment.assign_in_turn(number=ticket().number, by=lead).assignee == here
    actions.set_away(user_id=here.pk, by=lead, until=timezone.now() + timedelta(hours=1))
    with pytest.raises(Invalid, match="Nobody of tier 1"):
        assignment.assign_in_turn(number=ticket().number, by=lead)
    actions.set_away(user_id=away.pk, by=lead, until=None)
    assert assignment.assign_in_turn(number=ticket().number, by=lead).assignee == away


@pytest.mark.parametrize(("reassign", "left"), [("keep", 2), ("pool", 0), ("turn", 0)])
def test_open_tickets_of_who_is_away_are_handed_on(lead, reassign, left):
    away, here = agent(1), agent(1)
    done, *made = [ticket() for _ in range(3)]
    for each in (done, *made):
        actions.take(number=each.number, by=away)
    actions.resolve(number=done.number, by=away)
    actions.set_away(user_id=away.pk, by=lead, until=timezone.now() + timedelta(days=1), reassign=reassign)
    assert Ticket.objects.filter(assignee=away, status="open").count() == left
    assert Ticket.objects.filter(assignee=here).count() == (2 if reassign == "turn" else 0)
    assert Ticket.objects.get(pk=done.pk).assignee == away
    assert AuditEntry.objects.filter(action="user.away").count() == 1


def test_nobody_sends_a_colleague_away(tier1, tier2):
    with pytest.raises(NotPermitted):
        actions.set_away(user_id=tier1.pk, by=tier2, until=timezone.now() + timedelta(days=1))
    with pytest.raises(Invalid, match="coming year"):
        actions.set_away(user_id=tier1.pk, by=tier1, until=timezone.now() - timedelta(days=1))


@pytest.mark.django_db(transaction=True)
def test_tickets_given_out_at_once_are_shared_evenly(db):
    guide.load()
    boss, crew = lead(1), [agent(1) for _ in range(3)]
    made = [ticket() for _ in range(9)]

    def give(each) -> None:
        try:
            assignment.assign_in_turn(number=each.number, by=boss)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(give, made))
    assert [Ticket.objects.filter(assignee=each).count() for each in crew] == [3, 3, 3]
    assert Membership.objects.filter(tier=Tier.objects.get(level=1), last_assigned_at=None).count() == 1  # the lead
