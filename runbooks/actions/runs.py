"""Starting runs, and every act on one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from runbooks import choices, definition, expressions, policies, windows
from runbooks.actions.approvals import approvers, use_ahead
from runbooks.actions.orders import MASKED, apart, check_targets_named, digests, named_targets
from runbooks.engine import ending, executor, reaper
from runbooks.models import (
    Batch,
    Execution,
    Runbook,
    RunbookVersion,
    RunState,
    StepRun,
    StepState,
    Target,
    Trigger,
)
from runbooks.plans import others, plan_hash
from staff import actions as staff
from staff.models import User
from supportdesk import crypto, events
from supportdesk.errors import Conflict, Invalid, NotFound
from tickets import actions as ticket_actions
from tickets.models import Ticket

MOST_NESTED = 8


def start(
    *,
    slug: str,
    target: str,
    by: User,
    params: dict[str, Any] | None = None,
    ticket: int | None = None,
    dry_run: bool = False,
    scopes: list[str] | None = None,
    trigger: Trigger = Trigger.PERSON,
    break_glass: str = "",
    **more: Any,
) -> Execution:
    """Start a run of the current version on one target; `scopes` are those of an API token, None for a browser.

    It is queued, or waits for approval where risk or target ask for it. `break_glass` is the reason to
    run without; everybody who could have said yes is told.
    """
    return start_many(
        slug=slug, targets=[target], by=by, params=params, ticket=ticket, dry_run=dry_run, scopes=scopes, trigger=trigger,
        break_glass=break_glass, **more,
    )[0]  # fmt: skip


@transaction.atomic
def start_many(
    *,
    slug: str,
    targets: Sequence[str],
    by: User,
    params: dict[str, Any] | None = None,
    ticket: int | None = None,
    dry_run: bool = False,
    scopes: list[str] | None = None,
    trigger: Trigger = Trigger.PERSON,
    break_glass: str = "",
    size: int | None = None,
    stop_after: int | None = None,
    **more: Any,
) -> list[Execution]:
    """The same on several targets: `size` at a time, until `stop_after` of them have failed.

    `more` are fields of the run: parent, parent_step, schedule, scheduled_for, retry_of.
    """
    seen = Runbook.objects.visible_to(by).select_related("current")
    runbook = seen.filter(slug=slug, current__isnull=False).first()
    if runbook is None or runbook.current is None:
        raise NotFound(f"There is no runbook {slug}.")
    policies.check_can_run(by, runbook, scopes)
    parsed = definition.parse(runbook.current.text, name=slug)
    systems = named_targets(targets, parsed)
    for system in systems:
        policies.check_can_run(by, runbook, scopes, system)
    values = parsed.parse_params(params or {})
    check_targets_named(parsed, values)
    for system in systems:
        if wrong := choices.check(parsed, system, values):
            raise Invalid("Some parameters need another value.", fields=wrong)
    if break_glass:
        policies.check_can_break_glass(by)
    batch = None
    if len(systems) > 1:
        batch = Batch.objects.create(
            version=runbook.current,
            requested_by=by,
            size=size or parsed.target.batch,
            stop_after=stop_after or parsed.target.stop_after_failures,
        )
    order = _Order(
        runbook, runbook.current, parsed, values, _ticket(ticket, by), batch, by, scopes, trigger, dry_run, break_glass, more
    )  # fmt: skip
    runs = [_create(order, system) for system in systems]
    for run in runs:
        _begin(run, runbook, by)
    if batch is not None and all(run.state == RunState.PLANNED for run in runs):
        ending.advance(batch.pk)
    events.publish("runs", "state")
    return runs


@dataclass(frozen=True)
class _Order:
    """What was asked for, checked but for what depends on the target."""

    runbook: Runbook
    version: RunbookVersion
    parsed: definition.Definition
    values: dict[str, Any]
    ticket: Ticket | None
    batch: Batch | None
    by: User
    scopes: list[str] | None
    trigger: Trigger
    dry_run: bool
    break_glass: str
    more: dict[str, Any]


def _create(order: _Order, system: Target) -> Execution:
    """The run on one target, with the rights, windows and approvals of every target that it uses."""
    parsed, values, glass = order.parsed, order.values, order.break_glass
    used = [system, *others(parsed, system, values)]
    closed = list(filter(None, map(windows.closed_because, used)))
    for other in used[1:]:
        policies.check_can_run(order.by, order.runbook, order.scopes, other)
    if closed and parsed.risk != "read" and not order.dry_run and not glass:
        raise Invalid(closed[0], fields={"target": [closed[0]]})
    needed = 0 if order.dry_run else max(_approvals(parsed, one, values) for one in used)
    state, expires = RunState.PLANNED if order.batch else RunState.QUEUED, None
    if needed and not glass:
        state = RunState.AWAITING_APPROVAL
        expires = timezone.now() + timedelta(seconds=parsed.approval_rule.expires)
    shown, hidden = apart(parsed, values)
    params = shown | digests(hidden)
    return Execution.objects.create(
        version=order.version, target=system, ticket=order.ticket, params=params, dry_run=order.dry_run, state=state,
        secret_params=crypto.encrypt(json.dumps(hidden)) if hidden else None, trigger=order.trigger, requested_by=order.by,
        batch=order.batch, queue=f"runbooks.{system.site}" if system.site else "runbooks",
        plan_hash=plan_hash(order.version.sha256, used, params), approvals_needed=needed, approval_expires_at=expires,
        approval_tier=max(parsed.approval_rule.tier or order.runbook.tier_level, *(one.run_level for one in used)),
        break_glass_reason=glass.strip()[:2000] if needed or windows.closed_because(system) else "", **order.more,
    )  # fmt: skip


def _begin(run: Execution, runbook: Runbook, by: User) -> None:
    if run.ticket is not None:
        ticket_actions.record_run_started(
            ticket_id=run.ticket.pk, by=by, run=run.pk, title=runbook.title, url=f"/runs/{run.pk}/"
        )
    if run.break_glass_reason:
        staff.audit(
            by=by,
            action="run.break_glass",
            thing=f"run {run.pk}",
            after={"runbook": runbook.slug, "target": run.target.slug, "reason": run.break_glass_reason},
        )
        words = f"{by} broke the glass: “{runbook.title}” on {run.target} without approval. {run.break_glass_reason}"
        ending.tell_people(run, approvers(run, runbook), words, "glass")
    if run.state == RunState.QUEUED:
        ending.queue(run)
    elif run.state == RunState.AWAITING_APPROVAL:
        use_ahead(run)
        if run.state == RunState.AWAITING_APPROVAL:
            words = f"{by} asks for approval: “{runbook.title}” on {run.target}"
            ending.tell_people(run, approvers(run, runbook), words, "approval")
            events.publish(f"run.{run.pk}", "state")


def _ticket(number: int | None, by: User) -> Ticket | None:
    if number is None:
        return None
    found = Ticket.objects.visible_to(by).filter(number=number).first()
    if found is None:
        raise Invalid(f"There is no ticket {number}.", fields={"ticket": [f"There is no ticket {number}."]})
    return found


def _approvals(parsed: definition.Definition, target: Target, values: Mapping[str, Any]) -> int:
    """How many people must say yes: what the definition asks for, or the target if that is more."""
    rule = parsed.approval_rule
    count = rule.count
    if rule.when:
        names = {
            "params": values, "steps": {}, "run": {}, "schedule": {},
            "target": {"slug": target.slug, "name": target.name, "environment": target.environment, "labels": target.labels},
        }  # fmt: skip
        try:
            count = rule.count if expressions.evaluate(expressions.parse(rule.when), names) else 0
        except expressions.ExpressionError as error:
            raise Invalid(f"Whether it needs approval cannot be said: {error}.") from None
    return max(count, int(target.approvals.get(parsed.risk, 0)))


# ---------------------------------------------------------------------- on a run
@transaction.atomic
def cancel(*, execution_id: int, by: User, scopes: list[str] | None = None) -> Execution:
    """Stop a run: at once while nothing of it has run, else its worker ends every process first. Twice is once."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_cancel(by, execution, scopes)
    if execution.state == RunState.CANCELLING:
        return execution
    if execution.cancel_requested_at is None:
        execution.cancel_requested_at, execution.cancel_requested_by = timezone.now(), by
    _cancel_children(execution, by)
    begun = execution.steps.exists()
    if execution.state == RunState.RUNNING:
        execution.move_to(RunState.CANCELLING)
        execution.save(update_fields=["state", "cancel_requested_at", "cancel_requested_by"])
    elif begun and execution.state in {RunState.PAUSED, RunState.WAITING_LOCK, RunState.QUEUED}:
        # A worker takes it once more, for its `finally`.
        if execution.state != RunState.QUEUED:
            execution.move_to(RunState.QUEUED)
        execution.pause_requested_at = None
        execution.save(update_fields=["state", "cancel_requested_at", "cancel_requested_by", "pause_requested_at"])
        ending.queue(execution)
    else:
        if execution.state == RunState.LOST or execution.is_final:
            execution.move_to(RunState.CANCELLED)  # refused, in its own words
        execution.save(update_fields=["cancel_requested_at", "cancel_requested_by"])
        ending.end(execution, RunState.CANCELLED, f"Cancelled by {by} before it began.")
    events.publish(f"run.{execution.pk}", "state")
    return execution


def _cancel_children(execution: Execution, by: User) -> None:
    """Stop what it called, too."""
    children = execution.children.exclude(state__in=[*ending.FINAL_STATES, RunState.LOST, RunState.CANCELLING])
    for pk in list(children.values_list("pk", flat=True)):
        child = (
            Execution.objects.select_for_update(of=("self",)).select_related("version__runbook", "target").get(pk=pk)
        )
        if child.state not in policies.CANCELLABLE:
            continue
        child.cancel_requested_at, child.cancel_requested_by = timezone.now(), by
        child.save(update_fields=["cancel_requested_at", "cancel_requested_by"])
        _cancel_children(child, by)
        if child.state == RunState.RUNNING:
            child.move_to(RunState.CANCELLING)
            child.save(update_fields=["state"])
        elif child.state in {RunState.PAUSED, RunState.WAITING_LOCK} and child.steps.exists():
            child.move_to(RunState.QUEUED)
            ending.queue(child)
        elif child.state != RunState.QUEUED or not child.steps.exists():
            ending.end(child, RunState.CANCELLED, f"Cancelled by {by} with run {execution.pk}.")


@transaction.atomic
def stop_batch(*, execution_id: int, by: User, scopes: list[str] | None = None) -> Execution:
    """Start no more runs of the batch; those that run go on."""
    found = Execution.objects.visible_to(by).select_related("version__runbook").filter(pk=execution_id).first()
    if found is None:
        raise NotFound(f"There is no run {execution_id}.")
    policies.check_can_cancel(by, found, scopes)
    if found.batch_id is None:
        raise Invalid("This run is not one of several.")
    Batch.objects.filter(pk=found.batch_id).update(stopped_at=Now())
    ending.advance(found.batch_id)
    return found


@transaction.atomic
def pause(*, execution_id: int, by: User, scopes: list[str] | None = None) -> Execution:
    """Let the running step end and begin no other; locks are kept meanwhile."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_cancel(by, execution, scopes)
    if execution.state not in {RunState.RUNNING, RunState.PAUSED, RunState.WAITING_LOCK, RunState.QUEUED}:
        raise Conflict(f"Run {execution.pk} is {RunState(execution.state).label.lower()}; there is nothing to pause.")
    execution.pause_requested_at = execution.pause_requested_at or timezone.now()
    execution.save(update_fields=["pause_requested_at"])
    events.publish(f"run.{execution.pk}", "state")
    return execution


@transaction.atomic
def go_on(*, execution_id: int, by: User, scopes: list[str] | None = None) -> Execution:
    """Take a pause back."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_cancel(by, execution, scopes)
    if execution.pause_requested_at is None:
        raise Conflict(f"Nobody paused run {execution.pk}.")
    execution.pause_requested_at = None
    execution.save(update_fields=["pause_requested_at"])
    if execution.state == RunState.PAUSED:  # a step that waits for something parks it again
        execution.move_to(RunState.QUEUED)
        ending.queue(execution)
    events.publish(f"run.{execution.pk}", "state")
    return execution


@transaction.atomic
def answer(
    *, execution_id: int, step_id: str, by: User, done: bool, note: str = "", fields: Mapping[str, str] | None = None
) -> Execution:
    """A person's answer to a manual step: done or not, with what they saw."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_run(by, execution.version.runbook, None, execution.target)
    step = (
        StepRun.objects.select_for_update()
        .filter(execution=execution, step_id=step_id, state=StepState.WAITING)
        .order_by("-attempt")
        .first()
    )
    if step is None or "instructions" not in step.result or execution.state != RunState.PAUSED:
        raise Conflict("Nothing is asked here any more.")
    asked = step.result.get("fields", {})
    given = {name: str((fields or {}).get(name, "")).strip()[:2000] for name in asked}
    if done and (empty := [name for name, text in given.items() if not text]):
        raise Invalid("Write down what you saw.", fields={name: [f"{asked[name]}"] for name in empty})
    step.result = step.result | given | {
        "answer": {"by": str(by), "at": timezone.now().isoformat(), "done": done, "note": note.strip()[:2000], "fields": given}
    }  # fmt: skip
    step.save(update_fields=["result"])
    staff.audit(by=by, action="run.step_answered", thing=f"run {execution.pk}, {step_id}", after=step.result["answer"])
    if execution.pause_requested_at is None:
        execution.move_to(RunState.QUEUED)
        ending.queue(execution)
    return execution


@transaction.atomic
def resume(*, execution_id: int, by: User, from_start: bool = False, scopes: list[str] | None = None) -> Execution:
    """Queue a lost run again: from the interrupted step, or from the start."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_run(by, execution.version.runbook, scopes, execution.target)
    reaper.requeue(execution, from_start=from_start)
    return execution


@transaction.atomic
def give_up(*, execution_id: int, by: User, scopes: list[str] | None = None) -> Execution:
    """Call a lost run failed."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_cancel(by, execution, scopes)  # also where the runbook is retired: its locks must come back
    ending.end(execution, RunState.FAILED, f"Lost its worker; called failed by {by}.")
    return execution


@transaction.atomic
def retry(*, execution_id: int, by: User, scopes: list[str] | None = None) -> Execution:
    """A new run of the same version, target and parameters that goes on at the step that failed.

    What the steps before it found is taken over. Approval is asked for anew.
    """
    old = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_run(by, old.version.runbook, scopes, old.target)
    if old.dry_run:
        raise Conflict("A dry run did nothing that could be taken over; start it anew.")
    if old.state not in {RunState.FAILED, RunState.CANCELLED, RunState.CANCEL_FAILED}:
        raise Conflict(
            f"Run {old.pk} is {RunState(old.state).label.lower()}; only what failed or was cancelled is tried again."
        )
    if old.version.runbook.current_id != old.version_id:
        raise Conflict("The runbook has a newer version; run that one again from the start.")
    if any(str(value).startswith(MASKED) for value in old.params.values()):
        raise Conflict("It was given a secret, which is not kept; run it again and give it anew.")
    new = start(
        slug=old.version.runbook.slug, target=old.target.slug, by=by, params=old.params,
        ticket=old.ticket.number if old.ticket else None, scopes=scopes, trigger=Trigger.RERUN, retry_of=old,
    )  # fmt: skip
    done = StepRun.objects.filter(execution=old, phase="step", state__in=executor.DONE, attempt__gte=old.fresh_from)
    undone = StepRun.objects.filter(execution=old, phase="undo").values("step_id")
    copies = {row.step_id: row for row in done.exclude(step_id__in=undone).order_by("attempt")}
    for row in copies.values():
        row.pk, row.execution, row.attempt = None, new, 0
    StepRun.objects.bulk_create(copies.values())
    Execution.objects.filter(pk=new.pk).update(fresh_from=0)
    return new


def start_child(
    *, parent_id: int, attempt: int, step_id: str, slug: str, target: str, params: dict[str, Any], number: int = 1
) -> Execution:
    """What a `runbook` step starts: in the name of who started the calling run, within what they may do.

    Once a step and try: a worker that takes the step over finds the run that the one before it started.
    """
    with transaction.atomic():
        parent = (
            Execution.objects.select_for_update(of=("self",)).select_related("requested_by", "ticket").get(pk=parent_id)
        )
        if parent.attempt != attempt or parent.state != RunState.RUNNING:
            raise Conflict("The run that calls is stopped, or another worker's.")
        once = f"{step_id}:{parent.fresh_from}:{number}"
        known = Execution.objects.filter(parent=parent, parent_step=once).first()
        if known is not None:
            return known
        depth, above = 1, parent
        while above.parent is not None:
            depth, above = depth + 1, above.parent
        if depth >= MOST_NESTED:
            raise Invalid(f"Runs call runs {MOST_NESTED} deep at most.")
        by = parent.requested_by
        return start(
            slug=slug, target=target, by=by, params=params, ticket=parent.ticket.number if parent.ticket else None, trigger=Trigger.RUNBOOK,
            parent=parent, parent_step=once, scopes=_scopes_of(by),
        )  # fmt: skip


def _scopes_of(user: User) -> list[str] | None:
    """An integration's runs were let in by its token; what they call is held to read."""
    return ["runs:read"] if user.standing.is_integration else None


def perform(*, execution_id: int, worker: str = "") -> bool:
    """Run a queued run here and now: what the worker's task calls."""
    return executor.run(execution_id, worker)


def sweep() -> dict[str, int]:
    """Reap leases that ran out, let waiting runs go on, and ring again for what is still queued."""
    return {"reaped": reaper.reap(), "woken": reaper.wake(), "expired": reaper.expire(), "rung": reaper.ring_again()}
