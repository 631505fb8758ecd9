"""The query language: what it means, what it refuses and where, and who finds what."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from staff.models import Tier
from tests.factories import agent, ticket
from tickets import actions
from tickets.models import Channel, Organization, Priority, Ticket, TicketText
from tickets.queries import Filters, picked, queue, search, understand
from tickets.query.language import All, Any, Filter, Not, QueryError, Word, parse


def test_terms_that_stand_together_must_all_hold():
    assert parse('is:open "too many" -word') == All(
        (Filter("is", ":", "open", 0), Word("too many", True), Not(Word("word")))
    )


def test_or_binds_weaker_than_standing_together_and_parentheses_bind_most():
    assert parse("a b OR c") == Any((All((Word("a"), Word("b"))), Word("c")))
    assert parse("a (b OR c)") == All((Word("a"), Any((Word("b"), Word("c")))))
    assert parse("-(a OR tier>=2)") == Not(Any((Word("a"), Filter("tier", ">=", "2", 7))))


@pytest.mark.parametrize(
    "text", ["http://shop.example/x", "12:30", "a-b", "or", "#1042", "user@shop.example", "--", "-"]
)
def test_what_only_looks_like_syntax_is_a_word(text):
    node = parse(text)
    assert isinstance(node, Word)


@pytest.mark.parametrize(
    ("text", "token", "position"),
    [
        ('printer "too many', '"too many', 8),
        ("(a OR b", "(", 0),
        ("a OR b)", ")", 6),
        ("a OR", "OR", 2),
        ("OR a", "OR", 0),
        ("a ()", ")", 3),
        ("tire:2", "tire:2", 0),
        ("a -(b OR)", "OR", 6),
    ],
)
def test_an_error_points_at_the_token(text, token, position):
    with pytest.raises(QueryError) as error:
        parse(text)
    assert (error.value.offending, error.value.position) == (token, position)


@given(st.text(max_size=80))
def test_any_text_is_a_query_or_an_error_that_says_where(text):
    refused = None
    try:
        parse(text)
    except QueryError as error:
        refused = error
    assert refused is None or (str(refused) and 0 <= refused.position <= len(text))


@pytest.mark.parametrize(
    "text",
    [
        "tier:9",
        "is:nonsense",
        "priority:very",
        "created>soon",
        "created>2026-13-01",
        "breach<x",
        "status>=open",
        "category:nope",
        "number:x",
        "tag:",
        "channel:fax",
    ],
)
def test_a_value_that_means_nothing_is_named(tier2, text):
    with pytest.raises(QueryError) as error:
        list(picked(Ticket.objects.all(), tier2, understand(text)))
    assert error.value.offending == text


@pytest.fixture
def desk(tier2, tier1):
    acme = Organization.objects.create(name="Acme", domains=["acme.example"])
    rows = {
        "printer": ticket(
            1, subject="The printer is on fire", text="It smells of burnt toner.", email="ann@acme.example"
        ),
        "orders": ticket(
            2, subject="Orders stuck", text="The orders are stuck.", priority=Priority.URGENT, email="bob@shop.example"
        ),
        "old": ticket(2, subject="Old thing", text="Long ago.", email="bob@shop.example"),
    }
    assert rows["printer"].requester.organization == acme
    actions.set_tags(number=rows["orders"].number, by=tier2, tags=["VIP", "cod"])
    actions.take(number=rows["orders"].number, by=tier2)
    actions.note(number=rows["orders"].number, by=tier2, text="Probably the flux capacitor.")
    actions.reply(number=rows["printer"].number, by=tier1, text="Please unplug it.")
    actions.resolve(number=rows["old"].number, by=tier2)
    Ticket.objects.filter(pk=rows["old"].pk).update(created_at=timezone.now() - timedelta(days=30))
    return {name: row.number for name, row in rows.items()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("is:open", {"printer", "orders"}),
        ("-is:open", {"old"}),
        ("tier:2", {"orders", "old"}),
        ("tier>1", {"orders", "old"}),
        ("tier<2 OR is:resolved", {"printer", "old"}),
        ("priority>=high", {"orders"}),
        ("priority<urgent", {"printer", "old"}),
        ("assignee:me", {"orders"}),
        ("assignee:none is:open", {"printer"}),
        ("tag:vip", {"orders"}),
        ("tag:#VIP -tag:other", {"orders"}),
        ("has:tag", {"orders"}),
        ("requester:@acme.example", {"printer"}),
        ("requester:bob@shop.example", {"orders", "old"}),
        ("organization:acme", {"printer"}),
        ("created>-7d", {"printer", "orders"}),
        ("created<-7d", {"old"}),
        ("created:today", {"printer", "orders"}),
        ("created>=2020-01-01 is:resolved", {"old"}),
        ("breach<31m", {"orders"}),
        ("breach<3h", {"printer", "orders"} - {"printer"}),
        ("printer", {"printer"}),
        ("PRINTERS", {"printer"}),
        ("toner", {"printer"}),
        ("unplug", {"printer"}),
        ("capacitor", {"orders"}),
        ('"burnt toner"', {"printer"}),
        ('"toner burnt"', set()),
        ("stuck -orders", set()),
        ("orders OR fire", {"printer", "orders"}),
        ("fire unplug", {"printer"}),
        ("ann", {"printer"}),
        ("acme.example", {"printer"}),
        ("subject:thing", {"old"}),
        ("channel:email", {"printer", "orders", "old"}),
        ('(tag:vip OR requester:@acme.example) -"on fire"', {"orders"}),
    ],
)
def test_what_a_query_finds(desk, tier2, text, found):
    numbers = {row.number for row in picked(Ticket.objects.all(), tier2, understand(text))}
    assert numbers == {desk[name] for name in found}


@pytest.mark.parametrize(
    "text", ["capacitor", '"flux capacitor"', "stuck capacitor", "has:note", "stuck -nothing capacitor"]
)
def test_a_note_is_not_found_by_who_may_not_read_it(desk, integration, text):
    assert not picked(Ticket.objects.all(), integration, understand(text)).exists()


def test_leaving_out_a_word_of_a_note_tells_nothing_about_it(desk, integration):
    numbers = {row.number for row in picked(Ticket.objects.all(), integration, understand("stuck -capacitor"))}
    assert numbers == {desk["orders"]}


def test_the_api_gives_an_integration_no_notes_and_speaks_the_query_language(desk, integration, client):
    from staff.actions import create_token

    headers = {"Authorization": f"Token {create_token(email=integration.email)[1]}"}
    kinds = {
        row["kind"]
        for row in client.get(f"/api/v1/tickets/{desk['orders']}/messages/", headers=headers).json()["results"]
    }
    assert kinds == {"requester"}
    listed = client.get("/api/v1/tickets/?q=tag:vip", headers=headers).json()["results"]
    assert [row["number"] for row in listed] == [desk["orders"]]
    refused = client.get("/api/v1/tickets/?q=tier:9", headers=headers)
    assert refused.status_code == 400
    assert "a tier is 1, 2 or 3" in refused.json()["errors"][0]["detail"]


def test_the_page_shows_an_error_instead_of_guessing(desk, tier2, browser_of):
    page = browser_of(tier2).get("/tickets/?q=tire:2").content.decode()
    assert "did you mean tier?" in page


def test_the_best_match_comes_first_and_its_words_are_marked(desk, tier1, browser_of):
    other = ticket(1, subject="Something else", text="Is the printer meant?")
    found = list(queue(tier1, Filters.read({"q": "printer"})).page)
    assert [row.number for row in found] == [desk["printer"], other.number]
    page = browser_of(tier1).get("/tickets/?q=printer").content.decode()
    assert "The <mark>printer</mark> is on fire" in page
    assert "<mark>printer</mark> meant" in page


def test_a_changed_subject_is_found_by_its_new_words_only(desk, tier2):
    actions.set_subject(number=desk["printer"], by=agent(1), subject="The scanner")
    texts = TicketText.objects.filter(ticket__number=desk["printer"])
    assert texts.filter(search="scanner").exists()
    assert not picked(Ticket.objects.all(), tier2, understand("subject:printer")).exists()


def test_a_restricted_ticket_is_not_found(desk, tier1):
    Ticket.objects.filter(number=desk["orders"]).update(restricted=True)
    assert desk["orders"] not in {row.number for row in queue(tier1, Filters.read({"q": "stuck"})).page}


@pytest.mark.parametrize("few", [0, 2_500], ids=["in windows", "at once"])
def test_words_alone_find_what_the_reader_may_see_and_nothing_else(desk, tier1, few, monkeypatch):
    monkeypatch.setattr(search, "_FEW", few)
    words = Filters.read({"q": "stuck", "view": "all"})
    assert desk["orders"] in {row.number for row in queue(tier1, words).page}
    Ticket.objects.filter(number=desk["orders"]).update(restricted=True)
    assert desk["orders"] not in {row.number for row in queue(tier1, words).page}
    Ticket.objects.filter(number=desk["orders"]).update(assignee=tier1)
    assert desk["orders"] in {row.number for row in queue(tier1, words).page}


def test_what_is_hidden_is_all_that_is_not_visible(desk, tier1, lead, administrator, auditor, integration):
    Ticket.objects.filter(number=desk["orders"]).update(restricted=True)
    Ticket.objects.filter(number=desk["printer"]).update(restricted=True, assignee=tier1)
    for user in (tier1, lead, administrator, auditor, integration):
        seen, hidden = Ticket.objects.visible_to(user), Ticket.objects.hidden_from(user)
        assert {*seen} | {*hidden} == {*Ticket.objects.all()}
        assert not {*seen} & {*hidden}


def test_a_query_that_names_a_status_is_not_narrowed_to_the_open_ones(desk, tier2):
    assert [row.number for row in queue(tier2, Filters.read({"q": "is:resolved"})).page] == [desk["old"]]


def test_a_bare_number_jumps_to_its_ticket(desk, tier2, browser_of):
    response = browser_of(tier2).get(f"/tickets/?q=%23{desk['orders']}")
    assert response["Location"] == f"/tickets/{desk['orders']}/"
    assert browser_of(tier2).get("/tickets/?q=99999999").status_code == 404


def test_a_very_long_message_is_kept_and_found_by_its_beginning(db):
    made, _ = actions.open_ticket(
        by=None,
        requester_email="a@b.example",
        subject="Long",
        text="needle " + "x" * 3_000_000,
        tier=Tier.objects.first(),
        channel=Channel.EMAIL,
    )
    assert TicketText.objects.filter(ticket=made, search="needle").exists()
