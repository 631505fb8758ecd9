"""Headers of mail, as people and programs write them: encoded, broken, repeated, missing."""

import base64
import binascii
import quopri
import re
from email.message import Message
from email.utils import getaddresses
from inspect import signature

from supportdesk.text import clean, one_line
from tickets.mail.charsets import decode

MOST_ADDRESSES = 500
MOST_IDS = 200
# Newer Pythons read addresses strictly, and then nothing of a sloppy header, unless told not to.
_LENIENT = {"strict": False} if "strict" in signature(getaddresses).parameters else {}
_ID = re.compile(r"<([^<>\s]{1,998})>")
# RFC 2047, and what is written instead of it: with spaces inside, without spaces between.
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_ADDRESS = re.compile(r"[^@\s<>\"(),;:]{1,64}@[^@\s<>\"(),;:]{1,253}")


def value(message: Message, name: str) -> str:
    """A header as text on one line, encoded words decoded; empty when there is none. The first one counts."""
    return words(next(iter(values(message, name, most=1)), ""))


def values(message: Message, name: str, *, most: int = 50) -> list[str]:
    """All headers of that name as they stand, not decoded."""
    # As they came, not as the library shows them: it hides bytes beyond ASCII behind marks.
    found = (readable(raw) for one, raw in message.raw_items() if one.lower() == name.lower())
    return [text for text, _ in zip(found, range(most), strict=False)]


def readable(raw: object) -> str:
    """A header's own characters; bytes beyond ASCII, which ought not to be there, by a guess."""
    text = str(raw)
    if any("\udc80" <= c <= "\udcff" for c in text):
        return decode(text.encode("utf-8", "surrogateescape"), None)
    return text


def words(text: str) -> str:
    """Decode the encoded words in a text (RFC 2047), leniently: adjacent pieces of one character are joined first."""
    for _ in range(3):  # some programs encode what was encoded already
        decoded = _decode_once(text)
        if decoded == text or "=?" not in decoded:
            return one_line(clean(decoded), most=2000)
        text = decoded
    return one_line(clean(text), most=2000)


def _decode_once(text: str) -> str:
    out: list[str] = []
    pending: tuple[str, bytes] | None = None  # charset and bytes of words that follow each other
    at = 0
    for found in _WORD.finditer(text):
        between = text[at : found.start()]
        charset, content = found[1].lower().partition("*")[0], _content(found[2], found[3])
        if pending is not None and not between.strip():
            if pending[0] == charset:
                pending = (charset, pending[1] + content)
            else:
                out.append(decode(pending[1], pending[0]))
                pending = (charset, content)
        else:
            if pending is not None:
                out.append(decode(pending[1], pending[0]))
            out.append(between)
            pending = (charset, content)
        at = found.end()
    if pending is not None:
        out.append(decode(pending[1], pending[0]))
    return "".join(out) + text[at:]


def _content(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if encoding in "bB":
        stripped = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
        try:
            return base64.b64decode(stripped + b"=" * (-len(stripped) % 4))
        except binascii.Error:
            return base64.b64decode(stripped[: len(stripped) // 4 * 4])
    return quopri.decodestring(raw.replace(b"_", b"=20"))


def addresses(message: Message, *names: str) -> list[tuple[str, str]]:
    """(name, address in lower case) of everybody in these headers; comments, groups and quotes as RFC 5322 has them."""
    found: list[tuple[str, str]] = []
    for name in names:
        for text in values(message, name):
            try:
                pairs = getaddresses([re.sub(r"[\r\n]+", " ", text)[:100_000]], **_LENIENT)
            except Exception:  # the standard library breaks on some; what looks like an address is one
                pairs = [("", address) for address in _ADDRESS.findall(text)]
            for shown, address in pairs:
                address = words(address).strip(" <>\"'").lower()
                if not _ADDRESS.fullmatch(address) or len(address) > 254:
                    inside = _ADDRESS.search(words(f"{shown} {address}").lower())
                    if inside is None:
                        continue
                    address = inside[0]
                if _is_storable(address):
                    found.append((person(shown), address))
            if len(found) > MOST_ADDRESSES:
                return found[:MOST_ADDRESSES]
    return found


def _is_storable(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    return bool(local) and len(domain) <= 253 and not domain.startswith(".") and ".." not in domain


def person(name: str) -> str:
    """A display name without quotes around it."""
    return one_line(words(name).strip().strip("\"'").strip(), most=200)


def ids(message: Message, name: str) -> list[str]:
    """Message-IDs without angle brackets, in their order; also one that somebody wrote without brackets."""
    text = " ".join(values(message, name))
    found = _ID.findall(text) or ([text.strip()] if "@" in text and " " not in text.strip() else [])
    cleaned = ["".join(clean(one.encode("utf-8", "replace").decode()).split())[:998] for one in found[:MOST_IDS]]
    return [one for one in cleaned if one]


def inner(part: Message) -> list[Message]:
    """The parts right below a part; none where it holds content itself."""
    payload = part.get_payload() if part.is_multipart() else None
    return [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []


def content(part: Message) -> bytes:
    """The bytes of a part that holds content, decoded as far as its encoding holds."""
    try:
        found = part.get_payload(decode=True)
    except Exception:  # an encoding that the standard library does not survive: its words as they stand
        raw = Message()
        raw.set_payload(part._payload)  # type: ignore[attr-defined]
        found = raw.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def param(part: Message, name: str) -> str:
    """A parameter of Content-Type; empty where there is none, or none that can be read."""
    try:
        found = part.get_param(name, "")
        return "".join(str(piece or "") for piece in found[2:]) if isinstance(found, tuple) else str(found or "")
    except Exception:
        return ""
