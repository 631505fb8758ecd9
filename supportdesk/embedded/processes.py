"""Child processes that never outlive this one."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG = 1


def _die_with_parent(number: int, user: int, group: int) -> Callable[[], None]:
    """For after the fork: change the account, then ask the kernel for a signal when the parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        if os.geteuid() == 0 and user != 0:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
        libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)

    return prepare


@dataclass
class Child:
    """One process of the desk, the leader of its own session."""

    name: str
    process: subprocess.Popen[bytes]
    stop_signal: int
    patience: float

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)

    def wait(self, until: float) -> None:
        """Wait, then kill the whole session; what the child left behind goes with it."""
        try:
            self.process.wait(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"supportdesk: {self.name} did not stop in time and is killed", file=sys.stderr)
        self.kill_group()
        self.process.wait(timeout=10)

    def kill_group(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path | None = None,
    stop_signal: int = signal.SIGTERM,
    patience: float = 12.0,
    user: int | None = None,
    group: int | None = None,
) -> Child:
    """Start a child in a session of its own, so that Ctrl-C reaches it only through us."""
    output: IO[bytes] | None = log.open("ab") if log else None
    streams: dict[str, Any] = {"stdout": output, "stderr": subprocess.STDOUT} if output else {}
    process = subprocess.Popen(
        [str(part) for part in argv],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent(
            stop_signal, os.geteuid() if user is None else user, os.getegid() if group is None else group
        ),
        **streams,
    )
    if output:
        output.close()
    return Child(name, process, stop_signal, patience)


def run_as(
    argv: Sequence[str | Path], *, user: int, group: int, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a short command as another account and return its output."""
    return subprocess.run(
        [str(part) for part in argv],
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_die_with_parent(signal.SIGKILL, user, group),
    )
