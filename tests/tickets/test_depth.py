"""Links, deadlines, snoozing, checklists, copies and custom fields."""

from datetime import timedelta

import pytest
import time_machine
from django.core import mail as django_mail
from django.utils import timezone

from staff.models import AuditEntry, Notification
from supportdesk import outbox
from supportdesk.errors import Invalid, NotFound, NotPermitted
from tests.factories import ticket
from tickets import actions, queries
from tickets.models import (
    Category,
    CustomField,
    FieldKind,
    Mailbox,
    Message,
    OutboundEmail,
    Priority,
    Status,
    Ticket,
    TicketEvent,
    TicketLink,
)


@pytest.fixture
def order(administrator):
    return actions.save_field(by=administrator, slug="order", label="Order", kind=FieldKind.NUMBER)


def found(user, q):
    return [row.number for row in queries.queue(user, queries.Filters.read({"q": q, "view": "all"})).page]


@pytest.mark.parametrize(
    ("relation", "there"),
    [
        ("related", "Related to"),
        ("blocks", "Blocked by"),
        ("blocked_by", "Blocks"),
        ("duplicate", "Duplicated by"),
        ("child", "Parent of"),
        ("parent", "Child of"),
    ],
)
def test_a_link_reads_right_from_both_ends(tier1, relation, there):
    one, other = ticket(), ticket()
    actions.link(number=one.number, to=other.number, relation=relation, by=tier1)
    actions.link(number=one.number, to=other.number, relation=relation, by=tier1)
    (back,) = queries.links(tier1, queries.with_related(tier1, other.number))
    assert (back.label, back.number) == (there, one.number)
    assert TicketLink.objects.count() == 1
    assert [e.kind for e in other.events.all()] == ["opened", "linked"]


def test_related_is_the_same_both_ways(tier1):
    one, other = ticket(), ticket()
    first = actions.link(number=one.number, to=other.number, relation="related", by=tier1)
    assert actions.link(number=other.number, to=one.number, relation="related", by=tier1) == first


def test_circles_second_parents_and_links_to_itself_are_refused(tier1):
    a, b, c = ticket(), ticket(), ticket()
    actions.link(number=a.number, to=b.number, relation="child", by=tier1)
    actions.link(number=b.number, to=c.number, relation="child", by=tier1)
    for one, other, words in ((c, a, "circle"), (a, c, "already a child"), (a, a, "itself")):
        with pytest.raises(Invalid, match=words):
            actions.link(number=one.number, to=other.number, relation="child", by=tier1)


def test_an_open_child_warns_on_its_parent_until_it_is_resolved(tier1, browser_of):
    parent, child = ticket(), ticket()
    actions.link(number=child.number, to=parent.number, relation="child", by=tier1)
    page = f"/tickets/{parent.number}/"
    assert "1 child ticket of it is open" in browser_of(tier1).get(page).content.decode()
    actions.resolve(number=child.number, by=tier1)
    assert "child ticket of it" not in browser_of(tier1).get(page).content.decode()


def test_a_link_to_a_restricted_ticket_is_not_shown_nor_removed_by_who_may_not_see_it(tier1, administrator):
    one, secret = ticket(), ticket(subject="Salaries")
    made = actions.link(number=one.number, to=secret.number, relation="related", by=tier1)
    actions.set_restricted(number=secret.number, by=administrator, restricted=True)
    assert queries.links(tier1, queries.with_related(tier1, one.number)) == []
    with pytest.raises(NotFound):
        actions.unlink(number=one.number, link_id=made.pk, by=tier1)
    with pytest.raises(NotFound):
        actions.link(number=one.number, to=secret.number, relation="blocks", by=tier1)
    actions.unlink(number=one.number, link_id=made.pk, by=administrator)
    assert not TicketLink.objects.exists()


def test_what_a_split_left_cannot_be_unlinked(tier1):
    one = ticket()
    requester = one.requester
    _, message = actions.receive(ticket_id=one.pk, requester=requester, text="And another thing")
    made = actions.split(number=one.number, message=message.pk, by=tier1)
    (tie,) = made.links.all()
    with pytest.raises(Invalid, match="stays"):
        actions.unlink(number=made.number, link_id=tie.pk, by=tier1)


def test_a_snoozed_ticket_leaves_the_queue_and_comes_back(tier1):
    one = ticket(priority=Priority.URGENT)
    actions.take(number=one.number, by=tier1)
    actions.snooze(number=one.number, by=tier1, until=timezone.now() + timedelta(hours=1))
    for view, seen in (("open", False), ("mine", False), ("snoozed", True), ("all", True), ("breaching", True)):
        page = queries.queue(tier1, queries.Filters.read({"view": view})).page
        assert (one.number in [row.number for row in page]) == seen, view
    with time_machine.travel(timezone.now() + timedelta(hours=1, seconds=1), tick=False):
        assert actions.sweep_moments() == 1
        assert actions.sweep_moments() == 0
    one.refresh_from_db()
    assert one.snoozed_until is None
    assert Notification.objects.get(kind="ticket.woke").user == tier1
    assert one.events.last().kind == "woke"


def test_the_requester_or_a_change_of_status_ends_a_snooze(tier1):
    one, other = ticket(), ticket(email="b@b.example")
    for each in (one, other):
        actions.snooze(number=each.number, by=tier1, until=timezone.now() + timedelta(hours=1))
    actions.receive(ticket_id=one.pk, requester=one.requester, text="Hello?")
    actions.resolve(number=other.number, by=tier1)
    assert not Ticket.objects.filter(snoozed_until__isnull=False).exists()
    assert one.events.last().kind == "woke"


def test_take_next_passes_over_what_is_snoozed(tier1):
    one = ticket()
    actions.snooze(number=one.number, by=tier1, until=timezone.now() + timedelta(hours=1))
    with pytest.raises(Invalid, match="Nothing waits"):
        actions.take_next(by=tier1)


@pytest.mark.parametrize("until", [-60, 0, 400 * 86400])
def test_snoozing_to_the_past_or_too_far_is_refused(tier1, until):
    with pytest.raises(Invalid, match="coming year"):
        actions.snooze(number=ticket().number, by=tier1, until=timezone.now() + timedelta(seconds=until))


def test_a_deadline_is_told_once_and_again_after_it_moved(tier1, tier2):
    one = ticket()
    actions.take(number=one.number, by=tier1)
    actions.watch(number=one.number, by=tier2)
    start = timezone.now()
    actions.set_deadline(number=one.number, by=tier1, at=start + timedelta(hours=1))
    assert found(tier1, "deadline<2h") == [one.number]
    assert actions.sweep_moments() == 0
    with time_machine.travel(start + timedelta(hours=2), tick=False):
        assert actions.sweep_moments() == 1
        assert actions.sweep_moments() == 0
        assert {n.user for n in Notification.objects.filter(kind="ticket.deadline")} == {tier1, tier2}
        assert found(tier1, "is:overdue") == [one.number]
        actions.set_deadline(number=one.number, by=tier1, at=start + timedelta(hours=3))
    with time_machine.travel(start + timedelta(hours=4), tick=False):
        assert actions.sweep_moments() == 1
    assert Notification.objects.filter(kind="ticket.deadline", user=tier1).count() == 2


def test_a_deadline_does_not_move_the_clocks(tier1):
    one = ticket()
    due = one.due_at
    actions.set_deadline(number=one.number, by=tier1, at=timezone.now() + timedelta(minutes=1))
    one.refresh_from_db()
    assert one.due_at == due


def test_a_checklist_says_who_did_what(tier1, tier2):
    one = ticket()
    step = actions.add_step(number=one.number, by=tier1, text="Call  the\nrequester")
    actions.tick_step(number=one.number, by=tier2, step=step.pk, done=True)
    (shown,) = queries.steps(queries.with_related(tier1, one.number))
    assert (shown.text, shown.done, shown.by) == ("Call the requester", True, str(tier2))
    actions.tick_step(number=one.number, by=tier2, step=step.pk, done=False)
    actions.remove_step(number=one.number, by=tier1, step=step.pk)
    kinds = [e.kind for e in one.events.all()]
    assert kinds == ["opened", "step_added", "step_done", "step_undone", "step_removed"]
    with pytest.raises(NotFound):
        actions.tick_step(number=ticket().number, by=tier1, step=step.pk, done=True)


def test_copies_go_out_with_a_reply_and_never_to_the_desk_itself(tier1):
    one = ticket()
    own = Mailbox.objects.first().address
    wanted = ["Boss@Nova.example", "boss@nova.example", own, one.requester.email]
    actions.set_cc(number=one.number, by=tier1, addresses=wanted)
    actions.reply(number=one.number, by=tier1, text="Done.")
    sent = OutboundEmail.objects.get()
    assert sent.cc == ["boss@nova.example"]
    outbox.deliver(outbox.OutboxItem.objects.get().pk)
    assert django_mail.outbox[0].cc == ["boss@nova.example"]
    with pytest.raises(Invalid, match="not an address"):
        actions.set_cc(number=one.number, by=tier1, addresses=["nobody"])


@pytest.mark.parametrize(
    ("kind", "good", "kept", "bad"),
    [
        ("text", "  A\tb ", "A b", None),
        ("number", "12.50", 12.5, "twelve"),
        ("number", "4711", 4711, "nan"),
        ("number", 7, 7, "1e99"),
        ("choice", "red", "red", "blue"),
        ("date", "2026-02-28", "2026-02-28", "2026-02-30"),
        ("checkbox", "yes", True, "perhaps"),
        ("checkbox", False, False, "2"),
    ],
)
def test_values_of_custom_fields(administrator, tier1, kind, good, kept, bad):
    actions.save_field(by=administrator, slug="f", label="F", kind=FieldKind(kind), choices=["red", "green"])
    one = ticket()
    actions.set_custom(number=one.number, by=tier1, values={"f": good})
    one.refresh_from_db()
    assert one.custom == {"f": kept}
    if bad is not None:
        with pytest.raises(Invalid):
            actions.set_custom(number=one.number, by=tier1, values={"f": bad})
    actions.set_custom(number=one.number, by=tier1, values={"f": None})
    one.refresh_from_db()
    assert one.custom == {}
    assert [e.kind for e in one.events.all()] == ["opened", "field", "field"]


def test_custom_fields_are_found(administrator, tier1, order):
    actions.save_field(by=administrator, slug="contains", label="Note", kind=FieldKind.TEXT)
    one, other = ticket(), ticket()
    actions.set_custom(number=one.number, by=tier1, values={"order": 4711, "contains": "Blue parcel"})
    actions.set_custom(number=other.number, by=tier1, values={"order": 90})
    assert found(tier1, "field.order:4711") == [one.number]
    assert found(tier1, "field.order<1000") == [other.number]
    assert found(tier1, "field.order>=90 field.contains:PARCEL") == [one.number]
    assert found(tier1, "parcel") == [one.number]
    assert found(tier1, "4711 blue") == [one.number]
    assert found(tier1, "field.contains:none") == [other.number]
    page = queries.queue(tier1, queries.Filters.read({"q": "field.nothing:1"}))
    assert "the custom fields are: field.order, field.contains" in page.error or "field.contains" in page.error


def test_a_field_belongs_to_its_categories(administrator, tier1):
    database = Category.objects.get(slug="database")
    actions.save_field(by=administrator, slug="f", label="F", kind=FieldKind.TEXT, categories=[database])
    one = ticket()
    with pytest.raises(Invalid, match="no such field"):
        actions.set_custom(number=one.number, by=tier1, values={"f": "x"})
    actions.set_category(number=one.number, by=tier1, category=database)
    actions.set_custom(number=one.number, by=tier1, values={"f": "x"})
    one.refresh_from_db()
    assert one.custom == {"f": "x"}


def test_a_field_keeps_its_kind_and_its_edits_are_audited(administrator, tier1, order):
    with pytest.raises(Invalid, match="stays one"):
        actions.save_field(by=administrator, slug="order", label="Order", kind=FieldKind.TEXT)
    with pytest.raises(NotPermitted):
        actions.save_field(by=tier1, slug="order", label="Order", kind=FieldKind.NUMBER)
    with pytest.raises(Invalid, match="underscores"):
        actions.save_field(by=administrator, slug="Order No", label="Order", kind=FieldKind.NUMBER)
    assert AuditEntry.objects.get(action="field.saved").thing == "field order"
    assert CustomField.objects.count() == 1


def test_the_ticket_page_costs_the_same_with_everything_on_it(
    tier1, administrator, order, browser_of, django_assert_max_num_queries
):
    one = ticket()
    for n in range(5):
        actions.link(number=one.number, to=ticket().number, relation="related", by=tier1)
        actions.add_step(number=one.number, by=tier1, text=f"Step {n}")
    actions.set_custom(number=one.number, by=tier1, values={"order": 1})
    browser = browser_of(tier1)
    browser.get(f"/tickets/{one.number}/")
    with django_assert_max_num_queries(12):
        html = browser.get(f"/tickets/{one.number}/").content.decode()
    assert "Step 4" in html
    assert 'name="custom-order"' in html


def test_a_ticket_opened_over_rest_may_have_everything_at_once(administrator, order, client):
    from staff.actions import create_token

    _, token = create_token(email=administrator.email)
    headers = {"Authorization": f"Token {token}"}
    body = {
        "requester_email": "a@b.example", "subject": "s", "text": "t", "tags": ["VIP one"], "cc": ["c@b.example"], "custom": {"order": "12"},
    }  # fmt: skip
    made = client.post("/api/v1/tickets/", body, "application/json", headers=headers).json()
    assert (made["tags"], made["cc"], made["custom"]) == (["vip-one"], ["c@b.example"], {"order": 12})
    bad = client.post("/api/v1/tickets/", body | {"custom": {"x": 1}}, "application/json", headers=headers)
    assert bad.status_code == 400
    assert bad.json()["errors"][0]["attr"] == "custom.x"
    at = (timezone.now() + timedelta(days=1)).isoformat()
    url = f"/api/v1/tickets/{made['number']}/"
    changed = client.patch(url, {"deadline_at": at, "snoozed_until": at}, "application/json", headers=headers).json()
    assert changed["deadline_at"][:16] == changed["snoozed_until"][:16] == at[:16]


def test_pages_do_it_all_without_javascript(tier1, administrator, order, browser_of):
    one, other = ticket(), ticket()
    browser, url = browser_of(tier1), f"/tickets/{one.number}/"
    for path, data in (
        ("cc", {"cc": "a@b.example, c@d.example"}),
        ("custom", {"custom-order": "5"}),
        ("deadline", {"deadline_at": "2030-01-01T09:00"}),
        ("snooze", {"until": "monday"}),
        ("link", {"to": f"#{other.number}", "relation": "blocks"}),
        ("checklist", {"text": "Look"}),
    ):
        assert browser.post(f"{url}{path}/", data)["Location"] == url, path
    one.refresh_from_db()
    assert (one.cc, one.custom, one.deadline_at.year) == (["a@b.example", "c@d.example"], {"order": 5}, 2030)
    assert timezone.localtime(one.snoozed_until).weekday() == 0
    assert browser.post(f"{url}snooze/", {"at": "yesterday"}).status_code == 400
    assert Message.objects.filter(ticket=one).count() == 1
    assert TicketEvent.objects.filter(ticket=one).count() == 7
    assert Status(one.status) == Status.NEW


def test_a_new_ticket_has_tags_copies_and_custom_fields_from_its_form(tier1, administrator, order, browser_of):
    database = Category.objects.get(slug="database")
    actions.save_field(by=administrator, slug="f", label="F", kind=FieldKind.DATE, categories=[database])
    data = {
        "requester_email": "a@b.example", "subject": "s", "text": "My long text", "tier": "1", "priority": "normal", "channel": "web",
        "tags": "vip, lost", "cc": "c@b.example", "custom-order": "12",
    }  # fmt: skip
    browser = browser_of(tier1)
    assert "For Database issues." in browser.get("/tickets/new/").content.decode()
    for wrong, words in (({"custom-order": "twelve"}, "Write a number"), ({"custom-f": "2026-01-01"}, "no such field"), ({"cc": "x"}, "not an address")):  # fmt: skip
        answer = browser.post("/tickets/new/", data | wrong)
        assert answer.status_code == 422
        assert words in answer.content.decode()
        assert "My long text" in answer.content.decode()
    assert not Ticket.objects.exists()
    browser.post("/tickets/new/", data)
    made = Ticket.objects.get()
    assert (made.tags, made.cc, made.custom) == (["lost", "vip"], ["c@b.example"], {"order": 12})
