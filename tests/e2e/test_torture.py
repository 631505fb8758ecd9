"""Three workers, two of them killed for good, servers restarted, runs cancelled: the short form of `bench torture`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import dovecot
from tests.conftest import require

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
def test_three_workers_of_which_two_die_lose_and_double_nothing(tmp_path):
    command = [sys.executable, "-m", "bench", "torture", "--runs", "40", "--seconds", "25", "--keep-dead", "2"]
    env = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", "DESK_DATA"}}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "no problem was found" in done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize(
    "arguments", [("mailtorture", "--messages", "50", "--kills", "6"), ("mailfuzz", "--cases", "1000")]
)
def test_mail_is_taken_in_once_whatever_dies_and_however_it_is_broken(arguments):
    require(arguments[0] != "mailtorture" or dovecot.program(), "dovecot")
    env = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", "DESK_DATA"}}
    command = [sys.executable, "-m", "bench", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "no problem was found" in done.stdout
