"""Messages of every kind, for measuring and for tests: plain, HTML, with files, in many charsets, replies, lists, reports."""

import random
from collections.abc import Callable
from email.message import EmailMessage

WORDS = [
    "order",
    "refund",
    "parcel",
    "driver",
    "label",
    "total",
    "invoice",
    "courier",
    "address",
    "status",
    "payment",
    "dashboard",
    "export",
    "filter",
    "login",
]


def words(dice: random.Random, count: int) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(count))


def _head(dice: random.Random, number: int) -> EmailMessage:
    message = EmailMessage()
    who = dice.randrange(200)
    message["From"] = f"Person {who} <person{who}@shop{who % 20}.example>"
    message["To"] = "support@example.com"
    message["Subject"] = f"{words(dice, 4)} {number}"
    message["Message-ID"] = f"<m{number}.{dice.randrange(10**9)}@shop.example>"
    message["Date"] = "Wed, 25 Nov 2026 10:00:00 +0000"
    return message


def plain(dice: random.Random, number: int) -> EmailMessage:
    message = _head(dice, number)
    message.set_content(f"message {number}\n\n{words(dice, 80)}\n\n-- \nPerson\n")
    return message


def page(dice: random.Random, number: int) -> EmailMessage:
    message = _head(dice, number)
    body = "".join(f"<p>{words(dice, 12)} <a href='https://shop.example/{n}'>here</a></p>" for n in range(8))
    message.set_content(f"<html><body><p>message {number}</p>{body}</body></html>", subtype="html")
    return message


def both(dice: random.Random, number: int) -> EmailMessage:
    message = plain(dice, number)
    message.add_alternative(f"<p>message {number}</p><p>{words(dice, 60)}</p>", subtype="html")
    return message


def files(dice: random.Random, number: int) -> EmailMessage:
    message = plain(dice, number)
    for name in ("photo.jpg", "Übersicht.pdf"):
        message.add_attachment(dice.randbytes(20_000), maintype="application", subtype="octet-stream", filename=name)
    return message


def foreign(dice: random.Random, number: int) -> EmailMessage:
    message = _head(dice, number)
    del message["Subject"]
    message["Subject"] = f"Größe und Übergabe {number}"
    message.set_content(f"message {number}\n\nGrüße, наложенный платёж, 代金引換", charset="utf-8")
    return message


def newsletter(dice: random.Random, number: int) -> EmailMessage:
    message = page(dice, number)
    message["List-Id"] = "<news.shop.example>"
    return message


KINDS: tuple[Callable[[random.Random, int], EmailMessage], ...] = (plain, plain, page, both, files, foreign, newsletter)


def mixed(dice: random.Random, number: int) -> EmailMessage:
    """One message; its text says `message <number>`."""
    return dice.choice(KINDS)(dice, number)


def reply_to(dice: random.Random, number: int, parent: EmailMessage) -> EmailMessage:
    """An answer of the same person to their own earlier message, with its quotation."""
    message = _head(dice, number)
    for name in ("From", "Subject"):
        del message[name]
    message["From"], message["Subject"] = parent["From"], f"Re: {parent['Subject']}"
    message["In-Reply-To"] = message["References"] = parent["Message-ID"]
    message.set_content(
        f"message {number}\n\n{words(dice, 30)}\n\nOn Wed, 25 Nov 2026, Support <support@example.com> wrote:\n> {words(dice, 12)}\n> {words(dice, 12)}\n"
    )
    return message
