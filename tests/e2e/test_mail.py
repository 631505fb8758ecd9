"""Mail through the whole product: SMTP in, the ticket on the page, the answer out; and its pages in a browser."""

import smtplib
import time
from email.message import EmailMessage

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import faults_of

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def letter(number, **headers):
    message = EmailMessage()
    message["From"], message["To"] = "Sofia Marin <sofia@nova-beauty.example>", "tech@example.com"
    message["Subject"], message["Message-ID"] = (
        f"The total of the day is wrong {number}",
        f"<e2e-{number}@nova-beauty.example>",
    )
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("It shows 0.")
    return message


def send(desk, message):
    with smtplib.SMTP("127.0.0.1", desk.smtp_port) as client:
        assert client.sendmail("sofia@nova-beauty.example", ["tech@example.com"], message.as_bytes()) == {}


def number_of(desk, message, seconds=15):
    query = (
        "SELECT t.number FROM tickets_ticket t JOIN tickets_inboundemail i ON i.ticket_id = t.id WHERE i.rfc_id = %s"
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if rows := desk.sql(query, message["Message-ID"].strip("<>")):
            return rows[0][0]
        time.sleep(0.1)
    raise AssertionError("the mail did not become a ticket")


def test_a_mail_by_smtp_is_answered_and_comes_back(desk, sign_in):
    first = letter(1)
    send(desk, first)
    number = number_of(desk, first)
    page = sign_in("tier2")
    page.goto(f"/tickets/{number}/")
    page.get_by_label("Message", exact=True).fill("Which day?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Sent", exact=True)).to_be_visible()
    (reply_to,) = desk.sql(
        "SELECT reply_to FROM tickets_outboundemail o JOIN tickets_ticket t ON t.id = o.ticket_id WHERE t.number = %s",
        number,
    )[0]
    answer = letter(2)
    del answer["To"]
    answer["To"] = reply_to
    with smtplib.SMTP("127.0.0.1", desk.smtp_port) as client:
        client.sendmail("sofia@nova-beauty.example", [reply_to], answer.as_bytes())
    assert number_of(desk, answer) == number
    expect(page.get_by_text("It shows 0.")).to_have_count(2)


def test_the_pages_of_mail_are_accessible_in_every_look(desk, sign_in):
    spam = letter("spam", X_Spam_Flag="YES")
    send(desk, spam)
    number = number_of(desk, spam)
    page = sign_in("admin")
    for path in (
        f"/tickets/{number}/", "/tickets/?view=spam", "/settings/mail/2/", "/settings/mail/2/imap/",
        "/settings/mail/templates/resolved/", "/settings/mail/rules/new/",
    ):  # fmt: skip
        page.goto(path)
        assert faults_of(page) == [], path
