"""`manage.py validate_runbook FILE…`: for editors and CI."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from runbooks import definition


class Command(BaseCommand):
    help = "Check runbook definitions; prints every problem as file:line: field: message and exits 2 when there is one."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        problems: list[str] = []
        for path in options["files"]:
            try:
                definition.parse(path.read_text(), name=str(path))
            except definition.DefinitionError as error:
                problems += error.problems
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{path}:1: cannot be read: {error}")
        if problems:
            raise CommandError("\n".join(problems), returncode=2)
        self.stdout.write(f"{len(options['files'])} valid")
