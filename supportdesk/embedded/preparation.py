"""Between the databases and the desk: settings, migrations, the guide, demo data, static files."""

import hashlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.management import call_command

from supportdesk.embedded.servers import say

if TYPE_CHECKING:
    from supportdesk.embedded.servers import Postgres

LOGINS = """
  Sign in as   tier1@example.com   tier2@example.com   tier3@example.com
               lead@example.com    admin@example.com
  Password     supportdesk-demo
"""


FIRST = """
  Nobody can sign in yet. This prints the link at which the first administrator chooses a password:
               ./manage.py add_administrator you@example.com
"""


def nobody_signs_in() -> bool:
    """Whether the desk has no people yet."""
    from django.db import connection

    from staff import queries

    try:
        return not queries.anybody_signs_in()
    finally:
        connection.close()


def reread_settings() -> None:
    """Read the settings again, now that DATABASE_URL and REDIS_URL are in the environment, and load the apps."""
    from supportdesk import settings as module

    importlib.reload(module)
    settings._wrapped = __import__("django.utils.functional", fromlist=["empty"]).empty
    django.setup()


def prepare(*, demo: bool, shop: "Postgres | None") -> dict[str, str]:
    """Bring database, content and static files up to date; each part says what it does the first time.

    The variables in which the desk's processes find the demo shop.
    """
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        say("Migrating the database ...")
        call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    call_command("load_guide", verbosity=0)
    variables: dict[str, str] = {}
    if demo:
        call_command("load_demo", verbosity=0)
        if shop is not None:
            from supportdesk.demo import shop as demo_shop

            dsn, port = demo_shop.prepare(shop, data=settings.DATA)
            variables = {"DESK_DEMO_SHOP_DSN": dsn, "DESK_DEMO_SHOP_PORT": str(port)}
    _collect_static()
    connection.close()
    return variables


def _collect_static() -> None:
    """Hash and compress the static files, when they or the packages changed."""
    root = Path(settings.ROOT)
    digest = hashlib.sha256((root / "requirements.txt").read_bytes())
    for path in sorted((root / "static").rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    stamp = Path(settings.STATIC_ROOT) / ".stamp"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    say("Collecting static files ...")
    call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    stamp.write_text(digest.hexdigest())
