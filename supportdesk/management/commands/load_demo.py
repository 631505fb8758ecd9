"""`manage.py load_demo`: demo people and tickets, once; refused in production."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from supportdesk.demo import desk


class Command(BaseCommand):
    help = "Make the demo logins and some tickets. A second time it changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("demo logins are never made where DESK_ENV=production", returncode=2)
        made = desk.load()
        if options["verbosity"]:
            self.stdout.write("Demo data made" if made else "The demo data is already there")
