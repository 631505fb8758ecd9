"""Headers of mail, as people and programs write them: encoded, broken, repeated, missing."""

import base64
import binascii
import quopri
import re
from collections.abc import Iterator
from email.message import Message
from email.utils import getaddresses
from inspect import signature

from supportdesk.text import clean, one_line
from tickets.mail import uuencode
from tickets.mail.charsets import decode

MOST_ADDRESSES = 500
MOST_TEXT = 100_000  # characters of such lists in one question
MOST_OF_ONE = 2000  # characters of one in a list of addresses; what is longer hides something, and its end counts
MOST_IDS = 200
# Newer Pythons read addresses strictly, and then nothing of a sloppy header, unless told not to.
_LENIENT = {"strict": False} if "strict" in signature(getaddresses).parameters else {}
_ID = re.compile(r"<([^<>\s]{1,998})>")
# RFC 2047, and what is written instead of it: with spaces inside, without spaces between.
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(r"[^@\s<>\"(),;:]{1,64}@[^@\s<>\"(),;:]{1,253}")


def value(message: Message, name: str) -> str:
    """A header as text on one line, encoded words decoded; empty when there is none. The first one counts."""
    return words(next(iter(values(message, name, most=1)), ""))


def values(message: Message, name: str, *, most: int = 50) -> list[str]:
    """All headers of that name as they stand, not decoded."""
    # As they came, not as the library shows them: it hides bytes beyond ASCII behind marks.
    raws = (raw for one, raw in message.raw_items() if one.lower() == name.lower())
    return [readable(raw, message) for raw, _ in zip(raws, range(most), strict=False)]


def readable(raw: object, message: Message | None = None) -> str:
    """A header's own characters; bytes beyond ASCII, which ought not to be there, as UTF-8 or as the text of the mail is."""
    text = str(raw)
    if "\x1b$" in text and text.isascii():  # Japanese of seven bits
        return decode(text.encode(), None)
    if not any("\udc80" <= c <= "\udcff" for c in text):
        return text
    found = text.encode("utf-8", "surrogateescape")
    try:
        return found.decode()
    except UnicodeError:
        return decode(found, _charset(message) if message is not None else None)


def _charset(message: Message) -> str | None:
    """The charset of the first text in a message."""
    waiting = [message]
    for _ in range(20):
        if not waiting:
            break
        part = waiting.pop(0)
        if named := param(part, "charset"):
            return named
        waiting = inner(part) + waiting
    return None


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
    """(name, address in lower case) of everybody in these headers; comments, groups and quotes as RFC 5322 has them.

    What stands in angle brackets is the address, whatever address the name before it pretends to be.
    """
    found: list[tuple[str, str]] = []
    room = MOST_TEXT
    for name in names:
        for text in values(message, name):
            text, room = text[:room], max(0, room - len(text))
            for piece in _pieces(clean(re.sub(r"[\r\n]+", " ", text))):
                found += [
                    (shown, address) for shown, address in _of_piece(piece[-MOST_OF_ONE:]) if _is_storable(address)
                ]
                if len(found) >= MOST_ADDRESSES:
                    return found
    return found


# What is one thing in a list of addresses: a quoted name, a comment, an encoded word, an address in brackets, a separator.
# A name that never ends is none, and is not looked for to the end of the header from each of its quotes.
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.){0,200}"|\((?:[^()\\]|\\.|\((?:[^()\\]|\\.){0,200}\)){0,200}\)|=\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=|<[^<>]*>|[,;]|[^"(=<,;]+|.',
    re.DOTALL,
)
_NOT_LOCAL = re.compile(r"[@\s<>\"(),;:]")
_BRACKETS = re.compile(r"<([^<>]*)>")


def _pieces(text: str) -> Iterator[str]:
    """A list of addresses, apart."""
    piece: list[str] = []
    for found in _TOKEN.finditer(text):
        if found[0] in {",", ";"}:
            yield "".join(piece)
            piece = []
        else:
            piece.append(found[0])
    yield "".join(piece)


def _of_piece(piece: str) -> list[tuple[str, str]]:
    """The name and address of one of a list; several only where somebody wrote several in brackets."""
    inside = [
        _address_in(one.rpartition(":")[2] if "=?" not in one else one) for one in _BRACKETS.findall(_unquoted(piece))
    ]
    if bracketed := [one for one in inside if one]:
        name = piece[: piece.rindex("<") if len(bracketed) == 1 else piece.index("<")]
        group, colon, member = name.partition(":")  # the first of a group stands behind its name
        name = member if colon and not {'"', "?"} & set(group) else name
        named = person(_uncommented(name).strip(" <>"))
        return [(named if number == 0 else "", address) for number, address in enumerate(bracketed)]
    if "=?" in piece and "@" not in _WORD.sub("", piece) and "@" in (decoded := words(piece)) and "=?" not in decoded:
        return _of_piece(decoded)  # encoded as a whole
    bare = re.sub(r"\([^()]*\)", " ", _unquoted(piece).rpartition(":")[2]).split()
    alone = [one.lower().rstrip(".") for one in bare if _ADDRESS.fullmatch(one.rstrip(".")) and len(one) <= 254]
    if (
        len(bare) > 1 and alone
    ):  # words beside it, or several with nothing between: to the standard library it is all one
        before = " ".join(bare[: bare.index(next(one for one in bare if "@" in one))])
        return [(person(words(before)) if number == 0 else "", one) for number, one in enumerate(alone)]
    try:
        pairs = getaddresses([piece], **_LENIENT)
    except Exception:  # the standard library breaks on some; what looks like an address is one
        pairs = [("", address) for address in _ADDRESS.findall(piece)]
    found = []
    for shown, address in pairs:
        address = address.strip(" <>\"'")
        if "=?" in address or not _ADDRESS.fullmatch(address) or len(address) > 254:
            address = _address_in(address) or _address_in(f"{shown} {address}")
        if address:
            found.append((person(shown), address.lower().rstrip(".")))
    return found


def _address_in(text: str) -> str:
    """The first address in a text, in lower case; empty where there is none.

    Encoded words have no place in one (RFC 2047, 5). Whatever they say before the `@`, its domain is what stands behind.
    """
    local, at, domain = text.rpartition("@")
    if "=?" in local and at and "@" in _WORD.sub("", text):
        text = f"{re.sub(_NOT_LOCAL, '', words(local))}@{domain}"
    found = _ADDRESS.search(words(text).lower())
    return found[0].rstrip(".") if found else ""


def _unquoted(text: str) -> str:
    """Without quoted names and comments, in which brackets and colons mean nothing."""
    return re.sub(r'"(?:[^"\\]|\\.)*"|\([^()]*\)', "", text)


def _uncommented(name: str) -> str:
    """A name without backslashes; a comment is the name where there is no other (RFC 5322, 4.4)."""
    bare = re.sub(r"\((?:[^()\\]|\\.)*\)", "", name).strip()
    return re.sub(r"\\(.)", r"\1", bare or name.strip(" ()"))


def _is_storable(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    return bool(local) and len(domain) <= 253 and not domain.startswith(".") and ".." not in domain


def person(name: str) -> str:
    """A display name without quotes around it."""
    shown = _DIRECTIONS.sub("", words(name)).strip().strip('"').strip()
    while len(shown) > 1 and shown[0] == shown[-1] == "'":
        shown = shown[1:-1].strip()
    return one_line(shown, most=200)


def file_name(name: str) -> str:
    """The name of a file on one line; what turns the direction of reading around, to hide what it is, is left out."""
    return one_line(_DIRECTIONS.sub("", words(name)), most=400)


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
    payload, how = part._payload, encoding(part)  # type: ignore[attr-defined]
    if isinstance(payload, str) and how:
        if how == "base64":
            return _unbase64(payload)
        letters = payload.encode("utf-8", "surrogateescape")
        return quopri.decodestring(letters) if how == "quoted-printable" else uuencode.decode(letters) or letters
    try:
        found = part.get_payload(decode=True)
    except MemoryError:
        raise
    except Exception:  # an encoding that the standard library does not survive: its words as they stand
        raw = Message()
        raw.set_payload(part._payload)  # type: ignore[attr-defined]
        found = raw.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


# How programs write it; letters and digits alone are compared.
_ENCODINGS = {
    "base64": "base64",
    "quotedprintable": "quoted-printable",
    "xuuencode": "uuencode",
    "uuencode": "uuencode",
    "xuue": "uuencode",
    "uue": "uuencode",
}


def encoding(part: Message) -> str:
    """How a part is encoded: `base64`, `quoted-printable`, `uuencode`; empty where it is as it stands."""
    written = (
        re.sub(r"\(.*|[^a-z0-9(]", "", text.lower()) for text in values(part, "Content-Transfer-Encoding", most=5)
    )
    return next((_ENCODINGS[one] for one in written if one in _ENCODINGS), "")


def kind(part: Message) -> str:
    """The content type of a part, as far as it can be told from what a program made of it."""
    text = value(part, "Content-Type").lower()
    if written := _KIND.match(text):
        return written[1]
    if "html" in text:
        return "text/html"
    is_text = not text.strip() or text.split(";")[0].strip() in {"text", "plain"}
    return part.get_content_type() if is_text else "application/octet-stream"


_KIND = re.compile(r"[\s:\"'<]*([\w.+-]+/[\w.+-]+)")
_PIECE = 1 << 20
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")


def _unbase64(text: str) -> bytes:
    """Base64 decoded as far as it goes, in pieces: it may be cut anywhere, or be several that were padded each."""
    found, rest = bytearray(), b""
    for at in range(0, len(text), _PIECE):
        rest += _NOT_BASE64.sub(b"", text[at : at + _PIECE].encode("ascii", "ignore"))
        *ended, rest = re.split(rb"=+", rest)
        for one in ended:
            found += _of_base64(one)
        whole = len(rest) // 4 * 4
        found += binascii.a2b_base64(rest[:whole])
        rest = rest[whole:]
    return bytes(found + _of_base64(rest))


def _of_base64(letters: bytes) -> bytes:
    """Letters without their padding; a last one alone holds no byte."""
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def carried(part: Message) -> bytes:
    """What a part of type `message` holds, as it was written; also one that was encoded, which it ought not to be."""
    below = inner(part)
    if how := encoding(part):
        holder = Message()
        holder["Content-Transfer-Encoding"] = how
        holder.set_payload("\n".join(str(one) for one in below).strip() if below else part._payload)  # type: ignore[attr-defined]
        if decoded := content(holder):
            return decoded
    return b"\n".join(map(_written_again, below)) if below else content(part)


def _written_again(message: Message) -> bytes:
    try:
        return message.as_bytes()
    except MemoryError:
        raise
    except Exception:  # what was not well-formed cannot always be written again; the raw message has it
        return b"\n".join(f"{name}: {readable(text)}".encode() for name, text in message.raw_items())


def param(part: Message, name: str) -> str:
    """A parameter of Content-Type; empty where there is none, or none that can be read."""
    try:
        found = part.get_param(name, "")
        said = "".join(str(piece or "") for piece in found[2:]) if isinstance(found, tuple) else str(found or "")
    except Exception:
        said = ""
    if not said and name == "charset" and (loose := _CHARSET.search(str(part.get("Content-Type", "")))):
        return loose[1]  # without the semicolon before it
    return said


_CHARSET = re.compile(r"\bcharset\s*=\s*[\"']?([\w.:-]{2,40})", re.IGNORECASE)
