"""Mutated messages: no exception leaves the parser, no message stays without a row and an outcome."""

import random
import time
from pathlib import Path

from bench import letters
from supportdesk import guide
from tickets.mail import incoming, parsing
from tickets.models import InboundEmail, Mailbox

SPLICES = (
    b"=?utf-8?Q?=FF?=", b"--", b"\n\n", b"Content-Type: multipart/mixed\n", b"\0", b"=?x?b?a", b"\r", b"<blockquote type=cite>", b"\xed\xa0\x80", b"charset=utf-7",
    b"charset=unicode_escape", b"charset*=utf-8''%ff", b"Content-Transfer-Encoding: uuencode\n", b"Content-Transfer-Encoding: base64\n", b"From: \n", b"Subject: [#1001]\n",
    b"Auto-Submitted: auto-replied\n", b"boundary=\"\"", b"message/rfc822", b"\xff\xfe", b"Message-ID: <\n\t>\n", b"Date: never\n", b"<img src=cid:x>", b"name*0*=a;name*1=b",
)  # fmt: skip


def mutate(dice: random.Random, raw: bytes, others: list[bytes]) -> bytes:
    """A message with some of its bytes changed, dropped, doubled, mixed with another's, or cut off."""
    found = bytearray(raw[:60_000])
    for _ in range(dice.randint(1, 12)):
        at, kind = dice.randrange(len(found) + 1), dice.random()
        if kind < 0.3 and found:
            found[at % len(found)] = dice.randrange(256)
        elif kind < 0.5:
            found[at:at] = dice.randbytes(dice.randint(1, 8))
        elif kind < 0.65:
            del found[at : at + dice.randint(1, 60)]
        elif kind < 0.8:
            other = dice.choice(others)
            start = dice.randrange(len(other))
            found[at:at] = other[start : start + 300]
        elif kind < 0.85:
            del found[at:]
        else:
            found[at:at] = dice.choice(SPLICES)
    return bytes(found)


def originals(dice: random.Random, samples: Path | None) -> list[bytes]:
    """What is mutated: one of each kind that the bench writes, and the files of a folder."""
    made = [kind(dice, 1).as_bytes() for kind in letters.KINDS]
    return made + ([path.read_bytes() for path in sorted(samples.rglob("*.eml"))] if samples else [])


def check(mail: parsing.Mail) -> None:
    """Raise where something was read that the database cannot hold."""
    texts = [
        mail.text,
        mail.subject,
        mail.fresh,
        mail.quoted,
        mail.html,
        mail.sender,
        mail.sender_name,
        mail.message_id,
        *mail.references,
        *mail.recipients,
    ]
    for text in [*texts, *(file.name for file in mail.files)]:
        text.encode()
        if "\0" in text:
            raise ValueError("NUL")


def run(*, cases: int, seed: int, samples: Path | None) -> list[str]:
    """So many through the parser, a twentieth of them through `store` and `apply` too; what went wrong."""
    guide.load()
    dice, problems, slowest = random.Random(seed), [], 0.0
    sources, box = originals(dice, samples), Mailbox.objects.get(name="support")
    begun, taken = time.monotonic(), 0
    for number in range(cases):
        raw = mutate(dice, dice.choice(sources), sources)
        started = time.perf_counter()
        try:
            check(parsing.parse(raw))
        except Exception as error:
            problems.append(f"case {number}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - started)
        if number % 20 == 0 and raw.strip():
            taken += 1
            try:
                inbound = incoming.store(raw, mailbox=box)
                incoming.apply(inbound.pk)
                if InboundEmail.objects.get(pk=inbound.pk).outcome == "":
                    problems.append(f"case {number}: no outcome")
            except Exception as error:
                problems.append(f"case {number}, applied: {type(error).__name__}: {error}")
    failed = InboundEmail.objects.filter(state="failed").count()
    print(
        f"{cases:,} cases in {time.monotonic() - begun:.0f} s, slowest {slowest * 1000:.0f} ms; {taken:,} applied, {failed} of them set aside"
    )
    return problems[:50]
