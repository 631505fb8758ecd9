"""Bytes of a mail to what a ticket needs. Pure; never raises on strange mail, only reads less of it."""

import contextlib
import email
import email.policy
import hashlib
import re
from dataclasses import dataclass, field
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses
from inspect import signature

from charset_normalizer import from_bytes
from inscriptis import get_text
from mailparser_reply import EmailReplyParser

from supportdesk.text import clean, one_line, sanitise

# Headers that change from hop to hop are not part of what makes two deliveries the same mail.
_IDENTITY = ("from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "content-type")
# Newer Pythons read addresses strictly, and then nothing of a sloppy header, unless told not to.
_LENIENT = {"strict": False} if "strict" in signature(getaddresses).parameters else {}
_ID = re.compile(r"<([^<>\s]+)>")
_QUOTE_LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pl", "sv", "da", "cs", "ja", "ko", "zh", "david"]
_DAEMONS = re.compile(r"^(mailer-daemon|postmaster|mail-daemon|double-bounce)@", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Mail:
    """What could be read of a message. Ids come without angle brackets, addresses in lower case."""

    sender: str
    sender_name: str
    subject: str
    text: str
    html: str = ""
    message_id: str = ""
    references: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    automatic: bool = False
    auto_reply: bool = False
    bounce_of: list[str] = field(default_factory=list)
    is_bounce: bool = False
    is_report: bool = False


def content_hash(raw: bytes) -> str:
    """SHA-256 of what makes a mail itself: its identifying headers and its body."""
    head, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    digest = hashlib.sha256()
    unfolded = re.sub(rb"\n[ \t]+", b" ", head)
    lines = [
        line for line in unfolded.split(b"\n") if line.partition(b":")[0].strip().lower().decode("latin-1") in _IDENTITY
    ]
    for line in sorted(lines):
        digest.update(line.strip() + b"\n")
    digest.update(b"\n" + body)
    return digest.hexdigest()


def parse(raw: bytes) -> Mail:
    """Read a message as far as it can be read."""
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    sender_name, sender = _sender(message)
    plain, html, files = _parts(message)
    text = plain if plain.strip() else _html_to_text(html)
    bounce = _is_bounce(message, sender)
    submitted = _header(message, "Auto-Submitted").lower().partition(";")[0].strip()
    precedence = _header(message, "Precedence").lower().strip()
    auto_reply = submitted == "auto-replied" or precedence == "auto_reply" or "X-Autoreply" in message
    return Mail(
        sender=sender,
        sender_name=sender_name,
        subject=one_line(_header(message, "Subject"), most=300),
        text=clean(text),
        html="" if plain.strip() or not html else sanitise(clean(html)),
        message_id=_first(_ids(message, "Message-ID")),
        references=_ids(message, "In-Reply-To") + _ids(message, "References")[::-1],
        recipients=_recipients(message),
        files=files,
        automatic=auto_reply or bounce or submitted not in {"", "no"} or precedence in {"bulk", "junk", "list"},
        auto_reply=auto_reply,
        is_bounce=bounce,
        is_report=_is_report(message),
        bounce_of=_bounced_ids(message) if bounce else [],
    )


def split_reply(text: str) -> tuple[str, str]:
    """What the person wrote, and the quotation below it: (reply, quoted)."""
    latest = EmailReplyParser(languages=_QUOTE_LANGUAGES).parse_reply(text=text).strip()
    if not latest or latest == text.strip():
        return text.strip(), ""
    start = text.find(latest)
    quoted = text[start + len(latest) :].strip() if start >= 0 else text.strip()
    return latest, quoted


def decode(raw: bytes, charset: str | None) -> str:
    """Bytes to text by the named charset, by UTF-8, by a guess; never an error."""
    for name in (charset, "utf-8"):
        if name:
            try:
                return raw.decode(name.strip("\"' "))
            except (LookupError, UnicodeDecodeError, ValueError):
                continue
    for name in (charset, "utf-8"):
        with contextlib.suppress(LookupError):
            text = raw.decode((name or "utf-8").strip("\"' "), "replace")
            # A few damaged bytes do not make it another charset.
            if text.count("\ufffd") <= max(1, len(text) // 20):
                return text
    guess = from_bytes(raw[:200_000]).best()
    return raw.decode(guess.encoding if guess else "latin-1", "replace")


def _header(message: Message, name: str) -> str:
    """A header decoded; encoded words with wrong charsets and raw 8-bit bytes are read as well as can be."""
    value = message.get(name)
    if value is None:
        return ""
    try:
        chunks = decode_header(value)
    except Exception:
        chunks = [(str(value), None)]
    text = ""
    for chunk, charset in chunks:
        if isinstance(chunk, bytes):
            text += decode(chunk, None if charset == "unknown-8bit" else charset)
        else:
            text += decode(chunk.encode("utf-8", "surrogateescape"), None)
    return clean(text).replace("\n", " ").strip()


def _sender(message: Message) -> tuple[str, str]:
    """(name, address) of From, else of Reply-To, Sender, Return-Path; a made-up address when none can be read."""
    for name in ("From", "Reply-To", "Sender", "Return-Path"):
        for shown, address in getaddresses(message.get_all(name, [])[:5], **_LENIENT):
            address = one_line(clean(address), most=254).lower()
            if re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", address):
                return one_line(_decoded(shown)), address
    return one_line(_header(message, "From")), "unknown@invalid"


def _decoded(text: str) -> str:
    holder = Message()
    holder["X"] = text.replace("\n", " ").replace("\r", " ")
    return _header(holder, "X")


def _recipients(message: Message) -> list[str]:
    names = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
    values = [str(value) for name in names for value in message.get_all(name, [])]
    return [address.lower() for _, address in getaddresses(values, **_LENIENT) if "@" in address]


def _ids(message: Message, name: str) -> list[str]:
    value = " ".join(str(text) for text in message.get_all(name, []))
    found = _ID.findall(value) or ([value.strip()] if "@" in value and " " not in value.strip() else [])
    return ["".join(clean(text.encode("utf-8", "replace").decode()).split())[:998] for text in found]


def _first(values: list[str]) -> str:
    return values[0] if values else ""


def _parts(message: Message) -> tuple[str, str, list[File]]:
    """(plain text, HTML, files) of all leaves; text parts that are files stay files."""
    plain: list[str] = []
    html: list[str] = []
    files: list[File] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        name = _filename(part)
        if part.get_content_maintype() == "message":
            files.append(File(name or "message.eml", "message/rfc822", _attached_message(part)))
            continue
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else str(part.get_payload()).encode("utf-8", "replace")
        is_file = part.get_content_disposition() == "attachment" or (
            bool(name) and kind not in {"text/plain", "text/html"}
        )
        if kind == "text/plain" and not is_file:
            plain.append(decode(content, part.get_content_charset()))
        elif kind == "text/html" and not is_file:
            html.append(decode(content, part.get_content_charset()))
        elif content or name:
            files.append(File(name or _default_name(kind), kind, content))
    return "\n\n".join(plain), "\n".join(html), files


def _leaves(message: Message) -> list[Message]:
    """The parts that hold content; what lies inside an attached message stays inside it."""
    found: list[Message] = []
    waiting = [message]
    while waiting and len(found) < 2000:
        part = waiting.pop(0)
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            waiting = [p for p in payload if isinstance(p, Message)] + waiting
        else:
            found.append(part)
    return found


def _attached_message(part: Message) -> bytes:
    payload = part.get_payload()
    inner = payload[0] if isinstance(payload, list) and payload else payload
    try:
        return inner.as_bytes() if isinstance(inner, Message) else str(inner).encode("utf-8", "surrogateescape")
    except (UnicodeError, LookupError, ValueError):
        return str(inner).encode("utf-8", "replace")


def _filename(part: Message) -> str:
    try:
        name = part.get_filename() or ""
    except (UnicodeError, LookupError, ValueError):
        name = ""
    return one_line(_decoded(name)) if name else ""


def _default_name(kind: str) -> str:
    return {"text/calendar": "invitation.ics", "text/html": "page.html"}.get(
        kind, f"attachment.{kind.rpartition('/')[2][:10]}"
    )


def _html_to_text(html: str) -> str:
    try:
        return get_text(html).strip() if html.strip() else ""
    except Exception:
        return re.sub(r"<[^>]+>", " ", html)


def _is_report(message: Message) -> bool:
    """A delivery status notification (RFC 3464)."""
    kind = str(message.get("Content-Type", "")).lower()
    return message.get_content_type() == "multipart/report" and "delivery-status" in kind


def _is_bounce(message: Message, sender: str) -> bool:
    """Perhaps a bounce: a report, or mail of a mail server. Whether it is one of ours is for the database to say."""
    if _is_report(message):
        return True
    return bool(_DAEMONS.match(sender)) or (
        str(message.get("Return-Path", "")).strip() == "<>" and "X-Failed-Recipients" in message
    )


def _bounced_ids(message: Message) -> list[str]:
    """Message-IDs of the mail that bounced, wherever the report carries it."""
    found: list[str] = []
    for part in message.walk():
        if part.get_content_type() in {
            "message/rfc822",
            "text/rfc822-headers",
            "text/plain",
            "message/delivery-status",
        }:
            text = (
                _attached_message(part)
                if part.get_content_maintype() == "message"
                else (part.get_payload(decode=True) or b"")
            )
            if isinstance(text, bytes):
                found += re.findall(
                    r"^message-id:\s*<([^<>\s]+)>", text.decode("latin-1"), re.IGNORECASE | re.MULTILINE
                )
    return found + _ids(message, "In-Reply-To") + _ids(message, "References")
