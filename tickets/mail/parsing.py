"""A raw message to what a ticket needs of it. Pure; `reader` runs it apart, with limits."""

import email.policy
import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesFeedParser
from enum import StrEnum
from html import escape

from supportdesk.text import clean, one_line
from tickets.mail import authentication, charsets, headers, html, noise, quotes
from tickets.mail.charsets import decode

NOBODY = "unknown@invalid"  # the sender of mail that names none
MOST_PARTS = 5000
MOST_SIGNED = 5  # signatures within signatures that are unpacked
MOST_FILES = 199  # beyond these the rest is packed into one archive
CUT = "\n\n[The rest of this long mail is in its raw message.]"
MOST_TEXT = 1_000_000  # characters of text that are kept of a mail; all of it is in the raw message
_REPORTS = {"message/delivery-status", "message/disposition-notification"}
_SIGNATURES = {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
# What relays write, change and repeat on the way is not part of what makes two deliveries the same mail.
_IDENTITY = ("from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references")


@dataclass(frozen=True)
class File:
    """A part that is kept as a file; `content_id` is what the HTML calls it by, without angle brackets."""

    name: str
    content_type: str
    content: bytes
    content_id: str = ""


@dataclass(frozen=True)
class Mail:
    """What could be read of a message. Ids come without angle brackets, addresses in lower case.

    `text` is all that was written; `fresh` is it without what it quotes, which is `quoted`. `html` is sanitised, empty
    where the text says as much. `protection` is "", "signed" or "encrypted". `doubt` says why the sender may be another,
    a value of Doubt; empty where nothing speaks against them. `reply_to` is where else they want answers to go.
    """

    sender: str
    sender_name: str
    subject: str
    text: str
    fresh: str = ""
    quoted: str = ""
    html: str = ""
    fresh_html: str = ""
    message_id: str = ""
    references: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    automatic: bool = False
    auto_reply: bool = False
    unanswerable: bool = False
    bounce: noise.Bounce | None = None
    doubt: str = ""
    reply_to: str = ""
    forwarded: quotes.Forwarded | None = None
    protection: str = ""
    checks: dict[str, str] = field(default_factory=dict)
    spam: str = ""
    language: str = ""
    loops: list[str] = field(default_factory=list)
    headers: list[list[str]] = field(default_factory=list)  # [name in lower case, value], for rules


def content_hash(raw: bytes) -> str:
    """SHA-256 of what makes a mail itself: the headers that its sender wrote, and its body.

    Not of trace headers, nor of how lines are folded and ended: two mailboxes get two copies of one mail. A Message-ID
    that comes again with other content is another mail.
    """
    head, _, body = _lines(raw).partition(b"\n\n")
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


def _lines(raw: bytes) -> bytes:
    """The message with \\n at the end of lines, whatever system it went through."""
    raw = raw.replace(b"\r\n", b"\n") if b"\r\n" in raw else raw
    return raw.replace(b"\r", b"\n") if b"\n" not in raw else raw


def _readable(raw: bytes) -> bytes:
    """Without what stands before the headers: byte order marks, empty lines, the line of a mailbox file."""
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raw = raw.decode("utf-16", "replace").encode("utf-8", "replace")
    if b"\n" not in raw[:20_000] or raw[:1] in b"\xef\r\n":
        raw = _lines(raw.removeprefix(b"\xef\xbb\xbf")).lstrip(b"\r\n")
    return raw.partition(b"\n")[2] if re.match(rb">?From \S+.*\d\d:\d\d", raw[:200]) else raw


def _tree(raw: bytes) -> Message:
    """The message with its parts. Fed in pieces: at once it takes eight times its size."""
    parser = BytesFeedParser(policy=email.policy.compat32)
    for at in range(0, len(raw), 1 << 16):
        parser.feed(raw[at : at + (1 << 16)])
    return parser.close()


def head_of(raw: bytes) -> bytes:
    """The headers and no text: a mail that is read at once."""
    return _lines(_readable(raw[:500_000])).partition(b"\n\n")[0] + b"\n\n"


def headers_of(raw: bytes) -> Message:
    """The headers alone: quick, whatever lies below."""
    return _tree(head_of(raw))


class Doubt(StrEnum):
    """What speaks against the sender of a mail being who it names."""

    DMARC = "dmarc"  # the relay found that the domain of From did not send it
    OTHER = "other"  # the relay checked another domain than the sender's
    SEVERAL = "several"  # From names several
    NOT_FROM = "not_from"  # From names nobody whom one could answer: another header names the sender, unchecked


def sender_of(message: Message) -> tuple[str, str, str]:
    """(name, address, header) of From, else of Reply-To, Sender, Return-Path; a made-up address when none can be read.

    Where From takes no answers, Reply-To is whoever wrote.
    """
    for header in ("From", "Reply-To", "Sender", "Return-Path"):
        found = headers.addresses(message, header)
        speaks_for_others = found and header == "From" and noise.NO_REPLY.match(found[0][1])
        if speaks_for_others and (other := headers.addresses(message, "Reply-To")):  # a form on a web site
            return *_named(other[0]), "Reply-To"
        if found:
            return *_named(found[0]), header
    return one_line(headers.value(message, "From")), NOBODY, "From"


def _named(found: tuple[str, str]) -> tuple[str, str]:
    """Name and address; a name that is another address is none."""
    name, address = found
    return ("" if "@" in name and address not in name.lower() else name), address


def _doubt(message: Message, sender: str, header: str, checks: Mapping[str, str]) -> str:
    if checks.get("dmarc") == "fail":
        return Doubt.DMARC
    if header != "From":
        return Doubt.NOT_FROM
    if len({address for _, address in headers.addresses(message, "From")}) > 1:
        return Doubt.SEVERAL
    domain, checked = sender.rpartition("@")[2], checks.get("from", "")
    return Doubt.OTHER if checked and domain != checked and not domain.endswith(f".{checked}") else ""


def subject_of(message: Message) -> str:
    """The subject on one line."""
    return one_line(headers.value(message, "Subject"), most=300)


def parse(raw: bytes, trusted: Sequence[str] = (), *, envelope_from: str | None = None, remote: bool = False) -> Mail:
    """Read a message as far as it can be read.

    `trusted` are the relays whose word about the sender counts; `envelope_from` the envelope's sender, where it is known,
    empty for a report (RFC 5321, 4.5.5); `remote`: pictures that are elsewhere stay in the HTML.
    """
    message = _tree(_readable(raw))
    if envelope_from is not None:
        del message["Return-Path"]
        message["Return-Path"] = f"<{envelope_from}>"
    sender_name, sender, named_in = sender_of(message)
    checks = authentication.results(message, trusted)
    wanted = next(iter(headers.addresses(message, "Reply-To")), ("", ""))[1]
    body = _Body(message)
    page = body.html
    inline = {file.content_id for file in body.files if file.content_id and file.content_type.startswith("image/")}
    text = clean(body.text).strip() or _of_files(body.files)
    text = text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + CUT
    fresh, quoted = quotes.split_reply(text)
    fresh_page, quoted_page = html.split_quotation(page) if page.strip() else ("", "")
    if quoted_page and (not quoted or body.is_page) and not quotes.answers_in_line(text):
        fresh, more = quotes.split_reply(html.to_text(fresh_page))
        quoted = "\n\n".join(filter(None, [more, html.to_text(quoted_page)]))
    # HTML is kept where the plain text says less: it is all there is, or pictures stand in it.
    kept = bool(page.strip()) and (body.is_page or any(f"cid:{one}" in page for one in inline))
    subject = subject_of(message)
    bounce = noise.bounce_of(message, sender, text)
    automatic = bounce is not None or noise.is_automatic(message, sender)
    return Mail(
        sender=sender, sender_name=sender_name, subject=subject, text=text,
        fresh=fresh, quoted=quoted,
        html=html.sanitise(clean(page), inline, remote=remote) if kept else "",
        fresh_html=html.sanitise(clean(fresh_page), inline, remote=remote) if kept else "",
        message_id=next(iter(headers.ids(message, "Message-ID")), ""),
        references=headers.ids(message, "In-Reply-To") + headers.ids(message, "References")[::-1],
        recipients=[one for _, one in headers.addresses(message, "To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")],
        copies=list(dict.fromkeys(one for _, one in headers.addresses(message, "To", "Cc"))),
        files=_few(body.files), automatic=automatic,
        auto_reply=bounce is None and noise.is_automatic_answer(message),
        unanswerable=automatic or sender == NOBODY or noise.wants_no_answer(message, sender),
        bounce=bounce,
        forwarded=quotes.forwarded(subject, text) or _forwarded_whole(subject, text, body.files), protection=body.protection,
        checks=checks, doubt=_doubt(message, sender, named_in, checks), reply_to=wanted if wanted != sender else "", spam=authentication.spam_by_header(message),
        language=headers.value(message, "Content-Language").lower()[:2],
        headers=_for_rules(message),
        loops=[one_line(one) for one in headers.values(message, "X-Loop")],
    )  # fmt: skip


def _forwarded_whole(subject: str, text: str, files: list[File]) -> quotes.Forwarded | None:
    """The one mail that somebody forwarded as a file, where they say so by the subject or say nothing at all."""
    whole = [file for file in files if file.content_type == "message/rfc822"]
    if len(whole) != 1 or not (quotes.is_forward(subject) or not text.strip()):
        return None
    message = _tree(_readable(whole[0].content))
    name, sender, _ = sender_of(message)
    if sender == NOBODY:
        return None
    said = clean(_Body(message).text).strip()[:MOST_TEXT]
    return quotes.Forwarded(sender, name, subject_of(message), said, text.strip())


def _for_rules(message: Message) -> list[list[str]]:
    return [
        [name.lower()[:100], headers.words(headers.readable(value))[:1000]] for name, value in message.items()[:200]
    ]


def _few(files: list[File]) -> list[File]:
    """The files; of very many the later ones in one archive, so that none is lost."""
    if len(files) <= MOST_FILES + 1:
        return files
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, file in enumerate(files[MOST_FILES:], MOST_FILES + 1):
            archive.writestr(f"{number}-{file.name.replace('/', '_')}"[:200], file.content)
    return [*files[:MOST_FILES], File("more-attachments.zip", "application/zip", packed.getvalue())]


def _of_files(files: list[File]) -> str:
    """A word in place of a text: what a mail without one is about."""
    for file in files:
        if file.content_type == "text/calendar":
            said = decode(file.content, "utf-8")
            facts = dict(
                re.findall(
                    r"^(SUMMARY|DTSTART|DTEND|LOCATION|ORGANIZER)[^:\n]*:(.+)$", said.replace("\r\n ", ""), re.MULTILINE
                )
            )
            told = (f"{_FACTS[name]}: {_fact(name, value.strip())}" for name, value in facts.items())
            return clean("\n".join(["Invitation", *told]))
    return ""


_FACTS = {"SUMMARY": "About", "DTSTART": "From", "DTEND": "Until", "LOCATION": "Where", "ORGANIZER": "Invited by"}


def _fact(name: str, value: str) -> str:
    """A value of a calendar (RFC 5545) in words."""
    if name in {"DTSTART", "DTEND"} and (found := re.fullmatch(r"(\d{8})(?:T(\d{4})\d\d(Z?))?", value)):
        day = f"{found[1][:4]}-{found[1][4:6]}-{found[1][6:]}"
        return f"{day} {found[2][:2]}:{found[2][2:]}{' UTC' if found[3] else ''}" if found[2] else day
    value = re.sub(r"\\([,;\\])", r"\1", value).replace("\\n", " ").replace("\\N", " ")
    return re.sub(r"^mailto:", "", value, flags=re.IGNORECASE)


@dataclass
class _Section:
    """What stands in one place of a message: as plain text, as HTML, or as both (`multipart/alternative`)."""

    plain: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)

    def text(self) -> tuple[str, bool]:
        """Its words, and whether they come from the HTML: where the plain text has none, or clearly fewer."""
        plain, page = "\n\n".join(self.plain), "\n".join(self.pages)
        if not page.strip():
            return plain, False
        words = html.to_text(page)
        if plain.strip() and len(plain.split()) * 2 >= len(words.split()) - 10:
            return plain, False
        return words, bool(words)

    def page(self) -> str:
        """It as HTML, to be shown among others."""
        return "\n".join(self.pages) or "".join(
            f"<p>{escape(one.strip()).replace(chr(10), '<br>')}</p>" for one in self.plain
        )


class _Body:
    """The texts and files of a message, in their order."""

    def __init__(self, message: Message) -> None:
        self._sections: list[_Section] = []
        self.files: list[File] = []
        self.protection = ""
        self._depth = 0  # of signatures within signatures
        self._walk(message)
        said = [section.text() for section in self._sections]
        self.text = "\n\n".join(text.strip("\n") for text, _ in said if text.strip())
        self.is_page = any(from_page for _, from_page in said)
        has_page = any(section.pages for section in self._sections)
        self.html = "\n".join(section.page() for section in self._sections) if has_page else ""
        if not self.protection and "-----BEGIN PGP " in self.text:
            self.protection = "encrypted" if "-----BEGIN PGP MESSAGE-----" in self.text else "signed"

    def _section(self) -> _Section:
        self._sections.append(_Section())
        return self._sections[-1]

    def _walk(self, message: Message) -> None:
        waiting: list[tuple[Message, _Section | None]] = [(message, None)]
        count = 0
        while waiting and count < MOST_PARTS:
            (part, section), count = waiting.pop(0), count + 1
            kind = part.get_content_type()
            if part.get_content_maintype() == "multipart":
                self._protect(kind)
                below = headers.inner(part) or _unbroken(headers.content(part))
                if below:
                    if kind == "multipart/alternative" and section is None:
                        section = self._section()
                    waiting = [(one, section) for one in below] + waiting
                    continue
            self._leaf(part, kind, section)

    def _protect(self, kind: str) -> None:
        if kind == "multipart/encrypted":
            self.protection = "encrypted"
        elif kind == "multipart/signed":
            self.protection = self.protection or "signed"

    def _leaf(self, part: Message, kind: str, section: _Section | None) -> None:
        name = _filename(part)
        if self.protection == "signed" and kind in _SIGNATURES:
            return  # it proves nothing to a reader; the raw message has it
        if part.get_content_maintype() == "message" and kind not in _REPORTS:
            self.files.append(File(name or "message.eml", "message/rfc822", _attached_message(part)))
            return
        if kind in {"application/pkcs7-mime", "application/x-pkcs7-mime"}:
            said = headers.param(part, "smime-type").lower()
            inner = _signed_content(headers.content(part))
            self.protection = "signed" if inner is not None or said in {"signed-data", "certs-only"} else "encrypted"
            if inner and self._depth < MOST_SIGNED:
                self._depth += 1
                self._walk(_tree(_readable(inner)))
                return
        content = headers.content(part)
        text_kind = (
            kind if kind in {"text/plain", "text/html"} else "text/plain" if kind.startswith("multipart/") else ""
        )
        # A text with a name is a file, unless it is the first that there is.
        named = bool(name) and (not text_kind or bool(self._sections))
        is_file = part.get_content_disposition() == "attachment" or named or not text_kind
        packed = kind in {"application/ms-tnef", "application/vnd.ms-tnef"} or name.lower() == "winmail.dat"
        if packed and self._unpacked(content):
            return
        if text_kind and not is_file:
            charset = headers.param(part, "charset") or None
            content = content[: 4 * MOST_TEXT]  # what nobody reads is not made into characters
            section = section or self._section()
            if text_kind == "text/html":
                section.pages.append(decode(content, charset or charsets.of_page(content)))
            else:
                text = decode(content, charset)
                section.plain.append(
                    _unflowed(text, part) if headers.param(part, "format").lower() == "flowed" else text
                )
        elif content or name:
            content_id = next(iter(headers.ids(part, "Content-ID")), "")
            self.files.append(File(name or _default_name(kind), kind, content, content_id))

    def _unpacked(self, content: bytes) -> bool:
        """The texts and files of a winmail.dat (TNEF)."""
        from tnefparse import TNEF

        try:
            found = TNEF(content, do_checksum=False)
            body, page = found.body, found.htmlbody
            files = [
                File(
                    headers.person(str(one.long_filename() or one.name or "attachment")),
                    "application/octet-stream",
                    bytes(one.data or b""),
                )
                for one in found.attachments
            ]
        except MemoryError:
            raise
        except Exception:  # a broken one stays what it is: a file
            return False
        if page:
            self._section().pages.append(page if isinstance(page, str) else decode(page, None))
        elif body:
            self._section().plain.append(body if isinstance(body, str) else decode(body, None))
        self.files += files
        return bool(page or body or files)


def _unbroken(content: bytes) -> list[Message]:
    """The parts of a multipart whose boundary is missing or another than it says."""
    found = re.search(rb"^--([^\s-][^\n]{0,200}?)\s*$", content, re.MULTILINE)
    if found is None:
        return []
    head = b'Content-Type: multipart/mixed; boundary="' + found[1].replace(b'"', b"") + b'"\n\n'
    return headers.inner(_tree(head + content))


def _signed_content(content: bytes) -> bytes | None:
    """What an opaque S/MIME signature (RFC 8551, 3.5.2) holds, a MIME entity; None where it is no signature."""
    from asn1crypto import cms

    try:
        found = cms.ContentInfo.load(content)
        if found["content_type"].native != "signed_data":
            return None
        return bytes(found["content"]["encap_content_info"]["content"].native or b"")
    except (ValueError, TypeError, KeyError, RecursionError, OSError):  # a broken one stays what it is: a file
        return None


def _unflowed(text: str, part: Message) -> str:
    """Paragraphs of format=flowed made whole (RFC 3676)."""
    del_space = headers.param(part, "delsp").lower() == "yes"
    out: list[str] = []
    flowing, was_depth = False, 0
    for line in text.replace("\r\n", "\n").split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        rest = line[depth:].removeprefix(" ")
        flows = rest.endswith(" ") and rest != "-- "
        if flows and del_space:
            rest = rest[:-1]
        if flowing and depth == was_depth:
            out[-1] += rest
        else:
            out.append((">" * depth + " " if depth else "") + rest)
        flowing, was_depth = flows, depth
    return "\n".join(out)


def _attached_message(part: Message) -> bytes:
    """A message inside, as a file; also one that was encoded, which it ought not to be."""
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() in {"base64", "quoted-printable"}:
        holder = Message()
        holder["Content-Transfer-Encoding"] = str(part["Content-Transfer-Encoding"])
        holder.set_payload("\n".join(str(inner) for inner in headers.inner(part)).strip())
        if decoded := headers.content(holder):
            return decoded
    for inner in headers.inner(part):
        try:
            return inner.as_bytes()
        except MemoryError:
            raise
        except Exception:  # what was not well-formed cannot always be written again; the raw message has it
            return b"\n".join(f"{name}: {headers.readable(text)}".encode() for name, text in inner.raw_items())
    return headers.content(part)


def _filename(part: Message) -> str:
    for header in ("Content-Disposition", "Content-Type"):  # bytes that ought not to be there, which the library hides
        raw = next((raw for one, raw in part.raw_items() if one.lower() == header.lower()), "")
        if any("\udc80" <= c <= "\udcff" for c in str(raw)):
            part.replace_header(header, headers.readable(raw, part))
    try:
        name = part.get_filename() or ""
    except Exception:  # RFC 2231 pieces that do not fit together
        name = headers.param(part, "name")
    return headers.file_name(headers.readable(name)) if name else ""


def _default_name(kind: str) -> str:
    return {"text/calendar": "invitation.ics", "text/html": "page.html", "application/pgp-signature": "signature.asc",
            "application/pkcs7-signature": "smime.p7s", "application/pkcs7-mime": "smime.p7m"}.get(
        kind, f"attachment.{re.sub(r'[^a-z0-9]', '', kind.rpartition('/')[2])[:10] or 'bin'}"
    )  # fmt: skip
