"""`manage.py receive_mail [--mailbox NAME] < message.eml`: for a mail server's pipe."""

import json
import logging
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from supportdesk.errors import DeskError
from tickets.mail import incoming
from tickets.models import Mailbox

log = logging.getLogger(__name__)

EX_TEMPFAIL = 75


class Command(BaseCommand):
    help = (
        "Take one mail from standard input and print one JSON line with what became of it. "
        "Exit code 0 once the raw message is stored, 75 when it could not be, so that the mail server keeps it."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--mailbox", help="name or address of a mailbox; the first one when omitted")

    def handle(self, *args: Any, **options: Any) -> None:
        raw = sys.stdin.buffer.read()
        try:
            mailbox = self._mailbox(options["mailbox"])
            inbound = incoming.store(raw, mailbox=mailbox)
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        except (DatabaseError, OSError) as error:
            raise CommandError(
                f"the message could not be stored, try again later: {error}", returncode=EX_TEMPFAIL
            ) from None
        try:
            outcome = incoming.apply(inbound.pk)
        except Exception:  # it is stored: the sweep applies it, and the mail server must not send it back
            log.exception("mail %s is applied later", inbound.pk)
            outcome = incoming.Outcome("stored", None, inbound.pk)
        line = {"outcome": outcome.outcome, "ticket": outcome.ticket, "inbound": outcome.inbound}
        if outcome.reason:
            line["reason"] = outcome.reason
        self.stdout.write(json.dumps(line))

    def _mailbox(self, name: str | None) -> Mailbox:
        boxes = Mailbox.objects.select_related("tier")
        if name is None:
            mailbox = boxes.first()
        else:
            mailbox = boxes.filter(name=name).first() or boxes.filter(address__iexact=name).first()
        if mailbox is None:
            known = ", ".join(boxes.values_list("name", flat=True)) or "none; run manage.py load_guide"
            raise CommandError(f"there is no mailbox {name or ''}: the mailboxes are {known}", returncode=EX_TEMPFAIL)
        return mailbox
