"""Child processes that never outlive this one."""

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
_FORKING = multiprocessing.get_context("fork")


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
    process: "subprocess.Popen[bytes] | Forked"
    stop_signal: int
    patience: float
    begun: float = field(default_factory=time.monotonic)

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


class Forked:
    """A process that goes on with what this one has loaded; it is asked as a `subprocess.Popen` is."""

    def __init__(self, name: str, run: Callable[[], object], stop_signal: int) -> None:
        self._process = _FORKING.Process(target=self._begin, args=(name, run, stop_signal), name=name)
        self._process.start()
        self.pid = self._process.pid or 0

    @staticmethod
    def _begin(name: str, run: Callable[[], object], stop_signal: int) -> None:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
        libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
        run()

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code


def fork(name: str, run: Callable[[], object], *, title: str, patience: float = 12.0) -> Child:
    """Fork a child that runs a function, in a session of its own; `title` is what `ps` and `top` call it.

    Only from a process without threads and connections: both would be half there in the child.
    """
    gc.collect()
    gc.freeze()  # what is loaded stays shared
    return Child(name, Forked(title, run, signal.SIGTERM), signal.SIGTERM, patience)


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
