"""The texts and files of a message."""

import io
import mimetypes
import re
import zipfile
from dataclasses import dataclass, field
from email.message import Message
from html import escape
from typing import Any
from urllib.parse import unquote_to_bytes

from tickets.mail import charsets, headers, html, noise, source, uuencode
from tickets.mail.charsets import decode

MOST_PARTS = 5000
MOST_SIGNED = 5  # signatures within signatures that are unpacked
MOST_FILES = 199  # beyond these the rest is packed into one archive
MOST_TEXT = 1_000_000  # characters of text that are kept of a mail; all of it is in the raw message
_REPORTS = noise.REPORTS | {"message/disposition-notification", "message/feedback-report", "message/global-headers"}
_FILES_OF_TEXT = {
    "text/calendar",
    "text/csv",
    "text/vcard",
    "text/x-vcard",
    "text/directory",
    "text/rfc822-headers",
    "text/xml",
}
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
    """What stands in one place of a message: as plain text, as HTML, or as both (`multipart/alternative`).

    `spare` is it in other forms, which are read where there is neither.
    """

    plain: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)

    def text(self) -> tuple[str, bool]:
        """Its words, and whether they come from the HTML: where the plain text has none, or clearly fewer."""
        plain, page = "\n\n".join(self.plain or self.spare[:1]), "\n".join(self.pages)
        if not page.strip():
            return plain, False
        words = html.to_text(page) or html.to_text(html.sanitise(page, set()))  # at least that there is a picture
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
        self._message = message
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
            part = source.with_headers_whole(part) if section is not None or count > 1 else part
            kind = headers.kind(part)
            if part.get_content_maintype() == "multipart":
                self._protect(kind)
                below = headers.inner(part) or _unbroken(headers.content(part))
                if below:
                    if kind == "multipart/alternative" and section is None:
                        section = self._section()
                    waiting = [(one, section) for one in below] + waiting
                    continue
            self._protect(kind)
            self._leaf(part, kind, section)

    def _protect(self, kind: str) -> None:
        if kind in {"multipart/encrypted", "application/pgp-encrypted"}:
            self.protection = "encrypted"
        elif kind == "multipart/signed":
            self.protection = self.protection or "signed"

    def _leaf(self, part: Message, kind: str, section: _Section | None) -> None:
        name = _filename(part, self._message)
        if self.protection == "signed" and kind in _SIGNATURES:
            return  # it proves nothing to a reader; the raw message has it
        if part.get_content_maintype() == "message" and kind not in _REPORTS:
            self.files.append(_mail_as_file(part, kind, name))
            return
        if kind in {"application/pkcs7-mime", "application/x-pkcs7-mime"} and self._opened(part):
            return
        content = headers.content(part) or headers.carried(part)
        text_kind = (
            kind if kind in {"text/plain", "text/html"} else "text/plain" if kind.startswith("multipart/") else ""
        )
        is_attached = part.get_content_disposition() == "attachment"
        if not (text_kind or name or is_attached) and kind.startswith("text/") and kind not in _FILES_OF_TEXT:
            if section is not None:
                section.spare.append(_without_marks(kind, decode(content, headers.param(part, "charset") or None)))
                return
            text_kind = "" if self._sections else "text/plain"  # all that there is
        # A text with a name is a file, unless it is the first that there is.
        named = bool(name) and (not text_kind or (bool(self._sections) and section is None))
        is_file = is_attached or named or not text_kind
        is_tnef = kind in {"application/ms-tnef", "application/vnd.ms-tnef"} or name.lower() == "winmail.dat"
        if is_tnef and self._unpacked(content):
            return
        if text_kind and not is_file:
            self._read(part, kind, content, section or self._section())
        elif content or name:
            content_id = next(iter(headers.ids(part, "Content-ID")), "")
            self.files.append(File(name or _default_name(kind), kind, content, content_id))

    def _read(self, part: Message, kind: str, content: bytes, section: _Section) -> None:
        """Take a text into its section."""
        charset = headers.param(part, "charset") or None
        if kind == "text/html":
            content = content[: 4 * MOST_TEXT]  # what nobody reads is not made into characters
            section.pages.append(decode(content, charset or charsets.of_page(content)))
            return
        content, packed = uuencode.files_in(content)
        self.files += [_of_type(headers.file_name(decode(one, None)), inside) for one, inside in packed]
        text = _without_marks(kind, decode(content[: 4 * MOST_TEXT], charset))
        section.plain.append(_unflowed(text, part) if headers.param(part, "format").lower() == "flowed" else text)

    def _opened(self, part: Message) -> bool:
        """What an opaque S/MIME signature holds, read as if it were not signed; False where it stays a file."""
        said = headers.param(part, "smime-type").lower()
        inner = _signed_content(headers.content(part))
        self.protection = "signed" if inner is not None or said in {"signed-data", "certs-only"} else "encrypted"
        if not inner or self._depth >= MOST_SIGNED:
            return False
        self._depth += 1
        self._walk(source.tree(source.readable(inner)))
        return True

    def _unpacked(self, content: bytes) -> bool:
        """The texts and files of a winmail.dat (TNEF)."""
        from tnefparse import TNEF

        try:
            found = TNEF(content, do_checksum=False)
            body, page, rich = found.body, found.htmlbody, found.rtfbody
            files = [_of_tnef(one) for one in found.attachments]
        except MemoryError:
            raise
        except Exception:  # a broken one stays what it is: a file
            return False
        text = "" if page or body or not rich else _words_of_rtf(rich)
        if page:
            self._section().pages.append(page if isinstance(page, str) else decode(page, None))
        elif body:
            self._section().plain.append(body if isinstance(body, str) else decode(body, None))
        elif text:
            self._section().plain.append(text)
        self.files += files
        return bool(page or body or text or (files and not rich))  # RTF that nobody can read stays in its file


def _mail_as_file(part: Message, kind: str, name: str) -> File:
    """A mail inside a mail; without a name it has that of its subject."""
    content = headers.carried(part)
    name = name or headers.file_name(headers.value(source.headers_of(content), "Subject"))[:80] or "message"
    name = name if name.lower().endswith(".eml") else f"{name}.eml"
    return File(name, "message/rfc822" if kind != "message/partial" else kind, content)


def _of_tnef(attached: Any) -> File:
    """A file of a winmail.dat, and what its HTML calls it by (MS-OXCMSG, 2.2.2.29)."""
    said = {one.name: one.data for one in attached.mapi_attrs}
    name = headers.file_name(headers.person(str(attached.long_filename() or attached.name or "attachment").strip("\0")))
    content_id = said.get(0x3712, "")
    content_id = content_id if isinstance(content_id, str) else decode(bytes(content_id or b""), None)
    content = bytes(attached.data or b"")
    content = content[16:] if said.get(0x3705) == 6 else content  # of an OLE object: before it stands what it is
    return _of_type(name, content, content_id.strip("\0 <>"))


def _words_of_rtf(rich: bytes | str) -> str:
    """Plain words of RTF; empty where nobody can read it."""
    from striprtf.striprtf import rtf_to_text

    try:
        text = rich if isinstance(rich, str) else rich.decode("latin-1")
        return str(rtf_to_text(text, errors="replace")).replace("\0", "").strip()
    except MemoryError:
        raise
    except Exception:  # a stranger's RTF breaks the library: then the file is kept
        return ""


def _without_marks(kind: str, text: str) -> str:
    """The words of a text whose form marks them up as HTML does (RFC 1896)."""
    return html.to_text(text) if kind in {"text/enriched", "text/richtext"} else text


def _of_type(name: str, content: bytes, content_id: str = "") -> File:
    """A file whose name alone says what it is."""
    return File(name, _TYPES.guess_type(name)[0] or "application/octet-stream", content, content_id)


def _unbroken(content: bytes) -> list[Message]:
    """The parts of a multipart whose boundary is missing or another than it says."""
    found = re.search(rb"^--(\S[^\n]{0,200}?)[ \t\r]*\n(?=content-|\r?\n)", content, re.MULTILINE | re.IGNORECASE)
    if found is None:
        return []
    boundary = b"=_boundary"  # theirs may hold what the standard library cannot compare
    content = content.replace(b"--" + found[1], b"--" + boundary)
    return headers.inner(source.tree(b"Content-Type: multipart/mixed; boundary=" + boundary + b"\n\n" + content))


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


def _filename(part: Message, message: Message) -> str:
    """The name of a part as a file; `message` says in what charset it may be, where the part does not."""
    named_in = part if headers.param(part, "charset") else message
    for header in ("Content-Disposition", "Content-Type"):  # bytes that ought not to be there, which the library hides
        raw = next((raw for one, raw in part.raw_items() if one.lower() == header.lower()), "")
        if any("\udc80" <= c <= "\udcff" for c in str(raw)):
            part.replace_header(header, headers.readable(raw, named_in))
    name = _extended(part)
    if not name:
        try:
            name = part.get_filename() or ""
        except Exception:  # RFC 2231 pieces that do not fit together
            name = headers.param(part, "name")
    if not name and (loose := _NAMED.search(f"{part.get('Content-Disposition', '')} {part.get('Content-Type', '')}")):
        name = loose[1]
    name = name.strip('"').partition('"')[0].rpartition("\\")[2]  # some give the place on their own disk
    if not name and not headers.kind(part).startswith("text/"):
        place = headers.value(part, "Content-Location").partition("?")[0].rpartition("/")[2]
        name = place if "." in place else ""
    return headers.file_name(headers.readable(name)) if name else ""


_EXTENDED = re.compile(r"\b(?:file)?name\*\s*=\s*\"?(?:([\w.:-]*)'[\w-]*')?([^;\"\s]+)", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:file)?name\s*=\s*\"?([^\";\r\n]{1,300})", re.IGNORECASE)


def _extended(part: Message) -> str:
    """The name in the form of RFC 5987, which counts where a plain one stands beside it (RFC 6266, 4.3)."""
    for header in ("Content-Disposition", "Content-Type"):
        if found := _EXTENDED.search(str(part.get(header, ""))):
            return decode(unquote_to_bytes(found[2]), found[1] or None)
    return ""


def _default_name(kind: str) -> str:
    return {"text/calendar": "invitation.ics", "text/html": "page.html", "application/pgp-signature": "signature.asc",
            "application/pkcs7-signature": "smime.p7s", "application/pkcs7-mime": "smime.p7m",
            "message/delivery-status": "delivery-report.txt", "message/global-delivery-status": "delivery-report.txt",
            "message/feedback-report": "complaint.txt", "message/global-headers": "headers.txt", "text/rfc822-headers": "headers.txt", "message/disposition-notification": "read-receipt.txt"}.get(
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
