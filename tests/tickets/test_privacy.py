"""Erasing and exporting a requester, and retention."""

import io
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from staff.actions import create_token
from staff.models import AuditEntry, Notification
from supportdesk import guide, outbox
from supportdesk.errors import DeskError, Invalid, NotPermitted
from supportdesk.outbox import OutboxItem
from tests.factories import UserFactory, agent, ticket
from tickets import actions
from tickets.actions import approvals, erasure
from tickets.actions._messages import NewFile
from tickets.mail import incoming
from tickets.models import (
    Attachment,
    Channel,
    FieldKind,
    InboundEmail,
    Letter,
    Mailbox,
    Message,
    OutboundEmail,
    Requester,
    RetentionPolicy,
    Status,
    Ticket,
    TicketEvent,
)

MAIL = b"""From: Sofia Marin <sofia@shop.example>
To: support@example.com
Subject: Zanzibar
Message-ID: <%s@shop.example>

My passport is Xylophone77.
"""


@pytest.fixture
def everything(tier1, administrator):
    """A ticket on which Sofia left traces wherever she could, and one of somebody else."""
    actions.save_field(by=administrator, slug="passport", label="Passport", kind=FieldKind.TEXT)
    inbound = incoming.store(MAIL % b"1", mailbox=Mailbox.objects.first())
    number = incoming.apply(inbound.pk).ticket
    one = Ticket.objects.get(number=number)
    actions.take(number=number, by=tier1)
    file = NewFile("xylophone77.txt", "text/plain", b"Xylophone77")
    actions.note(number=number, by=tier1, text="Sofia Marin said Xylophone77", files=[file])
    actions.reply(number=number, by=tier1, text="Dear Sofia Marin, about Xylophone77")
    actions.set_subject(number=number, by=tier1, subject="Zanzibar of Xylophone77")
    actions.set_custom(number=number, by=tier1, values={"passport": "Xylophone77"})
    actions.add_step(number=number, by=tier1, text="Call Sofia Marin")
    actions.ask_approval(number=number, by=tier1, question="Pay Sofia Marin?", address="sofia@shop.example")
    actions.escalate(number=number, by=tier1, handover="Sofia Marin called", found="Xylophone77")
    actions.set_deadline(number=number, by=agent(2), at=timezone.now() + timedelta(minutes=1))
    with time_machine.travel(timezone.now() + timedelta(minutes=2), tick=False):
        actions.sweep_moments()
    twice = MAIL % b"twice"
    first, second = (incoming.store(twice, mailbox=Mailbox.objects.all()[n]) for n in (0, 1))
    for each in (first, second):
        incoming.apply(each.pk)
    _, token = create_token(email=administrator.email)
    Client().post(
        "/api/v1/tickets/",
        {
            "requester_email": "sofia@shop.example",
            "requester_name": "Sofia Marin",
            "subject": "Zanzibar",
            "text": "Xylophone77",
        },
        "application/json",
        headers={"Authorization": f"Token {token}", "Idempotency-Key": "k"},
    )
    actions.save_recurrence(
        by=administrator, name="Weekly", cron="0 9 * * mon", zone="UTC", requester_email="sofia@shop.example",
        requester_name="Sofia Marin", subject="Zanzibar", text="Xylophone77", tier=one.tier,
    )  # fmt: skip
    gone = ticket(email="sofia@shop.example", subject="Zanzibar merged")
    actions.note(number=gone.number, by=tier1, text="Sofia Marin, Xylophone77")
    other = ticket(email="other@b.example", text="Mine")
    Requester.objects.filter(email="other@b.example").update(name="Somebody Else")
    actions.set_cc(number=other.number, by=tier1, addresses=["sofia@shop.example"])
    actions.receive(ticket_id=other.pk, requester=one.requester, text="I am Sofia Marin, Xylophone77")
    actions.merge(number=gone.number, into=other.number, by=tier1)
    copied = ticket(email="third@b.example", text="Mine too")
    Requester.objects.filter(email="third@b.example").update(name="Somebody Third")
    actions.set_cc(number=copied.number, by=tier1, addresses=["sofia@shop.example"])
    actions.reply(number=copied.number, by=tier1, text="All well.")
    asked = actions.ask_approval(number=copied.number, by=tier1, question="May we?", address="sofia@shop.example")
    signature = approvals.link(asked, "sofia@shop.example").rstrip("/").rpartition("/")[2]
    actions.decide_by_link(approval_id=asked.pk, signature=signature, yes=True, comment="Says Sofia Marin")
    Letter.objects.update(error="550 sofia@shop.example unknown")
    actions.set_subject(number=copied.number, by=tier1, subject="A better subject")
    return one, other


def anywhere(*words: str) -> list[str]:
    """Columns of the database that hold one of the words."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND (table_name LIKE 'tickets%' OR table_name LIKE 'staff%' OR table_name LIKE 'supportdesk%')"
        )
        for table, column in cursor.fetchall():
            cursor.execute(
                f'SELECT count(*) FROM "{table}" WHERE convert_from("{column}", \'LATIN1\') ~* %s'
                if (table, column) in {("tickets_inboundemail", "raw")}
                else f'SELECT count(*) FROM "{table}" WHERE "{column}"::text ~* %s',
                ["|".join(words)],
            )
            if cursor.fetchone()[0]:
                found.append(f"{table}.{column}")
    return found


def test_an_erased_requester_is_nowhere_any_more(everything, administrator):
    one, other = everything
    (file,) = Attachment.objects.all()
    storage, name = file.file.storage, file.file.name
    assert len(anywhere("xylophone77", "marin", "zanzibar")) > 8
    before = erasure.preview(requester_id=one.requester_id, by=administrator)
    goes = actions.erase_requester(requester_id=one.requester_id, by=administrator)
    assert goes == before
    assert (goes.tickets, goes.attachments, goes.mails_in, goes.copies, goes.recurring) == (4, 1, 2, 2, 1)
    assert storage.exists(name)  # until the outbox comes
    for item in OutboxItem.objects.filter(handler="tickets.remove_file"):
        outbox.deliver(item.pk)
    assert anywhere("xylophone77", "marin", "zanzibar", "sofia@shop") == []
    assert not storage.exists(name)
    one.refresh_from_db()
    assert (one.subject, one.status, one.erased_at is not None) == ("[erased]", Status.OPEN, True)
    assert one.timers.count() > 1  # the clocks stay
    assert [e.kind for e in one.events.all()][:2] == ["opened", "taken"]
    assert "Mine" in other.messages.values_list("text", flat=True)
    words = [event.words for event in Ticket.objects.get(subject="A better subject").events.all()]
    assert "changed the subject from “Help” to “A better subject”" in words  # what does not name her stays
    entry = AuditEntry.objects.get(action="requester.erased")
    assert (entry.thing, entry.after["messages"]) == (f"requester {one.requester_id}", goes.messages)
    assert not Notification.objects.filter(url=f"/tickets/{one.number}/").exists()


def test_history_is_changed_by_an_erasure_only(everything, administrator):
    from django.db import IntegrityError, transaction

    one, _ = everything
    actions.erase_requester(requester_id=one.requester_id, by=administrator)
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        TicketEvent.objects.filter(ticket=one).update(data={"x": 1})


def test_only_administrators_erase_and_export_and_never_twice(everything, lead, administrator):
    one, _ = everything
    for act in (erasure.preview, actions.erase_requester, actions.export_requester):
        with pytest.raises(NotPermitted):
            act(requester_id=one.requester_id, by=lead)
    actions.erase_requester(requester_id=one.requester_id, by=administrator)
    with pytest.raises(Invalid, match="already"):
        actions.erase_requester(requester_id=one.requester_id, by=administrator)


def test_who_writes_again_after_an_erasure_is_somebody_new(everything, administrator):
    one, _ = everything
    actions.erase_requester(requester_id=one.requester_id, by=administrator)
    again = incoming.apply(incoming.store(MAIL % b"2", mailbox=Mailbox.objects.first()).pk)
    made = Ticket.objects.get(number=again.ticket)
    assert made.pk != one.pk
    assert made.requester_id != one.requester_id


def test_an_erased_mail_does_not_come_back_with_a_second_delivery(everything, administrator):
    one, _ = everything
    actions.erase_requester(requester_id=one.requester_id, by=administrator)
    again = incoming.store(MAIL % b"1", mailbox=Mailbox.objects.first())
    again.refresh_from_db()
    assert (again.state, bytes(again.raw)) == ("duplicate", b"")
    assert anywhere("xylophone77") == []


def test_the_pages_ask_for_the_address_before_they_erase(everything, administrator, browser_of):
    one, _ = everything
    browser, url = browser_of(administrator), f"/requesters/{one.requester_id}/"
    assert "3 open of 4 tickets" in browser.get(url).content.decode()
    assert "Sofia" in browser.get("/requesters/?q=sofi").content.decode()
    assert b"Messages and notes" in browser.get(f"{url}erase/").content
    assert browser.post(f"{url}erase/", {"address": "sofia"}).status_code == 422
    assert Requester.objects.filter(email="sofia@shop.example").exists()
    assert browser.post(f"{url}erase/", {"address": " Sofia@shop.example"})["Location"] == "/requesters/"
    assert not Requester.objects.filter(email="sofia@shop.example").exists()


@pytest.mark.parametrize("notes", [False, True])
def test_an_export_holds_all_that_is_kept(everything, administrator, browser_of, notes):
    one, other = everything
    answer = browser_of(administrator).post(
        f"/requesters/{one.requester_id}/export/", {"notes": "yes"} if notes else {}
    )
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    data = json.loads(archive.read("data.json"))
    assert data["requester"]["email"] == "sofia@shop.example"
    assert {one.number, other.number} <= {row["number"] for row in data["tickets"]}
    assert "Mine" not in json.dumps(data)  # what somebody else wrote on their own ticket
    said = json.dumps(data)
    assert "My passport is Xylophone77" in said
    assert ("Sofia Marin said" in said) == notes
    mail, *_ = [name for name in archive.namelist() if name.startswith("mails/")]
    assert b"passport" in archive.read(mail)
    assert any(name.endswith("xylophone77.txt") for name in archive.namelist()) == notes


def closed(tier1, days, **more):
    made = ticket(**more)
    actions.resolve(number=made.number, by=tier1)
    actions.close(number=made.number, by=tier1)
    Ticket.objects.filter(pk=made.pk).update(closed_at=timezone.now() - timedelta(days=days))
    return made


def test_retention_erases_what_its_policy_picks_and_tells_the_audit(tier1, administrator):
    old, vip, young = (
        closed(tier1, 400, email="a@b.example"), closed(tier1, 400, tags=["vip"], email="v@b.example"), closed(tier1, 10),
    )  # fmt: skip
    policy = actions.save_retention(by=administrator, name="A year", days=365, query="-tag:vip")
    assert actions.sweep_retention() == 0  # switched off
    assert list(erasure.due(policy)) == [old]
    actions.save_retention(by=administrator, name="A year", days=365, query="-tag:vip", active=True, pk=policy.pk)
    assert actions.sweep_retention() == 1
    assert actions.sweep_retention() == 0
    texts = {t.pk: t.messages.first().text for t in Ticket.objects.all()}
    assert texts == {old.pk: "[erased]", vip.pk: "It broke.", young.pk: "It broke."}
    assert Requester.objects.get(pk=old.requester_id).email.startswith("erased-")
    assert RetentionPolicy.objects.get().erased == 1
    assert AuditEntry.objects.get(action="retention.erased").after == {"tickets": 1}
    assert {event.actor_name for event in old.events.filter(actor=None)} == {"Erased requester"}


def test_a_query_that_is_not_understood_any_more_blocks_no_other_policy(tier1, administrator, browser_of):
    old = closed(tier1, 400)
    category = actions.save_category(by=administrator, slug="d1", name="Deliveries")
    broken = actions.save_retention(by=administrator, name="A", days=10, query="category:Deliveries", active=True)
    actions.save_retention(by=administrator, name="B", days=10, active=True)
    actions.save_category(by=administrator, pk=category.pk, name="Parcels")
    assert actions.sweep_retention() == 1
    assert Ticket.objects.get(pk=old.pk).erased_at is not None
    broken.refresh_from_db()
    assert "Deliveries" in broken.error
    page = browser_of(administrator).get(f"/settings/retention/{broken.pk}/")
    assert "It does not act" in page.content.decode()


def test_what_comes_after_an_erasure_is_erased_by_the_next(tier1, administrator):
    old = closed(tier1, 400)
    actions.save_retention(by=administrator, name="B", days=10, active=True)
    assert actions.sweep_retention() == 1
    actions.note(number=old.number, by=tier1, text="Sofia called again")
    assert actions.sweep_retention() == 1
    assert set(old.messages.values_list("text", flat=True)) == {"[erased]"}


def test_the_page_of_retention_counts_before_it_is_switched_on(tier1, administrator, browser_of):
    closed(tier1, 400)
    browser, data = browser_of(administrator), {"name": "A year", "days": "365", "active": "on"}
    answer = browser.post("/settings/retention/new/", data)
    assert answer.status_code == 422
    assert "it erases 1 closed tickets" in answer.content.decode()
    assert browser.post("/settings/retention/new/", data | {"sure": "on"}).status_code == 302
    assert RetentionPolicy.objects.get().active


def test_a_requester_with_another_ticket_stays_known(tier1, administrator):
    old, young = closed(tier1, 400), ticket()
    actions.save_retention(by=administrator, name="A year", days=365, active=True)
    assert actions.sweep_retention() == 1
    assert Ticket.objects.get(pk=old.pk).subject == "[erased]"
    assert young.requester.email == Requester.objects.get(pk=old.requester_id).email == "sofia@shop.example"


@pytest.mark.django_db(transaction=True)
def test_erasing_beside_mail_and_agents_leaves_nothing_and_loses_nothing(db):
    """Mail, a call, a reply and a split at the moment of the erasure: each is erased whole, or whole and somebody new's."""
    guide.load()
    boss, worker = UserFactory(role="administrator"), agent(1)
    made = [ticket() for _ in range(4)]
    first = made[0].requester_id
    more = [actions.receive(ticket_id=made[1].pk, requester=made[1].requester, text="secret more")[1] for _ in range(2)]
    start = threading.Barrier(6)

    def run(move):
        try:
            start.wait()
            return move()
        except DeskError:
            return None
        finally:
            connections.close_all()

    def mail():
        for n in range(5):
            incoming.apply(incoming.store(MAIL % str(n).encode(), mailbox=Mailbox.objects.first()).pk)

    def call():
        for each in made:
            actions.log_contact(by=worker, channel=Channel.PHONE, text="secret call", seconds=1, number=each.number)

    def reply():
        for each in made:
            actions.reply(number=each.number, by=worker, text="secret reply")

    def split():
        for message in more:
            actions.split(number=made[1].number, message=message.pk, by=worker)

    def merge():
        actions.merge(number=made[2].number, into=made[3].number, by=worker)

    def erase():
        return actions.erase_requester(requester_id=first, by=boss)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, [mail, call, reply, split, merge, erase]))
    assert InboundEmail.objects.filter(state="applied").count() == 5
    erased = Requester.objects.get(pk=first)
    assert erased.erased_at is not None
    # What came in time is erased with the rest; what came later belongs to somebody of that address again.
    assert set(Message.objects.filter(requester=first).values_list("text", flat=True)) == {"[erased]"}
    renewed = Requester.objects.filter(email="sofia@shop.example").first()
    kept = Message.objects.filter(text__contains="Xylophone77")
    assert all(message.requester == renewed for message in kept)
    assert not Message.objects.filter(text__startswith="secret").exists()
    assert not OutboundEmail.objects.filter(to="sofia@shop.example").exists()
    assert Ticket.objects.filter(requester=first, erased_at=None).count() == 0
