"""Replies leave as mail: queued with the reply, sent by the outbox."""

import smtplib

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.utils import timezone

from supportdesk import outbox
from supportdesk.text import markdown
from tickets.mail import addresses
from tickets.models import Letter, Mailbox, Message, MessageKind, OutboundEmail, Ticket, TicketEvent

MOST_REFERENCES = 20
AUTOMATIC = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}  # RFC 3834: no machine answers
# A mail server that hangs may hold this many workers, not all of them: the clocks share them.
MOST_SENDERS, SENDERS_LOCK = 2, 7201


def queue(ticket: Ticket, message: Message) -> OutboundEmail:
    """Put the mail of a public reply into the outbox, in the transaction of the reply."""
    mailbox = Mailbox.objects.filter(tier_id=ticket.tier_id).first() or Mailbox.objects.first()
    address = mailbox.address if mailbox else settings.DEFAULT_FROM_EMAIL.rpartition("<")[2].rstrip(">")
    desk = mailbox.display_name if mailbox else "Support"
    said = ticket.messages.exclude(rfc_id="").exclude(kind=MessageKind.NOTE)
    seen = list(said.values_list("rfc_id", flat=True))
    message.rfc_id = addresses.new_message_id(ticket.number, message.pk)
    message.save(update_fields=["rfc_id"])
    mail = OutboundEmail.objects.create(
        ticket=ticket,
        message=message,
        sender=f'"{_quotable(f"{message.who} ({desk})")}" <{address}>',
        to=ticket.requester.email,
        cc=ticket.cc,
        reply_to=addresses.reply_address(address, ticket, ticket.requester.email),
        subject=f"Re: {ticket.subject} [#{ticket.number}]"[:320],
        rfc_id=message.rfc_id,
        in_reply_to=seen[-1] if seen else "",
        references=" ".join(f"<{rfc_id}>" for rfc_id in seen[-MOST_REFERENCES:]),
    )
    outbox.put("tickets.send_mail", mail.pk, key=f"mail:{mail.rfc_id}")
    return mail


def write(ticket: Ticket, *, to: str, subject: str, text: str, key: str) -> Letter:
    """Put a letter of the desk into the outbox, in the open transaction."""
    letter = Letter.objects.create(ticket=ticket, to=to, subject=subject[:320], text=text)
    outbox.put("tickets.send_letter", letter.pk, key=key)
    return letter


@outbox.handler("tickets.send_letter")
@transaction.atomic
def send_letter(letter_id: int) -> None:
    """Send a letter, marked as automatic so that no machine answers. The row is locked while the server talks."""
    letter = Letter.objects.select_for_update(of=("self",)).select_related("ticket").get(pk=letter_id)
    if letter.sent_at is not None:
        return
    email = EmailMultiAlternatives(
        subject=letter.subject,
        body=letter.text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[letter.to],
        headers=AUTOMATIC,
    )
    letter.error = (_refused(email) or "")[:300]
    if letter.error:
        TicketEvent.record(letter.ticket, "Supportdesk", "delivery_failed", to=letter.to, error=letter.error)
    letter.sent_at = timezone.now()
    letter.save(update_fields=["sent_at", "error"])


def _quotable(name: str) -> str:
    return name.replace("\\", "").replace('"', "'")


@outbox.handler("tickets.send_mail")
@transaction.atomic
def send(mail_id: int) -> None:
    """Send one mail. The row is locked while the server talks, so two workers cannot send it twice."""
    mail = (
        OutboundEmail.objects.select_for_update(of=("self",))
        .select_related("message__author", "ticket")
        .get(pk=mail_id)
    )
    if mail.sent_at is not None:
        return
    signature = mail.message.author.signature if mail.message.author else ""
    text = mail.message.text + (f"\n\n-- \n{signature}" if signature else "")
    headers = {"Message-ID": f"<{mail.rfc_id}>"}
    if mail.message.author and mail.message.author.is_automation:
        headers |= AUTOMATIC
    if mail.in_reply_to:
        headers |= {"In-Reply-To": f"<{mail.in_reply_to}>", "References": mail.references}
    email = EmailMultiAlternatives(
        subject=mail.subject,
        body=text,
        from_email=mail.sender,
        to=[mail.to],
        cc=mail.cc,
        reply_to=[mail.reply_to],
        headers=headers,
    )
    email.attach_alternative(markdown(text), "text/html")
    for attachment in mail.message.attachments.all():
        try:
            with attachment.file.open() as file:
                email.attach(attachment.name, file.read(), attachment.content_type or "application/octet-stream")
        except FileNotFoundError:
            _never(mail, f"the file {attachment.name} is missing")
            return
    if (words := _refused(email)) is not None:
        _never(mail, words)
        return
    mail.sent_at = timezone.now()
    mail.save(update_fields=["sent_at"])


def _refused(email: EmailMultiAlternatives) -> str | None:
    """Send it. The server's words where it will never be taken; what may be better later raises."""
    try:
        email.send()
    except (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError):
        raise  # the desk's own settings: an administrator mends them, and the mail leaves then
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException, ValueError) as error:
        words = _refusal(error)
        if words is None:
            raise
        return words
    return None


def _refusal(error: Exception) -> str | None:
    """Why a mail will never be taken, in the server's words; None where trying again may help."""
    code: int
    reason: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reason = next(iter(error.recipients.values()), (500, b"refused"))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, reason = error.smtp_code, error.smtp_error
    else:
        return str(error)
    words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    return f"{code} {words}" if code >= 500 else None


def _never(mail: OutboundEmail, words: str) -> None:
    """Say on the ticket that its mail does not leave, once."""
    TicketEvent.record(mail.ticket, "Supportdesk", "delivery_failed", to=mail.to, error=words[:300])
    OutboundEmail.objects.filter(pk=mail.pk).update(bounced_at=timezone.now(), sent_at=timezone.now())
