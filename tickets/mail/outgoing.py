"""Replies leave as mail: queued with the reply, sent by the outbox."""

import smtplib

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.utils import timezone

from supportdesk import outbox
from supportdesk.text import markdown
from tickets.mail import addresses
from tickets.models import Mailbox, Message, MessageKind, OutboundEmail, Ticket, TicketEvent

MOST_REFERENCES = 20


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
        reply_to=addresses.reply_address(address, ticket, ticket.requester.email),
        subject=f"Re: {ticket.subject} [#{ticket.number}]"[:320],
        rfc_id=message.rfc_id,
        in_reply_to=seen[-1] if seen else "",
        references=" ".join(f"<{rfc_id}>" for rfc_id in seen[-MOST_REFERENCES:]),
    )
    outbox.put("tickets.send_mail", mail.pk, key=f"mail:{mail.rfc_id}")
    return mail


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
    if mail.in_reply_to:
        headers |= {"In-Reply-To": f"<{mail.in_reply_to}>", "References": mail.references}
    email = EmailMultiAlternatives(
        subject=mail.subject,
        body=text,
        from_email=mail.sender,
        to=[mail.to],
        reply_to=[mail.reply_to],
        headers=headers,
    )
    email.attach_alternative(markdown(text), "text/html")
    for attachment in mail.message.attachments.all():
        with attachment.file.open() as file:
            email.attach(attachment.name, file.read(), attachment.content_type or "application/octet-stream")
    try:
        email.send()
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = next(iter(error.recipients.values()), (500, b"refused"))
        if code < 500:
            raise
        words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        TicketEvent.record(mail.ticket, "Supportdesk", "delivery_failed", to=mail.to, error=f"{code} {words}")
        OutboundEmail.objects.filter(pk=mail.pk).update(bounced_at=timezone.now(), sent_at=timezone.now())
        return
    mail.sent_at = timezone.now()
    mail.save(update_fields=["sent_at"])
