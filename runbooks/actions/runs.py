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
from runbooks.engine import ending, executor, reaper
from runbooks.models import (
    AdvanceApproval,
    Batch,
    Execution,
    RunApproval,
    Runbook,
    RunbookVersion,
    RunState,
    StepRun,
    StepState,
    Target,
    Trigger,
)
from runbooks.plans import others, plan_hash, unfit
from staff import actions as staff
from staff.models import Membership, User
from supportdesk import crypto, events
from supportdesk.errors import Conflict, Invalid, NotFound
from tickets import actions as ticket_actions
from tickets.models import Ticket

MASKED = "•••"
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
    systems = _targets(targets, parsed)
    for system in systems:
        policies.check_can_run(by, runbook, scopes, system)
    values = parsed.parse_params(params or {})
    _check_targets_named(parsed, values)
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
    shown, hidden = _apart(parsed, values)
    params = shown | _digests(hidden)
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
        ending.tell_people(run, _approvers(run, runbook), words, "glass")
    if run.state == RunState.QUEUED:
        ending.queue(run)
    elif run.state == RunState.AWAITING_APPROVAL:
        _use_ahead(run)
        if run.state == RunState.AWAITING_APPROVAL:
            words = f"{by} asks for approval: “{runbook.title}” on {run.target}"
            ending.tell_people(run, _approvers(run, runbook), words, "approval")
            events.publish(f"run.{run.pk}", "state")


def _targets(slugs: Sequence[str], parsed: definition.Definition) -> list[Target]:
    """The targets by name, each fit for the runbook."""
    wanted = list(dict.fromkeys(slugs))
    known = {target.slug: target for target in Target.objects.filter(slug__in=wanted, retired_at=None)}
    if not wanted or (missing := [slug for slug in wanted if slug not in known]):
        named = ", ".join(missing) if wanted else ""
        every = ", ".join(Target.objects.filter(retired_at=None).values_list("slug", flat=True)[:20]) or "none yet"
        raise Invalid(f"There is no target {named}; the targets are {every}.", fields={"target": ["Choose a target."]})
    if len(wanted) > parsed.target.max:
        raise Invalid(
            f"It runs on {parsed.target.max} targets at a time at most.", fields={"target": ["Choose fewer."]}
        )
    for target in known.values():
        if why := unfit(target, parsed):
            raise Invalid(f"{target} {why}.", fields={"target": [f"It {why}."]})
    return [known[slug] for slug in wanted]


def _check_targets_named(parsed: definition.Definition, values: Mapping[str, Any]) -> None:
    """Parameters of type target name one that there is."""
    for name, param in parsed.params.items():
        value = values.get(name)
        if param.type == "target" and value and not Target.objects.filter(slug=value, retired_at=None).exists():
            raise Invalid("Some parameters need another value.", fields={name: [f"There is no target {value}."]})


def _ticket(number: int | None, by: User) -> Ticket | None:
    if number is None:
        return None
    found = Ticket.objects.visible_to(by).filter(number=number).first()
    if found is None:
        raise Invalid(f"There is no ticket {number}.", fields={"ticket": [f"There is no ticket {number}."]})
    return found


def _apart(parsed: definition.Definition, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters that everybody may read, and the secret ones."""
    hidden = {
        name: value for name, value in values.items() if parsed.params[name].type == "secret" and value is not None
    }
    return {name: value for name, value in values.items() if name not in hidden}, hidden


def _digests(hidden: Mapping[str, Any]) -> dict[str, str]:
    """Masks for secret parameters, each with enough of a keyed digest that another value is another plan."""
    return {name: f"{MASKED} {crypto.sign('secret-param', name, value)[:8]}" for name, value in hidden.items()}


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


def _approvers(run: Execution, runbook: Runbook) -> dict[int, str]:
    """Who could say yes, and why they are told."""
    level = max(run.approval_tier, runbook.tier_level)
    members = Membership.objects.filter(tier__level__gte=level, user__is_active=True) | Membership.objects.filter(
        role="lead", user__is_active=True
    )
    return {pk: "you may approve it" for pk in members.values_list("user", flat=True) if pk != run.requested_by_id}


# ---------------------------------------------------------------------- approval
@transaction.atomic
def approve(*, execution_id: int, by: User, approved: bool = True, comment: str = "", plan: str = "") -> Execution:
    """Say yes or no to a run as it is planned; `plan` is the hash that one has seen. One no ends it.

    For a run of a batch it counts for every run of the batch that waits.
    """
    batch = Execution.objects.filter(pk=execution_id).values_list("batch", flat=True).first()
    if batch:  # first of all, as everybody who takes several of its runs does
        Batch.objects.select_for_update().get(pk=batch)
    execution = Execution.objects.visible_to(by).lock(execution_id)
    runbook = execution.version.runbook
    policies.check_can_approve(by, runbook, execution.approval_tier, execution.requested_by_id)
    if execution.state != RunState.AWAITING_APPROVAL:
        raise Conflict(
            f"Run {execution.pk} does not wait for approval: it is {RunState(execution.state).label.lower()}."
        )
    if plan and plan != execution.plan_hash:
        raise Conflict("This is not the plan that you have seen; look at it again.")
    if not approved and not comment.strip():
        raise Invalid("Say why not.", fields={"comment": ["Say why not."]})
    runs = [execution]
    if execution.batch_id:
        others = Execution.objects.select_for_update(of=("self",)).filter(
            batch=execution.batch_id, state=RunState.AWAITING_APPROVAL
        )
        runs += others.exclude(pk=execution.pk).select_related("version__runbook", "target").order_by("pk")
    for run in runs:
        _say(run, by, approved, comment)
    staff.audit(
        by=by,
        action="run.approved" if approved else "run.refused",
        thing=f"run {execution.pk}",
        after={
            "runbook": runbook.slug,
            "target": execution.target.slug,
            "params": execution.params,
            "plan": execution.plan_hash,
            "comment": comment,
        },
    )
    return execution


def _say(run: Execution, by: User, approved: bool, comment: str, ahead: AdvanceApproval | None = None) -> None:
    RunApproval.objects.get_or_create(
        execution=run, approver=by,
        defaults={"plan_hash": run.plan_hash, "requester_id": run.requested_by_id, "approved": approved, "comment": comment.strip()[:500], "ahead": ahead},
    )  # fmt: skip
    if not approved:
        ending.end(run, RunState.CANCELLED, f"{by} said no: {comment.strip()}")
        return
    said = run.approvals.filter(approved=True, plan_hash=run.plan_hash).count()
    if said >= run.approvals_needed:
        run.move_to(RunState.PLANNED if run.batch_id else RunState.QUEUED)
        run.save(update_fields=["state"])
        if run.batch_id:
            ending.advance(run.batch_id)
        else:
            ending.queue(run)
        ending.tell_people(
            run,
            {run.requested_by_id: "you asked for it"},
            f"Run {run.pk}, “{run.version.runbook.title}”, is approved",
            "approved",
        )
    events.publish(f"run.{run.pk}", "state")
    events.publish("runs", "state")


def _use_ahead(run: Execution) -> None:
    """Count what was approved ahead for this very plan."""
    now = timezone.now()
    given = AdvanceApproval.objects.filter(
        plan_hash=run.plan_hash, revoked_at=None, starts_at__lte=now, ends_at__gt=now
    )
    for ahead in given.exclude(approver=run.requested_by_id).select_related("approver").order_by("pk"):
        if run.state == RunState.AWAITING_APPROVAL:
            try:
                policies.check_can_approve(ahead.approver, run.version.runbook, run.approval_tier, run.requested_by_id)
            except policies.NotPermitted:
                continue
            _say(run, ahead.approver, True, ahead.comment or "Approved ahead", ahead)


@transaction.atomic
def approve_ahead(
    *,
    slug: str,
    target: str,
    by: User,
    starts_at: Any,
    ends_at: Any,
    params: dict[str, Any] | None = None,
    comment: str = "",
) -> AdvanceApproval:
    """Say yes now to a run that somebody else will start between two times, exactly as given here."""
    runbook = (
        Runbook.objects.visible_to(by)
        .select_related("current")
        .filter(slug=slug, current__isnull=False, retired_at=None)
        .first()
    )
    if runbook is None or runbook.current is None:
        raise NotFound(f"There is no runbook {slug}.")
    parsed = definition.parse(runbook.current.text, name=slug)
    policies.check_can_approve(by, runbook, parsed.approval_rule.tier or 1, None)
    (system,) = _targets([target], parsed)
    values = parsed.parse_params(params or {})
    shown, hidden = _apart(parsed, values)
    if starts_at is None or ends_at is None or ends_at <= starts_at or ends_at <= timezone.now():
        raise Invalid(
            "The window ends after it begins, and in the future.", fields={"ends_at": ["Choose a later end."]}
        )
    if ends_at - starts_at > timedelta(days=31):
        raise Invalid("A window is 31 days at most.", fields={"ends_at": ["Choose an earlier end."]})
    shown |= _digests(hidden)
    made = AdvanceApproval.objects.create(
        version=runbook.current, target=system, params=shown, plan_hash=plan_hash(runbook.current.sha256, [system], shown), approver=by,
        starts_at=starts_at, ends_at=ends_at, comment=comment.strip()[:500],
    )  # fmt: skip
    staff.audit(
        by=by,
        action="run.approved_ahead",
        thing=slug,
        after={"target": target, "params": shown, "from": starts_at.isoformat(), "to": ends_at.isoformat()},
    )
    return made


@transaction.atomic
def revoke_ahead(*, ahead_id: int, by: User) -> AdvanceApproval:
    """Take back a yes that was given ahead; runs that used it already go on."""
    found = AdvanceApproval.objects.select_for_update(of=("self",)).filter(pk=ahead_id, revoked_at=None).first()
    if found is None:
        raise NotFound(f"There is no such approval {ahead_id}.")
    if found.approver_id != by.pk and not by.standing.is_administrator:
        raise policies.NotPermitted("Whoever gave it takes it back, or an administrator.")
    found.revoked_at = timezone.now()
    found.save(update_fields=["revoked_at"])
    return found


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
