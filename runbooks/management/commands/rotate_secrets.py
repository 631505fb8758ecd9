"""`manage.py rotate_secrets`: encrypt every secret of targets with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from runbooks import actions
from supportdesk.errors import DeskError


class Command(BaseCommand):
    help = "After a new key was put in front of DESK_ENCRYPTION_KEYS: encrypt all secrets with it. The old key may go afterwards."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = actions.rotate_secrets()
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        self.stdout.write(f"{count} secrets are encrypted with the newest key")
