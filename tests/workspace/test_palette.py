"""The palette and its matching."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staff.models import User
from tests.factories import UserFactory, agent, lead, ticket
from tests.runbooks.make import runbook, shell
from tickets.models import SavedView, Ticket
from workspace import fuzzy
from workspace.queries import palette

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.mark.parametrize(
    ("words", "better", "worse"),
    [
        ("runbooks", "Runbooks", "Old runbooks"),
        ("run", "Runbooks", "Prune"),
        ("ra", "Runs and approvals", "Zebra"),
        ("rap", "Runs and approvals", "Recurring tickets"),
        ("mail rules", "Mail: rules", "Mail: mailboxes"),
        ("approvals runs", "Runs and approvals", "Approvals"),
        ("KNO", "Knowledge base", "Unknown"),
    ],
)
def test_the_better_name_comes_first(words, better, worse):
    assert fuzzy.score(words, better) > fuzzy.score(words, worse)


@pytest.mark.parametrize(
    ("words", "name"), [("xyz", "Runbooks"), ("", "Runbooks"), ("snur", "Runs"), ("runs x", "Runs")]
)
def test_what_does_not_fit_is_not_found(words, name):
    assert fuzzy.score(words, name) == 0


@given(st.text(max_size=30), st.text(max_size=60))
def test_any_words_and_names_have_a_score_between_none_and_one(words, name):
    assert 0 <= fuzzy.score(words, name) <= 1


@given(st.text(alphabet="abcdefgh ", min_size=1, max_size=20).filter(str.strip))
def test_a_name_fits_itself_best(name):
    assert fuzzy.score(name, name) >= 0.9


def found(user, text):
    return {group.heading: [choice.title for choice in group.choices] for group in palette.palette(user, text)}


def test_everything_is_found_by_a_part_of_its_name(db):
    by = agent(3, name="Amina Diallo")
    made = ticket(1, subject="Printer on fire")
    runbook("restart-printer", [shell("true")], risk="read")
    SavedView.objects.create(name="Printers", query="printer")
    everything = found(by, "print")
    assert everything["Tickets"] == [f"{made.number} Printer on fire"]
    assert everything["Views"] == ["Printers"]
    assert "Runbooks" in everything
    assert found(by, str(made.number))["Tickets"] == [f"{made.number} Printer on fire"]
    assert found(by, "amina")["People"] == ["Amina Diallo"]
    assert found(by, "sofia")["People"] == ["Sofia Marin"]
    assert "Users cannot log in" in found(by, "cannot log in")["Articles"]
    assert "Team" in found(by, "team")["Go to"]


def test_nothing_is_found_that_one_may_not_see(db):
    made = ticket(1, subject="Printer on fire")
    Ticket.objects.update(restricted=True)
    outsider, by = UserFactory(), agent(1)
    assert "Tickets" not in found(by, "printer")
    assert "Tickets" not in found(by, str(made.number))
    assert "People" not in found(outsider, "sofia")
    assert "Audit" not in found(by, "audit").get("Go to", [])
    assert "Audit" in found(lead(1), "audit")["Go to"]


def test_it_takes_a_fixed_number_of_statements(db, django_assert_max_num_queries):
    by = agent(1)
    for n in range(40):
        ticket(1, subject=f"Printer {n}", email=f"printer{n}@shop.example")
        UserFactory(name=f"Printer {n}")
    fresh = User.objects.get(pk=by.pk)
    with django_assert_max_num_queries(8):
        palette.palette(fresh, "printer")


def test_it_is_a_page_without_javascript(client, db):
    client.force_login(agent(1), backend=BACKEND)
    ticket(1, subject="Printer <b>on</b> fire")
    page = client.get("/palette/?q=printer").content.decode()
    assert "Printer &lt;b&gt;on" in page
    assert 'role="option"' in client.get("/palette/?q=printer", headers={"HX-Request": "true"}).content.decode()
    assert client.get("/palette/", {"q": "\0" + "x" * 5000}).status_code == 200
