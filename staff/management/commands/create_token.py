"""`manage.py create_token EMAIL [--scope read]…`: prints the token alone on the last line."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from staff import actions
from staff.models import TokenScope
from supportdesk.errors import DeskError


class Command(BaseCommand):
    help = "Make an API token for a user. The token is the last line of the output and is shown only now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--scope", action="append", default=[], choices=TokenScope.values)
        parser.add_argument("--name", default="", help="what the token is for")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            token, text = actions.create_token(email=options["email"], scopes=options["scope"], name=options["name"])
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        if options["json"]:
            self.stdout.write(json.dumps({"user": token.user.email, "scopes": token.scopes, "token": text}))
            return
        self.stdout.write(f"Token of {token.user.email}, good for: {', '.join(token.scopes)}")
        self.stdout.write(text)
