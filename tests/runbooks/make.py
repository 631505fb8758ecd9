"""Small runbooks for tests."""

from typing import Any

import yaml

from runbooks import actions
from runbooks.engine import reaper
from runbooks.models import Execution, Runbook, RunState


def runbook(slug: str, steps: list[dict[str, Any]], **more: Any) -> Runbook:
    definition = {
        "schema": 1, "id": slug, "title": slug.replace("-", " ").capitalize(), "description": "A test.", "purpose": "diagnostic",
        "owner": "Tests", "risk": "change", "tier": 1, "steps": steps, **more,
    }  # fmt: skip
    return actions.load_runbook(text=yaml.safe_dump(definition, sort_keys=False), name=f"{slug}.yaml")


def shell(script: str, **more: Any) -> dict[str, Any]:
    step = {"id": "work", "title": "Work", "uses": "shell", "with": {"script": script}}
    step["with"] |= more.pop("with_", {})
    return step | more


def text_of(execution: Execution, stream: str = "") -> str:
    chunks = execution.chunks.order_by("seq")
    pieces = chunks.filter(stream=stream) if stream else chunks
    return b"".join(bytes(chunk.data) for chunk in pieces).decode(errors="replace")


def step(id_: str, script: str = "true", **more: Any) -> dict[str, Any]:
    return shell(script, **more) | {"id": id_, "title": id_.capitalize()}


def states(run: Execution) -> dict[tuple[str, str], str]:
    return {(row.phase, row.step_id): row.state for row in run.steps.order_by("attempt")}


def run_all(run: Execution, *, most: int = 20) -> Execution:
    """Perform until it ends or waits for a person, as workers would."""
    for _ in range(most):
        actions.perform(execution_id=run.pk)
        reaper.wake()
        run.refresh_from_db()
        if run.state != RunState.QUEUED:
            return run
    raise AssertionError(run.state)
