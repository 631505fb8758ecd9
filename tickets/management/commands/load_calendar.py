"""`manage.py load_calendar FILE.yaml…`: make business calendars, or give them a new version."""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from staff import calendar_file
from supportdesk.errors import DeskError
from tickets import actions


class Command(BaseCommand):
    help = "Load calendars from YAML files (- is standard input), all or none. The same file again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = []
        try:
            specs = [calendar_file.read(_text(name), name=name) for name in options["files"]]
            with transaction.atomic():
                for spec in specs:
                    calendar, changed = actions.save_calendar(spec=spec, by=None)
                    assert calendar.current is not None  # noqa: S101 - it was just saved
                    rows.append({"slug": calendar.slug, "version": calendar.current.number, "changed": changed})
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        for row in rows:
            words = f"{row['slug']}: version {row['version']}{'' if row['changed'] else ', unchanged'}"
            self.stdout.write(json.dumps(row) if options["json"] else words)


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name}: {getattr(error, 'strerror', None) or 'it is not text'}", returncode=2) from None
