"""`manage.py load_target FILE.yaml`: a system that runbooks run on; its secrets come from the environment."""

import os
from pathlib import Path
from typing import Any

import yaml
from django.core.management.base import BaseCommand, CommandError, CommandParser

from runbooks import actions
from supportdesk.errors import DeskError

MORE = ("site", "labels", "zone", "windows", "freezes", "approvals", "run_level")


class Command(BaseCommand):
    help = "Write a target from {slug, name, environment, connections, secrets: {NAME: ENVIRONMENT_VARIABLE}, …}. See docs/runbooks.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            data = yaml.safe_load(options["file"].read_text())
            secrets = {name: os.environ[variable] for name, variable in (data.get("secrets") or {}).items()}
            target = actions.save_target(
                slug=data["slug"],
                name=data["name"],
                environment=data.get("environment", "production"),
                connections=data["connections"],
                secrets=secrets,
                **{name: data[name] for name in MORE if name in data},
            )
        except KeyError as error:
            raise CommandError(
                f"{options['file']}: {error.args[0]} is missing (a key of the file, or a variable of the environment)",
                returncode=2,
            ) from None
        except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
            raise CommandError(f"{options['file']}: {error}", returncode=2) from None
        except DeskError as error:
            raise CommandError(f"{options['file']}: {error}", returncode=2) from None
        self.stdout.write(f"target {target.slug} is saved")
