"""What is done across apps: the test mail that ends an administrator's first hour."""

import secrets
import smtplib
from email.message import EmailMessage
from email.utils import format_datetime

from anymail.exceptions import AnymailError
from django.conf import settings
from django.core.mail import EmailMessage as Mail
from django.utils import timezone

from staff import actions as staff
from staff.models import User
from staff.policies import check_is_administrator
from supportdesk.errors import Invalid, NotFound
from tickets.models import Mailbox

SUBJECT = "Test of the desk"
TEXT = "This mail was sent by the checklist. When you read it as a ticket, mail comes in."
WAIT = 10


def send_test_mail(*, by: User, mailbox_id: int) -> str:
    """Write to one of the desk's mailboxes as an outsider would, and return the Message-ID that becomes a ticket.

    Where mail leaves by a server, it goes by that and comes back however the mailbox's mail comes; else it is handed to
    the desk's own listener. Raises `Invalid` with what the server said.
    """
    check_is_administrator(by)
    mailbox = Mailbox.objects.filter(pk=mailbox_id).first()
    if mailbox is None:
        raise NotFound("There is no such mailbox.")
    rfc_id = f"desk-test-{secrets.token_hex(12)}@{settings.MAIL_DOMAIN}"
    staff.await_test_mail(by=by, rfc_id=rfc_id)
    try:
        if settings.EMAIL_URL.startswith("file:"):
            _to_the_listener(by, mailbox, rfc_id)
        else:
            Mail(SUBJECT, TEXT, to=[mailbox.address], headers={"Message-ID": f"<{rfc_id}>"}, from_email=by.email).send()
    except (OSError, smtplib.SMTPException, AnymailError) as error:
        raise Invalid(
            f"It could not be sent: {error}. Look at EMAIL_URL, or send one to {mailbox.address} yourself."
        ) from None
    return rfc_id


def _to_the_listener(by: User, mailbox: Mailbox, rfc_id: str) -> None:
    if not settings.SMTP_PORT:
        raise Invalid("Mail neither leaves (EMAIL_URL) nor is listened for (DESK_SMTP_PORT); set one of them first.")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = by.email, mailbox.address, SUBJECT
    message["Message-ID"], message["Date"] = f"<{rfc_id}>", format_datetime(timezone.now())
    message.set_content(TEXT)
    host = settings.MAIL_LISTEN if settings.MAIL_LISTEN not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104
    with smtplib.SMTP(host, settings.SMTP_PORT, timeout=WAIT) as server:
        server.send_message(message)
