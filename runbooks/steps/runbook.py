"""`runbook`: run another runbook. Its own locks and approval hold; the run waits for it without keeping a worker."""

from typing import Any

from pydantic import Field

from runbooks.definition.scalars import Name, Slug, Strict
from runbooks.models import Execution, RunState, StepState
from runbooks.steps import Context, Kind, Result
from supportdesk.errors import DeskError


class RunbookWith(Strict):
    slug: Slug
    params: dict[Name, str | int | bool] = {}
    target: str | None = Field(default=None, description="Another target than the run's own.")


class RunbookKind(Kind):
    name = "runbook"
    With = RunbookWith
    templated = frozenset({"params", "target"})

    def acts(self, with_: RunbookWith) -> bool:
        return False  # what it runs says so itself, and wants the rights for it

    def run(self, context: Context) -> Result:
        """Start it, or take its result when it has ended."""
        from runbooks import actions

        run = context.before.get("run")
        if run is None:
            try:
                child = actions.start_child(
                    parent_id=context.execution_id,
                    attempt=context.attempt,
                    step_id=context.step_id,
                    number=context.number,
                    slug=context.with_.slug,
                    target=context.with_.target or context.target,
                    params=_params(context.with_.params),
                )
            except DeskError as error:
                return Result(StepState.FAILED, str(error)[:500])
            run = child.pk
            context.output.say(f"run {run} is started")
        child = Execution.objects.get(pk=run)
        data = {"run": run, "state": child.state, "summary": child.summary}
        if not child.is_final:
            return Result(StepState.WAITING, f"Waits for run {run}.", data)
        if child.state == RunState.SUCCEEDED:
            data["steps"] = {
                row.step_id: {"state": row.state, "message": row.message, "result": row.result}
                for row in child.steps.all()
            }
            return Result(StepState.SUCCEEDED, f"Run {run}: {child.summary}"[:500], data)
        return Result(StepState.FAILED, f"Run {run} {RunState(child.state).label.lower()}: {child.summary}"[:500], data)

    def preview(self, context: Context) -> Result:
        return Result(
            StepState.SKIPPED, f"It would run {context.with_.slug} on {context.with_.target or context.target}."
        )


def _params(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


KIND = RunbookKind
