"""What strangers put into mail proves nothing, and what machines write gets no answer."""

import base64
import json
import os

import pytest
from django.core import mail as django_mail
from django.test import Client

from staff import actions as staff
from supportdesk import crypto, outbox
from supportdesk.errors import Conflict, Invalid, NotFound
from supportdesk.models import OutboxItem
from tests.factories import agent, lead
from tests.tickets.mail.test_out import refusing, send_all
from tests.tickets.mail.test_pages import POSTMARK, hook  # noqa: F401
from tests.tickets.mail.test_thread import mail, reply_of, take_in
from tests.tickets.mail.test_whose import opened
from tickets import actions
from tickets.actions import erasure, mailboxes
from tickets.mail import addresses, attention, authentication, headers, incoming, outgoing, reader, source, wording
from tickets.models import (
    InboundEmail,
    Letter,
    MailAddress,
    Mailbox,
    MailRule,
    MailTemplate,
    OutboundEmail,
    Rating,
    Ticket,
    TicketEvent,
)
from tickets.queries import mail as found

LONG_S = "\u017f"  # an s, to a pattern that minds no case


# ------------------------------------------------------------------------------------- signatures
@pytest.mark.parametrize("letter", [False, True])
def test_every_one_of_our_message_ids_is_known_whatever_its_signature_begins_with(db, letter):
    ids = [addresses.new_message_id(7, pk, letter=letter) for pk in range(1, 400)]
    assert {addresses.ticket_number_of_ours(one) for one in ids} == {7}
    assert {addresses.ticket_number_of_ours(one.replace(".m", ".l") if not letter else one.replace(".l", ".m", 1)) for one in ids} == {None}  # fmt: skip


def test_a_signature_of_other_letters_is_none_and_breaks_nothing(db):
    made = opened()
    forged = f"support+t{made.number}.{LONG_S * 20}@example.com"
    assert take_in(mail("x", To=forged, Message_ID="<2@x>", From="eve@evil.example")).ticket != made.number
    assert not crypto.verify(LONG_S * 20, "reply", 1)


def test_many_addresses_that_look_signed_cost_little(db, django_assert_max_num_queries):
    made = opened()
    recipients = ", ".join(f"x{n}+t{made.number}.{'a' * 20}@example.com" for n in range(300))
    kept = incoming.store(mail("x", To=recipients, Message_ID="<2@x>").as_bytes(), mailbox=Mailbox.objects.first())
    with django_assert_max_num_queries(110):
        incoming.apply(kept.pk)


@pytest.mark.parametrize(
    ("said", "dmarc"),
    [
        ("spf=pass smtp.mailfrom=dmarc=pass@evil.example; dmarc=fail header.from=x", "fail"),
        ('spf=pass reason="; dmarc=pass"; dmarc=fail', "fail"),
        ("spf=pass (x; dmarc=pass); dmarc=fail", "fail"),
        ("dmarc=pass action=none header.from=x; spf=fail", "pass"),
        ("dkim=pass header.i=dmarc=pass", ""),
        ("dmarc=passed", "passed"),
    ],
)
def test_words_of_the_sender_in_the_relays_header_are_no_result(said, dmarc):
    message = source.headers_of(f"Authentication-Results: mx.example.com; {said}\n\n".encode())
    assert headers.values(message, "Authentication-Results")
    assert authentication.results(message, ["mx.example.com"]).get("dmarc", "") == dmarc


# ------------------------------------------------------------------------------ who gets an answer
@pytest.mark.parametrize(
    "more",
    [{"Precedence": "bulk"}, {"List-Id": "<x>"}, {"From": "mailer-daemon@x.example"}, {"Auto-Submitted": "auto-generated"}],
)  # fmt: skip
def test_resolving_writes_to_no_machine(db, more):
    made, by = opened(**more), agent(1)
    actions.resolve(number=made.number, by=by)
    assert send_all() == []


def test_resolving_writes_to_no_forged_sender(db, settings):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    result = take_in(b"Authentication-Results: mx.example.com; dmarc=fail\n" + mail().as_bytes())
    actions.resolve(number=result.ticket, by=agent(1))
    assert send_all() == []


def test_rules_write_to_no_machine_and_stop_at_an_address(db):
    by = staff.automation()
    machine = opened(**{"Auto-Submitted": "auto-generated", "Message-ID": "<m@x>"})
    actions.reply(number=machine.number, by=by, text="Beep")
    assert not OutboundEmail.objects.exists()
    for n in range(outgoing.MOST_TO_ADDRESS + 3):
        made = opened(Subject=f"Matter {chr(65 + n)}", Message_ID=f"<{n}@x>")
        actions.reply(number=made.number, by=by, text="Beep")
    assert OutboundEmail.objects.count() == outgoing.MOST_TO_ADDRESS


def test_what_a_sender_is_called_makes_no_link_in_the_desks_mail(db):
    opened(From='"[Sign in](https://evil.example) https://evil.example/x <b>" <victim@shop.example>')
    (sent,) = send_all()
    page = sent.alternatives[0].content
    assert "evil.example/x" not in page
    assert 'href="https://evil' not in page
    assert "Sign in" in page


def test_what_a_requester_writes_hides_no_link_in_the_mail_to_staff(db):
    by = agent(1, mails_wanted=True)
    made = opened()
    actions.take(number=made.number, by=by)
    take_in(mail("Look: [invoice](https://evil.example) *now*", To=reply_of(made, by).reply_to, Message_ID="<2@x>"))
    notice = next(one for one in send_all() if one.to == [by.email])
    assert "[invoice](https://evil.example)" in notice.alternatives[0].content


# --------------------------------------------------------------------------------------- templates
@pytest.mark.parametrize("name", ["{{Requester}}", "{{ticket.number}}", "{{requester-name}}", "{{number1}}", "{{requester}", "{{}}"])  # fmt: skip
def test_a_name_that_there_is_not_is_refused(name):
    with pytest.raises(Invalid):
        wording.check("replied", "Re", "{{text}} " + name)


def test_a_preview_shows_what_the_mail_will_say(db):
    with pytest.raises(Invalid):
        wording.check("received", "Got {{agent}}", "x")
    with pytest.raises(Invalid):
        wording.check("replied", "Re {{text}}", "{{text}}")
    made, by = opened(), agent(1)
    mailboxes.save_template(
        by=lead(1), kind="replied", language="en", subject="{{agent}} on {{number}}", text="{{text}}"
    )
    assert reply_of(made, by).subject == f"{by.name} on {made.number}"


def test_a_mailbox_that_is_not_there_has_no_template(client, db):
    client.force_login(lead(1), backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/settings/mail/templates/replied/?mailbox=9999").status_code == 404
    page = client.get("/settings/mail/templates/replied/").content.decode()
    assert 'name="active"' not in page
    assert client.post("/settings/mail/templates/replied/", {"subject": "Re", "text": "{{text}}!"}).status_code == 302
    assert MailTemplate.objects.get().active


def test_a_second_mailbox_of_a_tier_writes_in_its_own_name(db):
    Mailbox.objects.create(name="sales", address="sales@example.com", display_name="Sales", tier=Mailbox.objects.get(name="support").tier)  # fmt: skip
    made = Ticket.objects.get(number=take_in(mail(To="sales@example.com"), "sales").ticket)
    sent = reply_of(made)
    assert ("sales@example.com" in sent.sender, sent.reply_to.startswith("sales+t")) == (True, True)


# ------------------------------------------------------------------------------- refusals of servers
def test_an_address_that_the_server_says_is_none_is_marked_and_copies_get_one_only(db, settings):
    with refusing("sofia@shop.example") as port:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        made, by = opened(Cc="kim@shop.example"), agent(1)
        sent = reply_of(made, by)
        outbox.deliver(OutboxItem.objects.get(handler="tickets.send_mail").pk)
        sent.refresh_from_db()
        assert (sent.state, sent.copies_have_it) == ("bounced", True)
        assert MailAddress.objects.get(address="sofia@shop.example").permanent
        assert mailboxes.send_again(number=made.number, by=by, message=sent.message_id).cc == []


def test_a_copy_that_a_server_refuses_is_said_on_the_ticket(db, settings):
    with refusing("kim@shop.example") as port:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        made = opened(Cc="kim@shop.example")
        sent = reply_of(made)
        outbox.deliver(OutboxItem.objects.get(handler="tickets.send_mail").pk)
        sent.refresh_from_db()
        assert (sent.state, sent.copies_have_it) == ("sent", False)
        assert "kim@shop.example" in made.events.get(kind="delivery_failed").words
        assert MailAddress.objects.get().address == "kim@shop.example"


def test_a_provider_says_that_a_mail_did_not_arrive(hook, db):  # noqa: F811
    made = opened()
    sent = reply_of(made)
    bounce = {
        "RecordType": "Bounce", "ID": 7, "Type": "HardBounce", "TypeCode": 1, "Email": "sofia@shop.example", "MessageID": "p-1",
        "BouncedAt": "2026-11-25T10:00:00Z", "Description": "The mailbox does not exist", "Metadata": {outgoing.METADATA: sent.rfc_id},
    }  # fmt: skip
    there, call = hook.replace("inbound", "tracking"), {"content_type": "application/json"}
    assert Client().post(there, json.dumps(bounce), **call).status_code == 400
    foreign = bounce | {"Metadata": {outgoing.METADATA: "made-up@example.com"}}
    assert Client().post(there, json.dumps(foreign), headers=SECRET, **call).status_code == 200
    assert not MailAddress.objects.exists()
    assert Client().post(there, json.dumps(bounce), headers=SECRET, **call).status_code == 200
    sent.refresh_from_db()
    assert (sent.state, sent.error) == ("bounced", "The mailbox does not exist")
    assert MailAddress.objects.get(address="sofia@shop.example").permanent
    assert made.events.filter(kind="bounced").exists()


@pytest.mark.parametrize("tries", [1, outgoing.MOST_TRIES_ALONE + 1])
def test_who_is_refused_for_now_is_tried_alone(db, monkeypatch, tries):
    made = opened(Cc="kim@shop.example")
    sent = reply_of(made)
    monkeypatch.setattr(outgoing, "_sent", lambda email: {"sofia@shop.example": (450, b"4.2.0 Greylisted")})
    for n in range(tries - 1):
        outbox.put("tickets.send_mail", sent.pk, key=f"earlier {n}")
    outbox.deliver(OutboxItem.objects.filter(handler="tickets.send_mail").first().pk)
    sent.refresh_from_db()
    assert sent.copies_have_it
    assert sent.state == ("queued" if tries == 1 else "bounced")
    if tries == 1:
        monkeypatch.undo()
        (alone,) = [one for one in send_all() if one.extra_headers["Message-ID"] == f"<{sent.rfc_id}>"]
        assert (alone.to, alone.cc) == (["sofia@shop.example"], [])


@pytest.mark.parametrize("code", [530, 535])
def test_a_server_that_wants_a_sign_in_first_keeps_the_mail_queued(db, monkeypatch, code):
    import smtplib

    sent = reply_of(opened())

    def refused(email):
        raise smtplib.SMTPSenderRefused(code, b"Authentication required", "x")

    monkeypatch.setattr(outgoing, "_sent", refused)
    assert not outbox.deliver(OutboxItem.objects.get(handler="tickets.send_mail").pk)
    sent.refresh_from_db()
    assert sent.state == "queued"


# ------------------------------------------------------------------------------- what needs a look
@pytest.fixture
def unread(db, monkeypatch):
    """Take in a mail that cannot be read until the reader is mended."""

    def take(message):
        def broken(raw, trusted=(), **more):
            raise reader.TooMuch("It took longer than 30 s to read.")

        with monkeypatch.context() as patched:
            patched.setattr(reader, "read", broken)
            return take_in(message)

    return take


def test_what_is_read_again_is_judged_as_any_mail(unread):
    person, manager = agent(1), lead(1)
    MailRule.objects.create(name="Prio", conditions=[{"field": "subject", "op": "contains", "value": "help"}], recipe={"priority": "high"})  # fmt: skip
    result = unread(b"Content-Language: de\n" + mail(From=person.email, X_Spam_Flag="YES").as_bytes())
    attention.retry(inbound_id=result.inbound, by=manager)
    kept = InboundEmail.objects.get(pk=result.inbound)
    assert (kept.unverified, kept.language, bool(kept.spam), kept.state) == (True, "de", True, "applied")
    assert kept.ticket.priority == "high"
    assert kept.ticket.events.filter(kind="mail_read_again", actor=manager).exists()


def test_mail_of_a_restricted_ticket_needs_nobodys_look_but_theirs(unread):
    result = unread(mail())
    Ticket.objects.filter(number=result.ticket).update(restricted=True)
    stranger = lead(2)
    assert not found.needing_a_look(stranger).exists()
    for act in (attention.retry, attention.dismiss):
        with pytest.raises(NotFound):
            act(inbound_id=result.inbound, by=stranger)
    attention.dismiss(inbound_id=result.inbound, by=lead(1))


def test_a_retry_that_fails_again_says_so(db, monkeypatch):
    kept = incoming.store(mail().as_bytes(), mailbox=Mailbox.objects.first())
    InboundEmail.objects.update(received_at="2026-01-01T00:00:00Z")

    def broken(raw, trusted=(), **more):
        raise reader.TooMuch("It took longer than 30 s to read.")

    monkeypatch.setattr(reader, "read", broken)
    with pytest.raises(Conflict, match="still cannot be read"):
        attention.retry(inbound_id=kept.pk, by=lead(1))


def test_a_mail_that_ends_its_worker_is_set_aside_after_some_tries(db):
    kept = incoming.store(mail().as_bytes(), mailbox=Mailbox.objects.first())
    InboundEmail.objects.filter(pk=kept.pk).update(attempts=incoming.MOST_ATTEMPTS)
    result = incoming.apply(kept.pk)
    kept.refresh_from_db()
    assert (kept.state, "whoever tried it ended" in kept.error) == ("failed", True)
    assert Ticket.objects.get(number=result.ticket).messages.get().attachments.exists()


@pytest.mark.parametrize("fails", ["to start", "from outside"])
def test_a_reader_that_fails_is_no_fault_of_the_mail(db, monkeypatch, fails):
    mine = reader.Reader()
    monkeypatch.setattr(reader, "_reader", mine)
    if fails == "to start":
        monkeypatch.setattr(reader.sys, "executable", "/bin/false")
    else:
        mine.read(b"From: a@b.example\n\nWarm.")
        os.kill(mine._child.pid, 19)  # stopped, so that the end comes while it reads
        real = reader._send

        def killed(*arguments):
            real(*arguments)
            mine._child.kill()

        monkeypatch.setattr(reader, "_send", killed)
    kept = incoming.store(mail().as_bytes(), mailbox=Mailbox.objects.first())
    assert incoming.drain(seconds=1) == 0
    kept.refresh_from_db()
    assert (kept.state, kept.attempts) == ("stored", 0)
    monkeypatch.undo()
    assert incoming.drain() == 1


# ------------------------------------------------------------------------------------------ others
def test_a_rule_on_dmarc_is_tried_as_it_would_be_asked(db, settings):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    take_in(b"Authentication-Results: mx.example.com; dmarc=fail\n" + mail().as_bytes())
    rule = MailRule(name="x", conditions=[{"field": "dmarc", "op": "is", "value": "fail"}], spam=True)
    assert len(found.try_rule(rule, lead(1)).picked) == 1


def test_people_with_a_plus_get_copies_and_a_full_list_takes_what_fits(db):
    made = opened(Cc="maria+team@shop.example")
    assert made.cc == ["maria+team@shop.example"]
    many = [f"p{n}@shop.example" for n in range(30)]
    sent = reply_of(made)
    take_in(mail("x", To=f"{sent.reply_to}, {', '.join(many)}", Message_ID="<2@x>"))
    made.refresh_from_db()
    assert len(made.cc) == 20


def test_an_upload_larger_than_the_desk_takes_is_refused(db, settings):
    settings.MAIL_MAX_MB = 1
    with pytest.raises(Invalid, match="larger than the 1 MB"):
        incoming.take_upload(mail().as_bytes() + b"x" * 1_100_000, mailbox=Mailbox.objects.first(), envelope=incoming.Envelope())  # fmt: skip


def test_another_folder_is_looked_at_from_its_beginning(db):
    boss = agent(3, role="administrator")
    account = {
        "host": "imap.example.com",
        "port": 993,
        "security": "tls",
        "user": "u",
        "login": "password",
        "secret": "s",
    }
    box = Mailbox.objects.first()
    made = mailboxes.save_imap(by=boss, mailbox=box, **account)
    type(made).objects.update(uid_validity=1, last_uid=99)
    assert mailboxes.save_imap(by=boss, mailbox=box, **account).last_uid == 99
    assert mailboxes.save_imap(by=boss, mailbox=box, **account | {"folder": "Other"}).last_uid == 0


def test_a_rating_by_the_link_of_a_merged_ticket_is_its_heirs(db):
    made, heir, by = opened(), opened(Message_ID="<2@x>", Subject="Same"), agent(1)
    actions.merge(number=made.number, into=heir.number, by=by)
    path = f"/rate/{made.number}/{crypto.sign('rate', made.number)}/"
    assert Client().post(path, {"score": "good", "comment": "Well done"}).status_code == 200
    assert Rating.objects.get().ticket == heir
    page = Client().get(f"{path}?score=bad").content.decode()
    assert "Well done" in page  # what was said stays in the box


def test_an_erasure_takes_the_letters_and_events_that_quote_the_person(db):
    boss = agent(3, role="administrator", mails_wanted=True)
    made = opened(Cc="kim@shop.example")
    actions.take(number=made.number, by=boss)
    take_in(mail("My secret word.", To=reply_of(made, boss).reply_to, From="kim@shop.example", Message_ID="<2@x>"))
    mailboxes.rate(number=made.number, signature=crypto.sign("rate", made.number), score="bad", comment="From Sofia")
    kim = made.messages.order_by("-id").first().requester
    erasure.erase_requester(requester_id=kim.pk, by=boss)
    assert not Letter.objects.filter(text__contains="secret word").exists()
    erasure.erase_requester(requester_id=made.requester_id, by=boss)
    assert not TicketEvent.objects.filter(kind="rated", data__icontains="Sofia").exists()


SECRET = {"Authorization": "Basic " + base64.b64encode(b"desk:secret").decode()}
ATTACHED = {"Name": "a.txt", "Content": base64.b64encode(b"x").decode(), "ContentType": "text/plain"}


@pytest.mark.parametrize(
    "more", [{}, {"HtmlBody": "<p>It hangs.</p>"}, {"HtmlBody": "<b>x</b>", "Attachments": [ATTACHED]}]
)
def test_a_mail_that_a_provider_brings_twice_is_one(hook, db, more):  # noqa: F811
    for _ in range(2):
        body = json.dumps(POSTMARK | more)
        assert Client().post(hook, body, content_type="application/json", headers=SECRET).status_code == 200
    incoming.drain()
    assert (Ticket.objects.count(), InboundEmail.objects.filter(state="duplicate").count()) == (1, 1)


@pytest.mark.parametrize(
    "more", [{"Subject": "\ud83d"}, {"Subject": "a\nb: c"}, {"FromFull": {"Email": ""}, "From": ""}, {"Headers": [{"Name": "X", "Value": "a\r\nb"}]}]
)  # fmt: skip
def test_what_a_provider_brings_and_nobody_can_read_is_kept(hook, db, more):  # noqa: F811
    body = json.dumps(POSTMARK | more)
    assert Client().post(hook, body, content_type="application/json", headers=SECRET).status_code == 200
    assert Client().post(hook, body, content_type="application/json").status_code == 400
    incoming.drain()
    assert InboundEmail.objects.count() == 1
    assert Ticket.objects.get().messages.exists()


def test_letters_of_the_desk_and_replies_as_they_leave_are_shown(client, db):
    made = opened()
    actions.resolve(number=made.number, by=agent(1))
    sent = reply_of(opened(Message_ID="<2@x>", Subject="Other"))
    client.force_login(agent(3, role="administrator"), backend="allauth.account.auth_backends.AuthenticationBackend")
    assert "How did we do" in client.get("/mail/outgoing/?state=desk").content.decode()
    assert sent.reply_to in client.get(f"/mail/outgoing/{sent.pk}/").content.decode()
    assert len(django_mail.outbox) == 0
