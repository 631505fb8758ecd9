"""`manage.py runbook_schema`: the JSON Schema of a runbook, for editors."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from runbooks import definition


class Command(BaseCommand):
    help = "Print the JSON Schema of a runbook. Editors check and complete with it; the desk serves it at /api/v1/runbooks/schema/ too."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(definition.json_schema(), indent=2))
