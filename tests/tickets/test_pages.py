import re
import sys

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import agent, ticket
from tickets import actions
from tickets.models import Priority, Status, Ticket
from tickets.queries import Filters, queue

HTMX = {"HX-Request": "true"}


def count_queries(client, path):
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    assert len(queries) > 3
    return len(queries)


def test_the_queue_takes_the_same_few_queries_with_25_and_100_rows(tier2, browser_of):
    client = browser_of(tier2)
    for n in range(25):
        made = ticket(1 + n % 3, email=f"r{n}@x.example")
        if n % 2:
            actions.take(number=made.number, by=agent(3))
    few = count_queries(client, "/tickets/?size=100")
    for n in range(75):
        ticket(1 + n % 3, email=f"s{n}@x.example")
    many = count_queries(client, "/tickets/?size=100")
    assert few == many <= 12


def test_the_ticket_page_takes_the_same_few_queries_with_1_and_50_messages(tier2, browser_of):
    made = ticket(2)
    client = browser_of(tier2)
    few = count_queries(client, f"/tickets/{made.number}/")
    for n in range(50):
        actions.note(number=made.number, by=tier2, text=f"Note {n}")
    assert count_queries(client, f"/tickets/{made.number}/") == few <= 12


def numbers(user, **asked):
    return [row.number for row in queue(user, Filters.read(asked)).page]


@pytest.fixture
def many(tier1, tier2):
    rows = {
        "plain": ticket(1, subject="Printer on fire"),
        "urgent": ticket(3, priority=Priority.URGENT, subject="Database down"),
        "mine": ticket(2, subject="My own", email="karim@atlas.example"),
        "done": ticket(1, subject="Finished"),
    }
    actions.take(number=rows["mine"].number, by=tier2)
    actions.resolve(number=rows["done"].number, by=tier1)
    return {name: row.number for name, row in rows.items()}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"plain", "urgent", "mine"}),
        ({"view": "all"}, {"plain", "urgent", "mine", "done"}),
        ({"view": "mine"}, {"mine"}),
        ({"view": "unassigned"}, {"plain"}),
        ({"view": "resolved"}, {"done"}),
        ({"view": "breaching"}, {"urgent"}),
        ({"tier": "3"}, {"urgent"}),
        ({"priority": "urgent"}, {"urgent"}),
        ({"status": "open"}, {"mine"}),
        ({"assignee": "me"}, {"mine"}),
        ({"assignee": "none"}, {"plain", "urgent"}),
        ({"q": "printer"}, {"plain"}),
        ({"q": "printers"}, {"plain"}),
        ({"q": "karim@atlas"}, {"mine"}),
        ({"q": "tier:3 database"}, {"urgent"}),
        ({"q": "is:resolved"}, {"done"}),
        ({"q": "nothing like it"}, set()),
        ({"view": "nonsense", "sort": "nonsense", "size": "9999"}, {"plain", "urgent", "mine"}),
    ],
)
def test_the_queue_filters(tier2, many, asked, expected):
    assert set(numbers(tier2, **asked)) == {many[name] for name in expected}


def test_a_number_finds_its_ticket(tier2, many):
    assert numbers(tier2, q=f"#{many['plain']}") == [many["plain"]]


def test_the_queue_sorts_by_what_is_due_first(tier2, many):
    assert numbers(tier2)[0] == many["urgent"]
    assert numbers(tier2, sort="-number") == sorted(numbers(tier2), reverse=True)
    assert numbers(tier2, sort="priority")[0] == many["urgent"]


def test_what_is_not_understood_is_said(tier2, browser_of):
    assert b"Not understood and left out: tier:9" in browser_of(tier2).get("/tickets/?tier=9").content


def test_htmx_gets_the_table_alone(tier2, browser_of, many):
    answer = browser_of(tier2).get("/tickets/", headers=HTMX)
    assert b"<html" not in answer.content
    assert b"Printer on fire" in answer.content
    assert "HX-Request" in answer.headers["Vary"]


def test_rows_come_back_to_be_swapped_in_place(tier2, browser_of, many):
    html = browser_of(tier2).get(f"/tickets/rows/?numbers={many['plain']},x").content.decode()
    assert f'id="t{many["plain"]}"' in html
    assert 'id="nav-counts" hx-swap-oob="true"' in html


def test_an_action_answers_htmx_with_the_changed_parts_and_a_form_with_the_page(tier2, browser_of):
    made, client = ticket(2), browser_of(tier2)
    html = client.post(f"/tickets/{made.number}/take/", {"version": 1}, headers=HTMX).content.decode()
    for part in ("ticket-heading", "timeline", "ticket-side", "composer-version"):
        assert f'id="{part}"' in html
    assert "<html" not in html
    assert (
        client.post(f"/tickets/{made.number}/status/", {"status": "on_hold"}).headers["Location"]
        == f"/tickets/{made.number}/"
    )


def test_a_conflict_is_a_toast_for_htmx_and_a_page_that_keeps_the_words_for_a_form(tier2, browser_of):
    made, client = ticket(2), browser_of(tier2)
    actions.set_priority(number=made.number, by=agent(3, name="Omar"), priority=Priority.HIGH)
    sent = {"text": "A long answer that took an hour.", "kind": "reply", "version": 1}
    toast = client.post(f"/tickets/{made.number}/say/", sent, headers=HTMX)
    assert (toast.status_code, toast.headers["HX-Retarget"]) == (409, "#toasts")
    assert "Omar changed the priority from Normal to High" in toast.content.decode()
    page = client.post(f"/tickets/{made.number}/say/", sent)
    assert page.status_code == 409
    assert "A long answer that took an hour." in page.content.decode()


def test_a_stale_change_shows_both_versions_and_may_be_sent_anew(tier2, browser_of):
    made, client, other = ticket(2), browser_of(tier2), agent(3, name="Omar")
    actions.set_priority(number=made.number, by=other, priority=Priority.HIGH)
    actions.assign(number=made.number, by=other, to=other)
    url = f"/tickets/{made.number}/priority/"
    for headers in (HTMX, {}):
        shown = client.post(url, {"priority": "urgent", "version": 1}, headers=headers)
        html = shown.content.decode()
        assert shown.status_code == 409
        assert re.search(r"<th scope=\"row\">Priority</th><td>Urgent</td><td>High</td>", html)
        assert "Assignee" not in html.partition("compared")[2].partition("</table>")[0]
    version = re.search(r'name="version" value="(\d+)"', html)[1]
    shown = client.post(f"/tickets/{made.number}/assign/", {"assignee": str(tier2.pk), "version": 1}, headers=HTMX)
    assert f"<td>{tier2}</td><td>Omar</td>" in shown.content.decode()
    assert client.post(url, {"priority": "urgent", "version": version}).status_code == 302
    made.refresh_from_db()
    assert made.priority == "urgent"


@pytest.mark.parametrize(
    ("path", "name", "sent", "words"),
    [
        ("tags", "tags", "b A", "<td>a, b</td><td>None</td>"),
        ("subject", "subject", "Mine <b>", "<td>Mine &lt;b&gt;</td><td>Help</td>"),
        ("status", "status", "on_hold", "<td>On hold</td><td>New</td>"),
        ("category", "category", "", ""),
        ("assign", "assignee", "9" * 30, ""),
        ("deadline", "deadline_at", "2026-99-99T00:00", "<td>2026-99-99T00:00</td><td>None</td>"),
    ],
)
def test_both_versions_are_in_words_and_nothing_breaks_them(tier2, browser_of, path, name, sent, words):
    made = ticket(2)
    actions.set_priority(number=made.number, by=agent(3), priority=Priority.HIGH)
    shown = browser_of(tier2).post(f"/tickets/{made.number}/{path}/", {name: sent, "version": 1}, headers=HTMX)
    assert shown.status_code in {400, 404, 409, 422}
    if shown.status_code == 409:
        assert words in shown.content.decode()


def test_a_new_ticket_with_mistakes_comes_back_with_everything_in_it(tier1, browser_of):
    answer = browser_of(tier1).post(
        "/tickets/new/", {"requester_email": "no", "subject": "Kept", "text": "Kept too", "tier": "1"}
    )
    html = answer.content.decode()
    assert answer.status_code == 422
    assert "Kept too" in html
    assert "valid email" in html
    assert Ticket.objects.count() == 0


def test_a_hostile_subject_and_text_are_shown_as_text(tier1, browser_of):
    made = ticket(
        1, subject="<script>alert(1)</script>", text="<img src=x onerror=alert(2)> https://x.example/?a=1&b=2"
    )
    for path in ("/tickets/", f"/tickets/{made.number}/", f"/runs/for-ticket/{made.number}/"):
        html = browser_of(tier1).get(path).content.decode()
        assert "<script>alert" not in html
        assert "<img src=x" not in html


def test_times_are_shown_in_the_zone_of_the_reader(db, browser_of):
    from datetime import UTC, datetime

    import time_machine

    with time_machine.travel(datetime(2026, 7, 1, 12, 0, tzinfo=UTC), tick=False):
        made = ticket(1)
        reader = agent(1, time_zone="Asia/Kolkata")
        html = browser_of(reader).get(f"/tickets/{made.number}/").content.decode()
    assert ">17:30</time>" in html


def test_an_attachment_is_downloaded_and_never_rendered(tier1, browser_of):
    from tickets.actions._messages import NewFile

    made = ticket(1, files=[NewFile("page.html", "text/html", b"<script>alert(1)</script>")])
    pk = made.messages.get().attachments.get().pk
    answer = browser_of(tier1).get(f"/tickets/{made.number}/files/{pk}/")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="page.html"'
    assert answer.headers["Content-Type"] == "application/octet-stream"
    other = ticket(1)
    assert browser_of(tier1).get(f"/tickets/{other.number}/files/{pk}/").status_code == 404


def test_a_resolved_ticket_can_be_reopened_from_its_page(tier1, browser_of):
    made, client = ticket(1), browser_of(tier1)
    client.post(f"/tickets/{made.number}/status/", {"status": "resolved"})
    client.post(f"/tickets/{made.number}/status/", {"status": "open"})
    assert Ticket.objects.get(pk=made.pk).status == Status.OPEN


def test_navigation_counts_stop_at_a_limit(tier1, browser_of, monkeypatch):
    monkeypatch.setattr(sys.modules["tickets.queries.navigation"], "MOST_COUNTED", 3)
    for _ in range(4):
        ticket(1)
    assert b"2+" in browser_of(tier1).get("/tickets/").content


def test_somebody_signed_out_is_told_and_loses_no_text(db):
    from django.test import Client

    answer = Client().post(f"/tickets/{ticket(1).number}/say/", {"text": "Long text"}, headers=HTMX)
    assert (answer.status_code, answer.headers["HX-Retarget"]) == (401, "#toasts")
    assert "Sign in again" in answer.content.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/tickets/?q=5²",
        "/tickets/?q=%00",
        "/tickets/?page=²",
        "/tickets/?tier=²",
        "/tickets/rows/?numbers=²",
        "/knowledge/?ticket=²",
    ],
)
def test_odd_digits_are_no_error(tier1, browser_of, path):
    assert browser_of(tier1).get(path).status_code == 200


def test_a_wrong_wish_for_after_the_reply_sends_nothing(tier1, browser_of):
    made = ticket(1)
    answer = browser_of(tier1).post(f"/tickets/{made.number}/say/", {"text": "x", "kind": "reply", "then": "xyz"})
    assert answer.status_code == 400
    assert made.messages.count() == 1
