"""`shell`: a constant script or argv on this machine, under a subreaper, with a clean environment."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from runbooks.engine import subreaper
from runbooks.models import StepState
from runbooks.steps import Context, Result

SUBREAPER = str(Path(subreaper.__file__).resolve())
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(context: Context, folder: str) -> dict[str, str]:
    """PARAM_* for parameters, TARGET_* for the target's paths, and nothing of the worker's own."""
    variables = {"PATH": PATH, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": folder, "TMPDIR": folder}
    variables |= {"DESK_RUN": str(context.execution_id), "TARGET_NAME": context.target}
    for name, value in context.params.items():
        text = "" if value is None else str(value)
        variables[f"PARAM_{name.upper()}"] = text.lower() if isinstance(value, bool) else text
    for name, path in context.connections.get("paths", {}).items():
        variables[f"TARGET_{name.upper()}"] = str(path)
    return variables


def run(context: Context) -> Result:
    """Run it, stream its output, and end with nothing of it left alive."""
    argv = context.with_.argv or ["/bin/sh", "-eu", "-c", context.with_.script]
    with tempfile.TemporaryDirectory(prefix=f"run-{context.execution_id}-", ignore_cleanup_errors=True) as folder:
        job = {"argv": argv, "env": environment(context, folder), "cwd": folder}
        end, timed_out = _supervise(context, job)
    context.output.finish_step()
    if end is None:
        words = "The supervisor of the command died; look whether something of it still runs."
        return Result(StepState.FAILED, words, {"exit": None}, unstoppable=True)
    if end["left"]:
        return Result(StepState.FAILED, f"{end['left']} processes could not be killed.", end, unstoppable=True)
    if timed_out:
        return Result(StepState.FAILED, "Took longer than its timeout and was stopped.", end)
    if end["stopped"]:
        return Result(StepState.CANCELLED, "Stopped; none of its processes is left.", end)
    if end["exit"] == 0:
        return Result(StepState.SUCCEEDED, "", end)
    if end["exit"] in context.with_.warn_exits:
        return Result(StepState.WARNED, "It asks for a look.", end)
    if end["signal"]:
        return Result(StepState.FAILED, f"Killed by signal {signal.Signals(end['signal']).name}.", end)
    return Result(StepState.FAILED, f"Exit code {end['exit']}.", end)


def _supervise(context: Context, job: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    """Hold the leash until the command and all that came of it have ended: (end, whether the time ran out)."""
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
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, "out")
            selector.register(process.stderr, selectors.EVENT_READ, "err")
            leash: Any = process.stdin
            while selector.get_map():
                for key, _ in selector.select(timeout=0.1) if not context.output.full else []:
                    data = os.read(key.fd, 65536)
                    if data:
                        context.output.feed(key.data, data)
                    else:
                        selector.unregister(key.fileobj)
                context.output.tick()
                if context.output.full:
                    time.sleep(0.1)
                timed_out = timed_out or time.monotonic() > context.deadline
                if process.poll() is not None and not selector.select(timeout=0):
                    break  # something that could not be killed still holds a pipe
                if leash and (timed_out or context.stopped.is_set()):
                    leash.close()
                    leash = None
        process.wait(timeout=60)
        return _end(status_read), timed_out
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        if process.poll() is None:
            process.wait(timeout=60)
        process.stdout.close()
        process.stderr.close()
        os.close(status_read)


def _end(status_read: int) -> dict[str, Any] | None:
    text = os.read(status_read, 4096)
    return json.loads(text) if text else None
