"""Mail that no person wrote: automatic answers, lists, loops, reports."""

import re
from email.message import Message

from tickets.mail import headers

_DAEMON = re.compile(
    r"^(mailer-daemon|post[._-]?master|mail-daemon|mailerdaemon|mdaemon|mail[._-]?delivery[._-]?(sub)?system|double-bounce|bounces?|ndr)([+-][^@]*)?@",
    re.IGNORECASE,
)
_BARE_DAEMON = re.compile(r"^\W*mailer[- ]daemon\W*(\(.*|<\W*)?$", re.IGNORECASE | re.DOTALL)
NO_REPLY = re.compile(
    r"^(no-?reply|do-?not-?reply|donotreply|notifications?|mailer|automated)([+-][^@]*)?@", re.IGNORECASE
)
# As programs write it: at the beginning, without Re:, and nothing but it or a colon behind. A person asks about it otherwise.
_AWAY_SUBJECT = re.compile(
    r"^\s*\W*(out of (the )?office( (auto(matic)?[ -]?)?(reply|response|message))?|automatic reply|auto(matic)?[ -]?(reply|response|antwort|svar)|autoreply"
    r"|automatische (antwort|antwoord)|abwesenheits(notiz|nachricht|meldung|assistent)?|réponse automatique( d.absence)?|absence du bureau|message d.absence"
    r"|respuesta automática|fuera de (la )?oficina|risposta automatica|fuori sede|afwezig(heidsbericht)?|frånvaro|autosvar|automatiskt svar|automatisk svar|fravær"
    r"|automatická odpove(ď|ď)|automatická odpověď|automatisch antwoord|automaattinen vastaus|automatikus válasz|automatski odgovor|samodejni odgovor|răspuns automat"
    r"|автоматический ответ|автоматична відповідь|автоматичен отговор|αυτόματη απάντηση|otomatik yanıt|自動返信|自动答复|自動回覆|자동 회신|automaatvastus|automātiska atbilde|automatinis atsakymas|autoodpowiedź|automatyczna odpowiedź|odpowiedź automatyczna|resposta automática|автоответ|自動応答|不在)\s*([\]:：]|$)"
    r"|^(auto: )?[^:]{1,80} is out of the office\.?\s*(\(return[^)]*\))?\s*$",  # Notes
    re.IGNORECASE,
)
REPORTS = {"message/delivery-status", "message/global-delivery-status"}


def is_automatic_answer(message: Message) -> bool:
    """An answer that a program sent: RFC 3834, and what was in use before it."""
    submitted = _token(message, "Auto-Submitted")
    if submitted.startswith("auto-replied"):
        return True
    says = headers.param(message, "report-type").lower() == "disposition-notification"
    if message.get_content_type() == "multipart/report" and (says or _receipts(message)):
        return True  # a read receipt (RFC 8098)
    precedence = _token(message, "Precedence")
    marks = ("X-Autoreply", "X-Autorespond", "X-AutoReply-From", "X-Mail-Autoreply", "X-Auto-Reply")
    if precedence in {"auto_reply", "auto-reply"} or any(name in message for name in marks):
        return True
    return is_away(message)


def is_daemon(address: str) -> bool:
    """Whether an address is a mail server's own."""
    return bool(_DAEMON.match(address))


def is_from_daemon(message: Message, sender: str) -> bool:
    """Whether a mail server wrote it, by its address or by its bare name."""
    return is_daemon(sender) or any(
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
        or ("List-Id" not in message and (precedence in {"bulk", "junk"} or "X-Loop" in message))
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
        "delivery-status" in kind or any(part.get_content_type() in REPORTS for part in parts(message))
    )


def receipt_of(message: Message) -> list[str]:
    """The Message-ID of the mail that a read receipt is of (RFC 8098, 3.2.5)."""
    groups = [group for part in _receipts(message) for group in headers.inner(part)]
    return [one for group in groups for one in headers.ids(group, "Original-Message-ID")]


def _receipts(message: Message) -> list[Message]:
    return [part for part in parts(message) if part.get_content_type() == "message/disposition-notification"]


def parts(message: Message) -> list[Message]:
    """The parts of a message some levels down, not those of the messages that it carries."""
    found: list[Message] = []
    waiting = [message]
    while waiting and len(found) < 200:
        part = waiting.pop(0)
        found.append(part)
        if part.get_content_maintype() == "multipart":
            waiting += headers.inner(part)
    return found
