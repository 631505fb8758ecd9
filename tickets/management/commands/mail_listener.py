"""`manage.py mail_listener`: take mail by SMTP and LMTP."""

import asyncio
import ssl
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tickets.mail import listener


class Command(BaseCommand):
    help = "Take mail for the desk's mailboxes by SMTP and LMTP, until stopped. Ports: DESK_SMTP_PORT, DESK_LMTP_PORT."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--smtp-port", type=int, default=settings.SMTP_PORT)
        parser.add_argument("--lmtp-port", type=int, default=settings.LMTP_PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        smtp, lmtp = options["smtp_port"], options["lmtp_port"]
        if not (smtp or lmtp):
            raise CommandError("both ports are 0: set DESK_SMTP_PORT or DESK_LMTP_PORT", returncode=2)
        try:
            asyncio.run(listener.serve(settings.MAIL_LISTEN, smtp, lmtp))
        except (OSError, ssl.SSLError) as error:
            raise CommandError(
                f"cannot listen at {settings.MAIL_LISTEN}, {smtp} and {lmtp}: {error}", returncode=2
            ) from None
