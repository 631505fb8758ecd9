"""Replies and letters leave as mail: queued in the transaction that decides it, sent by the outbox."""

import re
import secrets
import smtplib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from anymail.exceptions import (
    AnymailAPIError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailUnsupportedFeature,
)
from django.conf import settings
from django.core.mail import BadHeaderError, EmailMultiAlternatives, get_connection
from django.db import connection, transaction
from django.db.models import Count, F, Q
from django.utils import timezone
from django.utils.html import escape

from staff import actions as staff
from staff.models import AUTOMATION, Notification, User
from staff.notices import mute_address, next_loud, one_click
from supportdesk import crypto, outbox
from supportdesk.errors import Conflict
from supportdesk.text import markdown
from tickets.mail import addresses, wording
from tickets.models import (
    InboundEmail,
    Letter,
    LetterKind,
    MailAddress,
    Mailbox,
    Message,
    MessageKind,
    OutboundEmail,
    RatingScore,
    Status,
    Ticket,
    TicketEvent,
)

MOST_REFERENCES = 10
METADATA = "desk-mail"
MOST_QUOTED = 20_000  # characters of what went before
AUTOMATIC = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}  # RFC 3834: no machine answers
# Automatic mail beyond these is not written: whatever loop it is in ends.
MOST_TO_ADDRESS, MOST_OF_TICKET = 5, 10  # in an hour, in a day
# A mail server that hangs may hold this many workers, not all of them: the clocks share them.
MOST_SENDERS, SENDERS_LOCK = 2, 7201
MOST_TRIES_ALONE = 12  # of a mail whose copies have left, over some nine hours


def mailbox_for(ticket: Ticket) -> Mailbox | None:
    """The mailbox that a ticket's mail leaves from: of its tier the one that the ticket came to, else the first."""
    came_to = InboundEmail.objects.filter(ticket=ticket).order_by("id").values_list("mailbox", flat=True).first()
    boxes = list(Mailbox.objects.filter(active=True))
    of_tier = [box for box in boxes if box.tier_id == ticket.tier_id]
    return next((box for box in of_tier if box.pk == came_to), None) or next(iter(of_tier or boxes), None)


def _address_of(mailbox: Mailbox | None) -> str:
    return mailbox.address if mailbox else settings.DEFAULT_FROM_EMAIL.rpartition("<")[2].rstrip(">")


def _sender(mailbox: Mailbox | None, who: str = "") -> str:
    desk = mailbox.display_name if mailbox else "Support"
    name = f"{who} ({desk})" if who else desk
    quotable = name.replace("\\", "").replace('"', "'")
    return f'"{quotable}" <{_address_of(mailbox)}>'


def _facts(ticket: Ticket, mailbox: Mailbox | None, **more: Any) -> dict[str, Any]:
    """What templates name."""
    rated = {
        f"rate_{score}": f"{settings.BASE_URL}/rate/{ticket.number}/{crypto.sign('rate', ticket.number)}/?score={score}"
        for score in RatingScore.values
    }
    return {
        "number": ticket.number, "subject": ticket.subject, "requester": ticket.requester.name or ticket.requester.email,
        "desk": mailbox.display_name if mailbox else "Support", "agent": "", "text": "",
        "url": f"{settings.BASE_URL}/tickets/{ticket.number}/", **rated, **more,
    }  # fmt: skip


def _language(ticket: Ticket, mailbox: Mailbox | None) -> str:
    """The language that the requester wrote last, where their mail says so; else the mailbox's."""
    said = InboundEmail.objects.filter(ticket=ticket).exclude(language="").order_by("-id")
    return said.values_list("language", flat=True).first() or (mailbox.language if mailbox else "en")


def queue(ticket: Ticket, message: Message, then: Status | None = None) -> OutboundEmail | None:
    """Put the mail of a public reply into the outbox, in the transaction of the reply.

    What rules write stops at a number a ticket and day; then nothing is queued, and the ticket's history says so.
    """
    mailbox = mailbox_for(ticket)
    author = message.author
    if author is not None and author.is_automation:
        if not _may_be_answered(ticket):
            return None
        if _too_many(ticket, ticket.requester.email):
            TicketEvent.record(ticket, "Supportdesk", "mail_capped", to=ticket.requester.email)
            return None
    kind = {Status.RESOLVED: LetterKind.RESOLVED, Status.WAITING: LetterKind.NEEDS_ANSWER}.get(
        then or Status.OPEN, LetterKind.REPLIED
    )
    language = _language(ticket, mailbox)
    said = ticket.messages.exclude(rfc_id="").exclude(kind=MessageKind.NOTE)
    seen = list(said.values_list("rfc_id", flat=True))
    message.rfc_id = addresses.new_message_id(ticket.number, message.pk)
    message.save(update_fields=["rfc_id"])
    words = wording.wording(kind, mailbox, language)
    mail = OutboundEmail.objects.create(
        ticket=ticket, message=message, mailbox=mailbox, kind=kind, language=language,
        sender=_sender(mailbox, message.who), to=ticket.requester.email, cc=ticket.cc,
        reply_to=addresses.reply_address(_address_of(mailbox), ticket, ticket.requester.email),
        subject=wording.subject_line(words.subject, _facts(ticket, mailbox, agent=message.who)), rfc_id=message.rfc_id,
        in_reply_to=seen[-1] if seen else "", references=_references(seen),
    )  # fmt: skip
    outbox.put("tickets.send_mail", mail.pk, key=f"mail:{mail.rfc_id}")
    return mail


def _references(seen: list[str]) -> str:
    """The thread's first Message-ID and its last ones: programs join a thread by any, and break over long headers."""
    kept = seen if len(seen) <= MOST_REFERENCES else [seen[0], *seen[1 - MOST_REFERENCES :]]
    while len(kept) > 2 and sum(len(one) + 3 for one in kept) > 900:
        del kept[1]
    return " ".join(f"<{one}>" for one in kept)


@transaction.atomic
def send_again(*, message_id: int, ticket: Ticket) -> OutboundEmail:
    """Queue a mail once more that came back or was refused; it keeps its Message-ID, so a copy that did arrive stays one."""
    mail = OutboundEmail.objects.select_for_update(of=("self",)).filter(message=message_id, ticket=ticket).first()
    if mail is None or mail.bounced_at is None:
        raise Conflict("Only a mail that did not arrive is sent again.")
    # It goes to where the requester is reached now; who has it already gets no second one.
    mail.to, mail.cc = ticket.requester.email, [] if mail.copies_have_it else ticket.cc
    mail.sent_at = mail.bounced_at = None
    mail.error, mail.sent_again = "", mail.sent_again + 1
    mail.save()
    # Who sends it again takes the address for good; what comes back once more says otherwise.
    MailAddress.objects.filter(address=mail.to.lower()).update(bounced_at=None, permanent=False)
    outbox.put("tickets.send_mail", mail.pk, key=f"mail:{mail.rfc_id}:{mail.sent_again}")
    return mail


# ------------------------------------------------------------------------------------- letters
def write(
    ticket: Ticket, *, to: str, subject: str, text: str, key: str, kind: str = LetterKind.PLAIN, sender: str = "", reply_to: str = "",
    in_reply_to: str = "", not_before: datetime | None = None,
) -> Letter:  # fmt: skip
    """Put a letter of the desk into the outbox, in the open transaction, to leave at once or not before a moment."""
    letter = Letter.objects.create(
        ticket=ticket, kind=kind, to=to, subject=subject[:320], text=text, sender=sender, reply_to=reply_to, in_reply_to=in_reply_to,
        rfc_id=addresses.new_message_id(ticket.number, secrets.randbits(59), letter=True),
    )  # fmt: skip
    outbox.put("tickets.send_letter", letter.pk, key=key, not_before=not_before)
    return letter


def acknowledge(ticket: Ticket, message: Message) -> None:
    """Have the sender of a new ticket's mail told that it has arrived. The caller knows that it is no machine's, nor ours."""
    outbox.put("tickets.send_received", message.pk, key=f"received:{ticket.pk}", at_once=False)


@outbox.handler("tickets.send_received")
@transaction.atomic
def send_received(message_id: int) -> None:
    """Write and send that answer, where the template is in use and the address has not had enough."""
    mails = InboundEmail.objects.filter(message=message_id).select_related("mailbox", "ticket__requester", "message")
    mail = mails.defer("raw").first()
    if mail is None or mail.ticket is None or mail.message is None:
        return  # erased meanwhile
    ticket, mailbox = mail.ticket, mail.mailbox
    words = wording.wording(LetterKind.RECEIVED, mailbox, mail.language or mailbox.language)
    if words.active and not _is_nobody(ticket.requester.email):
        _of_template(
            LetterKind.RECEIVED, words, ticket, mailbox, key=f"received:{ticket.pk}:letter", in_reply_to=mail.message.rfc_id
        )  # fmt: skip


def tell_resolved(ticket: Ticket) -> Letter | None:
    """Tell who wrote by mail that their ticket is resolved, where no reply says so."""
    mailbox = mailbox_for(ticket)
    words = wording.wording(LetterKind.RESOLVED, mailbox, _language(ticket, mailbox))
    if not words.active or not _may_be_answered(ticket):
        return None
    public = ticket.messages.exclude(rfc_id="").exclude(kind=MessageKind.NOTE).order_by("-id")
    newest = public.values_list("rfc_id", flat=True).first() or ""
    key = f"resolved:{ticket.pk}:{ticket.version}"
    return _of_template(LetterKind.RESOLVED, words, ticket, mailbox, key=key, in_reply_to=newest)


def _of_template(
    kind: str, words: wording.Wording, ticket: Ticket, mailbox: Mailbox | None, *, key: str, in_reply_to: str
) -> Letter | None:
    to = ticket.requester.email
    if _too_many(ticket, to):
        TicketEvent.record(ticket, "Supportdesk", "mail_capped", to=to)
        return None
    facts = _facts(ticket, mailbox)
    return write(
        ticket, to=to, subject=wording.subject_line(words.subject, facts), text=wording.fill(words.text, facts).strip(), key=key, kind=kind,
        sender=_sender(mailbox), reply_to=addresses.reply_address(_address_of(mailbox), ticket, to), in_reply_to=in_reply_to,
    )  # fmt: skip


def tell_staff(ticket: Ticket, message: Message) -> None:
    """Send what the requester wrote to the assignee and watchers who want it by mail; each may answer from their own address."""
    people = User.objects.filter(mails_wanted=True, is_active=True).exclude(mutes__about=f"/tickets/{ticket.number}/")
    mailbox = mailbox_for(ticket)
    for person in (people.filter(tickets=ticket) | people.filter(watching__ticket=ticket)).distinct():
        if not Ticket.objects.visible_to(person).filter(pk=ticket.pk).exists():
            continue
        why = "it is assigned to you" if ticket.assignee_id == person.pk else "you watch it"
        text = (
            f"{_as_lines(message.text)}\n\n---\n[Ticket {ticket.number}]({settings.BASE_URL}/tickets/{ticket.number}/). "
            f"What you answer to this mail goes to {_as_lines(str(ticket.requester))}; begin it with \\#note for an internal note.\n\n"
            f"You get this because {why}. [Hear no more about it]({_mute(ticket, person)})."
        )
        write(
            ticket, to=person.email, subject=f"{ticket.subject} [#{ticket.number}]", text=text, key=f"notice:{message.pk}:{person.pk}",
            kind=LetterKind.NOTICE, sender=_sender(mailbox, message.who), reply_to=addresses.reply_address(_address_of(mailbox), ticket, person.email),
            in_reply_to=message.rfc_id, not_before=next_loud(person, timezone.now()),
        )  # fmt: skip


def _mute(ticket: Ticket, person: User) -> str:
    return mute_address(person.pk, f"/tickets/{ticket.number}/")


def _as_lines(text: str) -> str:
    """What a stranger wrote, as markdown that shows it as it stands: no link hides where it leads."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", text)


def _may_be_answered(ticket: Ticket) -> bool:
    """Whether mail that no person writes may go to the requester: not to machines, forged senders, ourselves, dead addresses."""
    to = ticket.requester.email
    if _is_nobody(to) or addresses.mailbox_of(to) or _does_not_arrive(to):
        return False
    came = list(InboundEmail.objects.filter(ticket=ticket).order_by("-id").values_list("sender", "unanswerable")[:200])
    theirs = [unanswerable for sender, unanswerable in came if sender == to]
    return not theirs[0] if theirs else not came  # who never wrote, and is only named in another's mail, gets none


def _is_nobody(address: str) -> bool:
    return address.endswith(("@invalid", ".invalid"))


def _does_not_arrive(address: str) -> bool:
    return MailAddress.objects.filter(address=address.lower(), permanent=True, bounced_at__isnull=False).exists()


def _too_many(ticket: Ticket, to: str) -> bool:
    """Whether automatic mail to an address, or on a ticket, has to stop for a while."""
    hour, day = timezone.now() - timedelta(hours=1), timezone.now() - timedelta(days=1)
    lately, today = Q(to=to, created_at__gt=hour), Q(ticket=ticket, created_at__gt=day)
    written = Letter.objects.exclude(kind__in=[LetterKind.NOTICE, LetterKind.PLAIN]).filter(lately | today).order_by()
    found = written.aggregate(to_address=Count("pk", filter=lately), of_ticket=Count("pk", filter=today))
    if found["to_address"] >= MOST_TO_ADDRESS:
        return True
    by_rules = OutboundEmail.objects.filter(lately | today, message__author__email=AUTOMATION).order_by()
    ruled = by_rules.aggregate(to_address=Count("pk", filter=lately), of_ticket=Count("pk", filter=today))
    return (
        found["to_address"] + ruled["to_address"] >= MOST_TO_ADDRESS
        or found["of_ticket"] + ruled["of_ticket"] >= MOST_OF_TICKET
    )


# ------------------------------------------------------------------------------------- sending
@outbox.handler("tickets.send_letter")
@transaction.atomic
def send_letter(letter_id: int) -> None:
    """Send a letter, marked as automatic so that no machine answers. The row is locked while the server talks."""
    _take_turn()
    letter = Letter.objects.select_for_update(of=("self",)).select_related("ticket").get(pk=letter_id)
    if letter.sent_at is not None:
        return
    replied = letter.kind in {LetterKind.RECEIVED, LetterKind.RESOLVED}
    headers = {**AUTOMATIC, "X-Loop": settings.MAIL_DOMAIN}
    if letter.kind == LetterKind.NOTICE and (person := User.objects.filter(email=letter.to).first()) is not None:
        headers |= one_click(_mute(letter.ticket, person))
    if replied:
        headers["Auto-Submitted"] = "auto-replied"
    if letter.rfc_id:
        headers["Message-ID"] = f"<{letter.rfc_id}>"
    if letter.in_reply_to:
        headers |= {"In-Reply-To": f"<{letter.in_reply_to}>", "References": f"<{letter.in_reply_to}>"}
    text = letter.text if letter.kind == LetterKind.PLAIN else wording.plain(letter.text)
    email = EmailMultiAlternatives(
        subject=letter.subject, body=text, from_email=letter.sender or settings.DEFAULT_FROM_EMAIL, to=[letter.to],
        reply_to=[letter.reply_to] if letter.reply_to else None, headers=headers,
    )  # fmt: skip
    if letter.kind != LetterKind.PLAIN:
        email.attach_alternative(str(markdown(letter.text)), "text/html")
    refusal, _ = _refused(email)
    letter.error = refusal.words[:300] if refusal else ""
    if refusal is not None:
        _note_refusal(letter.to, refusal)
        TicketEvent.record(letter.ticket, "Supportdesk", "delivery_failed", to=letter.to, error=letter.error)
    letter.sent_at = timezone.now()
    letter.save(update_fields=["sent_at", "error"])


@outbox.handler("tickets.send_mail")
@transaction.atomic
def send(mail_id: int) -> None:
    """Send one mail. The row is locked while the server talks, so two workers cannot send it twice."""
    _take_turn()
    mail = (
        OutboundEmail.objects.select_for_update(of=("self",))
        .select_related("message__author", "ticket__requester", "mailbox")
        .get(pk=mail_id)
    )
    if mail.sent_at is not None:
        return
    headers = {"Message-ID": f"<{mail.rfc_id}>"}
    if mail.message.author and mail.message.author.is_automation:
        headers |= {**AUTOMATIC, "X-Loop": settings.MAIL_DOMAIN}
    if mail.in_reply_to:
        headers |= {"In-Reply-To": f"<{mail.in_reply_to}>", "References": mail.references}
    text, page = body_of(mail)
    email = EmailMultiAlternatives(
        subject=mail.subject, body=text, from_email=mail.sender, to=[mail.to], cc=[] if mail.copies_have_it else mail.cc,
        reply_to=[mail.reply_to], headers=headers,
    )  # fmt: skip
    email.attach_alternative(page, "text/html")
    for attachment in mail.message.attachments.all():
        try:
            with attachment.file.open() as file:
                email.attach(attachment.name, file.read(), attachment.content_type or "application/octet-stream")
        except FileNotFoundError:
            _never(mail, f"the file {attachment.name} is missing")
            return
    refusal, copies = _refused(email)
    for address, said in copies.items():
        _note_refusal(address, said)
        TicketEvent.record(mail.ticket, "Supportdesk", "delivery_failed", to=address, error=said.words[:300])
    if refusal is None:
        mail.sent_at = timezone.now()
        mail.save(update_fields=["sent_at"])
        return
    if refusal.others_have_it and not mail.copies_have_it:
        mail.copies_have_it = True
        mail.save(update_fields=["copies_have_it"])
    if refusal.passing:  # of the requester alone: the copies have left, so this try counts as done and another begins
        tries = outbox.OutboxItem.objects.filter(handler="tickets.send_mail", object_id=mail.pk).count()
        if tries <= MOST_TRIES_ALONE:
            wait = min(timedelta(minutes=5 * 2**tries), outbox.LONGEST_WAIT)
            key = f"mail:{mail.rfc_id}:{mail.sent_again}:alone:{tries}"
            outbox.put("tickets.send_mail", mail.pk, key=key, not_before=timezone.now() + wait)
            return
    _note_refusal(mail.to, refusal)
    _never(mail, refusal.words)


def _take_turn() -> None:
    """Let only so many workers talk to mail servers at once; the others come back soon."""
    with connection.cursor() as cursor:
        for seat in range(MOST_SENDERS):
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [SENDERS_LOCK, seat])
            if cursor.fetchone()[0]:
                return
    raise outbox.Later


def body_of(mail: OutboundEmail) -> tuple[str, str]:
    """(text, HTML) of a reply from one source: its template, the signature, and what went before where the mailbox quotes it."""
    author = mail.message.author
    facts = _facts(mail.ticket, mail.mailbox, text=mail.message.text, agent=mail.message.who)
    text = wording.fill(wording.wording(mail.kind, mail.mailbox, mail.language).text, facts).strip()
    if author and author.signature:
        text = f"{text}\n\n-- \n{author.signature}"
    page, text = str(markdown(text)), wording.plain(text)
    if mail.mailbox is not None and mail.mailbox.quotes_history and (before := _before(mail.message)) is not None:
        said = wording.attribution(mail.language, before.created_at, str(before.who))
        quoted = before.text[:MOST_QUOTED]
        text += f"\n\n{said}\n" + "\n".join(f"> {line}" for line in quoted.split("\n"))
        page += f'<p>{escape(said)}</p><blockquote type="cite">{escape(quoted).replace(chr(10), "<br>")}</blockquote>'
    return text, page


def _before(message: Message) -> Message | None:
    """The public message before this one."""
    said = Message.objects.filter(ticket=message.ticket_id, pk__lt=message.pk).exclude(kind=MessageKind.NOTE)
    return said.select_related("author", "requester").order_by("-id").first()


@dataclass(frozen=True)
class Refusal:
    """What a server said of the first recipient (To) of a mail. `others_have_it`: it took the mail for the rest."""

    words: str
    of_address: bool = False  # the address itself does not exist
    others_have_it: bool = False
    passing: bool = False


def _refused(email: EmailMultiAlternatives) -> tuple[Refusal | None, dict[str, Refusal]]:
    """Send it: what the server said where it does not take it for the recipient, and for those who get copies.

    What may be better later, for all recipients, raises.
    """
    try:
        refused = _sent(email)
    except (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError):
        raise  # the desk's own settings: an administrator mends them, and the mail leaves then
    except (AnymailRecipientsRefused, AnymailInvalidAddress, AnymailUnsupportedFeature) as error:
        return Refusal(str(error)), {}
    except AnymailAPIError as error:
        code = getattr(error, "status_code", None) or 0
        if code in {400, 413, 422}:  # 401, 403: the desk's own settings; 429 and 5xx: later
            return Refusal(f"{code} {error}"), {}
        raise
    except (BadHeaderError, UnicodeError) as error:
        return Refusal(f"It cannot be written as a mail: {error}"), {}
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
        code, reason = _said(error)
        if code < 500 or code in _SIGN_IN_FIRST:
            raise
        return _refusal(code, reason, others_have_it=False), {}
    said = {address: _refusal(code, reason, others_have_it=True) for address, (code, reason) in refused.items()}
    return said.pop(email.to[0], None), said


# RFC 4954 and RFC 3207: the desk has to sign in, or to use TLS. No word about the mail.
_SIGN_IN_FIRST = {530, 534, 535, 538}


def _refusal(code: int, reason: bytes | str, *, others_have_it: bool) -> Refusal:
    words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    no_such = code in {550, 551, 553} and re.match(r"5\.1\.[1236]\b", words) is not None  # RFC 3463
    return Refusal(f"{code} {words}", no_such, others_have_it, passing=code < 500)


def _note_refusal(to: str, refusal: Refusal) -> None:
    """Remember an address that a server says does not exist, as a bounce of it would."""
    if refusal.of_address and not refusal.passing:
        row, _ = MailAddress.objects.get_or_create(address=to.lower())
        MailAddress.objects.filter(pk=row.pk).update(
            bounced_at=timezone.now(), permanent=True, reason=refusal.words[:300], bounces=F("bounces") + 1
        )


def _sent(email: EmailMultiAlternatives) -> dict[str, tuple[int, bytes]]:
    """Send it; the recipients that the server refused while it took the mail for others, which Django does not tell."""
    backend = email.connection = get_connection()
    if "Message-ID" in email.extra_headers:  # providers say by it which mail did not arrive
        email.metadata = {METADATA: email.extra_headers["Message-ID"].strip("<>")}  # type: ignore[attr-defined]
    backend.open()
    refused: dict[str, tuple[int, bytes]] = {}
    server = getattr(backend, "connection", None)
    if isinstance(server, smtplib.SMTP):
        send = server.sendmail

        def noting(*arguments: Any, **more: Any) -> dict[str, tuple[int, bytes]]:
            refused.update(send(*arguments, **more))
            return refused

        server.sendmail = noting  # type: ignore[method-assign]
    try:
        email.send()
    finally:
        backend.close()
    return refused


def _said(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPResponseException) -> tuple[int, bytes | str]:
    """The code and words of a refusal; of several the one that may be better later: then all are tried again."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return min(error.recipients.values(), default=(500, b"refused"))
    return error.smtp_code, error.smtp_error


def _never(mail: OutboundEmail, words: str) -> None:
    """Say on the ticket that its mail does not leave, once, and tell who wrote it."""
    TicketEvent.record(mail.ticket, "Supportdesk", "delivery_failed", to=mail.to, error=words[:300])
    now = timezone.now()
    OutboundEmail.objects.filter(pk=mail.pk).update(bounced_at=now, sent_at=now, error=words[:300])
    tell_not_arrived(mail, words)


def tell_not_arrived(mail: OutboundEmail, words: str) -> None:
    """Notify who wrote a reply, and who has its ticket, that it did not arrive."""
    people = list(filter(None, {mail.message.author_id, mail.ticket.assignee_id}))
    text = f"Your mail to {mail.to} did not arrive: {mail.ticket.number} {mail.ticket.subject}. {words}"[:300]
    staff.notify(
        Notification(
            user=user, kind="mail.bounced", text=text, reason="Because it is your mail or your ticket",
            url=f"/tickets/{mail.ticket.number}/#m{mail.message_id}", key=f"bounced:{mail.pk}:{mail.sent_again}",
        )
        for user in User.objects.filter(pk__in=people, is_active=True)
    )  # fmt: skip
