"""Home: what waits for somebody, what changed, and a lead's board."""

from datetime import timedelta

import pytest
from django.utils import timezone

from staff.models import User
from tests.factories import UserFactory, agent, lead, ticket
from tickets import actions
from tickets.actions import drafts
from tickets.models import Priority, Ticket
from workspace.queries import home as homes

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def test_what_is_mine_and_what_is_near(db):
    by = agent(2)
    late, soon, calm = ticket(1, priority=Priority.URGENT), ticket(2), ticket(1)
    for made in (late, soon):
        actions.take(number=made.number, by=by)
    Ticket.objects.filter(pk=soon.pk).update(due_at=timezone.now() + timedelta(minutes=1))
    Ticket.objects.filter(pk=late.pk).update(due_at=timezone.now() - timedelta(minutes=1))
    above = ticket(3)
    Ticket.objects.filter(pk=above.pk).update(due_at=timezone.now())
    found = homes.home(by)
    assert [row.number for row in found.mine] == [late.number, soon.number]
    assert [row.number for row in found.near] == [late.number, soon.number]
    assert calm.number not in {row.number for row in found.mine}
    assert found.board is None


def test_what_others_did_since_one_left_and_only_that(db, time_machine):
    by, other = agent(1), agent(1)
    made, unrelated = ticket(1), ticket(1)
    actions.take(number=made.number, by=by)
    client_seen = timezone.now()
    User.objects.filter(pk=by.pk).update(home_left_at=client_seen)
    actions.note(number=made.number, by=other, text="Look")
    actions.note(number=made.number, by=by, text="I did")
    actions.note(number=unrelated.number, by=other, text="Elsewhere")
    by = User.objects.get(pk=by.pk)
    assert [(event.kind, event.actor) for event in homes.home(by).changes] == [("noted", other)]


def test_looking_at_home_counts_as_having_left_only_after_a_while(client, db):
    by = agent(1)
    client.force_login(by, backend=BACKEND)
    client.get("/home/")
    client.get("/home/", headers={"HX-Request": "true"})
    assert User.objects.get(pk=by.pk).home_left_at is None
    left = timezone.now() - timedelta(hours=1)
    User.objects.update(home_seen_at=left)
    for _ in range(2):  # a refresh does not make old what is news
        client.get("/home/", headers={"HX-Request": "true"})
        assert User.objects.get(pk=by.pk).home_left_at == left


def test_a_lead_sees_load_and_gives_tickets_away(client, db):
    boss, worker = lead(1, 2), agent(1)
    made = ticket(1, subject="Nobody's")
    client.force_login(boss, backend=BACKEND)
    page = client.get("/home/").content.decode()
    assert f'data-ticket="{made.number}"' in page
    assert f'data-person="{worker.pk}"' in page
    answer = client.post(f"/tickets/{made.number}/assign/", {"assignee": worker.pk, "version": made.version})
    assert answer.status_code == 302
    made.refresh_from_db()
    assert made.assignee == worker
    assert {row.number for row in homes.home(boss).board.unassigned} == set()


def test_what_is_restricted_is_on_nobodys_home_but_theirs(db):
    made = ticket(1)
    Ticket.objects.update(restricted=True, due_at=timezone.now())
    assert homes.home(agent(1)).near == []
    assert [row.number for row in homes.home(lead(1)).near] == [made.number]


def test_what_one_writes_is_there_too(db):
    by, made = agent(1), ticket(1)
    drafts.keep(number=made.number, by=by, text="Half", kind="reply")
    assert [one.text for one in homes.home(by).writing] == ["Half"]


@pytest.mark.parametrize("role", ["staff", "auditor", "integration", "administrator"])
def test_everybody_has_a_home(client, db, role):
    client.force_login(UserFactory(role=role), backend=BACKEND)
    assert client.get("/home/").status_code == 200


def test_home_costs_the_same_for_few_and_many(client, db, django_assert_max_num_queries):
    boss = lead(1)
    for _ in range(15):
        made = ticket(1)
        actions.take(number=made.number, by=boss)
        agent(1)
        ticket(1)
    client.force_login(boss, backend=BACKEND)
    client.get("/notifications/fresh/")  # what each process reads anew after some seconds is read
    with django_assert_max_num_queries(24):
        client.get("/home/")
