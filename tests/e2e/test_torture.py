"""Three workers, two of them killed for good, servers restarted, runs cancelled: the short form of `bench torture`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
def test_three_workers_of_which_two_die_lose_and_double_nothing(tmp_path):
    command = [sys.executable, "-m", "bench", "torture", "--runs", "40", "--seconds", "25", "--keep-dead", "2"]
    env = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", "DESK_DATA"}}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "no problem was found" in done.stdout
