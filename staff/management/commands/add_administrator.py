"""`manage.py add_administrator EMAIL [--name NAME]`: prints the link at which they choose their password."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from staff import actions
from supportdesk.errors import DeskError


class Command(BaseCommand):
    help = "Add an administrator, or let one in again. The link to choose a password is the last line of the output."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="", help="as the desk calls them; the beginning of the address otherwise")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            person, link = actions.add_administrator(email=options["email"], name=options["name"])
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        if options["json"]:
            self.stdout.write(json.dumps({"user": person.email, "link": link}))
            return
        self.stdout.write(f"{person.name} ({person.email}) is an administrator, and chooses a password here, once:")
        self.stdout.write(link)
