"""Who a mail is from: what a From pretends, what the relay checked, and what follows from it."""

import pytest

from supportdesk.text import one_line
from tests.factories import agent, lead
from tests.tickets.mail.test_thread import mail, take_in
from tests.tickets.mail.test_whose import newest, opened
from tickets import actions
from tickets.mail import addresses, parsing, quotes
from tickets.mail.parsing import Doubt
from tickets.models import InboundEmail, MessageKind, OutboundEmail, Ticket

CHECKED = "mx.example.com; spf=pass smtp.mailfrom=evil.example; dmarc=pass header.from=evil.example"


def read(*headers, trusted=("mx.example.com",)):
    return parsing.parse("\n".join([*headers, "To: support@example.com", "", "Text."]).encode(), trusted)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("sofia@cust.example <mallory@evil.example>", ("", "mallory@evil.example")),
        ("=?utf-8?Q?sofia@cust.example?= <mallory@evil.example>", ("", "mallory@evil.example")),
        ('"sofia@cust.example" <mallory@evil.example>', ("", "mallory@evil.example")),
        ("=?utf-8?Q?j=C3=BCrgen@firma.example?= <real@firma.example>", ("", "real@firma.example")),
        ("=?utf-8?Q?M=C3=BCller,_Hans?= <hans@firma.example>", ("Müller, Hans", "hans@firma.example")),
        ("=?utf-8?Q?Name=0D=0ABcc:_evil@evil.example?= <inj@cust.example>", ("", "inj@cust.example")),
        ("kim@shop.example <kim@shop.example>", ("kim@shop.example", "kim@shop.example")),
        ("Shop: Kim <kim@shop.example>, lee@shop.example;", ("Kim", "kim@shop.example")),
        ("kim@shop.example (Kim of (the) Shop)", ("Kim of the Shop", "kim@shop.example")),
        ("Kim (at work) <kim@shop.example>", ("Kim", "kim@shop.example")),
        ('"Kim \\"K\\" <x@y.example>" <kim@shop.example>', ("", "kim@shop.example")),
        ("<@relay.example:kim@shop.example>", ("", "kim@shop.example")),
        ('"Kim <kim@shop.example>', ("Kim", "kim@shop.example")),
    ],
)
def test_what_stands_in_angle_brackets_is_the_address(shown, expected):
    found = read(f"From: {shown}")
    assert (found.sender_name, found.sender) == expected
    assert one_line(found.sender_name) == found.sender_name


@pytest.mark.parametrize(
    ("headers", "doubt"),
    [
        (["From: Sofia <sofia@cust.example>"], ""),
        (["Authentication-Results: mx.example.com; dmarc=pass header.from=cust.example", "From: sofia@cust.example"], ""),
        (["Authentication-Results: mx.example.com; dmarc=pass header.from=cust.example", "From: sofia@eu.cust.example"], ""),
        (["Authentication-Results: mx.example.com; dmarc=fail header.from=cust.example", "From: sofia@cust.example"], Doubt.DMARC),
        ([f"Authentication-Results: {CHECKED}", "From: sofia@cust.example"], Doubt.OTHER),
        ([f"Authentication-Results: {CHECKED}", "From: sofia@notevil.example"], Doubt.OTHER),
        ([f"Authentication-Results: {CHECKED}", "From: sofia@cust.example, mallory@evil.example"], Doubt.SEVERAL),
        (["From: sofia@cust.example", "From: mallory@evil.example"], Doubt.SEVERAL),
        (["From: noreply@evil.example", "Reply-To: sofia@cust.example"], Doubt.NOT_FROM),
        (["From: nobody", "Reply-To: sofia@cust.example"], Doubt.NOT_FROM),
    ],
)  # fmt: skip
def test_what_speaks_against_a_sender(headers, doubt):
    assert read(*headers).doubt == doubt


FORGED = [
    {"From": "{who} <evil@evil.example>"},
    {"From": "noreply@evil.example", "Reply-To": "{who}"},
    {"From": "{who}, evil@evil.example"},
    {"From": "{who}"},
]


@pytest.mark.parametrize("forged", FORGED)
def test_a_stranger_who_has_the_signed_address_of_staff_speaks_for_nobody(db, settings, forged):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    by = agent(1)
    made = opened()
    headers = {name: value.format(who=by.email) for name, value in forged.items()}
    reply_to = addresses.reply_address("support@example.com", made, by.email)
    result = take_in(mail("Pay here.", To=reply_to, Message_ID="<2@x>", Authentication_Results=CHECKED, **headers))
    assert (newest(made).kind, newest(made).author) == (MessageKind.REQUESTER, None)
    assert InboundEmail.objects.get(pk=result.inbound).unverified
    assert not OutboundEmail.objects.exists()


@pytest.mark.parametrize("forged", FORGED)
def test_a_stranger_with_a_number_in_the_subject_is_not_the_requester(db, settings, forged, browser_of):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    made = opened()
    headers = {name: value.format(who=made.requester.email) for name, value in forged.items()}
    subject = f"Re: Help [#{made.number}]"
    result = take_in(mail("Pay here.", Subject=subject, Message_ID="<2@x>", Authentication_Results=CHECKED, **headers))
    assert result.ticket != made.number
    page = browser_of(agent(1)).get(f"/tickets/{result.ticket}/").content.decode()
    assert "the sender&#x27;s domain sent it" not in page or "evil@evil.example" in page
    assert "Perhaps belongs to" in page


def test_who_wrote_says_whether_they_are_the_requester(db, browser_of):
    made = opened(Cc="kim@shop.example")
    signed = addresses.reply_address("support@example.com", made, made.requester.email)
    take_in(mail("I am Kim.", From="kim@shop.example", To=signed, Message_ID="<2@x>"))
    take_in(mail("I am Mallory.", From="mallory@evil.example", To=signed, Message_ID="<3@x>"))
    page = browser_of(agent(1)).get(f"/tickets/{made.number}/").content.decode()
    assert ("Gets copies</span>" in page, "Somebody else</span>" in page) == (True, True)


def test_where_answers_are_wanted_is_said(db, browser_of):
    made = opened(From="website@shop.example", Reply_To="real@client.example")
    assert made.requester.email == "website@shop.example"
    assert (
        "Wants answers at real@client.example" in browser_of(agent(1)).get(f"/tickets/{made.number}/").content.decode()
    )


INNER = "From: Kim <kim@shop.example>\nSubject: Broken\nTo: tier1@example.com\n\nIt is broken."
WHOLE = (
    'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\n{said}\n--b\n'
    "Content-Type: message/rfc822\nContent-Disposition: attachment\n\n{inner}\n--b--\n"
)


@pytest.mark.parametrize(("subject", "said"), [("Fwd: Broken", "Please look."), ("Broken", "")])
def test_what_staff_forward_as_a_file_is_a_ticket_of_its_sender(db, settings, subject, said):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    by = agent(1)
    results = f"mx.example.com; dmarc=pass header.from={by.email.partition('@')[2]}"
    head = f"From: {by.email}\nTo: support@example.com\nSubject: {subject}\nAuthentication-Results: {results}\n"
    result = take_in((head + WHOLE.format(said=said, inner=INNER)).encode())
    made = Ticket.objects.get(number=result.ticket)
    first = made.messages.order_by("id").first()
    assert (made.requester.email, made.subject, first.text) == ("kim@shop.example", "Broken", "It is broken.")
    assert not InboundEmail.objects.get(pk=result.inbound).unverified
    if said:
        assert newest(made).text == f"{by.email} forwarded this, and wrote above it:\n\n{said}"


def end(number, by):
    actions.resolve(number=number, by=by)
    actions.close(number=number, by=by)


def test_a_second_answer_to_a_closed_ticket_joins_the_follow_up_of_the_first(db):
    by = lead(1, 2)
    made = opened()
    end(made.number, by)
    first = take_in(mail("Again.", References="<a1@shop.example>", Message_ID="<2@x>"))
    second = take_in(mail("And again.", References="<a1@shop.example>", Message_ID="<3@x>"))
    assert (first.outcome, second.outcome) == ("ticket", "reply")
    assert first.ticket == second.ticket != made.number
    end(first.ticket, by)
    assert take_in(mail("Once more.", References="<a1@shop.example>", Message_ID="<4@x>")).ticket not in {
        made.number,
        first.ticket,
    }


def test_whose_ticket_was_merged_hears_what_is_answered(db):
    by = lead(1, 2)
    one, other = opened(), opened(From="kim@shop.example", Message_ID="<2@x>")
    actions.merge(number=one.number, into=other.number, by=by)
    actions.reply(number=other.number, by=by, text="Both of you.")
    sent = OutboundEmail.objects.get()
    assert (sent.to, sent.cc) == ("kim@shop.example", ["sofia@shop.example"])
    actions.unmerge(number=one.number, by=by)
    other.refresh_from_db()
    assert other.cc == []


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ('filename="Prüfung.pdf"'.encode(), "Prüfung.pdf"),
        ('filename="Prüfung.pdf"'.encode("latin-1"), "Prüfung.pdf"),
        (b"filename*=utf-8''a%E2%80%AEgpj.exe", "agpj.exe"),
    ],
)
def test_names_of_files_are_what_they_seem(raw, name):
    head = b'From: a@b.example\nContent-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain; charset=iso-8859-1\n\nx\n--b\n'
    part = b"Content-Type: application/pdf\nContent-Disposition: attachment; " + raw + b"\n\nx\n--b--\n"
    (file,) = parsing.parse(head + part).files
    assert file.name == name


@pytest.mark.parametrize(
    ("subject", "charset"), [("发票问题", "gb2312"), ("Счёт за услуги", "windows-1251"), ("Größe", "utf-8")]
)
def test_bytes_in_a_header_are_read_as_the_text_is(subject, charset):
    raw = (
        b"From: a@b.example\nSubject: "
        + subject.encode(charset)
        + f"\nContent-Type: text/plain; charset={charset}\n\nx".encode()
    )
    assert parsing.parse(raw).subject == subject


@pytest.mark.parametrize(
    ("text", "shown", "folded"),
    [
        ("It broke.\n\n-- \nKim\nShop", "It broke.", "-- \nKim\nShop"),
        ("It broke.\n--\nKim", "It broke.", "--\nKim"),
        ("Steps:\n--\none\n--\ntwo\nAnd the most important part.", None, ""),
        ("Kim wrote:\n\n> It broke.\n\nPlease look.", None, ""),
        ("It broke.\n\nThanks,\nKim", None, ""),
    ],
)
def test_of_a_first_mail_nothing_but_the_signature_is_folded(db, text, shown, folded):
    message = opened_with(text).messages.get()
    assert (message.text, message.quoted) == (shown or text, folded)


def opened_with(text):
    raw = f"From: a@b.example\nTo: support@example.com\nSubject: x\nMessage-ID: <s@x>\n\n{text}\n"
    return Ticket.objects.get(number=take_in(raw.encode()).ticket)


@pytest.mark.parametrize(
    "text",
    [
        "Hi,\nOn Monday Bob wrote:\nthe server is down and I cannot reach it. What now?",
        "Steps:\n--\none\n--\ntwo\nThe end.",
    ],
)
def test_what_somebody_tells_is_no_quotation(text):
    assert quotes.split_reply(text) == (text, "")


def test_japanese_without_a_charset_is_read(db):
    text = "こんにちは。注文の件でご連絡しました。"
    assert parsing.parse(b"From: a@b.example\n\n" + text.encode("shift_jis")).text == text


def test_a_dry_run_looks_past_large_mails_and_needs_no_action(db, browser_of, administrator):
    big = b"From: a@b.example\nSubject: Big Printer\nMessage-ID: <b@x>\n\n" + b"x" * 78 + b"\n"
    take_in(big + b"y" * 3_000_000)
    page = browser_of(administrator).post(
        "/settings/mail/rules/new/",
        {"name": "x", "position": "1", "conditions": "subject contains printer", "dry-run": "1"},
    )
    assert "Big Printer" in page.content.decode()
    saved = browser_of(administrator).post(
        "/settings/mail/rules/new/", {"name": "x", "position": "1", "conditions": "subject contains printer"}
    )
    assert "Say what it does" in saved.content.decode() or "Choose what it does" in saved.content.decode()


@pytest.mark.parametrize("unit", ['"\\', "(\\", '\\"', "(a(b", "a@b<"])
def test_a_header_that_is_made_to_take_long_still_names_its_sender(unit: str) -> None:
    """A name of 90,000 characters that never ends took two minutes: each of its quotes was a beginning."""
    raw = f"From: {unit * (90_000 // len(unit))} <ann@shop.example>\n\nhello".encode()
    assert parsing.parse(raw).sender == "ann@shop.example"
