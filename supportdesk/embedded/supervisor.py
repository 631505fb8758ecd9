"""Start everything, wait, and stop everything: by a signal, or because one of the processes ended."""

import fcntl
import multiprocessing
import os
import signal
import socket
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
from supportdesk.embedded import parts, places, processes, servers
from supportdesk.embedded.places import Trouble
from supportdesk.embedded.servers import say
from supportdesk.errors import DeskError

ROOT = Path(__file__).resolve().parent.parent.parent


# What is wrong with the machine or the settings, and is said in a line.
TOLD = (Trouble, ImproperlyConfigured, CommandError, DeskError, DatabaseError, OSError)
SHORT = 5  # seconds of life below which a process that ended is not started again


class _Stop(Exception):
    """A signal asked to stop."""


class Supervisor:
    """The processes of one running desk, in the order in which they were started."""

    def __init__(self, *, port: int, demo: bool) -> None:
        self.port, self.demo = port, demo
        self.children: list[processes.Child] = []
        self._lock: IO[str] | None = None
        self._data: Path | None = None
        self._web: parts.Part | None = None

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
            say(f"supportdesk: {death} while it started; its messages are above")
            return 1
        except TOLD as error:
            say(f"supportdesk: {_words_of(error)}")
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
            self._prepare(demo=with_demo, shop=shop)
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

    def _prepare(self, *, demo: bool, shop: servers.Postgres | None) -> None:
        """Prepare in a child: what it connects to and loads stays out of those that are forked later."""
        from supportdesk.embedded import preparation

        receiving, sending = multiprocessing.Pipe(duplex=False)

        def run() -> None:
            try:
                sending.send(preparation.prepare(demo=demo, shop=shop))
            except TOLD as error:
                sending.send(error)

        child = processes.fork("setting up", run, title="desk setting up")
        self.children.append(child)
        sending.close()
        try:
            with receiving:
                found = receiving.recv()
        except EOFError:
            raise _Died(child.name, child.process.wait(timeout=10)) from None
        child.process.wait(timeout=10)
        self.children.remove(child)
        if isinstance(found, Exception):
            raise found
        os.environ |= found

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
        parts.load()
        for part in parts.in_background():
            self.children.append(self._fork(part))
        if self.demo and os.environ.get("DESK_DEMO_SHOP_DSN"):
            command = [sys.executable, "-m", "supportdesk.demo.app"]
            self.children.append(processes.start("the demo shop", command, env=os.environ, cwd=ROOT, patience=5.0))
        # Last, so that no other holds the socket.
        from django.conf import settings

        self._web = parts.web(socket.create_server(("127.0.0.1", self.port), backlog=2048))
        self.children += [self._fork(self._web) for _ in range(settings.WEB_WORKERS)]

    def _fork(self, part: parts.Part) -> processes.Child:
        def run() -> None:
            if self._lock:
                self._lock.close()  # it is the supervisor's, and ends with it
            part.run()

        return processes.fork(part.name, run, title=part.title, patience=part.patience)

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

    def _keep_serving(self) -> None:
        """Start a web process again that ended: others serve meanwhile. One that ends at once will do so again."""
        for place, child in enumerate(self.children):
            served = self._web and child.name == self._web.name and child.process.poll() is not None
            if self._web and served and time.monotonic() - child.begun > SHORT:
                say(f"supportdesk: {_Died(child.name, child.process.poll() or 0)}; it is started again")
                child.kill_group()
                self.children[place] = self._fork(self._web)

    def _watch(self) -> int:
        try:
            while True:
                self._keep_serving()
                self._check_children()
                time.sleep(0.25)
        except _Died as death:
            say(f"supportdesk: {death}; everything else is being stopped")
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
        super().__init__(f"{name} ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")


def _words_of(error: Exception) -> str:
    if isinstance(error, DatabaseError):
        return f"the database refuses: {' '.join(str(error).split())}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    return str(error)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stop


def main(*, port: int, demo: bool) -> int:
    return Supervisor(port=port, demo=demo).run()
