"""Mail as real programs write it, which a reader with fresh eyes found read wrong once."""

import base64

import pytest

from tests.tickets.mail.test_parsing import read
from tickets.mail import html, quotes, reader, source


def test_words_in_html_beside_a_plain_footer_are_not_lost():
    footer = 'From: a@b.example\nContent-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/html\n\n<p>The server is on fire</p>\n--b\nContent-Type: text/plain\n\n____\nMailing list footer\n--b--\n'
    assert "on fire" in read(footer).text
    assert "Mailing list footer" in read(footer).text
    words = "really many words of a person who wrote a long letter in HTML only " * 3
    poor = f'From: a@b.example\nContent-Type: multipart/alternative; boundary="b"\n\n--b\nContent-Type: text/plain\n\nYour program shows no HTML\n--b\nContent-Type: text/html\n\n<p>{words}</p>\n--b--\n'
    assert "long letter" in read(poor).text


def test_answers_in_line_of_gmail_are_kept():
    source = '<div>Hello,</div><div class="gmail_quote"><div class="gmail_attr">On Mon, X wrote:</div><blockquote class="gmail_quote">First?</blockquote><div>Yes, the first.</div><blockquote class="gmail_quote">Second?</blockquote><div>No.</div></div>'
    assert html.split_quotation(source)[1] == ""


@pytest.mark.parametrize(
    "subject",
    [
        "Re: Out of office message cannot be set",
        "Abwesenheitsassistent funktioniert nicht",
        "AW: Autoreply bitte einrichten",
        "Out of office is wrong",
    ],
)
def test_a_person_may_write_about_being_away(subject):
    assert not read(f"From: a@b.example\nSubject: {subject}\n\nStill not.").automatic


def test_somebody_who_is_away_is_no_bounce():
    mail = read(
        "From: u@b.example\nReturn-Path: <>\nAuto-Submitted: auto-generated\nSubject: Abwesend bis 5.12.24\nIn-Reply-To: <mine@desk.example>\n\nIch bin bis 5.12.24 nicht im Haus, Version 5.4.1."
    )
    assert (mail.bounce, mail.automatic) == (None, True)


@pytest.mark.parametrize(
    "text",
    [
        "Bitte ansehen.\n\nVon: Kim Lee <kim@shop.example>\nGesendet: Montag, 1. Dezember 2025 10:00\nAn: Amina <amina@example.com>\nBetreff: Kaputt\n\nDie Lampe ist kaputt.",
        "Look.\n________________________________\nFrom: Kim Lee <kim@shop.example>\nSent: Monday, December 1, 2025 10:00\nTo: Amina\nSubject: Broken\n\nThe lamp is broken.",
    ],
)
def test_what_outlook_forwards_is_recognised(text):
    found = quotes.forwarded("WG: Kaputt", text)
    assert found.sender == "kim@shop.example"
    assert "amp" in found.text
    assert "____" not in found.said_above


@pytest.mark.parametrize(
    "link",
    [
        '<a title="x" href="https://evil.example/">https://bank.example</a>', '<a href="https://evil.example/"><img src="cid:a">https://bank.example</a>',
        '<a href="https://evil.example/">bank.example (not evil.example)</a>',
    ],
)  # fmt: skip
def test_no_trick_hides_where_a_link_leads(link):
    assert "leads to evil.example" in html.with_targets(html.sanitise(link, {"a"}))


@pytest.mark.parametrize(
    "source", ["<img src=x " * 8000, "<a " * 8000, "<div>" * 30_000, '<blockquote type="cite">' * 3000]
)
def test_html_that_is_made_to_take_long_is_read_within_the_limit(source):
    reader.read(f"From: a@b.example\nContent-Type: text/html\n\n{source}".encode())


def test_headers_that_are_made_to_take_long_are_read_within_the_limit():
    assert reader.read(b"From: a@b.example\nX-A: <" + b"\nx y" * 100_000 + b"\nSubject: z\n\nhi").subject == "z"


def test_a_text_that_is_made_to_take_long_is_read_within_the_limit():
    text = "hi\n" + "on 1 " * 6400 + ":"
    assert reader.read(f"From: a@b.example\n\n{text}".encode()).text == text


def test_answers_right_below_short_quoted_lines_are_kept():
    text = "Hi,\n\nOn 06.01.2025 10:00, Support wrote:\n> Which printer?\nThe HP one.\n> Since when?\nSince Monday."
    assert quotes.split_reply(text) == (text, "")


def test_a_form_that_looks_like_headers_is_no_quotation():
    text = "Please book:\n\nVon: Berlin\nNach: Hamburg\nDatum: 5.3.\nUhrzeit: 9"
    assert quotes.split_reply(text)[0] == text


def test_headers_in_a_language_that_nobody_taught_us_are_folded():
    text = "Köszönöm.\n\nFeladó: Kim <kim@shop.example>\nElküldve: hétfő\nCímzett: Support\nTárgy: Lámpa\n\nRégi."
    assert quotes.split_reply(text)[0] == "Köszönöm."


def test_a_read_receipt_is_automatic_and_list_mail_may_be_a_persons():
    receipt = read(
        'From: a@b.example\nSubject: Gelesen: Hilfe\nContent-Type: multipart/report; report-type=disposition-notification; boundary="b"\n\n--b\n\nRead.\n--b--'
    )
    assert receipt.auto_reply
    through_a_list = read("From: a@b.example\nList-Id: <support.example>\nPrecedence: list\n\nHelp.")
    assert (through_a_list.automatic, through_a_list.unanswerable) == (False, True)


def test_two_alarms_without_id_and_date_are_two():
    alarm = b"From: ups@dev.example\nSubject: Alarm\n\nBattery low"
    one, other = (source.content_hash(b"Received: by mx; Mon, 1 Dec 2025 1%d:00:00\n" % n + alarm) for n in (0, 1))
    assert one != other


def test_charsets_of_pages_and_of_windows():
    assert (
        read(
            b"From: a@b.example\nContent-Type: text/html\n\n<meta charset=koi8-r><p>"
            + "Привет".encode("koi8-r")
            + b"</p>"
        ).text
        == "Привет"
    )
    assert (
        read(b"From: a@b.example\nContent-Type: text/plain; charset=windows-1252\n\n" + "Größe".encode()).text
        == "Größe"
    )


def test_a_text_file_in_the_mail_stays_a_file():
    mail = read(
        'From: a@b.example\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n\nSee the log.\n--b\nContent-Type: text/plain; name="server.log"\nContent-Disposition: inline; filename="server.log"\n\nERROR\n--b--\n'
    )
    assert (mail.text, [file.name for file in mail.files]) == ("See the log.", ["server.log"])


def test_a_message_that_was_encoded_is_readable_as_a_file():
    inner = base64.b64encode(b"From: x@y.example\nSubject: inner\n\nHello").decode()
    mail = read(
        f'From: a@b.example\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n\nx\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{inner}\n--b--\n'
    )
    assert b"Subject: inner" in mail.files[0].content


def test_a_form_on_a_web_site_writes_for_whom_it_answers_to():
    assert read("From: noreply@site.example\nReply-To: Kim <kim@shop.example>\n\nHelp").sender == "kim@shop.example"
    assert read("From: kim@shop.example\nReply-To: other@shop.example\n\nHelp").sender == "kim@shop.example"
