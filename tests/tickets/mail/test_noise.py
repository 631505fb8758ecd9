"""What is told of mail that no person wrote, and of who vouches for a sender."""

import pytest

from tests.tickets.mail.test_parsing import read


@pytest.mark.parametrize(
    ("headers", "automatic", "answer"),
    [
        ("Auto-Submitted: auto-replied", True, True),
        ("Auto-Submitted: auto-replied (vacation)", True, True),
        ("Auto-Submitted: auto-generated", True, False),
        ("Auto-Submitted: no", False, False),
        ("Precedence: bulk", True, False),
        ("Precedence: auto_reply", True, True),
        ("List-Id: <news.example>", False, False),
        ("X-Autoreply: yes", True, True),
        ("X-Loop: somebody", True, False),
        ("Return-Path: <>", True, False),
        ("Subject: Out of office: Re: Help", True, True),
        ("Subject: Re: Out of office", False, False),
        ("Subject: Automatische Antwort: Hilfe", True, True),
        ("Subject: Réponse automatique : Aide", True, True),
        ("Subject: The automatic reply does not work", False, False),
        ("Subject: Abwesenheitsnotiz", True, True),
        ("Subject: [Automatyczna odpowiedź] Zamówienie".encode().decode("latin-1"), True, True),
        ("Subject: AUTO: Smith, John is out of the office. (returning 05/01/2027)", True, True),
        ("Subject: The one who sells lamps is out of the office: what now?", False, False),
        ("X-Auto-Response-Suppress: All", False, False),
    ],
)
def test_who_wrote_it_a_person_or_a_program(headers, automatic, answer):
    mail = read(f"From: a@b.example\n{headers}\n\nx")
    assert (mail.automatic, mail.auto_reply) == (automatic, answer)


@pytest.mark.parametrize(
    "head",
    ["From: no-reply@b.example", "From: a@b.example\nX-Auto-Response-Suppress: OOF, AutoReply", "From: nonsense"],
)
def test_who_must_get_no_automatic_answer_though_a_person_may_have_written(head):
    mail = read(f"{head}\nSubject: x\n\nx")
    assert (mail.automatic, mail.unanswerable) == (False, True)


DSN = """From: MAILER-DAEMON@mx.example
Subject: Undelivered
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It did not work.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; Sofia@Shop.example
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 5.1.1 No such user
--b
Content-Type: {part}

Message-ID: <mine@desk.example>
Subject: Re: Help

--b--
"""


@pytest.mark.parametrize("part", ["message/rfc822", "text/rfc822-headers"])
@pytest.mark.parametrize(
    ("action", "status", "permanent", "delivered"),
    [
        ("failed", "5.1.1", True, False),
        ("failed", "4.2.2", False, False),
        ("delayed", "4.4.1", False, True),
        ("delivered", "2.0.0", False, True),
    ],
)
def test_reports_of_delivery(part, action, status, permanent, delivered):
    bounce = read(DSN.format(part=part, action=action, status=status)).bounce
    assert (bounce.permanent, bounce.delivered, bounce.recipients) == (permanent, delivered, ["sofia@shop.example"])
    assert "mine@desk.example" in bounce.of
    assert "No such user" in bounce.reason


INFORMAL = {
    "qmail": "From: MAILER-DAEMON@mx.example\nReturn-Path: <>\nSubject: failure notice\n\nHi. This is the qmail-send program at mx.example.\n\n<sofia@shop.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\nMessage-ID: <mine@desk.example>\nSubject: Re: Help\n",
    "exim": "From: Mail Delivery System <Mailer-Daemon@mx.example>\nX-Failed-Recipients: sofia@shop.example\nSubject: Mail delivery failed: returning message to sender\n\nA message that you sent could not be delivered.\n\n  sofia@shop.example\n    550 5.1.1 unknown user\n\nMessage-ID: <mine@desk.example>\n",
    "german": "From: postmaster@mx.example\nReturn-Path: <>\nSubject: Unzustellbar: Re: Help\nIn-Reply-To: <mine@desk.example>\n\nsofia@shop.example ist unbekannt. 550 5.1.10\n",
}


INFORMAL |= {
    "smail": "From: MAILER-DAEMON@mx.example\nSubject: mail failed, returning to sender\n\n|--- Failed addresses follow: ---|\n sofia@shop.example ... unknown host\n|--- Message text follows: ---|\nMessage-ID: <mine@desk.example>\n",
    "gateway": "From: filter@shop.example\nReturn-Path: <>\nSubject: Mail could not be taken\n\nUnable to deliver message to <sofia@shop.example>.\n\n*** End of message ***\nMessage-ID: <mine@desk.example>\n",
    "exim that answers": "From: Mail Delivery System <Mailer-Daemon@mx.example>\nAuto-Submitted: auto-replied\nX-Failed-Recipients: sofia@shop.example\nSubject: Mail delivery failed\n\nunknown user\n\nMessage-ID: <mine@desk.example>\n",
}
LATE = "From: Mailer-Daemon@mx.example\nSubject: Warning: message delayed 24 hours\n\nThis message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to all its recipients.\n\nThe message has not yet been delivered to the following addresses:\n\n  sofia@shop.example\n\nNo action is required on your part.\n\nMessage-ID: <mine@desk.example>\n"


def test_a_warning_without_a_report_says_that_it_is_late():
    bounce = read(LATE).bounce
    assert (bounce.delivered, bounce.permanent, bounce.recipients) == (True, False, ["sofia@shop.example"])


def test_a_report_names_also_whom_we_wrote_to():
    text = DSN.format(part="message/rfc822", action="failed", status="5.1.1")
    text = text.replace("Final-Recipient", "Original-Recipient: rfc822;office@shop.example\nFinal-Recipient")
    assert read(text).bounce.recipients == ["office@shop.example", "sofia@shop.example"]


def test_a_telephone_number_is_no_status():
    text = INFORMAL["qmail"].replace("(#5.1.1)", "").replace("Sorry", "Call 480-624-2500. Sorry")
    assert read(text).bounce.permanent


def test_who_writes_about_mail_that_came_back_is_a_person():
    text = INFORMAL["qmail"].replace("MAILER-DAEMON@mx.example\nReturn-Path: <>", "sofia@shop.example")
    assert read(text).bounce is None


@pytest.mark.parametrize("kind", INFORMAL)
def test_bounces_without_a_report(kind):
    bounce = read(INFORMAL[kind]).bounce
    assert bounce.permanent
    assert "sofia@shop.example" in bounce.recipients
    assert "mine@desk.example" in bounce.of


@pytest.mark.parametrize(
    "text",
    [
        "From: postmaster@shop.example\nSubject: Our orders hang\n\nPlease help.",
        "From: a@b.example\nSubject: Undelivered parcel\n\nWhere is it? 5.1.1",
    ],
)
def test_what_only_looks_like_a_bounce_is_none(text):
    assert read(text).bounce is None


def test_the_word_of_a_trusted_relay_counts_and_of_no_other():
    head = "Authentication-Results: mx.example.com; spf=pass smtp.mailfrom=x; dkim=fail (bad) ; dkim=pass header.d=x; dmarc=fail\n"
    forged = "Authentication-Results: evil.example; spf=pass; dmarc=pass\n"
    assert read(f"{forged}{head}From: a@b.example\n\nx", trusted=["MX.example.com"]).checks == {
        "spf": "pass",
        "dkim": "pass",
        "dmarc": "fail",
    }
    assert read(f"{forged}{head}From: a@b.example\n\nx").checks == {}


@pytest.mark.parametrize(
    ("header", "spam"),
    [("X-Spam-Flag: YES", True), ("X-Spam-Status: Yes, score=9", True), ("X-Spam-Status: No", False)],
)
def test_spam_by_header(header, spam):
    assert bool(read(f"From: a@b.example\n{header}\n\nx").spam) == spam
