"""Run one command on a machine, this one or one over ssh, and answer for every process that comes of it."""

import base64
import contextlib
import json
import os
import pwd
import secrets
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbooks.engine import subreaper
from runbooks.models import StepState
from runbooks.steps import Context, Result, StepError

SUBREAPER = str(Path(subreaper.__file__).resolve())
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MARK = "DESK_STEP"  # in the environment of everything that a step starts
SSH_FAILED = 255

# Constant text: values come over standard input, each in base64, and are never read as code.
# It stays until the command ends; when its input ends (the worker died, or stops it) it ends the command.
REMOTE = r"""
set -u
read -r mark; set --
while read -r word; do [ "$word" = . ] && break; x=$(printf %s "$word" | base64 -d; printf .); set -- "$@" "${x%.}"; done
exec 3<&0
folder=$(mktemp -d) || exit 125
cd "$folder" || exit 125
env -i HOME="$folder" TMPDIR="$folder" "$@" </dev/null 3<&- &
pid=$!
marked() { grep -lszx "DESK_STEP=$mark" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
finish() { kill -s TERM -- "-$pid" $(marked) 2>/dev/null; i=0; while [ $i -lt "$1" ] && [ -n "$(marked)" ]; do sleep 0.2; i=$((i+1)); done; kill -s KILL -- "-$pid" $(marked) 2>/dev/null; }
( while read -r word <&3; do :; done; finish 50; rm -rf "$folder" ) </dev/null >/dev/null 2>&1 &
watch=$!
code=0; wait "$pid" || code=$?
kill "$watch" 2>/dev/null
[ -z "$(marked)" ] || finish 10
rm -rf "$folder"
exit "$code"
"""
# Ends what a step left on a machine, over a connection of its own, and says how much is left.
SWEEP = r"""
set -u
read -r mark
marked() { grep -lszx "DESK_STEP=$mark" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
[ -z "$(marked)" ] || kill -TERM $(marked) 2>/dev/null
i=0; while [ $i -lt 50 ] && [ -n "$(marked)" ]; do sleep 0.2; i=$((i+1)); done
[ -z "$(marked)" ] || { kill -KILL $(marked) 2>/dev/null; sleep 1; }
marked | wc -l
"""


@dataclass(frozen=True)
class Command:
    """An argv with its environment; `limits` are rlimits by name, `user` whose it is (of this machine only)."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True)
class End:
    """How a command ended: by its exit code or a signal, because it was stopped, with `left` processes that live on."""

    exit: int | None
    signal: int | None = None
    stopped: bool = False
    timed_out: bool = False
    left: int = 0
    supervised: bool = True  # False: its supervisor died, nobody knows what is left

    def data(self) -> dict[str, Any]:
        return {"exit": self.exit, "signal": self.signal}

    def trouble(self, context: Context) -> Result | None:
        """The result where the command did not come to its own end; None where its exit code counts."""
        if not self.supervised:
            words = "The supervisor of the command died; look whether something of it still runs."
            return Result(StepState.FAILED, words, self.data(), unstoppable=True)
        if self.left:
            return Result(
                StepState.FAILED, f"{self.left} processes could not be killed.", self.data(), unstoppable=True
            )
        if self.timed_out:
            return Result(StepState.FAILED, "Took longer than its timeout and was stopped.", self.data())
        if self.stopped:
            return Result(StepState.CANCELLED, "Stopped; none of its processes is left.", self.data())
        if self.signal:
            return Result(StepState.FAILED, f"Killed by signal {signal.Signals(self.signal).name}.", self.data())
        return None


def run(
    context: Context, command: Command, host: Mapping[str, Any] | None, *, take: Callable[[bytes], None] | None = None
) -> End:
    """Run it; its output goes to the step's, or its standard output to `take`. Ends with nothing of it left alive."""
    mark = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix=f"run-{context.execution_id}-", ignore_cleanup_errors=True) as folder:
        if host is None or host.get("via", "local") == "local":
            job = _local(command, folder, mark)
            end = _supervise(context, job, take)
        else:
            ssh = _ssh(host, Path(folder))
            end = _supervise(context, _remote(command, ssh, mark), take)
            if end.stopped or end.timed_out or end.exit == SSH_FAILED or not end.supervised:
                end = _swept(end, ssh, mark)
    return end


def machine(context: Context, name: str | None) -> Mapping[str, Any] | None:
    """The host connection that a step names; without a name the target's `host`, or this machine where it has none."""
    if name is None and "host" not in context.connections:
        return None
    return context.connection(name or "host", "host")


def _local(command: Command, folder: str, mark: str) -> dict[str, Any]:
    job: dict[str, Any] = {
        "argv": list(command.argv),
        "env": {"HOME": folder, "TMPDIR": folder, **command.env, MARK: mark},
        "cwd": folder,
        "limits": dict(command.limits),
    }
    if command.user is not None:
        job |= _identity(command.user, folder)
    return job


def _identity(user: str, folder: str) -> dict[str, Any]:
    """The ids of a user of this machine; only root can become another."""
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise StepError(f"This machine has no user {user}.") from None
    if found.pw_uid == os.geteuid():
        return {}
    if os.geteuid() != 0:
        raise StepError(f"The worker is not root, so it cannot run a command as {user}.")
    os.chown(folder, found.pw_uid, found.pw_gid)
    return {"uid": found.pw_uid, "gid": found.pw_gid, "groups": os.getgrouplist(user, found.pw_gid)}


def _ssh(host: Mapping[str, Any], folder: Path) -> list[str]:
    """The ssh command with its key and its pinned host key, from nothing of the worker's own configuration."""
    key, known = folder / "key", folder / "known_hosts"
    key.touch(mode=0o600)
    key.write_text(str(host["key"]).rstrip("\n") + "\n")
    known.write_text(f"desk {host['host_key']}\n")
    options = {
        "BatchMode": "yes", "IdentitiesOnly": "yes", "IdentityFile": key, "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": "/dev/null", "StrictHostKeyChecking": "yes", "HostKeyAlias": "desk", "CheckHostIP": "no",
        "PreferredAuthentications": "publickey", "ConnectTimeout": "10", "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3", "ForwardAgent": "no", "ForwardX11": "no", "ControlMaster": "no",
        "ControlPath": "none", "PermitLocalCommand": "no", "RequestTTY": "no", "LogLevel": "ERROR",
        "UpdateHostKeys": "no",
    }  # fmt: skip
    argv = ["ssh", "-F", "/dev/null", "-p", str(host.get("port", 22)), "-l", host["user"]]
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    return [*argv, "--", host["address"]]


def _remote(command: Command, ssh: list[str], mark: str) -> dict[str, Any]:
    if command.user is not None:
        raise StepError("`user` is for this machine; over ssh the connection's user runs the command.")
    words = [f"{name}={value}" for name, value in {**command.env, MARK: mark}.items()]
    words.append("setsid")
    words += _limited(command.limits)
    words += command.argv
    lines = [mark, *(base64.b64encode(word.encode()).decode() for word in words), "."]
    return {
        "argv": [*ssh, "sh", "-c", shlex.quote(REMOTE)],
        "env": {"PATH": PATH, "HOME": "/nonexistent"},
        "cwd": "/",
        "input": "".join(f"{line}\n" for line in lines),
    }


def _limited(limits: Mapping[str, int]) -> list[str]:
    """The same limits by util-linux' prlimit."""
    names = {"cpu": "cpu", "memory": "as", "file_size": "fsize", "open_files": "nofile", "processes": "nproc"}
    found = [f"--{names[name]}={value}" for name, value in limits.items()]
    return ["prlimit", *found, "--"] if found else []


def _swept(end: End, ssh: list[str], mark: str) -> End:
    """End what the command left on the other machine, where that answers; what cannot be confirmed counts as left."""
    try:
        answer = subprocess.run(
            [*ssh, "sh", "-c", shlex.quote(SWEEP)], input=f"{mark}\n".encode(), capture_output=True, timeout=40,
            env={"PATH": PATH, "HOME": "/nonexistent"}, check=False,
        )  # fmt: skip
        left = int(answer.stdout.split()[-1]) if answer.returncode == 0 and answer.stdout.split() else None
    except (subprocess.TimeoutExpired, ValueError):
        left = None
    if left is None and end.exit == SSH_FAILED and not end.stopped and not end.timed_out:
        return end  # it never came in, and what ssh said is in the output
    return End(end.exit, end.signal, end.stopped, end.timed_out, 1 if left is None else left, end.supervised)


def _supervise(context: Context, job: dict[str, Any], take: Callable[[bytes], None] | None) -> End:
    """Hold the leash until the command and all that came of it have ended."""
    status_read, status_write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", SUBREAPER, str(status_write)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[status_write],
        start_new_session=True,
        env={},
    )
    os.close(status_write)
    timed_out = False
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("the pipes of the supervisor are missing")
    output = context.output
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, "out")
            selector.register(process.stderr, selectors.EVENT_READ, "err")
            leash: Any = process.stdin
            while selector.get_map():
                for key, _ in selector.select(timeout=0.1) if not output.full else []:
                    data = os.read(key.fd, 65536)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif take is not None and key.data == "out":
                        take(data)
                    else:
                        output.feed(key.data, data)
                output.tick()
                if output.full:
                    time.sleep(0.1)
                timed_out = timed_out or time.monotonic() > context.deadline
                if process.poll() is not None and not selector.select(timeout=0):
                    break  # something that could not be killed still holds a pipe
                if leash and (timed_out or context.stopped.is_set() or output.is_over):
                    leash.close()
                    leash = None
        process.wait(timeout=60)
        return _end(status_read, timed_out)
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        if process.poll() is None:
            process.wait(timeout=60)
        process.stdout.close()
        process.stderr.close()
        os.close(status_read)


def _end(status_read: int, timed_out: bool) -> End:
    text = os.read(status_read, 4096)
    if not text:
        return End(None, timed_out=timed_out, supervised=False)
    return End(**json.loads(text), timed_out=timed_out)
