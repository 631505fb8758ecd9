"""The words of mail that leaves: templates by mailbox and language, filled in. What nobody wrote has words of its own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from supportdesk.errors import Invalid
from supportdesk.text import one_line
from tickets.models import LetterKind, Mailbox, MailTemplate

_NAME = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")
_ANY_NAME = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")

# What a fact may not bring into a mail: places to go to, and characters of markdown that make one.
_ADDRESS = re.compile(r"(?:https?://|www\.)\S*", re.IGNORECASE)
_NO_MARKUP = str.maketrans({"[": "(", "]": ")", "<": "", ">": "", "`": "'", "!": "", "*": "", "\\": ""})
# Facts that are markdown, or ours.
_MARKDOWN = {"text", "url", "rate_good", "rate_fair", "rate_bad"}

# What a template may name, with an example for its preview.
NAMES: dict[str, str] = {
    "number": "1042",
    "subject": "The dashboard is slow",
    "requester": "Sofia Marin",
    "agent": "Amina Diallo",
    "desk": "User Support",
    "text": "Please reload the page and tell us whether it **helps**.",
    "rate_good": "https://desk.example.com/rate/1042/good/",
    "rate_fair": "https://desk.example.com/rate/1042/fair/",
    "rate_bad": "https://desk.example.com/rate/1042/bad/",
    "url": "https://desk.example.com/tickets/1042/",
}
KINDS = (LetterKind.RECEIVED, LetterKind.REPLIED, LetterKind.NEEDS_ANSWER, LetterKind.RESOLVED)
LANGUAGES = (
    ("en", "English"),
    ("de", "German"),
    ("fr", "French"),
    ("es", "Spanish"),
    ("it", "Italian"),
    ("nl", "Dutch"),
)


@dataclass(frozen=True)
class Wording:
    """Subject and text, as markdown, still with `{{name}}`s."""

    subject: str
    text: str
    active: bool = True


_SUBJECT = "Re: {{subject}} [#{{number}}]"
_OWN: dict[tuple[str, str], Wording] = {
    (LetterKind.REPLIED, "en"): Wording(_SUBJECT, "{{text}}"),
    (LetterKind.NEEDS_ANSWER, "en"): Wording(_SUBJECT, "{{text}}\n\n*We go on as soon as we have your answer: just reply to this mail.*"),
    (LetterKind.NEEDS_ANSWER, "de"): Wording(
        _SUBJECT, "{{text}}\n\n*Wir machen weiter, sobald Ihre Antwort da ist: Antworten Sie einfach auf diese E-Mail.*"
    ),
    (LetterKind.RESOLVED, "en"): Wording(
        _SUBJECT,
        "{{text}}\n\nWe take this for solved. If it is not, just reply to this mail.\n\n"
        "How did we do? [Good]({{rate_good}}) · [Fair]({{rate_fair}}) · [Bad]({{rate_bad}})",
    ),
    (LetterKind.RESOLVED, "de"): Wording(
        _SUBJECT,
        "{{text}}\n\nFür uns ist das gelöst. Wenn nicht, antworten Sie einfach auf diese E-Mail.\n\n"
        "Wie waren wir? [Gut]({{rate_good}}) · [Es geht]({{rate_fair}}) · [Schlecht]({{rate_bad}})",
    ),
    (LetterKind.RECEIVED, "en"): Wording(
        _SUBJECT,
        "Hello {{requester}},\n\nyour message has arrived. It has the number {{number}}. "
        "To add something, reply to this mail.\n\n{{desk}}",
    ),
    (LetterKind.RECEIVED, "de"): Wording(
        _SUBJECT,
        "Guten Tag {{requester}},\n\nIhre Nachricht ist angekommen. Sie hat die Nummer {{number}}. "
        "Wenn Sie etwas ergänzen möchten, antworten Sie auf diese E-Mail.\n\n{{desk}}",
    ),
}  # fmt: skip


def wording(kind: str, mailbox: Mailbox | None, language: str) -> Wording:
    """The words for a mail: of the mailbox before those for all, in the language before the mailbox's own, then built in."""
    languages = list(dict.fromkeys([language, mailbox.language if mailbox else "en", "en"]))
    found = MailTemplate.objects.filter(kind=kind, language__in=languages)
    rows = [row for row in found if row.mailbox_id in {None, mailbox.pk if mailbox else None}]
    for wanted in languages:
        of_language = [row for row in rows if row.language == wanted]
        for row in sorted(of_language, key=lambda row: row.mailbox_id is None):
            return Wording(row.subject or _SUBJECT, row.text, row.active)
        if (kind, wanted) in _OWN:
            return _OWN[kind, wanted]
    return _OWN[kind, "en"]


def languages_of(kind: str) -> list[str]:
    """The languages that the desk has words of its own for."""
    return [language for one, language in _OWN if one == kind]


def fill(template: str, facts: Mapping[str, object]) -> str:
    """Put the facts in the place of `{{name}}`s, as markdown; what a fact says is not looked through again.

    Names and subjects are whatever a sender wrote: they make no link and no mark-up in a mail of the desk.
    """
    return _NAME.sub(lambda found: _as_text(found[1], str(facts.get(found[1], found[0]))), template)


def _as_text(name: str, said: str) -> str:
    if name in _MARKDOWN or name not in NAMES:
        return said
    return _ADDRESS.sub("", said).translate(_NO_MARKUP).strip() or "…"


def names_for(kind: str) -> dict[str, str]:
    """What the text of a template may name; no person writes that a message has arrived."""
    nobody = {"agent", "text"} if kind == LetterKind.RECEIVED else set()
    return {name: example for name, example in NAMES.items() if name not in nobody}


def check(kind: str, subject: str, text: str) -> None:
    """Raise `Invalid` for words that could not be sent."""
    wrong: dict[str, list[str]] = {}
    in_text = list(names_for(kind))
    wrong |= unknown_names({"subject": subject}, [name for name in in_text if name != "text"])
    wrong |= unknown_names({"text": text}, in_text)
    if not text.strip():
        wrong["text"] = ["Write something here."]
    elif kind in {LetterKind.REPLIED, LetterKind.NEEDS_ANSWER, LetterKind.RESOLVED} and "text" not in _NAME.findall(
        text
    ):
        wrong.setdefault("text", []).append("Without {{text}} the reply itself would be missing.")
    if wrong:
        raise Invalid(" ".join(" ".join(said) for said in wrong.values()), fields=wrong)


def unknown_names(texts: Mapping[str, str], names: Sequence[str]) -> dict[str, list[str]]:
    """What is wrong with the `{{name}}`s of texts, by field."""
    wrong = {}
    for field, value in texts.items():
        rest = _ANY_NAME.sub("", value)
        if unknown := sorted(set(_ANY_NAME.findall(value)) - set(names)):
            listed = ", ".join("{{" + name + "}}" for name in names)
            wrong[field] = [f"There is no {{{{{unknown[0]}}}}} here; write {listed}."]
        elif "{{" in rest or "}}" in rest:
            wrong[field] = ["A name stands in two pairs of braces, such as {{number}}."]
    return wrong


_LINK = re.compile(r"(?<!\\)!?\[([^\[\]\n]{0,300})\]\(([^()\s]{1,2000})\)")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]<>#|~!()])")


def plain(text: str) -> str:
    """Markdown for a reader of plain text: a link says where it leads behind its words, and nothing is escaped."""
    return _ESCAPED.sub(
        r"\1", _LINK.sub(lambda found: found[2] if found[1] in {"", found[2]} else f"{found[1]}: {found[2]} ", text)
    )


_WROTE = {
    "de": "Am {at:%d.%m.%Y} um {at:%H:%M} UTC schrieb {who}:", "fr": "Le {at:%d/%m/%Y} à {at:%H:%M} UTC, {who} a écrit :",
    "es": "El {at:%d/%m/%Y} a las {at:%H:%M} UTC, {who} escribió:", "it": "Il {at:%d/%m/%Y} alle {at:%H:%M} UTC, {who} ha scritto:",
    "nl": "Op {at:%d-%m-%Y} om {at:%H:%M} UTC schreef {who}:",
}  # fmt: skip


def attribution(language: str, at: datetime, who: str) -> str:
    """The line above a quotation that says who wrote it, which mail programs know by its words."""
    return _WROTE.get(language, "On {at:%Y-%m-%d} at {at:%H:%M} UTC, {who} wrote:").format(at=at, who=who)


def subject_line(template: str, facts: Mapping[str, object]) -> str:
    """A subject on one line, with one Re: however many it had."""
    line = one_line(_NAME.sub(lambda found: str(facts.get(found[1], found[0])), template), most=320)
    return re.sub(r"^(re:\s*){2,}", "Re: ", line, flags=re.IGNORECASE)
