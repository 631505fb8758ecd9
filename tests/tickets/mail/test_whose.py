"""Whose ticket a mail belongs to, and what it may do there."""

import quopri

import pytest
from django.core import mail as django_mail

from supportdesk import outbox
from supportdesk.models import OutboxItem
from tests.factories import agent
from tests.factories import lead as manager
from tests.tickets.mail.test_thread import deliver, mail, reply_of, take_in
from tickets import actions
from tickets.mail import addresses, attention, incoming
from tickets.models import (
    InboundEmail,
    LinkKind,
    Mailbox,
    MailRule,
    MessageKind,
    Organization,
    OutboundEmail,
    Status,
    Ticket,
)


def opened(**headers):
    return Ticket.objects.get(number=take_in(mail(**headers)).ticket)


def newest(made):
    return made.messages.order_by("-id").first()


# ------------------------------------------------------------------------------- subject and senders
def test_a_number_in_the_subject_counts_from_a_participant(db):
    made = opened()
    result = take_in(mail("More.", Subject=f"Help [#{made.number}]", Message_ID="<2@x>"))
    assert (result.outcome, result.ticket) == ("reply", made.number)


def test_a_number_in_the_subject_from_a_stranger_opens_a_ticket_that_says_so(db):
    made = opened()
    result = take_in(mail("Mine.", From="eve@evil.example", Subject=f"Help [#{made.number}]", Message_ID="<2@x>"))
    other = Ticket.objects.get(number=result.ticket)
    assert other.number != made.number
    assert InboundEmail.objects.get(pk=result.inbound).perhaps == made
    assert f"perhaps belongs to {made.number}" in other.events.get(kind="perhaps").words
    assert made.messages.count() == 1


def test_the_organisation_counts_where_the_mailbox_says_so(db):
    Organization.objects.create(name="Shop", domains=["shop.example"])
    made = opened()
    tagged = {"From": "kim@shop.example", "Subject": f"Help [#{made.number}]"}
    assert take_in(mail("x", Message_ID="<2@x>", **tagged)).ticket != made.number
    Mailbox.objects.update(trusts_organization=True)
    assert take_in(mail("y", Message_ID="<3@x>", **tagged)).ticket == made.number


def test_a_stranger_who_knows_a_message_id_is_no_participant(db):
    made = opened()
    joined = {"From": "eve@evil.example", "References": "<a1@shop.example>"}
    assert take_in(mail("Me too.", Message_ID="<2@x>", **joined)).ticket == made.number
    tagged = {"From": "eve@evil.example", "Subject": f"Help [#{made.number}]"}
    assert take_in(mail("And me.", Message_ID="<3@x>", **tagged)).ticket != made.number


@pytest.mark.parametrize(("sender", "dmarc", "cc"), [
    ("sofia@shop.example", "pass", ["spy@evil.example"]), ("sofia@shop.example", "fail", []), ("eve@evil.example", "pass", []),
])  # fmt: skip
def test_only_who_is_known_and_undoubted_adds_who_gets_copies(db, settings, sender, dmarc, cc):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    made = opened()
    address = addresses.reply_address("support@example.com", made, made.requester.email)
    checks = f"mx.example.com; dmarc={dmarc} header.from={sender.partition('@')[2]}"
    take_in(
        mail("x", From=sender, To=address, Cc="spy@evil.example", Message_ID="<2@x>", Authentication_Results=checks)
    )
    made.refresh_from_db()
    assert (made.messages.count(), made.cc) == (2, cc)


def test_a_copy_that_a_relay_encoded_in_another_way_is_one_mail(db):
    text, head = (
        "Grüße, es hängt.\n",
        "From: sofia@shop.example\nTo: support@example.com\nSubject: Help\nMessage-ID: <r1@x>\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: ",
    )
    first = take_in((head + "8bit\n\n" + text).encode())
    again = take_in((head + "quoted-printable\n\n").encode() + quopri.encodestring(text.encode()), "tech")
    assert (again.outcome, again.ticket, Ticket.objects.count()) == ("duplicate", first.ticket, 1)
    other = take_in((head + "8bit\n\nOther words.\n").encode())
    assert other.outcome != "duplicate"


def test_who_else_it_went_to_gets_copies_and_may_answer(db):
    made = opened(Cc="Kim <kim@shop.example>, support@example.com, nonsense")
    assert made.cc == ["kim@shop.example"]
    assert (
        take_in(mail("Me too.", From="kim@shop.example", Subject=f"x [#{made.number}]", Message_ID="<2@x>")).ticket
        == made.number
    )
    Mailbox.objects.update(keeps_copies=False)
    assert opened(Cc="kim@shop.example", Message_ID="<3@x>").cc == []


def test_a_closed_ticket_opens_again_within_its_days_and_a_follow_up_after(db):
    lead = agent(3)
    made = opened()
    actions.resolve(number=made.number, by=lead)
    actions.close(number=made.number, by=lead)
    late = take_in(mail("Again.", References="<a1@shop.example>", Message_ID="<2@x>"))
    follow_up = Ticket.objects.get(number=late.ticket)
    assert (late.outcome, follow_up.links.get().kind) == ("ticket", LinkKind.FOLLOW_UP)
    Mailbox.objects.update(reopen_days=7)
    soon = take_in(mail("And again.", References="<a1@shop.example>", Message_ID="<3@x>"))
    made.refresh_from_db()
    assert (soon.ticket, made.status) == (made.number, Status.OPEN)


def test_mail_to_a_merged_ticket_goes_to_its_heir(db):
    lead = agent(3)
    one, other = opened(), opened(Message_ID="<b@x>")
    actions.merge(number=one.number, into=other.number, by=lead)
    result = take_in(mail("More.", References="<a1@shop.example>", Message_ID="<2@x>"))
    assert (result.outcome, result.ticket) == ("reply", other.number)


# ----------------------------------------------------------------------------------------- staff
def test_staff_answer_by_mail_from_their_own_signed_address(db):
    by = agent(1, mails_wanted=True)
    made = opened()
    actions.take(number=made.number, by=by)
    take_in(mail("More.", References="<a1@shop.example>", Message_ID="<2@x>"))
    for item in OutboxItem.objects.filter(handler="tickets.send_letter", done_at=None):
        outbox.deliver(item.pk)
    (notice,) = [sent for sent in django_mail.outbox if sent.to == [by.email]]
    answer = {"From": by.email, "To": notice.reply_to[0]}
    result = take_in(mail("Try again now.\n\n> More.", Message_ID="<3@x>", **answer))
    said = newest(made)
    assert (result.outcome, said.kind, said.author, said.text) == ("reply", MessageKind.REPLY, by, "Try again now.")
    assert OutboundEmail.objects.get(message=said).to == "sofia@shop.example"
    take_in(mail("#note Only for us.", Message_ID="<4@x>", **answer))
    assert (newest(made).kind, newest(made).text) == (MessageKind.NOTE, "Only for us.")


def test_a_staff_from_without_the_signed_address_is_unverified(db):
    by = agent(1)
    made = opened()
    result = take_in(mail("Pay here.", From=by.email, References="<a1@shop.example>", Message_ID="<2@x>"))
    assert (newest(made).kind, newest(made).author) == (MessageKind.REQUESTER, None)
    assert InboundEmail.objects.get(pk=result.inbound).unverified


@pytest.mark.parametrize("forged", ["other sender", "dmarc fails", "another's address"])
def test_the_signed_address_of_staff_works_for_that_person_alone(db, forged, settings):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    by, other = agent(1), agent(1)
    made = opened()
    headers = {"From": by.email, "To": addresses.reply_address("support@example.com", made, by.email)}
    if forged == "other sender":
        headers["From"] = "eve@evil.example"
    elif forged == "dmarc fails":
        headers["Authentication-Results"] = "mx.example.com; dmarc=fail"
    else:
        headers["From"] = other.email
    result = take_in(mail("I say yes.", Message_ID="<2@x>", **headers))
    assert newest(made).kind == MessageKind.REQUESTER
    assert InboundEmail.objects.get(pk=result.inbound).unverified


def test_what_staff_may_not_say_is_kept_as_a_note(db):
    by = agent(1)
    made = Ticket.objects.get(number=take_in(mail(), "tech").ticket)
    answer = {"From": by.email, "To": addresses.reply_address("tech@example.com", made, by.email)}
    take_in(mail("I answer.", Message_ID="<2@x>", **answer))
    assert newest(made).kind == MessageKind.NOTE
    assert not OutboundEmail.objects.exists()
    assert "only that tier" in made.events.get(kind="reply_refused").words


def test_what_staff_forward_is_a_ticket_of_the_original_sender(db):
    by = agent(1)
    text = "Can you look?\n\n---------- Forwarded message ---------\nFrom: Kim <kim@shop.example>\nSubject: Broken\nTo: x\n\nIt is broken."
    made = Ticket.objects.get(number=take_in(mail(text, From=by.email, Subject="Fwd: Broken")).ticket)
    assert (made.requester.email, made.subject, made.messages.first().text) == (
        "kim@shop.example",
        "Broken",
        "It is broken.",
    )
    assert "Can you look?" in newest(made).text
    assert "nothing proves" in newest(made).text
    assert newest(made).author.is_automation
    assert newest(made).kind == MessageKind.NOTE


# --------------------------------------------------------------------------------- spam, storms, rules
def test_spam_is_a_closed_ticket_in_its_own_view_and_nobody_is_answered(db):
    by = agent(1)
    made = opened(**{"X-Spam-Flag": "YES"})
    assert (made.status, made.spam_at is not None, made.timers.count()) == (Status.CLOSED, True, 0)
    assert deliver() == []
    assert django_mail.outbox == []
    actions.mark_not_spam(number=made.number, by=by)
    made.refresh_from_db()
    assert (made.status, made.spam_at, made.timers.count()) == (Status.OPEN, None, 2)
    actions.wait_on_requester(number=made.number, by=by)
    actions.mark_spam(number=made.number, by=by)
    made.refresh_from_db()
    assert (made.status, made.spam_at is not None) == (Status.CLOSED, True)


def test_an_answer_that_a_filter_took_for_spam_says_where_it_belongs(db):
    made = opened()
    result = take_in(mail("Mine.", References="<a1@shop.example>", Message_ID="<2@x>", **{"X-Spam-Flag": "YES"}))
    assert result.ticket != made.number
    assert InboundEmail.objects.get(pk=result.inbound).perhaps == made


def test_copies_that_come_with_an_answer_are_added_and_said(db):
    made = opened()
    sent = reply_of(made)
    take_in(mail("More.", To=sent.reply_to, Message_ID="<2@x>", Cc="kim@shop.example"))
    made.refresh_from_db()
    assert made.cc == ["kim@shop.example"]
    assert made.events.get(kind="cc").data["to"] == "kim@shop.example"


def test_a_forged_participant_neither_writes_nor_gets_copies(db, settings):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    made = opened()
    forged = b"Authentication-Results: mx.example.com; dmarc=fail\n"
    for number, headers in enumerate(({"Subject": f"x [#{made.number}]"}, {"References": "<a1@shop.example>"})):
        raw = forged + mail("Mine.", Message_ID=f"<f{number}@x>", Cc="me@evil.example", **headers).as_bytes()
        assert take_in(raw).ticket != made.number
    take_in(mail("By number.", Subject=f"x [#{made.number}]", Message_ID="<n@x>", Cc="me@evil.example"))
    made.refresh_from_db()
    assert made.cc == []


def test_a_storm_of_alike_mail_is_one_ticket_after_the_first_few(db):
    numbers = {
        take_in(
            mail("Disk full.", From="nagios@shop.example", Subject=f"Disk {n} % full", Message_ID=f"<s{n}@x>")
        ).ticket
        for n in range(30)
    }
    assert len(numbers) == incoming.STORM
    last = Ticket.objects.order_by("-number").first()
    assert last.messages.count() == 30 - incoming.STORM + 1
    assert (
        take_in(mail("Other.", From="nagios@shop.example", Subject="Something else", Message_ID="<o@x>")).ticket
        not in numbers
    )


def test_rules_on_mail_route_set_and_sort_out(db):
    from staff.models import Tier

    MailRule.objects.create(
        name="News",
        position=0,
        conditions=[{"field": "header", "name": "List-Id", "op": "contains", "value": "news"}],
        spam=True,
    )
    MailRule.objects.create(
        name="Refunds", position=1, conditions=[{"field": "subject", "op": "contains", "value": "REFUND"}, {"field": "from", "op": "ends", "value": "@shop.example"}],
        tier=Tier.objects.get(level=2), recipe={"priority": "high", "add_tags": ["refund"]},
    )  # fmt: skip
    made = opened(Subject="A refund please")
    assert (made.tier.level, made.priority, made.tags) == (2, "high", ["refund"])
    assert opened(Subject="refund", From="a@b.example", Message_ID="<2@x>").tier.level == 1
    assert opened(Message_ID="<3@x>", **{"List-Id": "<news.shop>"}).spam_at is not None
    assert dict(MailRule.objects.values_list("name", "matched")) == {"News": 1, "Refunds": 1}


def test_what_cannot_be_read_is_retried_and_joins_its_ticket(db, monkeypatch):
    from supportdesk.errors import Conflict
    from tickets.mail import reader

    real = reader.read

    def broken(raw, trusted=(), **more):
        if b"whole text" not in raw:
            return real(raw, trusted, **more)
        raise reader.TooMuch("It took longer than 30 s to read.")

    lead = manager(1)
    with monkeypatch.context() as patched:
        patched.setattr(reader, "read", broken)
        result = take_in(mail("The whole text."))
        made = Ticket.objects.get(number=result.ticket)
        assert (made.requester.email, made.subject) == ("sofia@shop.example", "Help")  # what could be read
        with pytest.raises(Conflict, match="still cannot be read"):
            attention.retry(inbound_id=result.inbound, by=lead)
    assert InboundEmail.objects.needing_a_look().count() == 1
    assert attention.retry(inbound_id=result.inbound, by=lead).ticket == made.number
    assert newest(made).text == "The whole text."
    assert not InboundEmail.objects.needing_a_look().exists()
