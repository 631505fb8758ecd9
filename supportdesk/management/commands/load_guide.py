"""`manage.py load_guide [FOLDER]`: the guide's tiers, contacts, mailboxes, runbooks and articles."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from supportdesk import guide
from supportdesk.errors import DeskError


class Command(BaseCommand):
    help = "Load the guide from a folder (default: the one that is shipped). The same files again change nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", nargs="?", type=Path, default=guide.FOLDER)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            counts = guide.load(options["folder"])
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        if options["verbosity"]:
            words = ", ".join(f"{count} {name}" for name, count in counts.items())
            self.stdout.write(json.dumps(counts) if options["json"] else f"Loaded {words}")
