"""`manage.py dump_runbooks FOLDER`: the current versions as files, as they were written."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from runbooks.models import Runbook


class Command(BaseCommand):
    help = "Write the current text of every runbook to FOLDER/<id>.yaml, byte for byte as it was loaded or published."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--only", action="append", default=[], metavar="ID")

    def handle(self, *args: Any, **options: Any) -> None:
        found = Runbook.objects.filter(current__isnull=False, retired_at=None).select_related("current")
        if options["only"]:
            found = found.filter(slug__in=options["only"])
        try:
            options["folder"].mkdir(parents=True, exist_ok=True)
            for runbook in found:
                assert runbook.current is not None  # noqa: S101 - filtered
                (options["folder"] / f"{runbook.slug}.yaml").write_bytes(runbook.current.text.encode())
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from None
        self.stdout.write(f"{len(found)} written to {options['folder']}")
