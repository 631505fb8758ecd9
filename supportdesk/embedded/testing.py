"""`bin/test`: throw-away servers where no variable names one, then every check, then the tests."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from supportdesk.embedded import places, processes, servers
from supportdesk.embedded.places import Trouble
from supportdesk.embedded.servers import say

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKS = (
    ("Lint", ["ruff", "check", "--quiet", "."]),
    ("Format", ["ruff", "format", "--quiet", "--check", "."]),
    ("Directions of imports", ["lint-imports", "--no-cache"]),
    ("Types", ["mypy", "--no-error-summary", "supportdesk", "staff", "tickets", "runbooks", "knowledge", "workspace"]),
    ("Migrations", ["python", "manage.py", "makemigrations", "--check", "--dry-run"]),
)


def main(arguments: list[str]) -> int:
    """Run it all; the exit code is that of the first check that failed, else pytest's."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _servers() as env:
            for name, command in CHECKS:
                if code := _check(name, command, env):
                    return code
            return _pytest(arguments, env)
    except (Trouble, OSError) as error:
        say(f"supportdesk: {error}")
        return 2
    except KeyboardInterrupt:
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _servers() -> Iterator[dict[str, str]]:
    """The environment of the tests: DATABASE_URL and REDIS_URL as given, or servers that end with this process."""
    data = Path(tempfile.mkdtemp(prefix="desk-test-"))
    env = os.environ | {"DESK_ENV": "development", "DESK_DATA": str(data), "DESK_LOG_LEVEL": "WARNING"}
    children: list[processes.Child] = []
    where: places.Places | None = None
    (data / "static").mkdir()
    try:
        where = places.find(data)
        if not env.get("DATABASE_URL"):
            unsafe_but_fast = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
            database = servers.Postgres(where, "test", 5432, unsafe_but_fast)
            children.append(database.start())
            database.ensure_database("supportdesk")
            env["DATABASE_URL"] = database.url("supportdesk")
        if not env.get("REDIS_URL"):
            broker = servers.Redis.plan(where)
            children.append(broker.start())
            env["REDIS_URL"] = broker.url
        yield env
    finally:
        for child in children:
            child.kill_group()
        for child in children:
            child.process.wait(timeout=30)
        shutil.rmtree(data, ignore_errors=True)
        if where is not None and not where.servers.is_relative_to(data):
            shutil.rmtree(where.servers.parent, ignore_errors=True)


def _check(name: str, command: list[str], env: dict[str, str]) -> int:
    program = Path(sys.executable).parent / command[0]
    result = subprocess.run([program, *command[1:]], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    say(f"{name}: {'ok' if result.returncode == 0 else 'FAILED'}")
    if result.returncode != 0:
        print(result.stdout, result.stderr, sep="\n", file=sys.stderr)
    return result.returncode


# In the order of collection: the long tests with a whole desk come first, and the short ones fill the other process.
PARALLEL = ["-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder"]


def _pytest(arguments: list[str], env: dict[str, str]) -> int:
    """Two processes unless the arguments say otherwise."""
    parallel = [] if any(a.startswith(("-n", "--pdb", "-p")) for a in arguments) else PARALLEL
    return subprocess.run(
        [sys.executable, "-m", "pytest", *parallel, *arguments], cwd=ROOT, env=env, check=False
    ).returncode
