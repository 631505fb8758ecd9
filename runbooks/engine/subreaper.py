"""Run one command and answer for every process that comes of it.

Started by the worker as `python -I -S subreaper.py STATUS_FD` with only the standard library. Its
standard input is the leash: the first line is the job as JSON {argv, env, cwd}; when the pipe
closes (the worker died) or says anything more (stop), all descendants are terminated. As a
subreaper it inherits orphans, `setsid` or not, so "I have no children" means "nothing is left".
The end is written to STATUS_FD as JSON {exit, signal, stopped, left}.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE = 10.0  # seconds between TERM and KILL when stopped
LEFTOVER_GRACE = 2.0  # the same for what the command left behind
PATIENCE = 15.0  # seconds of KILL before it is said that something could not be killed


def descendants() -> list[int]:
    """All living processes below this one, from /proc."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in {b"Z", b"X"}:
                    parents[int(entry)] = int(parent)
    found, level = [], [os.getpid()]
    while level:
        level = [pid for pid, parent in parents.items() if parent in level]
        found += level
    return found


def signal_all(number: int) -> None:
    for pid in descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reap() -> dict[int, int] | None:
    """The children that ended, by pid; None when there is no child at all."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended or None
        if pid == 0:
            return ended
        ended[pid] = status


def end_all(grace: float) -> int:
    """Terminate, then kill, everything below; returns how many could not be ended."""
    begun = time.monotonic()
    signal_all(signal.SIGTERM)
    signal_all(signal.SIGCONT)
    while time.monotonic() - begun < grace + PATIENCE:
        if reap() is None:
            return 0
        if time.monotonic() - begun >= grace:
            signal_all(signal.SIGKILL)
        time.sleep(0.02)
    return len(descendants())


def start(job: dict, libc: ctypes.CDLL) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.closerange(3, 1024)
        os.chdir(job["cwd"])
        os.execvpe(job["argv"][0], job["argv"], job["env"])
    except OSError as error:
        os.write(2, f"{job['argv'][0]}: {error.strerror}\n".encode())
    os._exit(127)


def main() -> None:
    status_fd = int(sys.argv[1])
    os.set_inheritable(status_fd, False)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("cannot become a subreaper")
    # Ctrl-C and terminal signals are the worker's business; the leash is how this process is told.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1) if len(line) < 4 else os.read(0, 65536)
        if not piece:
            os._exit(0)
        line += piece
    child = start(json.loads(line), libc)
    status, stopped = None, False
    while status is None and not stopped:
        ready, _, _ = select.select([0, wake_read], [], [], 1.0)
        if wake_read in ready:
            os.read(wake_read, 4096)
        status = (reap() or {}).get(child)
        if status is None and 0 in ready:
            stopped = True
    left = end_all(GRACE if stopped else LEFTOVER_GRACE)
    end = {
        "exit": os.waitstatus_to_exitcode(status) if status is not None and os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
        "stopped": stopped,
        "left": left,
    }
    with contextlib.suppress(OSError):
        os.write(status_fd, json.dumps(end).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
