"""What a person wrote and what they quote, as many programs and languages mark it off, and what only looks like it."""

import pytest

from tests.tickets.mail.test_parsing import read
from tickets.mail import html, quotes


@pytest.mark.parametrize(
    "attribution",
    [
        "On Mon, 3 Jun 2024 at 10:00, Support <support@desk.example> wrote:",
        "Am 3. Juni 2024 um 10:00 schrieb Support\n<support@desk.example>:",
    ],
)
def test_what_stands_right_above_an_attribution_is_the_persons(attribution):
    mine = "Hello,\nthe number is 17.\nThanks"
    assert quotes.split_reply(f"{mine}\n{attribution}\n> Please send it.") == (
        mine,
        f"{attribution}\n> Please send it.",
    )


def test_who_tells_what_somebody_wrote_quotes_nothing():
    text = "Hello,\nI wrote to info@shop.example on 3 May\nand your colleague wrote:\nplease wait 3 days.\n\nI waited."
    assert quotes.split_reply(text) == (text, "")


@pytest.mark.parametrize(
    "above",
    [
        "---------- Forwarded message ---------", "Begin forwarded message:\n", "-------- Weitergeleitete Nachricht --------",
        "----- Original Nachricht ----", "Gesendet: Montag, 1. Januar 2024 um 10:00 Uhr", "-------- Message original --------",
    ],
)  # fmt: skip
def test_a_forward_without_a_word_of_ones_own_is_shown(above):
    text = f"{above}\nVon: Bob <bob@shop.example>\nAn: a@b.example\nBetreff: Lampe\n\nSie brennt nicht."
    assert quotes.split_reply(text) == (text, "")
    assert quotes.forwarded("W.: Lampe", text).sender == "bob@shop.example"


@pytest.mark.parametrize("line", ["", "-------- Originalnachricht --------\n"])
def test_headers_that_begin_with_what_it_is_about(line):
    text = f"Please look.\n\n{line}Objet: Lampe\nDate: 2027-01-04 11:27\nDe: Un <un@shop.example>\nÀ: a@b.example\n\nBonjour"
    assert quotes.split_reply(text)[0] == "Please look."
    assert quotes.forwarded("Fwd: Lampe", text).sender == "un@shop.example"
    assert quotes.forwarded("Fwd: Lampe", text).said_above == "Please look."


def test_a_ruler_alone_is_not_folded():
    text = "Take part:\n\n==========\nhttps://x.example\n=========="
    assert quotes.split_reply(text) == (text, "")


OWN_TABLE = '<p>These fail:</p><table><tr><td style="border:solid #E1E1E1 1.0pt">17</td><td>failed</td></tr></table><div style="border-top:solid #E1E1E1 1pt">And these</div>'


def test_a_table_and_a_line_of_ones_own_are_no_quotation():
    assert html.split_quotation(OWN_TABLE)[1] == ""


@pytest.mark.parametrize(
    "below",
    [
        '<div style="border:none;border-top:solid #E1E1E1 1.0pt"><p><b>From:</b> Desk</p></div><p>Old</p>',
        '<div name="quote"><b>Gesendet:</b> heute<br>Old</div>', '<div name="messageReplySection">Old</div>', '<div class="domino-section">Old</div>',
        '<div class="gmail_signature">Kim, Shop</div>',
    ],
)  # fmt: skip
def test_marks_of_more_programs(below):
    above, quoted = html.split_quotation(f"<div>Yes.</div>{below}")
    assert html.to_text(above) == "Yes."
    assert html.to_text(quoted)


def test_a_quotation_known_by_its_words_is_cut_from_the_page_too():
    page = "<p>Ja, <b>bitte</b>.</p><p>-----Ursprüngliche Nachricht-----<br>Von: Desk<br>Gesendet: heute<br>Betreff: Lampe</p><p>Old</p>"
    mail = read(f"From: a@b.example\nSubject: AW: Lampe\nContent-Type: text/html; charset=utf-8\n\n{page}".encode())
    assert mail.fresh == "Ja, bitte."
    assert "Old" in mail.quoted
    assert "Old" not in mail.fresh_html
    assert "<b>bitte</b>" in mail.fresh_html


def test_what_cannot_be_cut_from_the_page_is_shown_once():
    page = "<pre>Yes.\n\nOn Mon, 3 Jun 2024 at 10:00, Desk &lt;desk@b.example&gt; wrote:\n&gt; Old</pre>"
    mail = read(f"From: a@b.example\nSubject: Re: x\nContent-Type: text/html\n\n{page}")
    assert ("Old" in mail.fresh_html) != ("Old" in mail.quoted)


def test_a_mail_that_is_a_picture_elsewhere_says_so():
    mail = read(
        'From: a@b.example\nContent-Type: text/html\n\n<a href="https://x.example/"><img src="https://x.example/a.png" alt="Your bill"></a>'
    )
    assert mail.text == "[remote picture: Your bill]"
    assert "https://x.example/" in mail.html


def test_html_that_is_longer_than_anybody_reads_says_where_the_rest_is():
    page = "<p>Order</p>" * (html.MOST_HTML // 12 + 1)
    assert read(f"From: a@b.example\nContent-Type: text/html\n\n{page}").text.endswith("in its raw message.]")


@pytest.mark.parametrize(
    "text",
    [
        "Here is it:\n\nE-mail: kim@shop.example\nCustomer: 12345\nPhone: 555 1234\nOrder: 9876\n\nIt is dark. Please help.",
        "Meine Buchung:\n\nDatum: 3.5.2026\nVon: Berlin\nAn: Hamburg\nBetreff: Fahrt 12\n\nDanke",
        "From the form:\n\nFrom: Kim <kim@shop.example>\nPhone: 555\nSubject: Lamp\nMessage: It is dark. Please send one by Friday.",
        "Hello,\n\n> Could you please send us the invoice and the serial number?\nSee the file.",
        "Hi,\n\n> Which model is it, and since when does it not switch on any more at\n> all?\nThe X200.\n> Is it new?\nYes.",
        "Hi,\n\n> Which model is it?\n_____________\nIt is the X200, bought last year.",
        "The parcel is on its way.\nSent via DHL yesterday",
        "Sie kommt bald.\nGesendet von Hamburg am Montag",
        "I read everywhere how to\nget Outlook for Android to show my mails",
        "Two wishes:\n—\nA new invoice, please.",
        "Please sign here:\n__\nKim has signed. What next?",
        "Here:\n\n-- antwoord op vraag 1: ja, graag\nGroet",
        "It\n\n** original message was lost, so I write again **\n\nand again",
        "The program shows this:\n> error 5",
        "Our mail comes back with this:\nOn 3 May 2026 at 10:00, Kim <kim@shop.example> wrote:\nWhat is wrong?",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_quotation_is_the_persons_own(text):
    assert quotes.split_reply(text) == (text, "")


@pytest.mark.parametrize(
    "below",
    [
        "Gesendet von Outlook für Android<https://aka.ms/AAb9ysg>", "Verstuurd vanaf mijn iPhone", "Envoyé à partir de mon Galaxy", "Obter o Outlook para Android",
        "Lähetetty iPhonesta", "Отправлено с iPhone", "Trimis de pe iPhone-ul meu", "iPhone'umdan gönderildi", "发自我的iPhone", "(sent from a phone)",
        "Sent from my cell, please excuse any typos.", "Sent from my Wiko RIDGE FAB 4G", "Sent from TypeApp<http://x.example>",
    ],
)  # fmt: skip
def test_what_a_telephone_writes_below_is_folded(below):
    assert quotes.split_reply(f"It works, thank you.\n\n{below}") == ("It works, thank you.", below)


@pytest.mark.parametrize(
    "attribution",
    [
        '30.09.2017, 18.30, "Kim" <kim@shop.example>:', "2017-11-24 16:32 GMT+01:00 Kim <kim@shop.example>:", "ср, 30 апр. 2025 г. в 15:19, Kim <kim@shop.example>:",
        '11:00 AM, November 17, 2021, "Kim" <kim@shop.example>:', "Op 17 feb. 2023 om 11:09 heeft Kim <kim@shop.example> het volgende geschreven:",
        "Wiadomość napisana przez Kim <kim@shop.example> w dniu 17.01.2023, o godz. 11:09:", "út 3. 5. 2022 v 10:11 odesílatel Kim <kim@shop.example> napsal:",
        "No dia 04/12/2024, às 00:19, kim@shop.example escreveu:", "---- On Wed, 24 Feb 2021 14:02:50 +0530 kim@shop.example wrote ----",
        "Στις Τρί 3 Μαΐ 2022 στις 10:11 ο χρήστης Kim <kim@shop.example> έγραψε:", "2022. máj. 3., 10:11, Kim <kim@shop.example> ezt írta (időpont: 2022. máj. 3., K, 10:11):",
    ],
)  # fmt: skip
def test_attributions_in_any_language_begin_a_quotation(attribution):
    assert quotes.split_reply(f"Thanks, it works.\n\n{attribution}\n\nDoes it work now?")[0] == "Thanks, it works."


@pytest.mark.parametrize(
    "announced",
    [
        "-------- Oprindelig besked --------",
        "-------- Origineel bericht --------",
        "----- Alkuperäinen viesti -----",
        "-------- Mesaj original --------",
        "Début du message réexpédié :",
    ],
)
def test_what_announces_headers_is_folded_with_them(announced):
    text = f"Please look.\n\n{announced}\nFrom: Kim <kim@shop.example>\nTo: a@b.example\nSubject: Lamp\n\nIt is dark."
    assert quotes.split_reply(text)[0] == "Please look."


def test_a_samsung_writes_its_headers_behind_the_separator():
    text = 'Danke.\n\n-------- Ursprüngliche Nachricht --------Von: "Kim" Datum: 07.08.24 18:46 (GMT+01:00) An: Betreff: Lampe und noch viel mehr Text\nAlt'
    assert quotes.split_reply(text)[0] == "Danke."


@pytest.mark.parametrize(
    "text",
    [
        "See below.\n\n> Begin forwarded message:\n>\n> From: Kim <kim@shop.example>\n> Subject: Lamp\n>\n> It is dark.",
        "See below.\n\n-----Original Message-----\nFrom: Human Resources\n<kim@shop.example>\nSubject: Lamp\n\nIt is dark.",
        "See below.\n\n---------- Doorgestuurd bericht ----------\nVan: Kim <kim@shop.example>\nOnderwerp: Lamp\n\nIt is dark.",
    ],
)
def test_forwards_as_more_programs_write_them(text):
    found = quotes.forwarded("Fwd: Lamp", text)
    assert (found.sender, found.said_above) == ("kim@shop.example", "See below.")


def test_a_mail_with_a_picture_folds_what_it_quotes_once():
    page = '<div>See <img src="cid:a@x"></div><div class="gmail_quote">On Mon, 3 Jun 2024 at 10:00, Desk wrote:<blockquote>Old</blockquote></div>'
    mail = read(
        "From: a@b.example\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: multipart/alternative; boundary=b\n\n"
        "--b\nContent-Type: text/plain\n\nSee\n\nOn Mon, 3 Jun 2024 at 10:00, Desk <desk@b.example> wrote:\n> Old\n"
        f"--b\nContent-Type: text/html\n\n{page}\n--b--\n--r\nContent-Type: image/png\nContent-ID: <a@x>\n\nx\n--r--"
    )
    assert mail.fresh == "See"
    assert "Old" in mail.quoted
    assert "Old" not in mail.fresh_html


def test_a_page_is_not_cut_where_the_same_words_stand_further_up():
    page = "<p>Kim Lee</p><p>is my name, and my lamp is dark.</p><p>-- </p><p>Kim Lee</p>"
    mail = read(f"From: a@b.example\nSubject: Re: x\nContent-Type: text/html\n\n{page}")
    assert "my lamp is dark" in mail.fresh_html
    assert "my lamp is dark" in mail.fresh
