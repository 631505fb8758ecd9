"""The texts and files of a message."""

import binascii
import io
import mimetypes
import re
import zipfile
from dataclasses import dataclass, field
from email.message import Message
from html import escape

from tickets.mail import charsets, headers, html, source
from tickets.mail.charsets import decode

MOST_PARTS = 5000
MOST_SIGNED = 5  # signatures within signatures that are unpacked
MOST_FILES = 199  # beyond these the rest is packed into one archive
MOST_TEXT = 1_000_000  # characters of text that are kept of a mail; all of it is in the raw message
_REPORTS = {"message/delivery-status", "message/disposition-notification"}
_TYPES = mimetypes.MimeTypes()  # those of Python, whatever the machine adds
_SIGNATURES = {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}


@dataclass(frozen=True)
class File:
    """A part that is kept as a file; `content_id` is what the HTML calls it by, without angle brackets."""

    name: str
    content_type: str
    content: bytes
    content_id: str = ""


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


class Body:
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
        self.text = _unarmoured(self.text)

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
            name = name if name.lower().endswith(".eml") else f"{name or 'message'}.eml"
            self.files.append(File(name, "message/rfc822", _attached_message(part)))
            return
        if kind in {"application/pkcs7-mime", "application/x-pkcs7-mime"}:
            said = headers.param(part, "smime-type").lower()
            inner = _signed_content(headers.content(part))
            self.protection = "signed" if inner is not None or said in {"signed-data", "certs-only"} else "encrypted"
            if inner and self._depth < MOST_SIGNED:
                self._depth += 1
                self._walk(source.tree(source.readable(inner)))
                return
        content = headers.content(part) or b"\n".join(_written_again(one) for one in headers.inner(part))
        text_kind = (
            kind if kind in {"text/plain", "text/html"} else "text/plain" if kind.startswith("multipart/") else ""
        )
        # A text with a name is a file, unless it is the first that there is.
        named = bool(name) and (not text_kind or bool(self._sections))
        is_file = part.get_content_disposition() == "attachment" or named or not text_kind
        is_tnef = kind in {"application/ms-tnef", "application/vnd.ms-tnef"} or name.lower() == "winmail.dat"
        if is_tnef and self._unpacked(content):
            return
        if text_kind and not is_file:
            charset = headers.param(part, "charset") or None
            if text_kind == "text/plain":
                content, packed = _uudecoded(content)
                self.files += packed
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
    found = re.search(rb"^--(\S[^\n]{0,200}?)[ \t\r]*\n(?=content-|\r?\n)", content, re.MULTILINE | re.IGNORECASE)
    if found is None:
        return []
    head = b'Content-Type: multipart/mixed; boundary="' + found[1].replace(b'"', b"") + b'"\n\n'
    return headers.inner(source.tree(head + content))


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


_BEGINS_FILE = re.compile(rb"begin [0-7]{3,4} (\S[^\n]{0,200}?)\s*")


def _uudecoded(content: bytes) -> tuple[bytes, list[File]]:
    """A text without the uuencoded files in it, and these."""
    if not _BEGINS_FILE.search(content) or b"\nend" not in content:
        return content, []
    kept, files = [], []
    lines = content.split(b"\n")
    at = 0
    while at < len(lines):
        begins = _BEGINS_FILE.fullmatch(lines[at])
        ends, found = _uu_lines(lines, at + 1) if begins else (0, b"")
        if begins and ends:
            name = headers.file_name(decode(begins[1], None))
            files.append(File(name, _TYPES.guess_type(name)[0] or "application/octet-stream", found))
            at = ends
        else:
            kept.append(lines[at])
            at += 1
    return b"\n".join(kept), files


def _uu_lines(lines: list[bytes], at: int) -> tuple[int, bytes]:
    """Where the file ends that begins there, and its bytes; 0 where it is none."""
    found = bytearray()
    for number in range(at, len(lines)):
        line = lines[number].rstrip(b"\r")
        if line.strip() == b"end":
            return number + 1 if found else 0, bytes(found)
        if not line:
            continue
        most = ((line[0] - 32 & 63) * 4 + 5) // 3  # some write a sum or spaces behind
        try:
            found += binascii.a2b_uu(line[:most])
        except binascii.Error:
            return 0, b""
    return 0, b""


_ARMOUR = "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"


def _unarmoured(text: str) -> str:
    """A text without the lines of a signature around it (RFC 9580, 7): they prove nothing to a reader; the raw message has them."""
    for _ in range(MOST_SIGNED):
        begin, signature, end = ((f"\n{text}").find(f"\n{mark}") for mark in _ARMOUR)
        if not 0 <= begin < signature < end:
            break
        said = re.sub(r"^- ", "", text[begin:signature].partition("\n\n")[2], flags=re.MULTILINE)
        pieces = (text[:begin], said, text[end + len(_ARMOUR[2]) :])
        text = "\n\n".join(filter(None, (piece.strip("\n") for piece in pieces)))
    return text


def _attached_message(part: Message) -> bytes:
    """A message inside, as a file; also one that was encoded, which it ought not to be."""
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() in {"base64", "quoted-printable"}:
        holder = Message()
        holder["Content-Transfer-Encoding"] = str(part["Content-Transfer-Encoding"])
        holder.set_payload("\n".join(str(inner) for inner in headers.inner(part)).strip())
        if decoded := headers.content(holder):
            return decoded
    for inner in headers.inner(part):
        return _written_again(inner)
    return headers.content(part)


def _written_again(message: Message) -> bytes:
    try:
        return message.as_bytes()
    except MemoryError:
        raise
    except Exception:  # what was not well-formed cannot always be written again; the raw message has it
        return b"\n".join(f"{name}: {headers.readable(text)}".encode() for name, text in message.raw_items())


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
            "application/pkcs7-signature": "smime.p7s", "application/pkcs7-mime": "smime.p7m",
            "message/delivery-status": "delivery-report.txt", "text/rfc822-headers": "headers.txt", "message/disposition-notification": "read-receipt.txt"}.get(
        kind, f"attachment{_TYPES.guess_extension(kind, strict=False) or ('.txt' if kind.startswith('text/') else '.bin')}"
    )  # fmt: skip


def few(files: list[File]) -> list[File]:
    """The files; of very many the later ones in one archive, so that none is lost."""
    if len(files) <= MOST_FILES + 1:
        return files
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, file in enumerate(files[MOST_FILES:], MOST_FILES + 1):
            archive.writestr(f"{number}-{file.name.replace('/', '_')}"[:200], file.content)
    return [*files[:MOST_FILES], File("more-attachments.zip", "application/zip", packed.getvalue())]
