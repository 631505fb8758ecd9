"""Send the small program `steps/agent.py` to where the files are, and take what it says."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from runbooks.engine import machines
from runbooks.models import StepState
from runbooks.steps import Context, Result, StepError

MEMORY = 1024**3  # bytes; it needs a few dozen MB, whatever the size of a log
_MOST_PENDING = 8 * 1024**2


@cache
def _source() -> str:
    return (Path(__file__).resolve().parent.parent / "steps" / "agent.py").read_text()


def ask(context: Context, job: dict[str, Any], host: str | None) -> dict[str, Any] | Result:
    """The agent's result, or how the step ended without one; lines to show go to the output as they come."""
    text = json.dumps(job)
    if len(text) > 120_000:
        raise StepError("What it should look for is longer than 120,000 characters.")
    pending, answer = b"", {}

    def take(data: bytes) -> None:
        nonlocal pending, answer
        pending += data
        *lines, pending = pending.split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "line" in said:
                context.output.feed("out", said["line"].encode(errors="replace") + b"\n")
            else:
                answer = said["result"]
        if len(pending) > _MOST_PENDING:
            raise StepError("The machine's answer is no line of JSON.")

    env = {"PATH": machines.PATH, "LANG": "C.UTF-8", "DESK_JOB": text}
    command = machines.Command(["python3", "-I", "-c", _source()], env, {"memory": MEMORY})
    end = machines.run(context, command, machines.machine(context, host), take=take)
    context.output.finish_step()
    trouble = end.trouble(context)
    if trouble is not None:
        return trouble
    if end.exit != 0 or not answer:
        return Result(
            StepState.FAILED, f"The search ended with exit code {end.exit}; it needs python3 there.", end.data()
        )
    if "trouble" in answer:
        return Result(StepState.FAILED, str(answer["trouble"])[:500])
    return answer


def folder_of(context: Context, connection: str, folder: str) -> str:
    """The path of one of the target's named folders."""
    folders = context.connection(connection, "paths").get("folders", {})
    if folder not in folders:
        raise StepError(f"{context.target} has no folder {folder}; it has {', '.join(folders) or 'none'}.")
    return str(folders[folder])
