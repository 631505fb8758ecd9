"""The step kinds, one file each.

A kind is a subclass of `Kind`; another package adds one with an entry point of the group
`supportdesk.steps` (docs/runbooks.md shows a whole one). Its `run` writes what it sees to
`context.output`, ends soon after `context.stopped` is set, and before `context.deadline`.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from runbooks.definition.scalars import Strict
from runbooks.models import StepState

if TYPE_CHECKING:
    from runbooks.engine.output import StepOutput

log = logging.getLogger(__name__)

BUILT_IN = (
    "shell", "sql", "http", "redis", "service", "files", "logs", "metric", "runbook", "manual", "wait", "notify",
    "ticket",
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What a step may use. Values of `with_` are filled in already."""

    execution_id: int
    step_id: str
    with_: Any
    params: Mapping[str, Any]
    connections: Mapping[str, Mapping[str, Any]]
    target: str
    output: "StepOutput"
    stopped: threading.Event
    deadline: float  # of time.monotonic()
    attempt: int = 1
    number: int = 1  # of the try within the attempt
    requested_by: int = 0
    ticket: int | None = None
    dry_run: bool = False
    # What the step's own row holds when it goes on after waiting: the run it called, what a person wrote.
    before: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def connection(self, name: str, kind: str) -> Mapping[str, Any]:
        """A connection of the target by name, or `StepError` where it has none or one of another kind."""
        found = self.connections.get(name)
        if found is None:
            raise StepError(f"{self.target} has no connection {name}.")
        if found.get("type", name) != kind:
            raise StepError(f"The connection {name} of {self.target} is of type {found.get('type')}, not {kind}.")
        return found

    def ended_early(self, what: str = "It") -> "Result":
        """The result of a step that was stopped, or whose time was over."""
        if self.stopped.is_set():
            return Result(StepState.CANCELLED, "Stopped.")
        return Result(StepState.FAILED, f"{what} took longer than the step's timeout.")


@dataclass(frozen=True)
class Result:
    """How a step ended, in a state, a sentence and data for later steps and pages.

    Data that pages show of themselves: `rows` (a table), `metrics` ([{name, value, unit, level}]),
    `assertions` ([{text, holds}]). A result in state WAITING parks the run: its worker goes on to
    others, until `wake_at` or until somebody answers.
    """

    state: StepState
    message: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    unstoppable: bool = False
    wake_at: datetime | None = None


class StepError(Exception):
    """A step cannot do its work; its words become the step's message."""


class Kind:
    """A step kind. `With` says what its `with` may hold; in the fields `templated` names, {…} is filled in."""

    name: ClassVar[str]
    With: ClassVar[type[Strict]]
    templated: ClassVar[frozenset[str]] = frozenset()
    # What is put to each value of {…} in a field, so that it stays one part of it: of a path, of a glob.
    escapes: ClassVar[Mapping[str, Callable[[str], str]]] = {}
    only_reads: ClassVar[bool] = False  # without effect it is run for real in a dry run

    def acts(self, with_: Any) -> bool:
        """Whether it may change something: then the step must say so by its effect."""
        return True

    def acts_because(self, with_: Any) -> str:
        """The words after “step x …” for what acts and says effect: none."""
        return "may change something"

    def needs(self, with_: Any) -> set[str]:
        """The connections that it uses, by name."""
        return set()

    def problems(self, with_: Any, params: set[str]) -> list[str]:
        """What is wrong with it beyond its fields, as the words after “step x …”."""
        return []

    def run(self, context: Context) -> Result:
        """Do it."""
        raise NotImplementedError

    def preview(self, context: Context) -> Result | None:
        """Say what `run` would do, changing nothing; None where that cannot be said."""
        return None


@cache
def kinds() -> dict[str, Kind]:
    """Every step kind by the name that `uses` gives; those of other packages after ours."""
    found: dict[str, Kind] = {}
    for name in BUILT_IN:
        kind: type[Kind] = import_module(f"runbooks.steps.{name}").KIND
        found[name] = kind()
    for entry in entry_points(group="supportdesk.steps"):
        if entry.name in found:
            log.error("the step kind %s of %s is ours already; it is left out", entry.name, entry.value)
            continue
        loaded: Callable[[], Kind] = entry.load()
        found[entry.name] = loaded()
    return found
