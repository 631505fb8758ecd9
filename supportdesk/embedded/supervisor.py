"""Start everything, wait, and stop everything: by a signal, or because one of the processes ended."""

import fcntl
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import IO

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError

from supportdesk.crypto import UnknownKey
from supportdesk.embedded import places, processes, servers
from supportdesk.embedded.places import Trouble
from supportdesk.embedded.servers import say
from supportdesk.errors import DeskError

ROOT = Path(__file__).resolve().parent.parent.parent


class _Stop(Exception):
    """A signal asked to stop."""


class Supervisor:
    """The processes of one running desk, in the order in which they were started."""

    def __init__(self, *, port: int, demo: bool) -> None:
        self.port, self.demo = port, demo
        self.children: list[processes.Child] = []
        self._lock: IO[str] | None = None
        self._data: Path | None = None

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        try:
            self._start()
            return self._watch()
        except _Stop:
            say("\nStopping ...")
            return 0
        except _Died as death:
            say(f"supportdesk: {death.name} ended with {death.code} while it started; its messages are above")
            return 1
        except (Trouble, ImproperlyConfigured, CommandError, DeskError) as error:
            say(f"supportdesk: {error}")
            return 2
        except DatabaseError as error:
            say(f"supportdesk: the database refuses: {' '.join(str(error).split())}")
            return 2
        except OSError as error:
            say(f"supportdesk: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
            return 2
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            self._stop_all()

    # ------------------------------------------------------------------ start
    def _start(self) -> None:
        begun = time.monotonic()
        servers.check_port(self.port)
        os.environ.setdefault("DESK_BASE_URL", f"http://127.0.0.1:{self.port}")
        data, production = self._read_settings()
        self._take_lock(data)
        self._check_mail_ports()
        where = self._start_databases(data, production)
        from supportdesk.embedded import preparation

        with_demo = self.demo and not production
        shop = self._start_shop(where) if with_demo and where else None
        try:
            preparation.prepare(demo=with_demo, shop=shop)
        except UnknownKey as error:
            if where is None or where.servers.is_relative_to(data):
                raise
            raise Trouble(
                f"{error} The database of an earlier desk in {data} is still there: put its file of keys back, or remove {where.servers.parent} to begin anew."
            ) from None
        self._start_desk()
        self._await_web()
        say(
            f"\nSupportdesk serves at http://127.0.0.1:{self.port}/  (ready in {time.monotonic() - begun:.0f} s, Ctrl-C stops it)"
        )
        if with_demo:
            say(preparation.LOGINS)
        elif preparation.nobody_signs_in():
            say(preparation.FIRST)

    def _read_settings(self) -> tuple[Path, bool]:
        """The data folder and whether this is production, from the settings' own reading of the environment."""
        os.environ["DESK_STARTING"] = "1"  # addresses of an earlier run are not to be taken for named servers
        from django.conf import settings

        settings.INSTALLED_APPS  # noqa: B018 - reads the settings now, so that a wrong variable ends the start here
        return settings.DATA, settings.PRODUCTION

    def _check_mail_ports(self) -> None:
        from django.conf import settings

        for name, port in (("DESK_SMTP_PORT", settings.SMTP_PORT), ("DESK_LMTP_PORT", settings.LMTP_PORT)):
            if port:
                servers.check_port(port, choose=f"{name} (0 for none)", host=settings.MAIL_LISTEN)

    def _take_lock(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "run.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise Trouble(f"a desk is already running from {data}; stop it first or set DESK_DATA") from None
        self._data, self._lock = data, lock
        (data / "embedded.env").unlink(missing_ok=True)

    def _start_databases(self, data: Path, production: bool) -> places.Places | None:
        """Start what no variable names, and put the addresses where the children and later commands find them."""
        where = None if production else places.find(data)
        from django.conf import settings

        if settings.DATABASE_URL:
            servers.check_database(settings.DATABASE_URL)
            os.environ["DATABASE_URL"] = settings.DATABASE_URL
        elif where:
            database = servers.Postgres(where, "desk", 5432, ("max_connections=120", "shared_buffers=256MB"))
            say("Starting PostgreSQL ..." if (database.folder / "PG_VERSION").exists() else "Setting up PostgreSQL ...")
            self.children.append(database.start())
            database.ensure_database("supportdesk")
            os.environ["DATABASE_URL"] = database.url("supportdesk")
        if settings.REDIS_URL:
            servers.check_redis(settings.REDIS_URL)
            os.environ["REDIS_URL"] = settings.REDIS_URL
        elif where:
            broker = servers.Redis.plan(where)
            self.children.append(broker.start())
            os.environ["REDIS_URL"] = broker.url
        if not production:
            note = data / "embedded.env"
            note.touch(mode=0o600)
            kept = ("DATABASE_URL", "REDIS_URL", "DESK_BASE_URL")
            note.write_text("".join(f"{name}={os.environ[name]}\n" for name in kept))
        del os.environ["DESK_STARTING"]
        # The settings were read before the servers had addresses; read them again with them.
        from supportdesk.embedded.preparation import reread_settings

        reread_settings()
        return where

    def _start_shop(self, where: places.Places) -> servers.Postgres:
        from supportdesk.demo import shop

        cluster = shop.cluster(where)
        self.children.append(cluster.start())
        return cluster

    def _start_desk(self) -> None:
        env = dict(os.environ)
        python = sys.executable
        from django.conf import settings

        celery = [python, "-m", "celery", "--app", "supportdesk", "--quiet"]
        commands: list[tuple[str, list[str], float]] = [
            (
                "the web server",
                [python, "-m", "uvicorn", "supportdesk.asgi:application", "--host", "127.0.0.1", "--port", str(self.port),
                 "--workers", str(settings.WEB_WORKERS), "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "3",
                 "--lifespan", "on"],
                10.0,
            ),
            (
                "the worker",
                [*celery, "worker", "--queues", "default,sla", "--concurrency", "3", "--hostname", "desk@%h",
                 "--without-gossip", "--without-mingle", "--loglevel", "WARNING"],
                15.0,
            ),
            (
                "the mail worker",
                [*celery, "worker", "--queues", "mail", "--concurrency", "2", "--hostname", "mail@%h",
                 "--without-gossip", "--without-mingle", "--loglevel", "WARNING"],
                15.0,
            ),
            ("the mail fetcher", [python, "manage.py", "mail_fetcher"], 30.0),
            (
                "the runbook worker",
                [*celery, "worker", "--queues", "runbooks", "--concurrency", str(settings.RUNBOOK_SLOTS),
                 "--hostname", "runbooks@%h", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"],
                15.0,
            ),
            ("beat", [*celery, "beat", "--loglevel", "WARNING", "--pidfile="], 10.0),
        ]  # fmt: skip
        if settings.SMTP_PORT or settings.LMTP_PORT:
            commands.append(("the mail listener", [python, "manage.py", "mail_listener"], 15.0))
        if self.demo and os.environ.get("DESK_DEMO_SHOP_DSN"):
            commands.append(("the demo shop", [python, "-m", "supportdesk.demo.app"], 5.0))
        for name, argv, patience in commands:
            self.children.append(processes.start(name, argv, env=env, cwd=ROOT, patience=patience))

    def _await_web(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self._check_children()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise Trouble("the web server did not answer within 60 s; its messages are above")

    # ------------------------------------------------------------- watch, stop
    def _check_children(self) -> None:
        for child in self.children:
            code = child.process.poll()
            if code is not None:
                raise _Died(child.name, code)

    def _watch(self) -> int:
        try:
            while True:
                self._check_children()
                time.sleep(0.25)
        except _Died as death:
            say(f"supportdesk: {death.name} ended with {death.code}; everything else is being stopped")
            return 1

    def _stop_all(self) -> None:
        """The desk first, all at once; then the servers that it writes to."""
        databases = [child for child in self.children if child.name.startswith(("PostgreSQL", "Redis"))]
        desk = [child for child in self.children if child not in databases]
        for group in (desk, databases):
            begun = time.monotonic()
            for child in reversed(group):
                child.stop()
            for child in group:
                child.wait(begun + child.patience)
        if self._data and self._lock:
            (self._data / "embedded.env").unlink(missing_ok=True)


class _Died(Exception):
    def __init__(self, name: str, code: int) -> None:
        super().__init__(name)
        self.name = name
        self.code = f"signal {-code}" if code < 0 else f"exit code {code}"


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stop


def main(*, port: int, demo: bool) -> int:
    return Supervisor(port=port, demo=demo).run()
