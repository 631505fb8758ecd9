import email
import io
import json
import smtplib
import sys
import unicodedata
from email.message import EmailMessage
from pathlib import Path

import pytest
from django.core import mail as django_mail
from django.core.management import CommandError, call_command
from django.db import OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st

from supportdesk import outbox
from supportdesk.models import OutboxItem
from tests.factories import agent, ticket
from tickets import actions
from tickets.mail import addresses, incoming, parsing, reader
from tickets.models import InboundEmail, Mailbox, MessageKind, OutboundEmail, Priority, Status, Ticket

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "mail"


def mail(text="It hangs.", **headers):
    message = EmailMessage()
    defaults = {
        "From": "Sofia Marin <sofia@shop.example>",
        "To": "support@example.com",
        "Subject": "Help",
        "Message-ID": "<a1@shop.example>",
    }
    for name, value in (defaults | {k.replace("_", "-"): v for k, v in headers.items()}).items():
        if value is not None:
            message[name] = value
    message.set_content(text)
    return message


def take_in(message, box="support"):
    raw = message if isinstance(message, bytes) else message.as_bytes()
    return incoming.apply(incoming.store(raw, mailbox=Mailbox.objects.get(name=box)).pk)


@pytest.mark.parametrize(
    ("box", "level", "priority"), [("support", 1, "normal"), ("tech", 2, "normal"), ("oncall", 3, "urgent")]
)
def test_the_guides_mailboxes_lead_to_their_tiers(db, box, level, priority):
    result = take_in(mail(), box)
    made = Ticket.objects.get(number=result.ticket)
    assert (result.outcome, made.tier.level, made.priority, made.channel) == ("ticket", level, priority, "email")
    assert made.timers.get(clock="first_response").due_at == made.due_at


def test_the_raw_mail_is_kept_as_it_came(db):
    raw = mail().as_bytes()
    result = take_in(raw)
    assert bytes(InboundEmail.objects.get(pk=result.inbound).raw) == raw


def test_the_same_mail_twice_is_one_ticket(db):
    first, second = (
        take_in(mail()),
        take_in(b"Received: by another hop\r\n" + mail().as_bytes().replace(b"\n", b"\r\n")),
    )
    assert (second.outcome, second.ticket) == ("duplicate", first.ticket)
    assert Ticket.objects.count() == 1


def test_applying_twice_changes_nothing(db):
    inbound = incoming.store(mail().as_bytes(), mailbox=Mailbox.objects.first())
    assert incoming.apply(inbound.pk) == incoming.apply(inbound.pk)
    assert Ticket.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_apply_one_mail_say_the_same():
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    from supportdesk import guide

    guide.load()

    def apply(pk):
        try:
            return incoming.apply(pk)
        finally:
            connections.close_all()

    for n in range(5):
        inbound = incoming.store(mail(Message_ID=f"<race{n}@x>").as_bytes(), mailbox=Mailbox.objects.first())
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(apply, [inbound.pk] * 4))
        assert len(set(results)) == 1
        assert results[0].ticket is not None
    assert Ticket.objects.count() == 5


def reply_of(made, by=None):
    by = by or agent(made.tier.level)
    actions.reply(number=made.number, by=by, text="Which browser?")
    return OutboundEmail.objects.filter(ticket=made).first()


def test_a_reply_to_our_mail_finds_its_ticket_by_our_message_id(db):
    made = Ticket.objects.get(number=take_in(mail()).ticket)
    sent = reply_of(made)
    result = take_in(
        mail(
            "Firefox.\n\nOn Mon, Support wrote:\n> Which browser?",
            Message_ID="<a2@shop.example>",
            In_Reply_To=f"<{sent.rfc_id}>",
        )
    )
    assert (result.outcome, result.ticket) == ("reply", made.number)
    message = made.messages.last()
    assert (message.kind, message.text) == (MessageKind.REQUESTER, "Firefox.")
    assert "Which browser?" in message.quoted


def test_a_reply_without_ids_finds_its_ticket_by_the_signed_address(db):
    made = Ticket.objects.get(number=take_in(mail()).ticket)
    sent = reply_of(made)
    result = take_in(mail("Firefox.", To=sent.reply_to.upper(), Message_ID=None))
    assert (result.outcome, result.ticket) == ("reply", made.number)


def test_a_reply_to_ones_own_first_mail_finds_the_ticket(db):
    first = take_in(mail())
    result = take_in(mail("And another thing.", Message_ID="<a3@shop.example>", References="<x@y> <a1@shop.example>"))
    assert result.ticket == first.ticket


@pytest.mark.parametrize("forged", ["support+t{n}.aaaaaaaaaaaaaaaaaaaa@example.com", "support+t{n}.@example.com"])
def test_a_forged_reply_address_opens_a_new_ticket(db, forged):
    made = Ticket.objects.get(number=take_in(mail()).ticket)
    result = take_in(mail("x", To=forged.format(n=made.number), Message_ID="<f@evil.example>"))
    assert (result.outcome, result.ticket == made.number) == ("ticket", False)


def test_a_forged_message_id_of_ours_opens_a_new_ticket(db):
    made = Ticket.objects.get(number=take_in(mail()).ticket)
    forged = f"<t{made.number}.m1.aaaaaaaaaaaaaaaaaaaa@127.0.0.1>"
    assert take_in(mail("x", In_Reply_To=forged, Message_ID="<f@evil.example>")).ticket != made.number


def test_an_automatic_answer_is_kept_and_moves_nothing(db):
    by = agent(1)
    made = Ticket.objects.get(number=take_in(mail()).ticket)
    sent = reply_of(made, by)
    actions.wait_on_requester(number=made.number, by=by)
    result = take_in(
        mail("On holiday", Message_ID="<h@x>", In_Reply_To=f"<{sent.rfc_id}>", Auto_Submitted="auto-replied")
    )
    made.refresh_from_db()
    assert (result.outcome, made.status) == ("auto_reply", Status.WAITING)
    assert made.messages.last().automatic


def test_a_bounce_is_tied_to_the_mail_that_came_back_and_opens_no_ticket(db):
    made = Ticket.objects.get(number=take_in(mail()).ticket)
    sent = reply_of(made)
    raw = (
        "From: MAILER-DAEMON@mx.example\nTo: support@example.com\nSubject: Undelivered\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nNo such user.\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; sofia@shop.example\nStatus: 5.1.1\n"
        f"--b\nContent-Type: message/rfc822\n\nMessage-ID: <{sent.rfc_id}>\nSubject: Re: Help\n\nWhich browser?\n--b--\n"
    )
    result = take_in(raw.encode())
    sent.refresh_from_db()
    assert (result.outcome, result.ticket) == ("bounce", made.number)
    assert sent.bounced_at is not None
    assert Ticket.objects.count() == 1
    assert made.events.last().kind == "bounced"


@pytest.mark.parametrize("sender", ["postmaster@customer.example", "mailer-daemon@customer.example"])
def test_mail_of_a_mail_server_that_is_no_bounce_of_ours_becomes_a_ticket(db, sender):
    result = take_in(mail("Our orders hang, please help.", From=sender))
    assert Ticket.objects.get(number=result.ticket).messages.get().text == "Our orders hang, please help."


def test_a_folded_message_id_does_not_break_the_reply(db):
    raw = b"From: a@b.example\nTo: support@example.com\nSubject: x\nMessage-ID: foo@bar\n\tbaz\n\nText"
    made = Ticket.objects.get(number=take_in(raw).ticket)
    reply_of(made)
    deliver()
    assert OutboundEmail.objects.get().sent_at is not None
    assert len(deliver()) == 1


@pytest.mark.parametrize(
    "error", [smtplib.SMTPDataError(552, b"too big"), smtplib.SMTPRecipientsRefused({"x": (550, b"no such user")})]
)
def test_a_mail_that_is_refused_for_good_is_said_on_the_ticket(db, monkeypatch, error):
    from django.core.mail import EmailMultiAlternatives

    made = ticket(1)
    actions.reply(number=made.number, by=agent(1), text="Hello")

    def refuse(self):
        raise error

    monkeypatch.setattr(EmailMultiAlternatives, "send", refuse)
    assert outbox.deliver(OutboxItem.objects.get().pk) is True
    assert "could not send the mail to sofia@shop.example" in made.events.last().words


def test_our_own_mail_coming_back_is_refused_as_a_loop(db):
    made = Ticket.objects.get(number=take_in(mail()).ticket)
    sent = reply_of(made)
    result = take_in(mail("x", Message_ID=f"<{sent.rfc_id}>"))
    assert (result.outcome, result.ticket) == ("rejected", None)
    assert "loop" in result.reason


def test_attachments_are_kept_with_safe_names(db):
    message = mail()
    message.add_attachment(b"PNG", maintype="image", subtype="png", filename="../../etc/pass wd.png")
    made = Ticket.objects.get(number=take_in(message).ticket)
    kept = made.messages.get().attachments.get()
    assert (kept.name, kept.size, kept.file.read()) == ("pass wd.png", 3, b"PNG")
    assert "passwd" not in kept.file.name


def test_html_only_mail_is_readable_and_sanitised(db):
    message = EmailMessage()
    message["From"], message["Subject"] = "a@b.example", "HTML"
    message.set_content(
        '<p>Hello <b>you</b></p><script>alert(1)</script><img src="http://track.example/x"><a href="javascript:x">y</a>',
        subtype="html",
    )
    found = Ticket.objects.get(number=take_in(message).ticket).messages.get()
    assert "Hello you" in found.text
    assert "alert" not in found.html + found.text
    assert "track.example" not in found.html
    assert "javascript" not in found.html


def broken(raw, trusted=(), **more):
    raise ValueError("ZeroDivisionError: of the parser")


def test_what_breaks_the_parser_still_becomes_a_ticket_with_the_raw_mail(db, monkeypatch):
    monkeypatch.setattr(reader, "read", broken)
    result = take_in(mail())
    found = Ticket.objects.get(number=result.ticket).messages.get()
    assert found.attachments.get().name == "message.eml"
    assert InboundEmail.objects.get(pk=result.inbound).state == "failed"


def test_stored_mail_that_nobody_rang_for_is_swept(db):
    incoming.store(mail().as_bytes(), mailbox=Mailbox.objects.first())
    assert incoming.drain() == 1
    assert Ticket.objects.count() == 1


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_no_bytes_break_the_parser(raw):
    parsed = parsing.parse(raw)
    assert "\0" not in parsed.text + parsed.subject
    parsed.text.encode()


@given(st.text(min_size=1, max_size=80).filter(lambda text: text.strip()))
def test_a_file_name_is_one_safe_leaf(name):
    from tickets.actions._messages import safe_name

    safe = safe_name(name)
    assert safe
    assert "/" not in safe
    assert not safe.startswith(".")
    assert len(safe) <= 150


@given(number=st.integers(1, 10**12), who=st.emails())
def test_signatures_hold_for_their_ticket_and_person_only(number, who):
    from supportdesk import crypto

    signature = crypto.sign("reply", number, who)
    assert crypto.verify(signature.upper(), "reply", number, who)
    assert not crypto.verify(signature, "reply", number + 1, who)
    assert not crypto.verify(signature, "message-id", number, who)
    assert not crypto.verify("", "reply", number, who)


def run_command(monkeypatch, raw, *arguments):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    out = io.StringIO()
    call_command("receive_mail", *arguments, stdout=out)
    return json.loads(out.getvalue())


def test_the_command_prints_one_json_line(db, monkeypatch):
    line = run_command(monkeypatch, mail().as_bytes(), "--mailbox", "tech")
    assert line == {
        "outcome": "ticket",
        "ticket": Ticket.objects.get().number,
        "inbound": InboundEmail.objects.get().pk,
    }


def test_the_command_leaves_the_mail_with_the_server_when_it_cannot_be_stored(db, monkeypatch):
    def away(raw, **more):
        raise OperationalError("the database is away")

    monkeypatch.setattr(incoming, "store", away)
    with pytest.raises(CommandError) as error:
        run_command(monkeypatch, mail().as_bytes())
    assert error.value.returncode == 75


def test_the_command_says_stored_when_it_must_wait(db, monkeypatch):
    def away(pk):
        raise OperationalError("gone")

    monkeypatch.setattr(incoming, "apply", away)
    assert run_command(monkeypatch, mail().as_bytes())["outcome"] == "stored"


def deliver():
    for item in OutboxItem.objects.filter(done_at=None):
        outbox.deliver(item.pk)
    return [sent for sent in django_mail.outbox if "Auto-Submitted" not in sent.extra_headers]


def test_a_reply_leaves_once_threaded_and_signed(db):
    made = Ticket.objects.get(number=take_in(mail()).ticket)
    by = agent(1, signature="Amina\nSupport")
    actions.reply(number=made.number, by=by, text="Hello **you**.")
    deliver()
    (sent,) = deliver()
    assert sent.to == ["sofia@shop.example"]
    assert sent.subject == f"Re: Help [#{made.number}]"
    assert sent.extra_headers["In-Reply-To"] == "<a1@shop.example>"
    assert sent.body.endswith("-- \nAmina\nSupport")
    assert "<strong>you</strong>" in sent.alternatives[0].content
    assert addresses.participant_of_reply_address(sent.reply_to[0]) == (made, None)
    assert addresses.ticket_number_of_ours(sent.extra_headers["Message-ID"].strip("<>")) == made.number


def test_a_mail_server_that_is_away_is_tried_again(db, monkeypatch):
    from django.core.mail import EmailMultiAlternatives

    made = ticket(1)
    actions.reply(number=made.number, by=agent(1), text="Hello")
    item = OutboxItem.objects.get()
    send = EmailMultiAlternatives.send
    monkeypatch.setattr(
        EmailMultiAlternatives, "send", lambda self: (_ for _ in ()).throw(ConnectionRefusedError("away"))
    )
    assert outbox.deliver(item.pk) is False
    item.refresh_from_db()
    assert item.done_at is None
    assert "away" in item.last_error
    monkeypatch.setattr(EmailMultiAlternatives, "send", send)
    OutboxItem.objects.update(next_attempt_at=item.created_at)
    assert outbox.sweep() == 1
    assert OutboundEmail.objects.get().sent_at is not None


@pytest.mark.skipif(not SAMPLES.exists(), reason="the sample messages are not beside the project")
def test_every_sample_message_is_taken_in(db):
    rows = [json.loads(line) for line in (SAMPLES / "manifest.jsonl").read_text().splitlines()]
    wrong = []

    def plain(text):
        text = unicodedata.normalize("NFC", text)
        return " ".join("".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cf"} or c in "\n\t").split())

    for row in rows:
        result = take_in((SAMPLES / row["file"]).read_bytes())
        if row["expect"] in {"ticket", "reply"} and result.outcome not in {"ticket", "reply"}:
            wrong.append((row["id"], result.outcome))
        if row["expect"] in {"bounce", "auto_reply"} and result.outcome not in {"bounce", "auto_reply"}:
            wrong.append((row["id"], result.outcome))
        if result.ticket is None:
            continue
        made = Ticket.objects.get(number=result.ticket)
        message = made.messages.order_by("id").last()
        text = plain(made.subject + "\n" + message.text + "\n" + message.quoted)
        wrong += [(row["id"], phrase) for phrase in row.get("phrases", []) if plain(phrase) not in text]
        if "from" in row and made.requester.email != row["from"].lower():
            wrong.append((row["id"], made.requester.email))
        if "attachment_count" in row and message.attachments.count() != row["attachment_count"]:
            wrong.append((row["id"], "attachments", message.attachments.count()))
    assert len(rows) > 50
    assert wrong == []


def test_the_message_that_tests_send_is_a_mail():
    assert email.message_from_bytes(mail().as_bytes())["Subject"] == "Help"
    assert Priority.NORMAL == "normal"
