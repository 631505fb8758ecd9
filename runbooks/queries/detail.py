"""One run and its steps, and two beside each other."""

from dataclasses import dataclass
from typing import Any

from runbooks import policies
from runbooks.models import (
    Execution,
    RunApproval,
    RunLock,
    StepRun,
    StepState,
)
from runbooks.queries.history import executions
from staff.models import User
from supportdesk.errors import NotFound


@dataclass(frozen=True)
class StepLine:
    """A step as the run page shows it."""

    number: int
    id: str
    title: str
    uses: str
    effect: str
    state: StepState
    run: StepRun | None
    phase: str = "step"
    needs: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether a person has to answer it."""
        return self.state == StepState.WAITING and self.run is not None and "instructions" in self.run.result


@dataclass(frozen=True)
class RunDetail:
    execution: Execution
    steps: list[StepLine]
    current: StepLine | None
    approvals: list[RunApproval]
    locks: list[RunLock]
    children: list[Execution]
    siblings: list[Execution]
    can_cancel: bool
    can_pick_up: bool
    can_run: bool
    can_pause: bool
    can_go_on: bool
    can_answer: bool
    can_approve: bool

    @property
    def asked(self) -> list[StepLine]:
        return [line for line in self.steps if line.asks]

    @property
    def done(self) -> int:
        return sum(line.state in {StepState.SUCCEEDED, StepState.WARNED, StepState.SKIPPED} for line in self.steps)


def execution(user: User, pk: int) -> Execution:
    found = executions(user).filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no run {pk}.")
    return found


def run_detail(user: User, pk: int) -> RunDetail:
    """The run page: the steps of the definition that the run runs, with the newest row of each."""
    found = execution(user, pk)
    newest = {(row.phase, row.step_id): row for row in found.steps.order_by("attempt")}
    lines = [
        _line(number, step, newest.get(("step", step["id"])), "step")
        for number, step in enumerate(found.spec["steps"], 1)
    ]
    titles = {step["id"]: step for step in found.spec["steps"]}
    for (phase, step_id), row in newest.items():
        if phase == "undo" and step_id in titles:
            lines.append(_line(0, titles[step_id], row, "undo"))
    lines += [
        _line(0, step, newest.get(("finally", step["id"])), "finally") for step in found.spec.get("finally") or []
    ]
    current = next((line for line in lines if line.state == StepState.RUNNING), None)
    siblings = list(executions(user).filter(batch=found.batch_id).order_by("pk")) if found.batch_id else []
    return RunDetail(
        execution=found,
        steps=lines,
        current=current,
        approvals=list(found.approvals.select_related("approver")) if found.approvals_needed else [],
        locks=list(found.run_locks.all()),
        children=list(executions(user).filter(parent=found).order_by("pk")),
        siblings=siblings,
        can_cancel=policies.can_cancel(user, found),
        can_pick_up=policies.can_pick_up(user, found),
        can_run=policies.can_run(user, found.version.runbook),
        can_pause=policies.can_pause(user, found),
        can_go_on=policies.can_go_on(user, found),
        can_answer=policies.can_answer(user, found),
        can_approve=policies.can_approve(user, found)
        and not any(one.approver_id == user.pk for one in found.approvals.all()),
    )


def _line(number: int, step: dict[str, Any], row: StepRun | None, phase: str) -> StepLine:
    state = StepState(row.state) if row else StepState.PENDING
    return StepLine(
        number,
        step["id"],
        step["title"],
        step["uses"],
        step.get("effect", "none"),
        state,
        row,
        phase,
        tuple(step.get("needs") or ()),
    )


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side: parameters and steps, with what differs marked."""

    one: Execution
    other: Execution
    params: list[tuple[str, Any, Any, bool]]
    steps: list[tuple[str, StepLine | None, StepLine | None, bool]]
    same_version: bool


def compare(user: User, one_pk: int, other_pk: int) -> Comparison:
    one, other = run_detail(user, one_pk), run_detail(user, other_pk)
    names = list(dict.fromkeys([*one.execution.params, *other.execution.params]))
    params = [
        (
            name,
            one.execution.params.get(name),
            other.execution.params.get(name),
            one.execution.params.get(name) != other.execution.params.get(name),
        )
        for name in names
    ]
    lines: list[tuple[str, StepLine | None, StepLine | None, bool]] = []
    left, right = ({(line.phase, line.id): line for line in detail.steps} for detail in (one, other))
    for key in dict.fromkeys([*left, *right]):
        a, b = left.get(key), right.get(key)
        differs = (a and a.state) != (b and b.state) or (a and a.run and a.run.message) != (
            b and b.run and b.run.message
        )
        lines.append(((a or b).title, a, b, bool(differs)))  # type: ignore[union-attr]
    return Comparison(
        one.execution, other.execution, params, lines, one.execution.version_id == other.execution.version_id
    )
