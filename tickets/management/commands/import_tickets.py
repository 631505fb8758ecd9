"""`manage.py import_tickets --from csv|django-helpdesk|zammad FILE [--dry-run] [--tier N] [--group NAME=N] [--json]`."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from supportdesk.errors import DeskError, Invalid
from tickets import actions
from tickets.importing import READERS

SHOWN = 20


class Command(BaseCommand):
    help = "Take over tickets of another system. Run it again after an interruption: nothing is taken over twice."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--from", dest="shape", choices=sorted(READERS), required=True)
        parser.add_argument("--source", default="", help="Which system of that kind, where you have several.")
        parser.add_argument("--tier", type=int, default=1, help="The tier of tickets that name none (1).")
        parser.add_argument(
            "--group", action="append", default=[], metavar="NAME=TIER", help="A queue or group's tier."
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would happen and keep nothing.")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = READERS[options["shape"]](options["file"])
            report = actions.import_tickets(
                rows=rows,
                source=options["source"] or options["shape"],
                tier=options["tier"],
                groups=dict(_group(text) for text in options["group"]),
                dry_run=options["dry_run"],
            )
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror or error}", returncode=2) from None
        except (DeskError, UnicodeDecodeError) as error:
            raise CommandError(str(error), returncode=2) from None
        if options["json"]:
            wrong = [{"where": where, "reason": reason} for where, reason in report.wrong]
            self.stdout.write(json.dumps({"made": report.made, "known": report.known, "wrong": wrong}))
        else:
            for where, reason in report.wrong[:SHOWN]:
                self.stderr.write(f"{where}: {reason}")
            if len(report.wrong) > SHOWN:
                self.stderr.write(f"… and {len(report.wrong) - SHOWN} more")
            would = "would be " if options["dry_run"] else ""
            self.stdout.write(
                f"{report.made} tickets {would}taken over, {report.known} were there, {len(report.wrong)} not understood"
            )
        if report.wrong:
            raise SystemExit(1)


def _group(text: str) -> tuple[str, int]:
    name, separator, level = text.rpartition("=")
    if not separator or not level.strip().isdecimal():
        raise Invalid(f"--group {text}: write NAME=TIER, for example --group 'Second level=2'.")
    return name, int(level)
