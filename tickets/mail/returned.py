"""Mail that came back: what a server says of it, in a report (RFC 3464) or in a form of its own."""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

from tickets.mail import headers, noise, source

# Subjects of servers, in the languages that they speak.
_SUBJECT = re.compile(
    r"(undeliver(able|ed)|delivery (status notification|failure|has failed)|mail delivery (failed|system)|returned mail|bounced? (notification|mail|message|e-mail)"
    r"|failure notice|message (could not be|not) delivered|unzustellbar|nicht zugestellt|zustellung.*fehlgeschlagen"
    r"|non remis|échec de (la )?remise|no se pudo entregar|onbestelbaar|mancato recapito|niedostarczon|não entregue)",
    re.IGNORECASE,
)
_STATUS = re.compile(r"(?<![\d.])([45])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")  # and no number of a machine
_BESIDE_CODE = re.compile(r"(?:#|\b[45]\d\d[ -])\s?([45])\.\d{1,3}\.\d{1,3}(?![\d.]*\d)")
_CODE = re.compile(r"(?<!-)\b([45]\d\d)[ -](?!\d+-)")  # and no telephone number
_ADDRESS = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9.-]{1,253}\.[A-Za-z]{2,63}")
_ORIGINAL_ID = re.compile(r"^\s*>?\s*message-id:\s*<([^<>\s]+)>", re.IGNORECASE | re.MULTILINE)
_COPY_FOLLOWS = re.compile(
    r"^[^\w\n]*(?:[^\n]{0,60}\b(?:a )?copy of (?:the|your)(?: original)? (?:message|mail|headers?)|(?:the )?(?:original|returned|unsent|undelivered) (?:message|mail)(?: headers?)?"
    r"(?: follows| is below| attached)?[^\w\n]*$|message (?:text|headers?) follows?)",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER = re.compile(
    r"^[\s>]*(?:Received|Return-Path|Message-ID|DKIM-Signature|MIME-Version|From|To|Subject|Date|Content-Type|X-[\w-]+):\s*\S",
    re.IGNORECASE,
)
_HARMLESS = {"delivered", "relayed", "expanded", "delayed"}
MOST = 100_000  # bytes or characters: what a server says stands at the beginning


@dataclass(frozen=True)
class Bounce:
    """A report that mail did not arrive: of which recipient, for ever or for now, and of which Message-IDs."""

    recipients: list[str] = field(default_factory=list)
    permanent: bool = True
    delivered: bool = False  # a notice that it did arrive, or is only late
    reason: str = ""
    of: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Said:
    """What a report says of one recipient, under each address that it names."""

    addresses: list[str]
    action: str
    status: str
    diagnostic: str


def bounce_of(message: Message, sender: str, text: str, raw: bytes) -> Bounce | None:
    """What came back, from the report or from what old and odd servers write instead; None for ordinary mail.

    `raw` is the message as it came. A person may write about mail that came back: only what a program sent counts.
    """
    if noise.is_report(message):
        return _reported(message, text, raw)
    failed = [address for _, address in headers.addresses(message, "X-Failed-Recipients")]
    if not (failed or noise.is_automatic(message, sender)) or noise.is_away(message):
        return None
    for carried in _carried(message):
        if noise.is_report(carried):
            return _reported(carried, text, raw)
    said = _above_copy(text[:MOST])
    dead, late = _told_by_form(raw, said)
    # Somebody is away, and their mail server says so without a sender.
    is_answer = noise.is_automatic_answer(message) and not noise.is_from_daemon(message, sender)
    if not (failed or dead or late) and (is_answer or not _says_undelivered(message, sender, said)):
        return None
    found = failed or sorted(dead or late) or _named_in(message, said)
    only_late = bool(late) and not (dead or failed)
    permanent, reason = _judged(said)
    return Bounce(found[:20], permanent and not only_late, only_late, reason, _original_ids(message))


def _says_undelivered(message: Message, sender: str, said: str) -> bool:
    """Whether the subject says so, or a server of that name gives a status."""
    from_server = noise.is_from_daemon(message, sender)
    returned = bool(_SUBJECT.search(headers.value(message, "Subject")))
    if returned and (from_server or noise.has_no_way_back(message)):
        return True
    return from_server and bool(_BESIDE_CODE.search(said) or (_CODE.search(said) and _ADDRESS.search(said)))


def _above_copy(text: str) -> str:
    """What a server says, without the mail that it gives back below: who is named there did nothing."""
    copy = _COPY_FOLLOWS.search(text)
    above = text[: copy.start()] if copy else text
    lines = above.split("\n")
    for number, line in enumerate(lines):
        if _HEADER.match(line) and sum(bool(_HEADER.match(one)) for one in lines[number : number + 8]) >= 3:
            above = "\n".join(lines[:number])
            break
    return above if _ADDRESS.search(above) else text


def _named_in(message: Message, said: str) -> list[str]:
    """Addresses in what a server says, but for its own and, where there are others, whom it writes to."""
    found = list(dict.fromkeys(one.lower() for one in _ADDRESS.findall(said) if not noise.is_daemon(one)))
    to = {address for _, address in headers.addresses(message, "To", "Delivered-To", "X-Original-To")}
    return [one for one in found if one not in to] or found


def _judged(said: str) -> tuple[bool, str]:
    """Whether it is for ever, and the line that says why."""
    found = _BESIDE_CODE.search(said) or _STATUS.search(said) or _CODE.search(said)
    return (found[1][0] if found else "5") == "5", _line_with(said, found)


def _told_by_form(raw: bytes, said: str) -> tuple[set[str], set[str]]:
    """Recipients who are dead and who are served late, by the forms that servers are known to write in."""
    from flufl.bounce import all_failures

    try:
        late, dead = all_failures(message_from_bytes(raw[:MOST]))
    except MemoryError:
        raise
    except Exception:  # what a stranger's form breaks is in none of the known ones
        return set(), set()
    return _said_of(dead, said), _said_of(late, said)


def _said_of(found: Set[bytes], said: str) -> set[str]:
    """These as addresses; of several those that stand in what the server says."""
    named = {one.decode("ascii", "ignore").lower() for one in found if b"@" in one}
    return {one for one in named if one in said.lower()} or named


def _reported(message: Message, text: str, raw: bytes) -> Bounce:
    told = [said for part in noise.parts(message) if part.get_content_type() in noise.REPORTS for said in _groups(part)]
    # Of several recipients those count whom it did not reach.
    failed = [one for one in told if one.action not in _HARMLESS]
    counted = failed or told
    beginning = _above_copy(text[:MOST])
    reason = next((one.diagnostic for one in counted if one.diagnostic), "") or _judged(beginning)[1]
    found = list(dict.fromkeys(address for one in counted for address in one.addresses))
    if not found:
        failing = [address for _, address in headers.addresses(message, "X-Failed-Recipients")]
        found = failing or sorted(set().union(*_told_by_form(raw, beginning))) or _named_in(message, beginning)
    harmless = bool(told) and not failed
    statuses = [one.status for one in counted if one.status]
    permanent = any(one.startswith("5") for one in statuses) if statuses else _judged(beginning)[0]
    return Bounce(found[:20], permanent and not harmless, harmless, reason[:300], _original_ids(message))


def _groups(part: Message) -> list[_Said]:
    """What a part of a report says of each recipient."""
    found = []
    for piece in re.split(rb"\n[ \t\r]*\n", headers.carried(part)):
        group = source.tree(piece.lstrip() + b"\n\n")
        # We know the address that we wrote to, not always the one that it leads to.
        named = [headers.value(group, name) for name in ("Original-Recipient", "Final-Recipient") if name in group]
        if not named:
            continue
        status = headers.value(group, "Status").strip()
        diagnostic = headers.value(group, "Diagnostic-Code").partition(";")[2] or status
        addresses = [one.rpartition(";")[2].strip(" <>").lower()[:254] for one in named]
        action = headers.value(group, "Action").lower().strip()
        found.append(_Said([one for one in addresses if "@" in one], action, status, " ".join(diagnostic.split())))
    return found


def _line_with(text: str, found: "re.Match[str] | None") -> str:
    if found is None:
        return ""
    start, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    return " ".join(text[start : end if end >= 0 else None].split())[:300]


def _carried(message: Message) -> list[Message]:
    """The mails that a mail carries."""
    kinds = {"message/rfc822", "message/global"}
    parts = [part for part in noise.parts(message) if part.get_content_type() in kinds]
    return [source.tree(source.readable(headers.carried(part)[:500_000])) for part in parts[:5]]


def _original_ids(message: Message, *, depth: int = 0) -> list[str]:
    """Message-IDs of the mail that bounced, wherever the report carries it."""
    found: list[str] = []
    for carried in _carried(message):
        found += _original_ids(carried, depth=depth + 1) if noise.is_report(carried) and depth < 3 else []
        found += headers.ids(carried, "Message-ID")
    for part in noise.parts(message)[1:] or [message]:
        found += headers.ids(part, "Message-ID") if part is not message else []
        if part.get_content_type() in {
            "text/rfc822-headers",
            "text/plain",
            "message/rfc822-headers",
            "message/global-headers",
        }:
            found += _ORIGINAL_ID.findall(headers.carried(part)[:500_000].decode("latin-1"))
    found += headers.ids(message, "In-Reply-To") + headers.ids(message, "References")
    return list(dict.fromkeys(found))[:50]
