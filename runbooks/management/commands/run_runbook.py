"""`manage.py run_runbook SLUG --target T --param k=v [--follow]`."""

import json
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from runbooks import actions, queries
from runbooks.models import Execution, RunState
from staff.models import Role, User
from supportdesk.errors import DeskError, Invalid


class Command(BaseCommand):
    help = "Start a runbook; with --follow show its output and exit 0 when it succeeded, 1 when it did not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--target", required=True)
        parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE")
        parser.add_argument("--ticket", type=int)
        parser.add_argument("--dry-run", action="store_true")
        parser.add_argument("--as", dest="email", help="whose run it is; an administrator when omitted")
        parser.add_argument("--follow", action="store_true")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            execution = actions.start(
                slug=options["slug"],
                target=options["target"],
                by=self._user(options["email"]),
                params=dict(self._pair(text) for text in options["param"]),
                ticket=options["ticket"],
                dry_run=options["dry_run"],
            )
        except Invalid as error:
            details = "".join(f"\n  {name}: {' '.join(texts)}" for name, texts in error.fields.items())
            raise CommandError(f"{error}{details}", returncode=2) from None
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        if options["follow"]:
            self._follow(execution, quiet=options["json"])
        execution.refresh_from_db()
        facts = {"run": execution.pk, "state": execution.state, "summary": execution.summary}
        self.stdout.write(
            json.dumps(facts)
            if options["json"]
            else f"run {execution.pk}: {execution.state} {execution.summary}".rstrip()
        )
        if options["follow"] and execution.state != RunState.SUCCEEDED:
            sys.exit(1)

    def _follow(self, execution: Execution, *, quiet: bool) -> None:
        after = 0
        while True:
            execution.refresh_from_db(fields=["state", "last_seq"])
            part = queries.output(execution, after=after)
            if not quiet:
                for chunk in part.chunks:
                    self.stdout.write(chunk.text, ending="")
                self.stdout.flush()
            after = part.after
            if not part.chunks:
                if execution.is_final or execution.state == RunState.LOST:
                    return
                time.sleep(0.3)

    def _pair(self, text: str) -> tuple[str, str]:
        name, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f"--param {text}: write NAME=VALUE.")
        return name, value

    def _user(self, email: str | None) -> User:
        people = User.objects.filter(is_active=True)
        user = people.filter(email=email.lower()).first() if email else people.filter(role=Role.ADMINISTRATOR).first()
        if user is None:
            raise Invalid(
                f"There is no active user {email or 'with the role administrator'}; name one with --as EMAIL."
            )
        return user
