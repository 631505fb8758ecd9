"""What the pages about mail show."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import BinaryField, Count, F, Func, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from staff.models import User
from supportdesk.errors import NotFound
from supportdesk.text import markdown
from tickets.mail import outgoing as leaving
from tickets.mail import reader, sorting, source, wording
from tickets.models import (
    InboundEmail,
    InboundState,
    Letter,
    LetterKind,
    Mailbox,
    MailRule,
    MailTemplate,
    Message,
    OutboundEmail,
    Ticket,
)
from tickets.policies import check_can_make_rules
from tickets.queries.detail import readable
from tickets.recipe import read as read_recipe

MOST_TRIED = 200  # mails that a rule is tried on
TRIAL_SECONDS = 5.0


def mailboxes() -> list[tuple[Mailbox, dict[str, int]]]:
    """Every mailbox with what came in within a day: taken, needing a look."""
    since = timezone.now() - timedelta(days=1)
    rows = InboundEmail.objects.filter(received_at__gt=since).values("mailbox").annotate(
        taken=Count("pk"), failed=Count("pk", filter=Q(state=InboundState.FAILED))
    )  # fmt: skip
    counts = {row["mailbox"]: {"taken": row["taken"], "failed": row["failed"]} for row in rows}
    newest = InboundEmail.objects.filter(mailbox=OuterRef("pk")).order_by("-id").values("received_at")[:1]
    boxes = Mailbox.objects.select_related("tier", "imap").annotate(message_at=Subquery(newest))
    return [(box, counts.get(box.pk, {"taken": 0, "failed": 0})) for box in boxes]


def mailbox_log(mailbox: Mailbox, user: User) -> QuerySet[InboundEmail]:
    """What a mailbox took last, without the mails themselves; of tickets that the reader may see."""
    mails = InboundEmail.objects.filter(mailbox=mailbox).visible_to(user)
    return mails.select_related("ticket").defer("raw").order_by("-id")


def needing_a_look(user: User) -> QuerySet[InboundEmail]:
    """Mail that could not be read and that the reader may see, newest first. Raises NotPermitted."""
    check_can_make_rules(user)
    waiting = InboundEmail.objects.needing_a_look().visible_to(user)
    return waiting.select_related("ticket", "mailbox").defer("raw").order_by("-id")


def templates() -> list[dict[str, Any]]:
    """Every template, built in or changed, with the mailbox and language that it is for."""
    changed = {
        (row.kind, row.language, row.mailbox_id): row
        for row in MailTemplate.objects.select_related("mailbox", "changed_by")
    }
    rows = []
    for kind in wording.KINDS:
        wanted: dict[tuple[str, int | None], None] = dict.fromkeys(
            [(language, None) for language in wording.languages_of(kind)]
        )
        wanted |= dict.fromkeys((language, box) for one, language, box in changed if one == kind)
        for language, box in wanted:
            row = changed.get((kind, language, box))
            named = {"language": language, "language_name": dict(wording.LANGUAGES).get(language, language)}
            rows.append({"kind": kind, **named, "mailbox": row.mailbox if row else None, "changed": row})
    return rows


@dataclass(frozen=True)
class MailOf:
    """A message's mail: how it came, its copies, its headers."""

    message: Message
    inbound: InboundEmail
    copies: list[InboundEmail]
    headers: list[list[str]]
    rules: list[str]


def mail_of(ticket: Ticket, pk: int, user: User) -> MailOf:
    """The mail behind a message of a ticket that the reader was seen to see, or NotFound."""
    messages = readable(ticket, user).filter(pk=pk, inbound__isnull=False)
    message = messages.select_related("inbound__mailbox").first()
    if message is None:
        raise NotFound("This message did not come by mail.")
    inbound = message.inbound
    same = InboundEmail.objects.filter(content_hash=inbound.content_hash, state=InboundState.DUPLICATE)
    try:
        headers = reader.read(bytes(inbound.raw)).headers if inbound.raw else []
    except (reader.TooMuch, ValueError):
        headers = []
    rules = list(MailRule.objects.filter(pk__in=inbound.rules).values_list("name", flat=True))
    return MailOf(
        message, inbound, list(same.select_related("mailbox").defer("raw").order_by("id")[:50]), headers, rules
    )


def html_with_pictures(message: Message) -> str:
    """The HTML of a message's mail with the remote pictures in it, for a reader who asked for them."""
    mail = InboundEmail.objects.filter(message=message).first()
    if mail is None or not mail.raw:
        raise NotFound("This message did not come by mail.")
    try:
        read = reader.read(bytes(mail.raw), remote=True)
    except (reader.TooMuch, ValueError):
        raise NotFound("This mail cannot be read.") from None
    return read.html


def mail_rules() -> list[tuple[MailRule, str, list[str]]]:
    """Rules on mail in order, each with what it does in words, and its conditions."""
    found = []
    for rule in MailRule.objects.select_related("tier", "mailbox"):
        does = ["spam"] if rule.spam else []
        does += [f"to {rule.tier}"] if rule.tier else []
        does += read_recipe(rule.recipe).words
        found.append((rule, "; ".join(does), sorting.written(rule.conditions).split("\n")))
    return found


@dataclass(frozen=True)
class Trial:
    """What a rule would pick of the newest mail. `ended`: time was over before all of it was looked at."""

    looked_at: int
    ended: bool
    picked: list[InboundEmail]


HEADS, BEGINNING = 200_000, 2_000_000  # bytes


def try_rule(rule: MailRule, user: User) -> Trial:
    """The newest mails that a rule picks, of tickets that the reader may see. Nothing is changed."""
    mails = InboundEmail.objects.filter(state=InboundState.APPLIED).visible_to(user)
    picked: list[InboundEmail] = []
    looked, until = 0, time.monotonic() + TRIAL_SECONDS
    newest = mails.exclude(raw=b"").order_by("-id").values_list("pk", flat=True)[:MOST_TRIED]
    fields = {condition["field"] for condition in rule.conditions}
    # Of a large mail the beginning is enough, but for the names of its files; where only headers are asked for, those are.
    enough = HEADS if fields <= {"from", "to", "subject", "header", "dmarc"} else BEGINNING
    beginning = Func(F("raw"), 1, enough, function="substring", output_field=BinaryField())
    shortened = mails.defer("raw") if "attachment" not in fields else mails
    for pk in newest:
        if time.monotonic() > until:
            return Trial(looked, True, picked)
        mail = shortened.select_related("ticket", "mailbox").annotate(beginning=beginning).get(pk=pk)
        looked += 1
        try:
            raw = bytes(mail.raw if "attachment" in fields else mail.beginning)
            raw = source.head_of(raw) if enough == HEADS else raw
            read = reader.read(raw, settings.MAIL_TRUSTED_RELAYS, envelope_from=mail.return_path)
        except (reader.TooMuch, ValueError):
            continue
        if sorting.judge(read, mail.mailbox, [rule]).rules:
            picked.append(mail)
    return Trial(looked, False, picked)


def template_preview(kind: str, mailbox: Mailbox | None, subject: str, text: str) -> dict[str, str]:
    """A template as its reader would get it, with example facts: those that a mail of its kind has."""
    facts: dict[str, str] = dict(wording.NAMES)
    if mailbox is not None:
        facts["desk"] = mailbox.display_name
    if kind == LetterKind.RECEIVED:
        facts |= {"text": "", "agent": ""}
    return {"subject": wording.subject_line(subject, facts), "html": str(markdown(wording.fill(text, facts)))}


def outgoing(state: str) -> QuerySet[Any]:
    """Mail that left or waits, newest first; `state` narrows it to queued, sent or bounced, or to letters of the desk."""
    if state == "desk":
        return Letter.objects.select_related("ticket")
    mails = OutboundEmail.objects.select_related("ticket__requester", "message__author", "mailbox")
    by_state = {
        "queued": Q(sent_at=None), "sent": Q(sent_at__isnull=False, bounced_at=None), "bounced": Q(bounced_at__isnull=False)
    }  # fmt: skip
    return mails.filter(by_state[state]) if state in by_state else mails


def as_sent(pk: int) -> tuple[OutboundEmail, str]:
    """A reply's mail and its HTML with everything that its template adds, or NotFound."""
    mail = outgoing("").filter(pk=pk).first()
    if mail is None:
        raise NotFound("There is no such mail.")
    return mail, leaving.body_of(mail)[1]
