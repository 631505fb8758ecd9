"""What the pages and endpoints of runbooks show."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse

from runbooks import definition, policies
from runbooks.models import Execution, OutputChunk, Runbook, RunState, StepRun, StepState, Target
from staff.models import User
from supportdesk.errors import NotFound

MOST_OUTPUT = 256 * 1024  # bytes of text in one answer


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


@dataclass(frozen=True)
class RunDetail:
    execution: Execution
    steps: list[StepLine]
    current: StepLine | None
    can_cancel: bool
    can_pick_up: bool
    can_run: bool


@dataclass(frozen=True)
class Output:
    """Chunks after a sequence number; `more` says that another call gets more at once."""

    chunks: list[OutputChunk]
    after: int
    more: bool


def runbooks_for(user: User) -> list[tuple[Runbook, bool]]:
    """Every runbook with its last run, and whether the user may run it."""
    last = Execution.objects.visible_to(user).filter(version__runbook=OuterRef("pk")).order_by("-id")
    rows = Runbook.objects.filter(current__isnull=False).annotate(
        last_state=Subquery(last.values("state")[:1]),
        last_run=Subquery(last.values("pk")[:1]),
        last_at=Subquery(last.values("created_at")[:1]),
    )
    return [(runbook, policies.can_run(user, runbook)) for runbook in rows]


def runbook(slug: str) -> tuple[Runbook, definition.Definition]:
    """A runbook with its current definition, or `NotFound`."""
    found = Runbook.objects.select_related("current").filter(slug=slug, current__isnull=False).first()
    if found is None or found.current is None:
        raise NotFound(f"There is no runbook {slug}.")
    return found, definition.parse(found.current.text, name=slug)


def targets_for(parsed: definition.Definition) -> list[tuple[Target, list[str]]]:
    """All targets, each with the connections that it lacks for this runbook."""
    return [
        (target, [need for need in parsed.target.needs if need not in target.connections])
        for target in Target.objects.all()
    ]


def executions(user: User) -> QuerySet[Execution]:
    """Runs that the user may see, newest first."""
    return Execution.objects.visible_to(user).select_related("version__runbook", "target", "requested_by", "ticket")


def execution(user: User, pk: int) -> Execution:
    found = executions(user).filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no run {pk}.")
    return found


def run_detail(user: User, pk: int) -> RunDetail:
    """The run page: the steps of the definition that the run runs, with the newest row of each."""
    found = execution(user, pk)
    newest = {row.step_id: row for row in found.steps.order_by("attempt")}
    lines = [_line(number, step, newest.get(step["id"])) for number, step in enumerate(found.spec["steps"], 1)]
    current = next((line for line in lines if line.state == StepState.RUNNING), None)
    return RunDetail(
        execution=found,
        steps=lines,
        current=current,
        can_cancel=policies.can_cancel(user, found),
        can_pick_up=policies.can_pick_up(user, found),
        can_run=policies.can_run(user, found.version.runbook),
    )


def _line(number: int, step: dict[str, Any], row: StepRun | None) -> StepLine:
    state = StepState(row.state) if row else StepState.PENDING
    return StepLine(number, step["id"], step["title"], step["uses"], step.get("effect", "none"), state, row)


def output(found: Execution, *, after: int, most: int = MOST_OUTPUT) -> Output:
    """Output after a sequence number, some `most` bytes of it."""
    chunks: list[OutputChunk] = []
    size, more = 0, False
    for chunk in found.chunks.filter(seq__gt=after).order_by("seq")[:2000].iterator(chunk_size=200):
        if chunks and size + len(chunk.text) > most:
            more = True
            break
        chunks.append(chunk)
        size += len(chunk.text)
    last = chunks[-1].seq if chunks else after
    return Output(chunks, last, more or (last < found.last_seq and len(chunks) == 2000))


def runs_of_ticket(user: User, number: int) -> list[Execution]:
    return list(executions(user).filter(ticket__number=number)[:8])


@dataclass(frozen=True)
class Reference:
    """A run as another app may keep it: `reference` is the JSON that comes back."""

    title: str
    state: str
    at: datetime
    reference: str


def references(user: User, number: int) -> list[Reference]:
    """The newest runs of a ticket."""
    found = []
    for run in runs_of_ticket(user, number):
        title, state = f"{run.version.runbook.title}, run {run.pk}", run.get_state_display()
        kept = {"run": run.pk, "title": title, "url": reverse("runbooks:run", args=[run.pk]), "state": state}
        found.append(Reference(title, state, run.created_at, json.dumps(kept)))
    return found


def run_cursor(user: User, key: str) -> int | None:
    """Output and state of one run as one growing number."""
    if not key.isdecimal():
        return None
    row = Execution.objects.visible_to(user).filter(pk=int(key)).values_list("last_seq", "state", "attempt").first()
    if row is None:
        return None
    return int(row[0] * 1000 + row[2] * 10 + list(RunState).index(RunState(row[1])))


def runs_cursor(user: User, key: str) -> int | None:
    if key or not user.is_authenticated:
        return None
    return Execution.objects.order_by("-id").values_list("id", flat=True).first() or 0
