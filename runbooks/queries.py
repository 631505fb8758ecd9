"""What the pages and endpoints of runbooks show."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import TruncDate
from django.urls import reverse
from django.utils import timezone

from runbooks import definition, policies, windows
from runbooks.models import (
    FINAL_STATES,
    AdvanceApproval,
    DraftState,
    Execution,
    OutputChunk,
    RunApproval,
    Runbook,
    RunbookDraft,
    RunbookVersion,
    RunLock,
    RunState,
    Schedule,
    ScheduleFire,
    StepRun,
    StepState,
    Target,
    Threshold,
)
from runbooks.models.runbook import view_level_of
from runbooks.plans import unfit
from staff.models import User
from supportdesk.errors import NotFound
from supportdesk.text import number_of

MOST_OUTPUT = 256 * 1024  # bytes of output in one answer
MOST_HITS = 500


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


@dataclass(frozen=True)
class Output:
    """Chunks after a sequence number; `more` says that another call gets more at once."""

    chunks: list[OutputChunk]
    after: int
    more: bool


# -------------------------------------------------------------------------------------- runbooks
def runbooks_for(user: User, *, q: str = "", purpose: str = "", risk: str = "") -> list[tuple[Runbook, bool]]:
    """The runbooks with their last run, favourites first, and whether the user may run each."""
    mine = Runbook.favourite_of.through.objects.filter(runbook=OuterRef("pk"), user=user.pk)
    rows = Runbook.objects.visible_to(user).filter(current__isnull=False, retired_at=None)
    rows = rows.annotate(favourite=Exists(mine))
    for word in q.split()[:10]:
        rows = rows.filter(
            Q(title__icontains=word)
            | Q(description__icontains=word)
            | Q(slug__icontains=word)
            | Q(owner__icontains=word)
        )
    if purpose:
        rows = rows.filter(purpose=purpose)
    if risk:
        rows = rows.filter(risk=risk)
    last = _last_runs(user)
    found = list(rows.order_by("-favourite", "title"))
    for runbook in found:
        runbook.last = last.get(runbook.pk)
    return [(runbook, policies.can_run(user, runbook)) for runbook in found]


def _last_runs(user: User) -> dict[int, Execution]:
    """The newest run of each runbook that the user may see; asked by version, for which there is an index."""
    newest = Execution.objects.visible_to(user).filter(version=OuterRef("pk")).order_by("-id").values("pk")[:1]
    by_runbook: dict[int, int] = {}
    for runbook_id, run in RunbookVersion.objects.annotate(run=Subquery(newest)).values_list("runbook_id", "run"):
        by_runbook[runbook_id] = max(by_runbook.get(runbook_id, 0), run or 0)
    runs = Execution.objects.only("state", "created_at").in_bulk(by_runbook.values())
    return {runbook_id: runs[run] for runbook_id, run in by_runbook.items() if run in runs}


def runbook(user: User, slug: str) -> tuple[Runbook, definition.Definition]:
    """A runbook with its current definition, or `NotFound`."""
    found = Runbook.objects.visible_to(user).select_related("current").filter(slug=slug, current__isnull=False).first()
    if found is None or found.current is None:
        raise NotFound(f"There is no runbook {slug}.")
    return found, definition.parse(found.current.text, name=slug)


def targets_for(parsed: definition.Definition) -> list[tuple[Target, str]]:
    """All targets in use, each with why it does not fit this runbook now; empty where it does."""
    found = []
    for target in Target.objects.filter(retired_at=None):
        why = unfit(target, parsed)
        if not why and parsed.risk != "read":
            why = windows.closed_because(target) or ""
        found.append((target, why))
    return found


def drafts_for(user: User) -> QuerySet[RunbookDraft]:
    """Drafts that are not published yet."""
    hidden = Runbook.objects.exclude(pk__in=Runbook.objects.visible_to(user).values("pk"))
    open_ones = RunbookDraft.objects.exclude(state=DraftState.PUBLISHED).exclude(runbook__in=hidden.values("pk"))
    return (
        open_ones.select_related("runbook", "author", "reviewer")
        if policies.can_write(user) or user.standing.reads_only
        else open_ones.none()
    )


def draft(user: User, pk: int) -> RunbookDraft:
    found = RunbookDraft.objects.select_related("runbook__current", "author", "reviewer", "base").filter(pk=pk).first()
    seen = found is not None and (found.runbook is None or found.runbook.view_level <= view_level_of(user))
    if found is None or not seen or not (policies.can_write(user) or user.standing.reads_only):
        raise NotFound(f"There is no draft {pk}.")
    return found


# ------------------------------------------------------------------------------------------ runs
def executions(user: User) -> QuerySet[Execution]:
    """Runs that the user may see, newest first."""
    return Execution.objects.visible_to(user).select_related("version__runbook", "target", "requested_by", "ticket")


def history(user: User, given: Any) -> QuerySet[Execution]:
    """The runs that the filters pick: runbook, target, state, trigger, by, since (days), q."""
    found = Execution.objects.visible_to(user).select_related("version__runbook", "target", "requested_by")
    if slug := given.get("runbook", ""):
        found = found.filter(version__runbook__slug=slug)
    if target := given.get("target", ""):
        found = found.filter(target__slug=target)
    state = given.get("state", "")
    if state in RunState.values:
        found = found.filter(state=state)
    elif state == "open":
        found = found.exclude(state__in=FINAL_STATES)
    if (trigger := given.get("trigger", "")) in {
        choice for choice, _ in Execution._meta.get_field("trigger").flatchoices
    }:
        found = found.filter(trigger=trigger)
    if given.get("by") == "me":
        found = found.filter(requested_by=user)
    if 0 < (days := number_of(given.get("days", "")) or 0) < 36_500:
        found = found.filter(created_at__gte=timezone.now() - timedelta(days=days))
    return found


COLUMNS = (
    "run", "runbook", "version", "target", "environment", "params", "state", "result", "trigger", "started by", "asked", "began",
    "ended", "dry run", "approved by", "without approval because", "ticket",
)  # fmt: skip


def as_csv(runs: QuerySet[Execution]) -> Iterator[str]:
    """The runs as lines of CSV. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    line = _Line()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    yield line.text
    rows = runs.prefetch_related("approvals__approver").order_by("-pk")
    for run in rows.iterator(chunk_size=200):
        said = "; ".join(
            f"{one.approver.email} {'yes' if one.approved else 'no'} {one.at.isoformat()}"
            for one in run.approvals.all()
        )
        cells = [
            run.pk, run.version.runbook.slug, run.version.sha256, run.target.slug, run.target.environment, json.dumps(run.params), run.state,
            run.summary, run.trigger, run.requested_by.email, *(at.isoformat() if at else "" for at in (run.created_at, run.started_at, run.finished_at)),
            run.dry_run, said, run.break_glass_reason, run.ticket.number if run.ticket else "",
        ]  # fmt: skip
        writer.writerow(
            [f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t"} else cell for cell in cells]
        )
        yield line.text


class _Line:
    """What csv writes to: it keeps the last line."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


@dataclass(frozen=True)
class Statistics:
    """Of the runs of some days: a row a day (succeeded, failed, other, mean seconds), and the steps that fail most."""

    days: list[dict[str, Any]]
    total: int
    succeeded: int
    flaky: list[dict[str, Any]]

    @property
    def bars(self) -> list[dict[str, Any]]:
        """Runs a day as stacked bars, 60 units high."""
        most = max((day["good"] + day["bad"] + day["other"] for day in self.days), default=0) or 1
        found = []
        for day in self.days:
            parts, y = [], 60.0
            for kind in ("good", "bad", "other"):
                height = 60.0 * day[kind] / most
                y -= height
                parts.append({"kind": kind, "y": f"{y:.2f}", "height": f"{height:.2f}" if height else ""})
            title = f"{day['day']:%a %d %b}: {day['good']} succeeded, {day['bad']} failed, {day['other']} other"
            found.append({"title": title, "parts": parts})
        return found

    @property
    def longest(self) -> float:
        return max((day["seconds"] or 0.0 for day in self.days), default=0.0)

    @property
    def durations(self) -> list[dict[str, Any]]:
        """Mean duration a day as bars."""
        found = []
        for day in self.days:
            seconds = day["seconds"] or 0.0
            height = 60.0 * seconds / self.longest if self.longest else 0.0
            part = {"kind": "plain", "y": f"{60 - height:.2f}", "height": f"{height:.2f}" if height else ""}
            found.append({"title": f"{day['day']:%a %d %b}: {seconds:.1f} s", "parts": [part]})
        return found

    @property
    def success_rate(self) -> int | None:
        ended = sum(day["good"] + day["bad"] for day in self.days)
        return round(100 * self.succeeded / ended) if ended else None


def statistics(runs: QuerySet[Execution], *, days: int = 30) -> Statistics:
    """Success by day, duration by day, flakiest steps; two statements whatever the number of runs."""
    since = timezone.now() - timedelta(days=days)
    recent = runs.filter(created_at__gte=since, dry_run=False).order_by().select_related(None)
    took = F("finished_at") - F("started_at")
    rows = (
        recent.annotate(day=TruncDate("created_at"))
        .values("day")
        .annotate(
            good=Count("pk", filter=Q(state=RunState.SUCCEEDED)),
            bad=Count("pk", filter=Q(state__in=[RunState.FAILED, RunState.CANCEL_FAILED, RunState.LOST])),
            total=Count("pk"),
            took=Avg(took, filter=Q(finished_at__isnull=False, started_at__isnull=False)),
        )
    )
    by_day: dict[Any, Any] = {row["day"]: row for row in rows}
    found: list[dict[str, Any]] = []
    today = timezone.localdate()
    for back in range(days - 1, -1, -1):
        day = today - timedelta(days=back)
        row = by_day.get(day, {"good": 0, "bad": 0, "total": 0, "took": None})
        seconds = row["took"].total_seconds() if row["took"] else None
        found.append(
            {
                "day": day,
                "good": row["good"],
                "bad": row["bad"],
                "other": row["total"] - row["good"] - row["bad"],
                "seconds": seconds,
            }
        )
    bad_steps = Q(state__in=[StepState.FAILED, StepState.LOST])
    steps = StepRun.objects.filter(execution__in=recent.values("pk"), phase="step")
    flaky: Any = (
        steps.values("execution__version__runbook__slug", "execution__version__runbook__title", "step_id")
        .annotate(runs=Count("pk"), failures=Count("pk", filter=bad_steps), retried=Count("pk", filter=Q(tries__gt=1)))
        .filter(Q(failures__gt=0) | Q(retried__gt=0))
        .order_by("-failures", "-retried")[:8]
    )
    return Statistics(
        found,
        sum(day["good"] + day["bad"] + day["other"] for day in found),
        sum(day["good"] for day in found),
        list(flaky),
    )


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


# ---------------------------------------------------------------------------------------- output
def output(found: Execution, *, after: int, most: int = MOST_OUTPUT) -> Output:
    """Output after a sequence number, some `most` bytes of it."""
    return _pieces(found.chunks.filter(seq__gt=after).order_by("seq"), after, found.last_seq, most)


def _pieces(rows: QuerySet[OutputChunk], after: int, last_seq: int, most: int) -> Output:
    chunks: list[OutputChunk] = []
    size, more = 0, False
    for chunk in rows[:2000].iterator(chunk_size=50):
        if chunks and size + len(chunk.data) > most:
            more = True
            break
        chunks.append(chunk)
        size += len(chunk.data)
    last = chunks[-1].seq if chunks else after
    return Output(chunks, last, more or (last < last_seq and len(chunks) == 2000))


def line_of(text: str) -> int:
    """The number of a line that a client wrote, negative from the end; the first for anything else."""
    number = number_of(text.removeprefix("-")) or 0
    return -number if text.startswith("-") else number


def output_window(found: Execution, *, line: int, most: int = MOST_OUTPUT) -> Output:
    """Output from the piece that holds a line (counted from 0); a negative line counts from the end."""
    if line < 0:
        line = max(0, found.output_lines + line)
    start = found.chunks.filter(line__lte=line).order_by("-seq").values_list("seq", flat=True).first() or 1
    # Pieces of one line longer than a piece have the same count: begin with the first of them.
    return _pieces(found.chunks.filter(seq__gte=start).order_by("seq"), start - 1, found.last_seq, most)


def search_output(found: Execution, text: str, *, most: int = MOST_HITS) -> tuple[list[tuple[int, str]], bool]:
    """Lines that hold a text, whatever its case: (number from 0, the line); and whether there are more."""
    wanted = re.compile(re.escape(text.encode()), re.IGNORECASE)
    hits: list[tuple[int, str]] = []
    for number, line in lines_of(found):
        if wanted.search(line):
            if len(hits) == most:
                return hits, True
            hits.append((number, line[:400].decode(errors="replace")))
    return hits, False


def lines_of(found: Execution) -> Iterator[tuple[int, bytes]]:
    """Every line of the output with its number, read piece by piece."""
    rest, number = b"", 0
    for data, first in found.chunks.order_by("seq").values_list("data", "line").iterator(chunk_size=20):
        if not rest:
            number = first
        *whole, rest = (rest + bytes(data)).split(b"\n")
        for line in whole:
            yield number, line
            number += 1
    if rest:
        yield number, rest


def raw_output(found: Execution) -> Iterator[bytes]:
    """All of the output as it came."""
    for data in found.chunks.order_by("seq").values_list("data", flat=True).iterator(chunk_size=20):
        yield bytes(data)


# ------------------------------------------------------------------------------------- compare
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


# ------------------------------------------------------------------------------ approvals, tickets
def waiting_for_approval(user: User) -> list[tuple[Execution, bool]]:
    """Runs that wait for a yes, and whether it may be the user's."""
    found = (
        executions(user)
        .filter(state=RunState.AWAITING_APPROVAL)
        .prefetch_related("approvals__approver")
        .order_by("approval_expires_at")
    )
    return [
        (run, policies.can_approve(user, run) and all(one.approver_id != user.pk for one in run.approvals.all()))
        for run in found[:200]
    ]


def given_ahead() -> QuerySet[AdvanceApproval]:
    """What was approved ahead and still counts."""
    now = timezone.now()
    return AdvanceApproval.objects.filter(revoked_at=None, ends_at__gt=now).select_related(
        "version__runbook", "target", "approver"
    )


def waiting_for_people(user: User) -> list[Execution]:
    """Runs in which a person is asked something, or that lost their worker."""
    asked = Q(state=RunState.PAUSED, steps__state=StepState.WAITING, steps__result__has_key="instructions")
    return [
        run
        for run in executions(user).filter(asked | Q(state=RunState.LOST)).distinct()[:100]
        if policies.can_run(user, run.version.runbook)
    ]


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


# ------------------------------------------------------------------------------ targets, schedules
def targets() -> QuerySet[Target]:
    return Target.objects.annotate(runs=Count("executions", distinct=True)).order_by("retired_at", "name")


def target(slug: str) -> Target:
    found = Target.objects.filter(slug=slug).first()
    if found is None:
        raise NotFound(f"There is no target {slug}.")
    return found


def held_locks(user: User) -> QuerySet[RunLock]:
    """Who holds what, and who waits for it, as far as the user may see the runs."""
    seen = RunLock.objects.filter(execution__in=Execution.objects.visible_to(user).values("pk"))
    return seen.select_related("execution__version__runbook", "execution__target", "execution__requested_by").order_by(
        "key", "waits_since"
    )


def schedules(user: User) -> QuerySet[Schedule]:
    """Schedules of the runbooks that the user may see."""
    last = ScheduleFire.objects.filter(schedule=OuterRef("pk")).order_by("-moment")
    return (
        Schedule.objects.filter(runbook__in=Runbook.objects.visible_to(user).values("pk"))
        .select_related("runbook", "owner")
        .prefetch_related("targets")
        .annotate(last_outcome=Subquery(last.values("outcome")[:1]), last_moment=Subquery(last.values("moment")[:1]))
    )


def schedule(user: User, pk: int) -> Schedule:
    found = schedules(user).filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no schedule {pk}.")
    return found


def thresholds() -> QuerySet[Threshold]:
    return Threshold.objects.all()


# ---------------------------------------------------------------------------------------- cursors
def run_cursor(user: User, key: str) -> int | None:
    """Output and state of one run as one growing number."""
    row = (
        Execution.objects.visible_to(user)
        .filter(pk=number_of(key) or 0)
        .values_list("last_seq", "state", "attempt")
        .first()
    )
    if row is None:
        return None
    return int(row[0] * 1000 + row[2] * 20 + list(RunState).index(RunState(row[1])))


def runs_cursor(user: User, key: str) -> int | None:
    if key or not user.is_authenticated:
        return None
    return Execution.objects.order_by("-id").values_list("id", flat=True).first() or 0
