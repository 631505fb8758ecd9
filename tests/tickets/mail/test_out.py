"""Mail out: acknowledgments, templates, bounces, caps, and two desks that talk to each other."""

import smtplib
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core import mail as django_mail
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.utils import timezone

from staff.models import Notification
from supportdesk import crypto, outbox
from supportdesk.embedded.servers import free_port
from supportdesk.errors import Conflict, Invalid, NotFound
from supportdesk.models import OutboxItem
from tests.factories import agent
from tests.tickets.mail.test_noise import DSN
from tests.tickets.mail.test_thread import mail, reply_of, take_in
from tests.tickets.mail.test_whose import opened
from tickets import actions
from tickets.actions import mailboxes
from tickets.mail import incoming, outgoing, wording
from tickets.models import Letter, MailAddress, Mailbox, OutboundEmail, Rating, Ticket


def send_all():
    """Deliver what waits; what was sent by it."""
    before = len(django_mail.outbox)
    OutboxItem.objects.filter(done_at=None).update(next_attempt_at=timezone.now())
    while waiting := list(OutboxItem.objects.filter(done_at=None, handler__startswith="tickets.send").order_by("pk")):
        for item in waiting:
            assert outbox.deliver(item.pk), OutboxItem.objects.get(pk=item.pk).last_error
    return django_mail.outbox[before:]


# -------------------------------------------------------------------------------------- automatic
def test_a_new_ticket_is_acknowledged_marked_as_automatic_and_threaded(db):
    made = opened()
    (sent,) = send_all()
    assert sent.to == ["sofia@shop.example"]
    assert (sent.extra_headers["Auto-Submitted"], sent.extra_headers["In-Reply-To"]) == (
        "auto-replied",
        "<a1@shop.example>",
    )
    assert f"number {made.number}" in sent.body
    assert take_in(mail("More.", To=sent.reply_to[0], Message_ID="<2@x>")).ticket == made.number
    assert send_all() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto-Submitted": "auto-generated"}, {"Precedence": "bulk"}, {"List-Id": "<x>"}, {"From": "mailer-daemon@x.example"}, {"From": "no-reply@x.example"},
        {"X-Auto-Response-Suppress": "All"}, {"From": "tech@example.com"}, {"From": None}, {"Return-Path": "<>"}, {"X-Spam-Flag": "YES"},
    ],
)  # fmt: skip
def test_no_answer_to_what_must_get_none(db, headers):
    take_in(mail(**headers))
    assert send_all() == []


def test_no_answer_to_a_forged_sender(db, settings):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    take_in(b"Authentication-Results: mx.example.com; dmarc=fail\n" + mail().as_bytes())
    assert send_all() == []


def test_automatic_mail_to_an_address_stops_after_a_few_an_hour(db):
    for n in range(outgoing.MOST_TO_ADDRESS + 3):
        opened(Subject=f"Matter {chr(65 + n)}", Message_ID=f"<{n}@x>")
    assert len(send_all()) == outgoing.MOST_TO_ADDRESS
    assert "there was too much of it" in Ticket.objects.order_by("-number").first().events.get(kind="mail_capped").words
    Letter.objects.update(created_at=timezone.now() - timedelta(hours=2))
    opened(Subject="Later", Message_ID="<later@x>")
    assert len(send_all()) == 1


def test_what_rules_write_on_a_ticket_stops_after_some_a_day(db):
    from staff import actions as staff

    made, by = opened(), staff.automation()
    for _ in range(outgoing.MOST_OF_TICKET + 2):
        actions.reply(number=made.number, by=by, text="Beep")
    assert OutboundEmail.objects.count() < outgoing.MOST_OF_TICKET + 1


@pytest.mark.parametrize("stripped", [False, True])
def test_two_desks_with_automatic_answers_exchange_two_at_most(db, settings, stripped):
    """Both desks are this one, each with a mailbox, a domain and a key of its own. Also where a relay drops every mark."""
    Mailbox.objects.filter(name="tech").update(
        address="desk@other.example", tier=Mailbox.objects.get(name="support").tier
    )
    keys = {"support": settings.SECRET_KEY, "tech": "the key of the other desk, which is long enough for anybody"}

    def become(name):
        settings.SECRET_KEY, settings.MAIL_DOMAIN = keys[name], f"{name}.example"
        Mailbox.objects.update(active=False)
        Mailbox.objects.filter(name=name).update(active=True)

    by = agent(3)
    become("tech")
    made, _ = actions.open_ticket(
        by=by, requester_email="support@example.com", subject="Question", text="A question for you"
    )
    actions.reply(number=made.number, by=by, text="Can you help us?")
    waiting, automatic = send_all(), 0
    for turn in range(20):
        become(("support", "tech")[turn % 2])
        for one in waiting:
            raw = one.message().as_bytes()
            if stripped:
                raw = b"\n".join(
                    line
                    for line in raw.split(b"\n")
                    if not line.lower().startswith((b"auto-submitted", b"x-auto-response", b"x-loop"))
                )
            take_in(raw, ("support", "tech")[turn % 2])
        waiting = send_all()
        automatic += sum("Auto-Submitted" in one.extra_headers for one in waiting)
        if not waiting:
            break
    else:
        raise AssertionError("they never stop")
    assert 1 <= automatic <= 2


def test_two_desks_that_mark_nothing_stop_too(db):
    """An old program that answers everything, with a new subject and no marks."""
    answers = 0
    take_in(mail("Hello.", From="robot@old.example"))
    for n in range(60):
        sent = send_all()
        if not sent:
            break
        answers += len(sent)
        take_in(
            mail(
                f"I am not here ({n}).",
                From="robot@old.example",
                Subject=f"Not here {chr(65 + n % 26)}{n}",
                Message_ID=f"<old{n}@old.example>",
            )
        )
    assert answers <= outgoing.MOST_TO_ADDRESS


# ---------------------------------------------------------------------------------------- bounces
def bounce_for(sent, **more):
    facts = {"part": "message/rfc822", "action": "failed", "status": "5.1.1"} | more
    return DSN.format(**facts).replace("mine@desk.example", sent.rfc_id).encode()


def test_a_bounce_marks_mail_and_address_tells_the_agent_and_may_be_sent_again(db):
    by, made = agent(1), opened()
    sent = reply_of(made, by)
    send_all()
    result = take_in(bounce_for(sent))
    sent.refresh_from_db()
    assert (result.outcome, result.ticket, sent.state) == ("bounce", made.number, "bounced")
    assert "No such user" in sent.error
    assert MailAddress.objects.get().address == "sofia@shop.example"
    assert Notification.objects.filter(user=by, kind="mail.bounced").count() == 1
    assert Ticket.objects.count() == 1
    mailboxes.send_again(number=made.number, by=by, message=sent.message_id)
    (again,) = send_all()
    assert again.extra_headers["Message-ID"] == f"<{sent.rfc_id}>"
    sent.refresh_from_db()
    assert sent.state == "sent"
    with pytest.raises(Conflict):
        mailboxes.send_again(number=made.number, by=by, message=sent.message_id)


def test_a_copy_that_did_not_arrive_is_not_the_mail(db):
    made = opened(Cc="kim@shop.example")
    sent = reply_of(made)
    send_all()
    take_in(bounce_for(sent).replace(b"Sofia@Shop.example", b"kim@shop.example"))
    sent.refresh_from_db()
    assert (sent.state, MailAddress.objects.get().address) == ("sent", "kim@shop.example")


def test_a_recipient_that_the_server_refuses_is_said_though_it_took_the_copy(db, settings):
    """A real SMTP server that takes mail for kim alone."""
    with refusing("sofia@shop.example") as port:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = (
            "django.core.mail.backends.smtp.EmailBackend",
            "127.0.0.1",
            port,
        )
        made = opened(Cc="kim@shop.example")
        sent = reply_of(made)
        outbox.deliver(OutboxItem.objects.get(handler="tickets.send_mail").pk)
    sent.refresh_from_db()
    assert (sent.state, "550" in sent.error) == ("bounced", True)


@contextmanager
def refusing(address):
    from aiosmtpd.controller import Controller

    class Handler:
        async def handle_RCPT(self, server, session, envelope, to, options):
            if to == address:
                return "550 5.1.1 No such user"
            envelope.rcpt_tos.append(to)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):
            return "250 OK"

    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller.port
    controller.stop()


def test_a_notice_that_it_is_late_or_arrived_is_no_bounce(db):
    made = opened()
    sent = reply_of(made)
    send_all()
    for action in ("delayed", "delivered"):
        assert take_in(bounce_for(sent, action=action, status="4.4.1") + action.encode()).outcome == "bounce"
    sent.refresh_from_db()
    assert (sent.state, MailAddress.objects.count()) == ("sent", 0)


def test_a_dead_address_gets_no_automatic_mail_until_it_writes(db):
    made = opened()
    sent = reply_of(made)
    send_all()
    take_in(bounce_for(sent))
    by = agent(1)
    actions.resolve(number=made.number, by=by)
    assert send_all() == []
    opened(Message_ID="<alive@x>")
    assert len(send_all()) == 1


def test_a_forged_bounce_marks_nobody(db):
    made = opened()
    reply_of(made)
    result = take_in(DSN.format(part="message/rfc822", action="failed", status="5.1.1").encode())
    assert (result.outcome, MailAddress.objects.count()) == ("bounce", 0)
    assert Ticket.objects.count() == 2  # a person reads it


# ------------------------------------------------------------------------- templates, quotes, threads
def test_templates_by_mailbox_and_language_and_only_valid_ones(db):
    lead, box = agent(3, role="administrator"), Mailbox.objects.get(name="support")
    mailboxes.save_template(
        by=lead, kind="received", language="en", subject="Got {{number}}", text="Thanks, {{requester}}."
    )
    mailboxes.save_template(
        by=lead, kind="received", language="de", subject="Da: {{number}}", text="Danke.", mailbox=box
    )
    made = opened()
    raw = b"Content-Language: de-DE\n" + mail(Message_ID="<2@x>", From="u@x.example").as_bytes()
    german = Ticket.objects.get(number=take_in(raw).ticket)
    sent = send_all()
    assert [(one.subject, one.body) for one in sent] == [
        (f"Got {made.number}", "Thanks, Sofia Marin."),
        (f"Da: {german.number}", "Danke."),
    ]
    mailboxes.save_template(by=lead, kind="received", language="en", subject="x", text="y", active=False)
    opened(Message_ID="<3@x>")
    assert send_all() == []
    for kind, text, words in (
        ("received", "{{nobody}}", "There is no"),
        ("replied", "Hello", "itself would be missing"),
    ):
        with pytest.raises(Invalid, match=words):
            mailboxes.save_template(by=lead, kind=kind, language="en", subject="x", text=text)


def test_what_a_fact_says_is_not_filled_in_again(db):
    assert wording.fill("{{subject}} {{number}}", {"subject": "{{number}}", "number": 1}) == "{{number}} 1"


def test_a_reply_that_waits_or_resolves_says_so_and_resolving_alone_too(db):
    by, made = agent(1), opened()
    send_all()
    actions.reply(number=made.number, by=by, text="Which one?", then="waiting_on_requester")
    (waits,) = send_all()
    assert "as soon as we have your answer" in waits.body
    actions.reply(number=made.number, by=by, text="Done.", then="resolved")
    (done,) = send_all()
    assert f"/rate/{made.number}/" in done.body
    actions.reopen(number=made.number, by=by)
    actions.resolve(number=made.number, by=by)
    (alone,) = send_all()
    assert "We take this for solved" in alone.body
    assert alone.extra_headers["Auto-Submitted"] == "auto-replied"


def test_quoted_history_by_setting_and_html_from_the_same_source(db):
    Mailbox.objects.update(quotes_history=True)
    made = opened()
    reply_of(made)
    sent = next(one for one in send_all() if "Auto-Submitted" not in one.extra_headers)
    assert "> It hangs." in sent.body
    assert '<blockquote type="cite">It hangs.' in sent.alternatives[0].content


def test_references_keep_the_first_and_the_last(db):
    made = opened()
    for n in range(30):
        take_in(mail(f"More {n}.", References="<a1@shop.example>", Message_ID=f"<{'x' * 60}{n}@shop.example>"))
    sent = reply_of(made)
    assert sent.references.startswith("<a1@shop.example>")
    assert sent.references.endswith("29@shop.example>")
    assert len(sent.references) < 998


def test_a_rating_is_given_by_the_signed_link_and_never_by_opening_it(db):
    made = opened()
    path = f"/rate/{made.number}/{crypto.sign('rate', made.number)}/"
    browser = Client()
    assert browser.get(f"{path}?score=bad").status_code == 200
    assert not Rating.objects.exists()
    assert browser.post(path, {"score": "good", "comment": "Quick!\0"}).status_code == 200
    assert (Rating.objects.get().score, Rating.objects.get().comment) == ("good", "Quick!")
    assert browser.post(path, {"score": "bad"}).status_code == 200
    assert Rating.objects.get().score == "bad"
    assert browser.post(path, {"score": "10"}).status_code == 400
    assert browser.get(f"/rate/{made.number}/{'a' * 20}/").status_code == 404
    with pytest.raises(NotFound):
        mailboxes.rate(number=made.number + 1, signature=crypto.sign("rate", made.number), score="good")


def test_a_mail_server_that_hangs_holds_two_workers_at_most(db, monkeypatch):
    from django.db import connection

    made = opened()
    reply_of(made)
    monkeypatch.setattr(outgoing, "MOST_SENDERS", 0)
    item = OutboxItem.objects.filter(handler="tickets.send_mail").get()
    assert outbox.deliver(item.pk) is False
    item.refresh_from_db()
    assert (item.done_at, item.attempts) == (None, 0)
    assert connection.in_atomic_block


@pytest.mark.parametrize(("code", "kept"), [(451, True), (421, True), (550, False)])
def test_passing_failures_are_tried_again_and_permanent_ones_said(db, monkeypatch, code, kept):
    made, by = opened(), agent(1)
    sent = reply_of(made, by)
    monkeypatch.setattr(
        EmailMultiAlternatives, "send", lambda self: (_ for _ in ()).throw(smtplib.SMTPDataError(code, b"no"))
    )
    outbox.deliver(OutboxItem.objects.get(handler="tickets.send_mail").pk)
    sent.refresh_from_db()
    assert sent.state == ("queued" if kept else "bounced")
    assert Notification.objects.filter(user=by, kind="mail.bounced").exists() != kept


def test_the_first_mailbox_of_the_tier_is_the_sender(db):
    made = Ticket.objects.get(number=take_in(mail(), "tech").ticket)
    assert "tech@example.com" in reply_of(made).sender
    assert incoming.drain() == 0


def test_a_provider_gets_what_names_the_mail_and_one_that_cannot_carry_it_gets_the_mail(db, settings, monkeypatch):
    from anymail.backends.test import EmailBackend, TestPayload

    settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"
    sent = reply_of(opened())
    (left,) = [one for one in send_all() if one.extra_headers["Message-ID"] == f"<{sent.rfc_id}>"]
    assert left.anymail_test_params["metadata"] == {outgoing.METADATA: sent.rfc_id}
    monkeypatch.setattr(TestPayload, "set_metadata", lambda self, data: self.unsupported_feature("metadata"))
    assert EmailBackend().ignore_unsupported_features
    other = reply_of(opened(Message_ID="<2@x>", Subject="Other"))
    send_all()
    other.refresh_from_db()
    assert other.state == "sent"
