"""Runbooks, their drafts, and what they run at: targets, locks, schedules, thresholds."""

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery

from runbooks import definition, policies, windows
from runbooks.models import (
    DraftState,
    Execution,
    Runbook,
    RunbookDraft,
    RunbookVersion,
    RunLock,
    Schedule,
    ScheduleFire,
    Target,
    Threshold,
)
from runbooks.models.runbook import view_level_of
from runbooks.plans import unfit
from staff.models import User
from supportdesk.errors import NotFound


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
