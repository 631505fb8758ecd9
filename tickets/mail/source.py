"""A raw message as bytes: made readable, its headers alone, and what tells it from another."""

import email.policy
import hashlib
import re
from email.errors import MissingHeaderBodySeparatorDefect
from email.message import Message
from email.parser import BytesFeedParser

# What relays write, change and repeat on the way is not part of what makes two deliveries the same mail.
_IDENTITY = ("from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references")


def content_hash(raw: bytes) -> str:
    """SHA-256 of what makes a mail itself: the headers that its sender wrote, and its body.

    Not of trace headers, nor of how lines are folded and ended: two mailboxes get two copies of one mail. A Message-ID
    that comes again with other content is another mail.
    """
    head, _, body = lines(raw).partition(b"\n\n")
    digest = hashlib.sha256()
    for line in _written(head):
        digest.update(line + b"\n")
    digest.update(b"\n" + body.rstrip(b"\n"))  # a mailbox adds and drops empty lines at the end
    return digest.hexdigest()


def have_same_headers(one: bytes, other: bytes) -> bool:
    """Whether two mails agree in the headers that their sender wrote, however their bodies were encoded on the way."""
    return _written(head_of(one)) == _written(head_of(other))


def _written(head: bytes) -> list[bytes]:
    """The headers that make a mail itself, a line each."""
    unfolded = re.sub(rb"\n[ \t]+", b" ", head)
    named = [(line.partition(b":")[0].strip().lower().decode("latin-1"), line) for line in unfolded.split(b"\n")]
    kept = [line for name, line in named if name in _IDENTITY]
    if not {"message-id", "date"} & {
        name for name, _ in named
    }:  # then only its way tells it from another of the same words
        kept += [line for name, line in named if name == "received"][:1]
    return sorted(b" ".join(line.split()) for line in kept)


def lines(raw: bytes) -> bytes:
    """The message with \\n at the end of lines, whatever system it went through."""
    raw = raw.replace(b"\r\n", b"\n") if b"\r\n" in raw else raw
    return raw.replace(b"\r", b"\n") if b"\n" not in raw else raw


_NO_HEADER = re.compile(rb"^(?![!-9;-~]+[ \t]*:|[ \t]|\r?$)", re.MULTILINE)
_HEADER = re.compile(
    rb"^(?:Return-Path|Received|Delivered-To|From|To|Cc|Reply-To|Sender|Subject|Date|Message-ID|In-Reply-To|References|MIME-Version|Content-[\w-]+|X-[\w-]+):",
    re.IGNORECASE,
)


_OF_PEOPLE = re.compile(rb"(?:From|To|Cc|Bcc|Sender|Reply-To):", re.IGNORECASE)


def readable(raw: bytes) -> bytes:
    """Without what stands before the headers: byte order marks, empty lines, the line of a mailbox file."""
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raw = raw.decode("utf-16", "replace").encode("utf-8", "replace")
    if b"\n" not in raw[:20_000] or raw[:1] in b"\xef\r\n \t":
        raw = lines(raw.removeprefix(b"\xef\xbb\xbf")).lstrip(b"\r\n \t")
    raw = raw.partition(b"\n")[2] if re.match(rb">?From \S+.*\d\d:\d\d", raw[:200]) else raw
    return _with_headers_whole(raw)


def _with_headers_whole(raw: bytes) -> bytes:
    """The message with what stands between its headers and is none hung on the one above: there they would end."""
    ends = re.search(rb"\n\r?\n", raw[:500_000])
    head = raw[: ends.start() + 1] if ends else b""
    if not _NO_HEADER.search(head):
        return raw
    rows = head.splitlines(keepends=True)
    last = max((number for number, row in enumerate(rows) if _HEADER.match(row)), default=0)  # below it the text begins
    kept: list[bytes] = []
    open_brackets, of_people = 0, False  # in the header that these rows belong to
    for row in rows[:last]:
        is_stray = bool(_NO_HEADER.match(row))
        if not is_stray and row[:1] not in b" \t":
            open_brackets, of_people = 0, bool(_OF_PEOPLE.match(row))
        # To addresses words would only add what they are not, unless one is cut in two.
        if not is_stray:
            kept.append(row)
        elif kept and not (of_people and open_brackets <= 0):
            kept.append(b" " + row)
        open_brackets += row.count(b"<") - row.count(b">")
    return b"".join(kept + rows[last:]) + raw[len(head) :]


def with_headers_whole(part: Message) -> Message:
    """A part whose headers broke off, read again with all of them."""
    payload = part._payload  # type: ignore[attr-defined]
    if not isinstance(payload, str) or not any(
        isinstance(one, MissingHeaderBodySeparatorDefect) for one in part.defects
    ):
        return part
    head = "".join(f"{name}: {value}\n" for name, value in part.raw_items())
    return tree(_with_headers_whole((head + payload).encode("utf-8", "surrogateescape")))


def tree(raw: bytes) -> Message:
    """The message with its parts. Fed in pieces: at once it takes eight times its size."""
    parser = BytesFeedParser(policy=email.policy.compat32)
    for at in range(0, len(raw), 1 << 16):
        parser.feed(raw[at : at + (1 << 16)])
    return parser.close()


def head_of(raw: bytes) -> bytes:
    """The headers and no text: a mail that is read at once."""
    return lines(readable(raw[:500_000])).partition(b"\n\n")[0] + b"\n\n"


def headers_of(raw: bytes) -> Message:
    """The headers alone: quick, whatever lies below."""
    return tree(head_of(raw))
