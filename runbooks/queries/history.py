"""Lists of runs: the history and its figures, what waits for people, what belongs to a ticket."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, F, Q, QuerySet
from django.db.models.functions import TruncDate
from django.urls import reverse
from django.utils import timezone

from runbooks import policies
from runbooks.models import (
    FINAL_STATES,
    AdvanceApproval,
    Execution,
    RunState,
    StepRun,
    StepState,
)
from staff.models import User
from supportdesk.text import number_of


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
