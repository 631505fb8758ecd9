"""The whole product, as `bin/run` starts it, on a data folder of its own (with a space in its path)."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect

from supportdesk.embedded import places, processes, servers

ROOT = Path(__file__).resolve().parents[2]
expect.set_options(timeout=15_000)  # machines are shared; what a test waits for comes, only later


class Desk:
    """One running desk: its address, its data folder, and what a person at the machine can do to it."""

    def __init__(self, data: Path, *, env: dict[str, str] | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.data, self.port = data, servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {
            k: v
            for k, v in os.environ.items()
            if k not in {"DATABASE_URL", "REDIS_URL", "DESK_DATA", "DJANGO_SETTINGS_MODULE"}
        }
        self.smtp_port = servers.free_port()
        self.env = (
            kept
            | {"DESK_DATA": str(data), "DESK_LOG_LEVEL": "WARNING", "DESK_SMTP_PORT": str(self.smtp_port)}
            | (env or {})
        )
        self.log = data.parent / f"{data.name}.log"
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Desk":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "supportdesk.embedded", "run", "--port", str(self.port), *self.arguments],
                cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self

    def await_ready(self, seconds: float = 90) -> "Desk":
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return self
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"not ready in time:\n{self.log.read_text()[-3000:]}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def manage(self, *arguments: str, stdin: bytes = b"") -> str:
        result = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr.decode()[-2000:]
        return result.stdout.decode()

    def mail(self, raw: bytes, box: str = "tech") -> dict[str, Any]:
        return json.loads(self.manage("receive_mail", "--mailbox", box, stdin=raw))

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        addresses = dict(line.split("=", 1) for line in (self.data / "embedded.env").read_text().splitlines())
        with psycopg.connect(addresses["DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(query, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def threads(self) -> int:
        """How many threads the supervisor has."""
        assert self.process
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def processes(self) -> list[int]:
        """Every living process that was started with this data folder."""
        marker = f"DESK_DATA={self.data}\0".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (
                    marker in (folder / "environ").read_bytes()
                    and (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                ):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found


class OwnRedis:
    """A Redis that a test may stop and start, as an operator would."""

    def __init__(self, data: Path) -> None:
        self.server = servers.Redis.plan(places.find(data))
        self.child: processes.Child | None = None

    def start(self) -> "OwnRedis":
        self.child = self.server.start()
        return self

    def kill(self) -> None:
        if self.child:
            self.child.kill_group()
            self.child.process.wait(timeout=10)
            self.child = None


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path_factory.mktemp("broker")).start()
    yield redis
    redis.kill()


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory, broker: OwnRedis) -> Iterator[Desk]:
    running = Desk(tmp_path_factory.mktemp("the desk") / "data folder", env={"REDIS_URL": broker.server.url})
    running.start().await_ready()
    running.sql("UPDATE staff_user SET undo_seconds = 0")  # tests of taking back set their own
    yield running
    assert running.stop() == 0, running.log.read_text()[-3000:]


@pytest.fixture(scope="session")
def playwright_chromium(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]
    browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
    yield browser
    browser.close()


@pytest.fixture
def sign_in(desk: Desk, playwright_chromium: Browser) -> Iterator[Any]:
    """A function that signs a demo person in through the form, and fails the test on a console error."""
    contexts, errors = [], []

    def make(who: str, **options: Any) -> Page:
        # What moves all the time is drawn all the time, by the processor of this machine.
        usual = {"viewport": {"width": 1440, "height": 900}, "base_url": desk.url, "reduced_motion": "reduce"}
        options = usual | options
        context = playwright_chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto("/")
        page.get_by_label("Email").fill(f"{who}@example.com")
        page.get_by_label("Password").fill("supportdesk-demo")
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url("**/home/")
        page.goto("/tickets/")
        page.desk_errors = errors  # type: ignore[attr-defined]
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


# Colours and width in which every page is looked at, and what is asked there: in the dark nothing but colours is other.
LOOKS = (("light", 1440, {}), ("dark", 1440, {"runOnly": ["color-contrast"]}), ("light", 390, {}))
AT_REST = "Promise.allSettled(document.getAnimations().map(one => one.finished))"


def faults_of(page: Page) -> list[tuple[str, str, str]]:
    """What axe finds on the page that is open, and whether it scrolls sideways: in light, in dark, and at phone width."""
    faults = []
    page.evaluate(Axe().axe_script)
    for colours, width, options in LOOKS:
        page.emulate_media(color_scheme=colours, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate(AT_REST)
        look = f"{colours} {width}"
        found = page.evaluate(f"axe.run({json.dumps({'resultTypes': ['violations'], **options})})")["violations"]
        faults += [(look, fault["id"], fault["nodes"][0]["html"][:120]) for fault in found]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            faults.append((look, "scrolls sideways", ""))
    page.set_viewport_size({"width": 320, "height": 640})  # 400 % of zoom on 1280 (WCAG 2.2, 1.4.10)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        faults.append(("320", "scrolls sideways", ""))
    return faults
