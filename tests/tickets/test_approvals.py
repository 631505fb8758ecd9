"""Somebody says yes or no before the work goes on."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.db import connections
from django.test import Client
from django.utils import timezone

from staff.models import Notification
from supportdesk import guide, outbox
from supportdesk.errors import Conflict, DeskError, Invalid, NotFound, NotPermitted
from supportdesk.outbox import OutboxItem
from tests.factories import UserFactory, agent, ticket
from tickets import actions, queries
from tickets.actions import approvals
from tickets.models import ApprovalState, Letter, TicketApproval


def letters():
    for item in OutboxItem.objects.filter(handler="tickets.send_letter", done_at=None):
        outbox.deliver(item.pk)
    return mail.outbox


def link_in(letter) -> str:
    return re.search(r"http://[^/]+(/approve/\S+)", letter.body)[1]


def test_somebody_outside_says_yes_by_a_link(tier1):
    one = ticket()
    actions.take(number=one.number, by=tier1)
    actions.ask_approval(number=one.number, by=tier1, question="Replace the printer?", address="Boss@Nova.example")
    (letter,) = letters()
    assert letter.to == ["boss@nova.example"]
    assert letter.extra_headers["Auto-Submitted"] == "auto-generated"
    browser, url = Client(enforce_csrf_checks=True), link_in(letter)
    page = browser.get(url)
    assert page["Referrer-Policy"] == "same-origin"  # none at all would take the form its origin
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())[1]
    assert "Replace the printer?" in page.content.decode()
    assert TicketApproval.objects.get().state == ApprovalState.WAITING  # looking answers nothing
    answer = {"answer": "yes", "comment": "Go on."}
    assert browser.post(url, answer).status_code == 403
    same = {"csrfmiddlewaretoken": token}
    done = browser.post(url, answer | same, headers={"Origin": "http://testserver"})
    assert "Approved" in done.content.decode()
    asked = TicketApproval.objects.get()
    assert (asked.state, asked.decided_as, asked.comment) == (ApprovalState.APPROVED, "boss@nova.example", "Go on.")
    assert one.events.last().sentence == "boss@nova.example approved: Replace the printer? Go on."
    assert Notification.objects.get(kind="ticket.approval").user == tier1
    assert browser.post(url, {"answer": "no"} | same).status_code == 409
    assert "Approved already" in browser.get(url).content.decode()


@pytest.mark.parametrize("change", ["forged", "other", "late", "short"])
def test_a_link_that_is_not_right_looks_like_none(tier1, change):
    one = ticket()
    asked = actions.ask_approval(number=one.number, by=tier1, question="?", address="boss@nova.example")
    other = actions.ask_approval(number=one.number, by=tier1, question="?", address="cfo@nova.example")
    url = approvals.link(asked, "boss@nova.example")
    signature = url.rstrip("/").rpartition("/")[2]
    urls = {
        "forged": f"/approve/{asked.pk}/{'a' * 40}/",
        "other": f"/approve/{other.pk}/{signature}/",
        "late": url,
        "short": f"/approve/{asked.pk}/{signature[:16]}/",
    }
    moment = timezone.now() + (approvals.LINKS_LAST if change == "late" else timedelta())
    with time_machine.travel(moment, tick=False):
        for answer in (Client().get(urls[change]), Client().post(urls[change], {"answer": "yes"})):
            assert answer.status_code == 404
    assert set(TicketApproval.objects.values_list("state", flat=True)) == {"waiting"}


def test_the_leads_of_a_tier_answer_on_the_page_and_one_is_enough(tier1, lead, tier2, browser_of):
    one = ticket()
    asked = actions.ask_approval(number=one.number, by=tier1, question="May I?", level=1)
    assert [letter.to for letter in letters()] == [[lead.email]]
    assert "May I?" in browser_of(lead).get("/approvals/").content.decode()
    with pytest.raises(NotPermitted, match="somebody else"):
        actions.decide_approval(approval_id=asked.pk, by=tier2, yes=True)
    browser_of(lead).post(f"/approvals/{asked.pk}/", {"answer": "no", "comment": "Too dear."})
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by) == (ApprovalState.REFUSED, lead)
    with pytest.raises(Conflict):
        actions.decide_approval(approval_id=asked.pk, by=lead, yes=True)


def test_nobody_approves_what_they_asked_for(lead):
    one = ticket()
    with pytest.raises(Invalid, match="nobody but you"):
        actions.ask_approval(number=one.number, by=lead, question="?", level=1)
    with pytest.raises(Invalid, match="Nobody approves"):
        actions.ask_approval(number=one.number, by=lead, question="?", address=lead.email)
    assert not Letter.objects.exists()


def test_who_left_the_desk_or_the_role_answers_no_more(tier1):
    boss = UserFactory(role="administrator")
    asked = actions.ask_approval(number=ticket().number, by=tier1, question="?", address=boss.email)
    url = approvals.link(asked, boss.email)
    assert Client().get(url).status_code == 200
    boss.is_active = False
    boss.save()
    assert Client().get(url).status_code == 404


def test_a_withdrawn_question_is_answered_no_more(tier1):
    one = ticket()
    asked = actions.ask_approval(number=one.number, by=tier1, question="?", address="boss@nova.example")
    actions.withdraw_approval(approval_id=asked.pk, by=tier1)
    url = approvals.link(asked, "boss@nova.example")
    assert Client().post(url, {"answer": "yes"}).status_code == 409
    asked.refresh_from_db()
    assert asked.state == ApprovalState.WITHDRAWN


def test_a_restricted_ticket_is_not_told_by_its_approvals(tier1, tier2, administrator):
    one = ticket()
    asked = actions.ask_approval(number=one.number, by=tier1, question="?", address="boss@nova.example")
    actions.set_restricted(number=one.number, by=administrator, restricted=True)
    for act in (
        lambda: actions.withdraw_approval(approval_id=asked.pk, by=tier2),
        lambda: actions.decide_approval(approval_id=asked.pk, by=tier2, yes=True),
    ):
        with pytest.raises(NotFound):
            act()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"question": " ", "level": 0}, "what is to be approved"),
        ({"question": "?"}, "Choose a role"),
        ({"question": "?", "address": "boss"}, "not an address"),
        ({"question": "?", "address": "support@example.com"}, "desk itself"),
    ],
)
def test_a_question_that_nobody_can_answer_is_refused(tier1, given, words):
    with pytest.raises(Invalid, match=words):
        actions.ask_approval(number=ticket().number, by=tier1, **given)


def test_tickets_that_wait_are_found_and_the_page_shows_it(tier1, browser_of):
    one, _ = ticket(), ticket()
    actions.ask_approval(number=one.number, by=tier1, question="Replace it?", address="boss@nova.example")
    found = queries.queue(tier1, queries.Filters.read({"q": "is:awaiting-approval"})).page
    assert [row.number for row in found] == [one.number]
    assert "Replace it?" in browser_of(tier1).get(f"/tickets/{one.number}/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_yes_and_no_at_the_same_moment_one_counts(db):
    guide.load()
    boss, one = agent(3), ticket()
    asked = actions.ask_approval(number=one.number, by=agent(1), question="?", address=boss.email)
    signature = approvals.link(asked, boss.email).rstrip("/").rpartition("/")[2]

    def answer(move):
        try:
            return move().state
        except DeskError as refused:
            return type(refused).__name__
        finally:
            connections.close_all()

    moves = [
        lambda: actions.decide_approval(approval_id=asked.pk, by=boss, yes=True),
        lambda: actions.decide_by_link(approval_id=asked.pk, signature=signature, yes=False),
    ]
    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(answer, moves))
    assert said[0] == "Conflict"
    assert one.events.filter(kind__in=["approved", "refused"]).count() == 1
