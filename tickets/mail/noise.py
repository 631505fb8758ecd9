"""Mail that no person wrote: automatic answers, lists, loops, bounces."""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

from tickets.mail import headers

_DAEMON = re.compile(
    r"^(mailer-daemon|postmaster|mail-daemon|mailerdaemon|mdaemon|mail[._-]?delivery[._-]?(sub)?system|double-bounce|bounces?|ndr)([+-][^@]*)?@",
    re.IGNORECASE,
)
_BARE_DAEMON = re.compile(r"^\W*mailer[- ]daemon\W*(\(.*|<\W*)?$", re.IGNORECASE | re.DOTALL)
NO_REPLY = re.compile(
    r"^(no-?reply|do-?not-?reply|donotreply|notifications?|mailer|automated)([+-][^@]*)?@", re.IGNORECASE
)
# Subjects of servers and of people on holiday, in the languages that their programs speak.
_BOUNCE_SUBJECT = re.compile(
    r"(undeliver(able|ed)|delivery (status notification|failure|has failed)|mail delivery (failed|system)|returned mail"
    r"|failure notice|message (could not be|not) delivered|unzustellbar|nicht zugestellt|zustellung.*fehlgeschlagen"
    r"|non remis|échec de (la )?remise|no se pudo entregar|onbestelbaar|mancato recapito|niedostarczon|não entregue)",
    re.IGNORECASE,
)
# As programs write it: at the beginning, without Re:, and nothing but it or a colon behind. A person asks about it otherwise.
_AWAY_SUBJECT = re.compile(
    r"^\s*\W*(out of (the )?office( (auto(matic)?[ -]?)?(reply|response|message))?|automatic reply|auto(matic)?[ -]?(reply|response|antwort|svar)|autoreply"
    r"|automatische (antwort|antwoord)|abwesenheits(notiz|nachricht|meldung|assistent)?|réponse automatique( d.absence)?|absence du bureau|message d.absence"
    r"|respuesta automática|fuera de (la )?oficina|risposta automatica|fuori sede|afwezig(heidsbericht)?|frånvaro|autosvar|automatiskt svar|automatisk svar|fravær"
    r"|automatická odpověď|autoodpowiedź|automatyczna odpowiedź|odpowiedź automatyczna|resposta automática|автоответ|自動応答|不在)\s*([\]:：]|$)"
    r"|^(auto: )?[^:]{1,80} is out of the office\.?\s*(\(return[^)]*\))?\s*$",  # Notes
    re.IGNORECASE,
)
_STATUS = re.compile(r"\b([45])\.(\d{1,3})\.(\d{1,3})\b")
_SMTP_STATUS = re.compile(r"(#|\b[45]\d\d[ -])\s?[45]\.\d{1,3}\.\d{1,3}\b")
_SMTP_CODE = re.compile(r"(?<!-)\b([45]\d\d)[ -](?!\d+-)")  # and no telephone number
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9.-]{1,253}\.[A-Za-z]{2,63}")
MOST_OF_REPORT = 100_000  # bytes or characters: what a server says stands at the beginning
_ORIGINAL_ID = re.compile(r"^\s*>?\s*message-id:\s*<([^<>\s]+)>", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Bounce:
    """A report that mail did not arrive: of which recipient, for ever or for now, and of which Message-IDs."""

    recipients: list[str] = field(default_factory=list)
    permanent: bool = True
    delivered: bool = False  # a notice that it did arrive, or is only late
    reason: str = ""
    of: list[str] = field(default_factory=list)


def is_automatic_answer(message: Message) -> bool:
    """An answer that a program sent: RFC 3834, and what was in use before it."""
    submitted = _token(message, "Auto-Submitted")
    if submitted.startswith("auto-replied"):
        return True
    if message.get_content_type() == "multipart/report" and not is_report(message):
        return True  # a read receipt (RFC 8098)
    precedence = _token(message, "Precedence")
    marks = ("X-Autoreply", "X-Autorespond", "X-AutoReply-From", "X-Mail-Autoreply", "X-Auto-Reply")
    if precedence in {"auto_reply", "auto-reply"} or any(name in message for name in marks):
        return True
    return is_away(message)


def is_from_daemon(message: Message, sender: str) -> bool:
    """Whether a mail server wrote it, by its address or by its bare name."""
    return bool(_DAEMON.match(sender)) or any(
        _BARE_DAEMON.match(text) for name in ("From", "Return-Path") for text in headers.values(message, name)
    )


def is_away(message: Message) -> bool:
    """Whether the subject says that somebody is away."""
    return bool(_AWAY_SUBJECT.match(headers.value(message, "Subject")))


def is_automatic(message: Message, sender: str) -> bool:
    """Mail that a program wrote: it moves nothing on a ticket. What a list brings may well be a person's."""
    submitted, precedence = _token(message, "Auto-Submitted"), _token(message, "Precedence")
    return (
        is_automatic_answer(message)
        or submitted not in {"", "no"}
        or precedence in {"bulk", "junk"}
        or ("X-Loop" in message and "List-Id" not in message)
        or is_from_daemon(message, sender)
        or has_no_way_back(message)
    )


def wants_no_answer(message: Message, sender: str) -> bool:
    """Whether whoever wrote it, perhaps a person, must get no automatic answer."""
    suppress = re.split(r"[\s,;]+", headers.value(message, "X-Auto-Response-Suppress").lower())
    to_many = any(name in message for name in ("List-Id", "List-Unsubscribe", "Feedback-ID"))
    if to_many or _token(message, "Precedence") == "list":
        return True
    return bool(NO_REPLY.match(sender)) or not {"all", "oof", "autoreply", "dr", "rn", "nrn"}.isdisjoint(suppress)


def has_no_way_back(message: Message) -> bool:
    """The envelope's sender is empty: to answer it is forbidden (RFC 5321, 4.5.5)."""
    return any(text.strip() == "<>" for text in headers.values(message, "Return-Path"))


def _token(message: Message, name: str) -> str:
    return headers.value(message, name).lower().partition(";")[0].strip()


def is_report(message: Message) -> bool:
    """A delivery status notification (RFC 3464)."""
    kind = str(message.get("Content-Type", "")).lower()
    return message.get_content_type() == "multipart/report" and (
        "delivery-status" in kind
        or any(part.get_content_type() == "message/delivery-status" for part in _parts(message))
    )


def bounce_of(message: Message, sender: str, text: str, raw: bytes) -> Bounce | None:
    """What came back, from the report or from what old and odd servers write instead; None for ordinary mail.

    `raw` is the message as it came. A person may write about mail that came back: only what a program sent counts.
    """
    if is_report(message):
        return _reported(message, text, raw)
    failed = [address for _, address in headers.addresses(message, "X-Failed-Recipients")]
    if not (failed or is_automatic(message, sender)) or is_away(message):
        return None
    dead, late = _told_by_form(raw)
    if not (failed or dead or late) and (is_automatic_answer(message) or not _says_undelivered(message, sender, text)):
        return None  # somebody is away, and their mail server says so without a sender
    beginning = text[:MOST_OF_REPORT]
    status = _STATUS.search(beginning)
    code = _SMTP_CODE.search(beginning)
    permanent = (status[1] if status else code[1][0] if code else "5") == "5"
    named = [one.lower() for one in _MAIL_ADDRESS.findall(beginning) if not _DAEMON.match(one)]
    only_late = bool(late) and not (dead or failed)
    return Bounce(
        list(dict.fromkeys([*failed, *sorted(dead or late), *([] if failed or dead or late else named)]))[:20],
        permanent and not only_late, only_late, _line_with(beginning, status or code), _original_ids(message),
    )  # fmt: skip


def _says_undelivered(message: Message, sender: str, text: str) -> bool:
    """Whether the subject says so, or a server of that name gives a status."""
    from_server = is_from_daemon(message, sender)
    returned = bool(_BOUNCE_SUBJECT.search(headers.value(message, "Subject")))
    if returned and (from_server or has_no_way_back(message)):
        return True
    return from_server and bool(_SMTP_STATUS.search(text[:MOST_OF_REPORT]))


def _told_by_form(raw: bytes) -> tuple[set[str], set[str]]:
    """Recipients who are dead and who are served late, by the forms that servers are known to write in."""
    from flufl.bounce import all_failures

    try:
        late, dead = all_failures(message_from_bytes(raw[:MOST_OF_REPORT]))
    except MemoryError:
        raise
    except Exception:  # what a stranger's form breaks is in none of the known ones
        return set(), set()
    return _addresses_in(dead), _addresses_in(late)


def _addresses_in(found: Set[bytes]) -> set[str]:
    return {one.decode("ascii", "ignore").lower() for one in found if b"@" in one}


def _reported(message: Message, text: str, raw: bytes) -> Bounce:
    recipients, reasons, actions, statuses = [], [], [], []
    for part in _parts(message):
        if part.get_content_type() not in {"message/delivery-status", "message/global-delivery-status"}:
            continue
        for group in headers.inner(part) or [part]:
            # We know the address that we wrote to, not always the one that it leads to.
            named = [
                headers.readable(group[name]) for name in ("Original-Recipient", "Final-Recipient") if name in group
            ]
            if not named:
                continue
            recipients += [one.rpartition(";")[2].strip(" <>").lower()[:254] for one in named]
            actions.append(str(group.get("Action", "")).strip().lower())
            statuses.append(str(group.get("Status", "")).strip())
            diagnostic = str(group.get("Diagnostic-Code", "")).partition(";")[2] or str(group.get("Status", ""))
            reasons.append(" ".join(diagnostic.split()))
    harmless = bool(actions) and all(one in {"delivered", "relayed", "expanded", "delayed"} for one in actions)
    permanent = not any(one.startswith("4") for one in statuses) and not harmless
    reason = next(filter(None, reasons), "") or _line_with(text[:MOST_OF_REPORT], _STATUS.search(text[:MOST_OF_REPORT]))
    found = list(dict.fromkeys(one for one in recipients if "@" in one)) or sorted(set().union(*_told_by_form(raw)))
    return Bounce(found, permanent, harmless, reason[:300], _original_ids(message))


def _line_with(text: str, found: "re.Match[str] | None") -> str:
    if found is None:
        return ""
    start, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    return " ".join(text[start : end if end >= 0 else None].split())[:300]


def _original_ids(message: Message) -> list[str]:
    """Message-IDs of the mail that bounced, wherever the report carries it."""
    found: list[str] = []
    for part in _parts(message):
        kind = part.get_content_type()
        if kind in {"message/rfc822", "message/global"} and headers.inner(part):
            for inner in headers.inner(part):
                found += headers.ids(inner, "Message-ID")
        elif kind in {"text/rfc822-headers", "text/plain", "message/rfc822", "message/global-headers"}:
            found += _ORIGINAL_ID.findall(headers.content(part)[:500_000].decode("latin-1"))
    found += headers.ids(message, "In-Reply-To") + headers.ids(message, "References")
    return list(dict.fromkeys(found))[:50]


def _parts(message: Message) -> list[Message]:
    """The parts of a message some levels down, not those of the messages that it carries."""
    found: list[Message] = []
    waiting = [message]
    while waiting and len(found) < 200:
        part = waiting.pop(0)
        found.append(part)
        if part.get_content_maintype() == "multipart":
            waiting += headers.inner(part)
    return found
