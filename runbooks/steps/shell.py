"""`shell`: a constant script or argv, on this machine or over ssh, with a clean environment.

Parameters arrive as PARAM_<NAME>, the target's folders as TARGET_<NAME>, what `env` gives by its names.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from runbooks.definition.scalars import Bytes, Connection, Seconds, Strict, Text, as_text
from runbooks.engine import machines
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result, StepError

EnvName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=60)]
RESERVED = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "IFS")


class Rlimits(Strict):
    """What the command may take: seconds of CPU, bytes of memory and of a file, open files, processes."""

    cpu: Seconds | None = None
    memory: Bytes | None = None
    file_size: Bytes | None = None
    open_files: int | None = Field(default=None, ge=8, le=1_000_000)
    processes: int | None = Field(default=None, ge=1, le=1_000_000)


class ShellWith(Strict):
    """A constant script for a shell, or a constant argv. No {…} is filled into either."""

    script: str | None = None
    argv: list[str] | None = Field(default=None, min_length=1)
    interpreter: Literal["sh", "bash", "python3"] = "sh"
    env: dict[EnvName, Text] = {}
    host: Connection | None = None
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$", max_length=32)] | None = None
    limits: Rlimits = Rlimits()
    warn_exits: list[int] = []

    @model_validator(mode="after")
    def _one_of(self) -> "ShellWith":
        if (self.script is None) == (self.argv is None):
            raise ValueError("give script or argv, one of them")
        if taken := [name for name in self.env if name in RESERVED or name.startswith(("PARAM_", "TARGET_", "DESK_"))]:
            raise ValueError(f"env may not set {', '.join(taken)}")
        return self


_INTERPRETERS = {
    "sh": ["/bin/sh", "-eu", "-c"],
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python3": ["python3", "-I", "-c"],
}


class Shell(Kind):
    name = "shell"
    With = ShellWith
    templated = frozenset({"env"})
    only_reads = True

    def acts(self, with_: ShellWith) -> bool:
        return False  # what a script does nobody can tell; its author says so by `effect`

    def needs(self, with_: ShellWith) -> set[str]:
        return {with_.host} if with_.host else set()

    def run(self, context: Context) -> Result:
        """Run it, stream its output, and end with nothing of it left alive."""
        with_: ShellWith = context.with_
        argv = with_.argv or [*_INTERPRETERS[with_.interpreter], str(with_.script)]
        limits = with_.limits.model_dump(exclude_none=True)
        command = machines.Command(argv, environment(context), limits, with_.user)
        end = machines.run(context, command, machines.machine(context, with_.host))
        context.output.finish_step()
        trouble = end.trouble(context)
        if trouble is not None:
            return trouble
        if end.exit == 0:
            return Result(StepState.SUCCEEDED, "", end.data())
        if end.exit in with_.warn_exits:
            return Result(StepState.WARNED, "It asks for a look.", end.data())
        if end.exit == machines.SSH_FAILED and (machines.machine(context, with_.host) or {}).get("via") == "ssh":
            return Result(StepState.FAILED, "ssh failed; what it said is in the output.", end.data())
        return Result(StepState.FAILED, f"Exit code {end.exit}.", end.data())


def environment(context: Context) -> dict[str, str]:
    """PARAM_* for parameters, TARGET_* for the target's folders, and nothing of the worker's own."""
    variables = {"PATH": machines.PATH, "LANG": "C.UTF-8", "TZ": "UTC"}
    variables |= {"DESK_RUN": str(context.execution_id), "TARGET_NAME": context.target}
    for name, value in context.params.items():
        variables[f"PARAM_{name.upper()}"] = str(as_text(value))
    for name, path in context.connections.get("paths", {}).get("folders", {}).items():
        variables[f"TARGET_{name.upper()}"] = str(path)
    variables |= dict(context.with_.env)
    for name, text in variables.items():
        if "\0" in text:
            raise StepError(f"{name} holds a NUL character, which no environment can carry.")
        if len(text.encode()) > 120_000:
            raise StepError(f"{name} is longer than 120,000 bytes, more than an environment can carry.")
    return variables


KIND = Shell
