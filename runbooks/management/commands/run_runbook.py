"""`manage.py run_runbook SLUG --target T --param k=v [--follow]`."""

import json
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from runbooks import actions, display, queries
from runbooks.models import FINAL_STATES, Execution, RunState, Trigger
from staff.models import Role, User
from supportdesk.errors import DeskError, Invalid


class Command(BaseCommand):
    help = "Start a runbook; with --follow show its output and exit 0 when it succeeded, 1 when it did not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument(
            "--target", required=True, action="append", help="a target; give it several times for several"
        )
        parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE")
        parser.add_argument("--ticket", type=int)
        parser.add_argument("--dry-run", action="store_true")
        parser.add_argument("--as", dest="email", help="whose run it is; an administrator when omitted")
        parser.add_argument("--break-glass", default="", metavar="REASON", help="run without approval, or in a freeze")
        parser.add_argument("--follow", action="store_true")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            runs = actions.start_many(
                slug=options["slug"],
                targets=options["target"],
                trigger=Trigger.COMMAND,
                by=self._user(options["email"]),
                params=dict(self._pair(text) for text in options["param"]),
                ticket=options["ticket"],
                dry_run=options["dry_run"],
                break_glass=options["break_glass"],
            )
        except Invalid as error:
            details = "".join(f"\n  {name}: {' '.join(texts)}" for name, texts in error.fields.items())
            raise CommandError(f"{error}{details}", returncode=2) from None
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        for execution in runs:
            if options["follow"]:
                self._follow(execution, quiet=options["json"])
            execution.refresh_from_db()
            facts = {"run": execution.pk, "state": execution.state, "summary": execution.summary}
            words = f"run {execution.pk}: {execution.state} {execution.summary}".rstrip()
            self.stdout.write(json.dumps(facts) if options["json"] else words)
        if options["follow"] and any(execution.state != RunState.SUCCEEDED for execution in runs):
            sys.exit(1)

    def _follow(self, execution: Execution, *, quiet: bool) -> None:
        after = 0
        while True:
            execution.refresh_from_db(fields=["state", "last_seq", "wake_at"])
            part = queries.output(execution, after=after)
            if not quiet:
                for line in display.lines(part.chunks):
                    self.stdout.write(line.text)
                self.stdout.flush()
            after = part.after
            if not part.chunks:
                asks = (
                    execution.state in {RunState.LOST, RunState.PAUSED, RunState.AWAITING_APPROVAL}
                    and not execution.wake_at
                )
                if execution.is_final or (asks and not execution.children.exclude(state__in=FINAL_STATES).exists()):
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
