"""A raw message to what a ticket needs of it. Pure; `reader` runs it apart, with limits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from enum import StrEnum

from supportdesk.text import clean, one_line
from tickets.mail import authentication, headers, html, noise, quotes, returned, source
from tickets.mail.body import MOST_TEXT, Body, File, few
from tickets.mail.charsets import decode

NOBODY = "unknown@invalid"  # the sender of mail that names none
CUT = "\n\n[The rest of this long mail is in its raw message.]"


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
    bounce: returned.Bounce | None = None
    doubt: str = ""
    reply_to: str = ""
    forwarded: quotes.Forwarded | None = None
    protection: str = ""
    checks: dict[str, str] = field(default_factory=dict)
    spam: str = ""
    language: str = ""
    loops: list[str] = field(default_factory=list)
    headers: list[list[str]] = field(default_factory=list)  # [name in lower case, value], for rules


class Doubt(StrEnum):
    """What speaks against the sender of a mail being who it names."""

    DMARC = "dmarc"  # the relay found that the domain of From did not send it
    OTHER = "other"  # the relay checked another domain than the sender's
    SEVERAL = "several"  # From names several
    NOT_FROM = "not_from"  # From names nobody whom one could answer: another header names the sender, unchecked


def sender_of(message: Message) -> tuple[str, str, str]:
    """(name, address, header) of From, else of Reply-To, Sender, Return-Path; a made-up address when none can be read.

    Where From takes no answers, or a list put itself into it, Reply-To is whoever wrote.
    """
    if (behind := _behind_list(message)) is not None:
        return behind
    for header in ("From", "Reply-To", "Sender", "Return-Path"):
        found = headers.addresses(message, header)
        speaks_for_others = found and header == "From" and noise.NO_REPLY.match(found[0][1])
        if speaks_for_others and (other := headers.addresses(message, "Reply-To")):  # a form on a web site
            return *_named(other[0]), "Reply-To"
        if found:
            return *_named(found[0]), header
    return one_line(headers.value(message, "From")), NOBODY, "From"


_VIA = re.compile(r"'?(.{1,200}?)'? via \S", re.IGNORECASE)


def _behind_list(message: Message) -> tuple[str, str, str] | None:
    """Who wrote what a list sends in its own name, as Google Groups and Mailman do for senders with DMARC: "Ann via Support"."""
    if "List-Id" not in message and headers.value(message, "Precedence").lower() != "list":
        return None
    name, address = next(iter(headers.addresses(message, "From")), ("", ""))
    if not (via := _VIA.match(name)):
        return None
    for header in ("X-Original-From", "Reply-To", "X-MailFrom"):
        for shown, other in headers.addresses(message, header):
            if other != address and not noise.NO_REPLY.match(other):
                return shown or via[1], other, header
    return None


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
    message = source.tree(source.readable(raw))
    if envelope_from is not None:
        del message["Return-Path"]
        message["Return-Path"] = f"<{envelope_from}>"
    sender_name, sender, named_in = sender_of(message)
    checks = authentication.results(message, trusted)
    wanted = next(iter(headers.addresses(message, "Reply-To")), ("", ""))[1]
    body = Body(message)
    page = body.html
    inline = {file.content_id for file in body.files if file.content_id and file.content_type.startswith("image/")}
    text = clean(body.text).strip() or _of_files(body.files)
    if len(text) > MOST_TEXT or len(page) > html.MOST_HTML:
        text = text[:MOST_TEXT] + CUT
    # HTML is kept where the plain text says less: it is all there is, or pictures stand in it.
    kept = bool(page.strip()) and (body.is_page or any(f"cid:{one}" in page for one in inline))
    fresh, quoted, fresh_page = _split(text, page, kept=kept, is_page=body.is_page)
    subject = subject_of(message)
    bounce = returned.bounce_of(message, sender, text, raw)
    automatic = bounce is not None or noise.is_automatic(message, sender)
    return Mail(
        sender=sender, sender_name=sender_name, subject=subject, text=text,
        fresh=fresh, quoted=quoted,
        html=html.sanitise(clean(page), inline, remote=remote) if kept else "",
        fresh_html=html.sanitise(clean(fresh_page), inline, remote=remote) if kept else "",
        message_id=next(iter(headers.ids(message, "Message-ID")), ""),
        references=headers.ids(message, "In-Reply-To") + headers.ids(message, "References")[::-1] + noise.receipt_of(message),
        recipients=[one for _, one in headers.addresses(message, "To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")],
        copies=list(dict.fromkeys(one for _, one in headers.addresses(message, "To", "Cc"))),
        files=few(body.files), automatic=automatic,
        auto_reply=bounce is None and noise.is_automatic_answer(message),
        unanswerable=automatic or sender == NOBODY or noise.wants_no_answer(message, sender),
        bounce=bounce,
        forwarded=quotes.forwarded(subject, text) or _forwarded_whole(subject, text, body.files), protection=body.protection,
        checks=checks, doubt=_doubt(message, sender, named_in, checks), reply_to=wanted if wanted != sender else "", spam=authentication.spam_by_header(message),
        language=headers.value(message, "Content-Language").lower()[:2],
        headers=_for_rules(message),
        loops=[one_line(one) for one in headers.values(message, "X-Loop")],
    )  # fmt: skip


def _split(text: str, page: str, *, kept: bool, is_page: bool) -> tuple[str, str, str]:
    """What the person wrote and what is folded, as text; and the first of these as HTML, where that is `kept`."""
    fresh, quoted = quotes.split_reply(text)
    fresh_page, quoted_page = html.split_quotation(page) if page.strip() else ("", "")
    by_marks = ""  # what the marks of the program say is quoted
    if quoted_page and (not quoted or is_page) and not quotes.answers_in_line(text):
        by_marks = html.to_text(quoted_page)
        fresh, quoted = quotes.split_reply(html.to_text(fresh_page))
    if quoted and kept:  # found by its words: what is shown is cut there too, or not at all
        above, below = html.split_at(fresh_page, fresh, quoted)
        if below:
            fresh_page = above
        elif not quoted_page:
            fresh, quoted = f"{fresh}\n\n{quoted}", ""
    return fresh, "\n\n".join(filter(None, [quoted, by_marks])), fresh_page


def _forwarded_whole(subject: str, text: str, files: list[File]) -> quotes.Forwarded | None:
    """The one mail that somebody forwarded as a file, where they say so by the subject or say nothing at all."""
    whole = [file for file in files if file.content_type == "message/rfc822"]
    if len(whole) != 1 or not (quotes.is_forward(subject) or not text.strip()):
        return None
    message = source.tree(source.readable(whole[0].content))
    name, sender, _ = sender_of(message)
    if sender == NOBODY:
        return None
    said = clean(Body(message).text).strip()[:MOST_TEXT]
    return quotes.Forwarded(sender, name, subject_of(message), said, text.strip())


def _for_rules(message: Message) -> list[list[str]]:
    return [
        [name.lower()[:100], headers.words(headers.readable(value))[:1000]] for name, value in message.items()[:200]
    ]


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
