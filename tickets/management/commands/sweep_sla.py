"""`manage.py sweep_sla [--json]`: breach every clock that is due, as beat does every two seconds."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tickets import actions


class Command(BaseCommand):
    help = "Record the breach of every clock whose due time has passed. Harmless to run at any time, in any number."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        count = actions.sweep_sla()
        self.stdout.write(json.dumps({"breached": count}) if options["json"] else f"{count} clocks breached")
