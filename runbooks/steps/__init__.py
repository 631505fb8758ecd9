"""The step kinds, one file each. A kind is a function `run(context) -> Result`.

It writes what it sees to `context.output`, ends soon after `context.stopped` is set, and before
`context.deadline` (of time.monotonic()).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runbooks.engine.output import OutputWriter
from runbooks.models import StepState


@dataclass(frozen=True)
class Context:
    """What a step may use."""

    execution_id: int
    step_id: str
    with_: Any
    params: dict[str, Any]
    connections: dict[str, Any]
    target: str
    output: OutputWriter
    stopped: threading.Event
    deadline: float

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True)
class Result:
    """How a step ended, in a state, a sentence and data for later steps and pages."""

    state: StepState
    message: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    unstoppable: bool = False


def kinds() -> dict[str, Callable[[Context], Result]]:
    """The step kinds by the name that `uses` gives."""
    from runbooks.steps import http, shell, sql

    return {"shell": shell.run, "sql": sql.run, "http": http.run}


def duration_text(seconds: int) -> str:
    """A timeout as its writer wrote it: 90 s, 5 min, 2 h."""
    if seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
