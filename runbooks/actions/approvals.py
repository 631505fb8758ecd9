"""Saying yes or no to runs, before they start or ahead of time."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from runbooks import definition, policies
from runbooks.actions.orders import apart, digests, named_targets
from runbooks.engine import ending
from runbooks.models import AdvanceApproval, Batch, Execution, RunApproval, Runbook, RunState
from runbooks.plans import plan_hash
from staff import actions as staff
from staff.models import Membership, User
from supportdesk import events
from supportdesk.errors import Conflict, Invalid, NotFound


def approvers(run: Execution, runbook: Runbook) -> dict[int, str]:
    """Who could say yes, and why they are told."""
    level = max(run.approval_tier, runbook.tier_level)
    members = Membership.objects.filter(tier__level__gte=level, user__is_active=True) | Membership.objects.filter(
        role="lead", user__is_active=True
    )
    return {pk: "you may approve it" for pk in members.values_list("user", flat=True) if pk != run.requested_by_id}


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


def use_ahead(run: Execution) -> None:
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
    (system,) = named_targets([target], parsed)
    values = parsed.parse_params(params or {})
    shown, hidden = apart(parsed, values)
    if starts_at is None or ends_at is None or ends_at <= starts_at or ends_at <= timezone.now():
        raise Invalid(
            "The window ends after it begins, and in the future.", fields={"ends_at": ["Choose a later end."]}
        )
    if ends_at - starts_at > timedelta(days=31):
        raise Invalid("A window is 31 days at most.", fields={"ends_at": ["Choose an earlier end."]})
    shown |= digests(hidden)
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
