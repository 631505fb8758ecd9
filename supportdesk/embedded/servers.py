"""PostgreSQL and Redis from their wheels: made, started, reached and stopped by their own programs."""

import os
import secrets
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

from supportdesk.embedded import processes
from supportdesk.embedded.places import Places, Trouble

SUPERUSER = "supportdesk"
START_TIMEOUT = 60.0


def _minimal_env() -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Postgres:
    """One embedded cluster, reached by a socket in a closed folder; it does not listen on the network."""

    places: Places
    name: str
    port: int  # only the socket's name
    settings: tuple[str, ...] = ()
    trusted: str = "all"  # databases that the socket trusts; others ask for a password

    @property
    def folder(self) -> Path:
        return self.places.servers / self.name

    @property
    def log(self) -> Path:
        return self.places.servers / f"{self.name}.log"

    def url(self, database: str, user: str = SUPERUSER) -> str:
        return f"postgres://{user}@{quote(str(self.places.sockets), safe='')}:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.places.sockets),
            port=self.port,
            user=SUPERUSER,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def start(self) -> processes.Child:
        """Make the cluster on first use, start the server, wait until it answers."""
        if self.places.user != os.geteuid():
            self.places.servers.mkdir(mode=0o700, exist_ok=True)
        self.places.servers.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.folder / "PG_VERSION").exists():
            self._make()
        self._settle()
        child = processes.start(
            f"PostgreSQL ({self.name})",
            [
                self.places.postgres / "bin" / "postgres", "-D", self.folder, "-k", self.places.sockets, "-p", str(self.port),
                "-c", "listen_addresses=", "-c", "log_destination=stderr", "-c", "logging_collector=off",
                *[part for setting in self.settings for part in ("-c", setting)],
            ],
            env=_minimal_env(),
            cwd=self.places.servers,
            log=self._open_log(),
            stop_signal=signal.SIGINT,  # fast shutdown: sessions end, data is written
            patience=30.0,
            user=self.places.user,
            group=self.places.group,
        )  # fmt: skip
        self._await(child)
        return child

    def _open_log(self) -> Path:
        self.log.touch(mode=0o600)
        os.chown(self.log, self.places.user, self.places.group)
        return self.log

    def _make(self) -> None:
        """Make the cluster beside its place and rename it: a start that is stopped half-way leaves nothing broken."""
        new = self.folder.with_name(self.folder.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        result = processes.run_as(
            [
                self.places.postgres / "bin" / "initdb", "-D", new, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--lc-collate=C",
                "--lc-ctype=C.UTF-8",  # the parser of full text asks it what a letter is
                "--no-instructions",
            ],
            user=self.places.user, group=self.places.group, cwd=self.places.servers, env=_minimal_env(),
        )  # fmt: skip
        if result.returncode != 0:
            words = (result.stderr or result.stdout).strip().splitlines()
            hint = "the disk is full" if "No space left" in result.stderr else " ".join(words[-1:])
            raise Trouble(f"PostgreSQL could not be set up in {self.folder}: {hint}")
        hba = new / "pg_hba.conf"
        rest = "" if self.trusted == "all" else "local all all scram-sha-256\n"
        who = "all all" if self.trusted == "all" else f"all {self.trusted}"
        hba.write_text(f"local {who} trust\n{rest}")
        new.rename(self.folder)

    def _settle(self) -> None:
        """A server left by a killed supervisor stops by itself; wait for it rather than fail on its lock."""
        pid_file = self.folder / "postmaster.pid"
        deadline = time.monotonic() + 20
        while pid_file.exists() and time.monotonic() < deadline:
            first = pid_file.read_text().splitlines()[:1]
            if not first or not self._is_server(first[0]):
                return
            time.sleep(0.2)
        if pid_file.exists():
            processes.run_as(
                [self.places.postgres / "bin" / "pg_ctl", "-D", self.folder, "-m", "fast", "-w", "stop"],
                user=self.places.user, group=self.places.group, cwd=self.places.servers, env=_minimal_env(),
            )  # fmt: skip

    def _is_server(self, pid: str) -> bool:
        """Whether the process of a left lock file is this cluster's server, and not another that got its number."""
        try:
            return str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    def _await(self, child: processes.Child) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if child.process.poll() is not None:
                last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise Trouble(f"PostgreSQL ended while it started: {' '.join(last)} (log: {self.log})")
            try:
                with self.connect():
                    return
            except psycopg.OperationalError:
                time.sleep(0.05)
        child.kill_group()
        raise Trouble(f"PostgreSQL did not answer within {START_TIMEOUT:.0f} s (log: {self.log})")

    def ensure_database(self, name: str) -> None:
        with self.connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


@dataclass(frozen=True)
class Redis:
    """An embedded Redis on loopback with a password of its own; what it holds is only doorbells."""

    places: Places
    password: str
    port: int

    @classmethod
    def plan(cls, places: Places) -> "Redis":
        return cls(places, secrets.token_urlsafe(24), free_port())

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> processes.Child:
        if self.places.redis is None:
            raise Trouble("there is no redis-server: install Redis, or set REDIS_URL to a server")
        folder = self.places.data / "redis"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = folder / "redis.conf"
        config.touch(mode=0o600)
        # The password stands in a closed file, never in an argument that others can read.
        config.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\ndir "{folder}"\n'
            'appendonly yes\nmaxmemory-policy noeviction\nsave ""\n'
        )
        child = processes.start(
            "Redis",
            [self.places.redis, config],
            env=_minimal_env(),
            cwd=folder,
            log=folder / "redis.log",
            patience=10.0,
        )
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if child.process.poll() is not None:
                break
            try:
                redis.Redis.from_url(self.url, socket_timeout=1).ping()
                return child
            except (redis.RedisError, OSError):
                time.sleep(0.05)
        child.kill_group()
        raise Trouble(f"Redis did not start (log: {folder / 'redis.log'})")


def free_port() -> int:
    """A port of loopback that nothing uses, below those that outgoing connections are given: none of them takes it."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def check_port(port: int, *, choose: str = "--port", host: str = "127.0.0.1") -> None:
    """Raise `Trouble` when the port cannot be used; `choose` says where another is chosen."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Trouble(f"port {port} cannot be used ({error.strerror}); choose another with {choose}") from None


def check_database(url: str) -> None:
    """Raise `Trouble` when the named server refuses."""
    try:
        with psycopg.connect(url.replace("postgis://", "postgres://"), connect_timeout=5):
            return
    except (psycopg.Error, ValueError) as error:
        words = " ".join(str(error).split())
        raise Trouble(f"DATABASE_URL: the database refuses: {words}") from None


def check_redis(url: str) -> None:
    try:
        redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5).ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise Trouble(f"REDIS_URL: Redis refuses: {error}") from None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
