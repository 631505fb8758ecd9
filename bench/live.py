"""Very many open browsers on one web process: what a change takes to reach them, what they cost, and what a restart does."""

import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client

from staff.actions import add_user
from supportdesk import guide
from supportdesk.embedded.servers import free_port
from tests.factories import ticket
from tickets import actions

WITHIN, BACK = 1.0, 30.0
FIRST_WAIT, LONGEST_WAIT = 4.0, 15.0  # as static/js/events.js


@dataclass
class Browser:
    """One open stream, that connects again as the desk's JavaScript does."""

    port: int
    cookie: str
    topics: str
    seen: int = 0
    heard: dict[int, float] = field(default_factory=dict)  # cursor -> when
    hellos: int = 0
    tries: int = 0
    wait: float = FIRST_WAIT

    async def stay(self) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                await self._once()
            await asyncio.sleep(0.5 + random.random() * self.wait)
            self.wait = min(self.wait * 2, LONGEST_WAIT)

    async def _once(self) -> None:
        self.tries += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            path = f"/events/?topics={self.topics}&after={self.topics}:{self.seen}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {self.cookie}\r\n\r\n".encode())
            await writer.drain()
            while True:
                line = await reader.readline()
                if not line:
                    raise EOFError
                if line.startswith(b"data: "):
                    self._take(json.loads(line[6:]))
        finally:
            writer.close()

    def _take(self, event: dict[str, Any]) -> None:
        now = time.perf_counter()
        if event["kind"] == "hello":
            self.hellos += 1
            self.wait = FIRST_WAIT
            newest = event["cursors"].get(self.topics, 0)
            if self.seen == 0:
                self.seen = newest
        elif event.get("cursor", 0) > self.seen:
            self.seen = event["cursor"]
            self.heard[self.seen] = now


class Server:
    """One web process as `bin/run` starts it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "supportdesk.asgi:application",
            "--workers",
            "1",
            "--lifespan",
            "on",
        ]
        name = settings.DATABASES["default"]["OPTIONS"].get("application_name", "")
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--log-level", "error", "--timeout-graceful-shutdown", "3"],
            cwd=settings.ROOT, env=os.environ | {"DESK_WEB_THREADS": "8", "PGAPPNAME": name},
        )  # fmt: skip

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=30)

    def memory(self) -> float:
        """Resident memory in MB."""
        assert self.process is not None  # noqa: S101 - called while it runs
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def connections() -> int:
    """Connections to the database but for this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


async def _until(done: Any, seconds: float) -> float:
    """Wait for something to hold; returns the seconds that it took, or raises."""
    begun = time.perf_counter()
    while not done():
        if time.perf_counter() - begun > seconds:
            raise TimeoutError(f"not within {seconds} s")
        await asyncio.sleep(0.02)
    return time.perf_counter() - begun


async def _measure(count: int, rounds: int) -> list[str]:
    problems: list[str] = []
    user = await asyncio.to_thread(lambda: add_user(email="live@desk.example", name="Live", password=None, tiers=[1]))
    made = await asyncio.to_thread(ticket)
    client = Client()
    await asyncio.to_thread(client.force_login, user, "allauth.account.auth_backends.AuthenticationBackend")
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    server, topic = Server(), f"ticket.{made.number}"
    server.start()
    browsers = [Browser(server.port, cookie, topic) for _ in range(count)]
    one = asyncio.create_task(browsers[0].stay())
    await _until(lambda: browsers[0].hellos, 60)
    before, held = server.memory(), await asyncio.to_thread(connections)
    tasks = [one, *(asyncio.create_task(browser.stay()) for browser in browsers[1:])]
    opened = await _until(lambda: all(browser.hellos for browser in browsers), 120)
    memory, held_after = server.memory(), await asyncio.to_thread(connections)
    print(
        f"{count} streams open after {opened:.1f} s; {1024 * (memory - before) / count:.0f} KB each ({before:.0f} to {memory:.0f} MB)"
    )
    print(f"database connections: {held} with one stream, {held_after} with {count}")
    if held_after > held + 8:  # the threads that answer pages
        problems.append(f"{held_after - held} more database connections for {count} streams")

    async def change() -> tuple[float, int]:
        begun = time.perf_counter()
        note = await asyncio.to_thread(lambda: actions.note(number=made.number, by=user, text="Look."))
        done = time.perf_counter()
        newest = await asyncio.to_thread(lambda: made.events.order_by("-id").values_list("pk", flat=True).first() or 0)
        print(f"  (the change took {1000 * (done - begun):.0f} ms, message {note.pk})", end="\r")
        return done, newest

    late: list[float] = []
    for _ in range(rounds):
        done, newest = await change()
        await _until(lambda newest=newest: all(browser.seen >= newest for browser in browsers), 20)  # type: ignore[misc]
        late += [1000 * (browser.heard[browser.seen] - done) for browser in browsers]
        await asyncio.sleep(0.2)
    late.sort()
    print(
        f"an event reaches them after {statistics.median(late):.0f} ms median, {late[int(0.95 * len(late))]:.0f} ms p95, {late[-1]:.0f} ms the last of {len(late)}"
    )
    if late[-1] > 1000 * WITHIN:
        problems.append(f"the last browser heard after {late[-1]:.0f} ms")

    hellos, tries = [browser.hellos for browser in browsers], sum(browser.tries for browser in browsers)
    await asyncio.to_thread(server.stop)
    _, newest = await change()
    begun = time.perf_counter()
    server.start()
    await _until(lambda: all(b.hellos > h for b, h in zip(browsers, hellos, strict=True)), 120)
    back = time.perf_counter() - begun
    await asyncio.sleep(0.5)
    missed = sum(browser.seen < newest for browser in browsers)
    print(
        f"after a restart: all back within {back:.1f} s of its start, {sum(b.tries for b in browsers) - tries} connections for {count} browsers, {missed} missed the change meanwhile"
    )
    if back > BACK or missed:
        problems.append(f"back after {back:.1f} s, {missed} missed something")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.to_thread(server.stop)
    return problems


def measure(*, count: int, rounds: int) -> list[str]:
    """Print the figures; returns which of them miss their budget."""
    guide.load()
    return asyncio.run(_measure(count, rounds))
