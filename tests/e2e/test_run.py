"""`bin/run` itself: starts, stops, second starts, deaths and refusals."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Desk

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("run")]


def refused(env=None, *arguments):
    """Exit code and the lines of a start that must not succeed."""
    kept = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL", "DESK_DATA"}}
    result = subprocess.run(
        [sys.executable, "-m", "supportdesk.embedded", "run", *arguments],
        cwd=ROOT,
        env=kept | (env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stderr.strip().splitlines()


def named(title, desk):
    """The processes of a desk that `ps` calls so."""
    return [pid for pid in desk.processes() if Path(f"/proc/{pid}/comm").read_text() == f"{title}\n"]


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, lines = refused({"DESK_DATA": str(tmp_path)}, "--port", str(port))
    assert (code, len(lines)) == (2, 1)
    assert f"port {port} cannot be used" in lines[0]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"DATABASE_URL": "postgres://nobody:x@127.0.0.1:1/none"}, "DATABASE_URL: the database refuses"),
        ({"REDIS_URL": "nonsense"}, "REDIS_URL: not a Redis address"),
        ({"DESK_ENV": "staging"}, "DESK_ENV"),
        ({"DESK_WEB_WORKERS": "many"}, "DESK_WEB_WORKERS"),
        ({"DESK_DATA": "/proc/no/such"}, "DESK_DATA"),
    ],
)
def test_a_bad_setting_is_one_line(tmp_path, env, words):
    code, lines = refused({"DESK_DATA": str(tmp_path)} | env, "--port", "8765")
    assert (code, len(lines)) == (2, 1), lines
    assert words in lines[0]


def test_a_python_that_is_too_old_or_missing_is_one_line(tmp_path):
    copy = tmp_path / "bin"
    copy.mkdir()
    for name in ("run", "_setup"):
        (copy / name).write_text((ROOT / "bin" / name).read_text())
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "cat", "cksum", "mkdir", "df", "awk"):
        (tools / tool).symlink_to(Path("/bin") / tool if (Path("/bin") / tool).exists() else Path("/usr/bin") / tool)
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    result = subprocess.run(
        ["/bin/sh", str(copy / "run")], env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed" in result.stderr


def test_it_goes_on_after_the_supervisor_was_killed_and_ends_when_a_part_of_it_dies(tmp_path):
    desk = Desk(tmp_path / "desk data").start().await_ready()
    number = desk.mail(b"From: a@b.example\nSubject: Kept\nMessage-ID: <kept@b>\n\nText")["ticket"]
    code, lines = refused({"DESK_DATA": str(desk.data)}, "--port", "8766")
    assert code == 2
    assert "already running" in lines[0]

    desk.stop(signal.SIGKILL)
    deadline = time.monotonic() + 40
    while desk.processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert desk.processes() == []
    assert (desk.data / "embedded.env").exists()

    begun = time.monotonic()
    desk.start()
    while time.monotonic() - begun < 60:
        try:
            with urllib.request.urlopen(f"{desk.url}/healthz", timeout=1):
                break
        except OSError:
            time.sleep(0.1)
    desk.await_ready()
    assert desk.sql("SELECT subject FROM tickets_ticket WHERE number = %s", number) == [("Kept",)]
    assert desk.sql("SELECT count(*) FROM staff_user WHERE email = 'tier1@example.com'") == [(1,)]

    # A web process that dies is started again, while the other serves; anything else that dies ends it all.
    assert desk.process
    web = named("desk web", desk)
    assert desk.threads() == 1  # of the one that all others are forked from
    time.sleep(6)  # what dies at once is not
    os.kill(web[0], signal.SIGKILL)
    while len(now := named("desk web", desk)) < len(web) or web[0] in now:
        time.sleep(0.1)
        assert time.monotonic() - begun < 60
    desk.await_ready()
    (beat,) = named("desk beat", desk)
    os.kill(beat, signal.SIGKILL)
    assert desk.process.wait(timeout=60) == 1
    assert "beat ended with signal 9" in desk.log.read_text()
    assert desk.processes() == []


def test_it_begins_empty_without_the_demo_and_leaves_nothing_when_it_stops(tmp_path):
    desk = Desk(tmp_path / "empty", arguments=("--no-demo",)).start().await_ready()
    # Nobody but the user in whose name rules act, who cannot sign in.
    assert desk.sql("SELECT count(*) FROM staff_user WHERE email <> 'automation@invalid'") == [(0,)]
    link = desk.manage("add_administrator", "you@example.com").splitlines()[-1]
    assert link.startswith(f"{desk.url}/accounts/")  # at the address at which it is served
    assert desk.stop(signal.SIGINT) == 0
    assert desk.processes() == []
    assert not (desk.data / "embedded.env").exists()
