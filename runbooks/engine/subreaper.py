"""Run one command and answer for every process that comes of it.

Started by the worker as `python -I -S subreaper.py STATUS_FD` with only the standard library. Its
standard input is the leash: the first line is the job as JSON {argv, env, cwd, limits, uid, gid, groups,
input}; when the pipe
closes (the worker died) or says anything more (stop), all descendants are terminated. As a
subreaper it inherits orphans, `setsid` or not, so "I have no children" means "nothing is left".
The end is written to STATUS_FD as JSON {exit, signal, stopped, left}.
"""

import contextlib
import ctypes
import json
import os
import resource
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


LIMITS = {
    "cpu": resource.RLIMIT_CPU,
    "memory": resource.RLIMIT_AS,
    "file_size": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}


def become(job: dict) -> None:
    """Take on the limits and the user of the job, in the child."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in job.get("limits", {}).items():
        hard = resource.getrlimit(LIMITS[name])[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(LIMITS[name], (value, value))
    if "uid" in job:
        os.setgroups(job["groups"])
        os.setgid(job["gid"])
        os.setuid(job["uid"])


def start(job: dict, libc: ctypes.CDLL, stdin: int | None) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        become(job)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a change of user takes it away, so it comes after
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY) if stdin is None else stdin, 0)
        os.closerange(3, 1024)
        os.chdir(job["cwd"])
        os.execvpe(job["argv"][0], job["argv"], job["env"])
    except (OSError, ValueError) as error:
        os.write(2, f"{job['argv'][0]}: {getattr(error, 'strerror', None) or error}\n".encode())
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
    job = json.loads(line)
    given, feed, child_input = job.get("input", "").encode(), -1, None
    if "input" in job:  # the pipe stays open until the end: that it closes tells the other machine
        child_input, feed = os.pipe()
        os.set_inheritable(feed, False)
        os.set_blocking(feed, False)
    child = start(job, libc, child_input)
    if child_input is not None:
        os.close(child_input)
    status, stopped = None, False
    while status is None and not stopped:
        ready, writable, _ = select.select([0, wake_read], [feed] if given else [], [], 1.0)
        if writable:
            try:
                given = given[os.write(feed, given[:65536]) :]
            except BlockingIOError:
                pass
            except BrokenPipeError:
                given = b""
        if wake_read in ready:
            os.read(wake_read, 4096)
        status = (reap() or {}).get(child)
        if status is None and 0 in ready:
            stopped = True
    if feed >= 0:
        os.close(feed)
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
