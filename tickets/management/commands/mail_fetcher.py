"""`manage.py mail_fetcher`: fetch the mail of every mailbox that has an IMAP account."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from tickets.mail import imap


class Command(BaseCommand):
    help = (
        "Fetch mail by IMAP for every mailbox that has an account, until stopped. Any number may run; one fetches each."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        imap.serve(stopped)
