"""Calls and chats, and tickets that may be the same."""

import pytest

from supportdesk.errors import Invalid, NotFound
from tests.factories import ticket
from tickets import actions, queries
from tickets.models import Channel, Message, Status, Ticket

CALL = {
    "requester_email": "sofia@shop.example", "requester_name": "Sofia", "subject": "Label printer", "text": "It prints nothing.",
    "tier": "1", "priority": "high", "channel": "phone", "seconds": "252",
}  # fmt: skip


def test_a_call_becomes_a_ticket_that_says_how_long_it_took(tier1, browser_of):
    where = browser_of(tier1).post("/tickets/intake/", CALL)
    made = Ticket.objects.get()
    assert where["Location"] == f"/tickets/{made.number}/"
    assert (made.channel, made.priority, made.requester.email) == (Channel.PHONE, "high", "sofia@shop.example")
    assert made.events.last().words == "wrote this down from a phone contact of 4 min 12 s"


def test_a_call_about_an_earlier_ticket_goes_there_and_opens_it(tier1, browser_of):
    one = ticket()
    actions.wait_on_requester(number=one.number, by=tier1)
    browser_of(tier1).post("/tickets/intake/", CALL | {"number": str(one.number), "subject": "", "channel": "chat"})
    one.refresh_from_db()
    assert (one.status, one.messages.count(), Ticket.objects.count()) == (Status.OPEN, 2, 1)
    assert one.messages.last().requester == one.requester


def test_a_call_does_not_land_on_the_ticket_of_somebody_else(tier1, browser_of):
    other = ticket(email="other@b.example")
    answer = browser_of(tier1).post("/tickets/intake/", CALL | {"number": str(other.number)})
    assert answer.status_code == 422
    assert "is of somebody else" in answer.content.decode()
    assert other.messages.count() == 1


def test_what_is_missing_loses_nothing(tier1, browser_of):
    answer = browser_of(tier1).post("/tickets/intake/", CALL | {"subject": ""})
    assert answer.status_code == 422
    html = answer.content.decode()
    assert "Write what it is about" in html
    assert "It prints nothing." in html
    assert 'data-seconds="252"' in html
    with pytest.raises(Invalid, match="calls and chats"):
        actions.log_contact(by=tier1, channel=Channel.EMAIL, text="x", seconds=1)


def test_earlier_tickets_appear_beside_and_only_those_one_may_see(tier1, administrator, browser_of):
    seen, secret = ticket(subject="Printer is dead"), ticket(subject="Salaries")
    actions.set_restricted(number=secret.number, by=administrator, restricted=True)
    browser = browser_of(tier1)
    html = browser.get("/tickets/intake/requester/?requester_email=SOFIA@shop.example&choose=1").content.decode()
    assert f"Belongs to {seen.number}" in html
    assert "Salaries" not in html
    assert "Sofia Marin" in browser.get("/tickets/intake/requester/?requester_email=sofi").content.decode()
    filled = browser.get("/tickets/intake/requester/?requester_email=sofia@shop.example&fill=1").content.decode()
    assert 'value="sofia@shop.example"' in filled
    with pytest.raises(NotFound):
        actions.log_contact(by=tier1, channel=Channel.PHONE, text="x", seconds=1, number=secret.number)


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("The label printer is dead", True),
        ("label printer", True),
        ("printer broken since the update of the labels", True),
        ("Password forgotten", False),
        ("'; DROP TABLE & | !", False),
    ],
)
def test_a_ticket_that_may_be_the_same_is_marked(tier1, words, same):
    one = ticket(subject="Label printer is dead", text="No labels come out since this morning.")
    ticket(subject="Label printer is dead", email="other@b.example")
    found = queries.earlier(tier1, "sofia@shop.example", words=words)
    assert found.alike == ({one.pk} if same else set())


def test_words_of_notes_are_no_oracle_for_integrations(tier1, integration):
    one = ticket(subject="Printer")
    actions.note(number=one.number, by=tier1, text="He was fired yesterday")
    theirs = Ticket.objects.filter(pk=one.pk)
    assert queries.alike(tier1, theirs, "fired yesterday") == [one]
    assert queries.alike(integration, theirs, "fired yesterday") == []


def test_old_and_merged_tickets_are_not_called_the_same(tier1):
    from datetime import timedelta

    from django.utils import timezone

    old, merged, goal = [ticket(subject="Label printer is dead") for _ in range(3)]
    actions.resolve(number=old.number, by=tier1)
    Ticket.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=91))
    actions.merge(number=merged.number, into=goal.number, by=tier1)
    assert queries.earlier(tier1, "sofia@shop.example", words="Label printer dead").alike == {goal.pk}
    assert Message.objects.count() == 3
