"""Who may run, approve, edit and manage. Every refusal says which rule it is."""

from runbooks.models import Execution, Runbook, RunState, Target
from staff.models import User
from supportdesk.errors import NotPermitted
from tickets.policies import _allowed as allowed


def check_can_run(user: User, runbook: Runbook, scopes: list[str] | None = None, target: Target | None = None) -> None:
    """Tier >= the runbook's, and its role; leads and administrators as tier 3; integrations by the scope of their token."""
    standing = user.standing
    _check_scope(runbook, scopes)
    if not user.is_active:
        raise NotPermitted(f"{user} is not active any more.")
    if standing.reads_only:
        raise NotPermitted("Auditors read and change nothing.")
    if runbook.retired_at is not None:
        raise NotPermitted(f"“{runbook.title}” is retired.")
    if target is not None and target.retired_at is not None:
        raise NotPermitted(f"{target} is retired.")
    if standing.is_integration:
        if scopes is None:
            raise NotPermitted("Integrations use the API.")
        if runbook.role != "agent":
            raise NotPermitted(f"“{runbook.title}” is for people, by their role.")
        return
    if runbook.role == "administrator" and not standing.is_administrator:
        raise NotPermitted(f"“{runbook.title}” is for administrators.")
    if runbook.role == "lead" and not (standing.lead_levels or standing.is_administrator):
        raise NotPermitted(f"“{runbook.title}” is for leads and administrators.")
    if standing.run_level < runbook.tier_level:
        raise NotPermitted(f"“{runbook.title}” needs {_tier(runbook.tier_level)}.")
    if target is not None and runbook.risk != "read" and standing.run_level < target.run_level:
        raise NotPermitted(f"Changing {target} ({target.environment}) needs {_tier(target.run_level)}.")


def _tier(level: int) -> str:
    return "tier 3" if level == 3 else f"tier {level} or higher"


def _check_scope(runbook: Runbook, scopes: list[str] | None) -> None:
    if scopes is not None and f"runs:{runbook.risk}" not in scopes:
        raise NotPermitted(f"This token lacks the scope runs:{runbook.risk}.")


def can_run(user: User, runbook: Runbook) -> bool:
    return allowed(lambda: check_can_run(user, runbook))


def check_can_cancel(user: User, execution: Execution, scopes: list[str] | None = None) -> None:
    """Whoever started a run may stop it, and whoever may run it; a token needs the scope of its risk."""
    _check_scope(execution.version.runbook, scopes)
    if execution.requested_by_id != user.pk:
        check_can_run(user, execution.version.runbook, scopes)


CANCELLABLE = {
    RunState.PLANNED, RunState.AWAITING_APPROVAL, RunState.QUEUED, RunState.WAITING_LOCK, RunState.RUNNING, RunState.PAUSED,
}  # fmt: skip


def can_cancel(user: User, execution: Execution) -> bool:
    return execution.state in CANCELLABLE and allowed(lambda: check_can_cancel(user, execution))


def can_pause(user: User, execution: Execution) -> bool:
    running = execution.state == RunState.RUNNING and execution.pause_requested_at is None
    return running and allowed(lambda: check_can_cancel(user, execution))


def can_go_on(user: User, execution: Execution) -> bool:
    """Whether the user may let a run go on that somebody paused."""
    paused = execution.pause_requested_at is not None and execution.state in {RunState.PAUSED, RunState.RUNNING}
    return paused and allowed(lambda: check_can_cancel(user, execution))


def can_answer(user: User, execution: Execution) -> bool:
    """Whether the user may answer a manual step."""
    return execution.state == RunState.PAUSED and can_run(user, execution.version.runbook)


def can_pick_up(user: User, execution: Execution) -> bool:
    """Decide what becomes of a run that lost its worker."""
    return execution.state == RunState.LOST and can_run(user, execution.version.runbook)


def check_can_approve(user: User, runbook: Runbook, level: int, requester_id: int | None) -> None:
    """Staff of the tier that the approval asks for, whoever they are; never the one who asked."""
    standing = user.standing
    if not user.is_active:
        raise NotPermitted(f"{user} is not active any more.")
    if standing.reads_only:
        raise NotPermitted("Auditors read and change nothing.")
    if standing.is_integration:
        raise NotPermitted("People approve, not integrations.")
    if requester_id == user.pk:
        raise NotPermitted("Whoever asks for a run does not approve it.")
    needed = max(level, runbook.tier_level)
    if standing.run_level < needed:
        raise NotPermitted(f"Approving this needs {_tier(needed)}.")


def can_approve(user: User, execution: Execution) -> bool:
    runbook, level = execution.version.runbook, execution.approval_tier
    return execution.state == RunState.AWAITING_APPROVAL and allowed(
        lambda: check_can_approve(user, runbook, level, execution.requested_by_id)
    )


def check_can_break_glass(user: User) -> None:
    """Run without approval, or in a freeze, with a reason that everybody is told."""
    if not (user.standing.lead_levels or user.standing.is_administrator):
        raise NotPermitted("Only leads and administrators may break the glass.")


def can_break_glass(user: User) -> bool:
    return allowed(lambda: check_can_break_glass(user))


def check_can_write(user: User, runbook: Runbook | None = None) -> None:
    """Write drafts: staff of a tier, and administrators; of a runbook that there is, who may run it."""
    standing = user.standing
    if runbook is not None and not standing.reads_only and standing.run_level < runbook.tier_level:
        raise NotPermitted(f"Editing “{runbook.title}” needs {_tier(runbook.tier_level)}.")
    if standing.reads_only or standing.is_integration or not standing.run_level:
        raise NotPermitted("Members of a tier write runbooks.")


def can_write(user: User) -> bool:
    return allowed(lambda: check_can_write(user))


def check_can_publish(user: User, author_id: int) -> None:
    """Leads and administrators publish, never what they wrote themselves."""
    standing = user.standing
    if not (standing.lead_levels or standing.is_administrator):
        raise NotPermitted("Leads and administrators publish runbooks.")
    if user.pk == author_id:
        raise NotPermitted("Whoever wrote a runbook does not publish it: somebody else looks at it first.")


def check_can_publish_definition(user: User, tier_level: int, role: str) -> None:
    """Nobody publishes what they could not run."""
    if user.standing.run_level < tier_level or (role == "administrator" and not user.standing.is_administrator):
        raise NotPermitted("Publishing this needs the tier and role that running it needs.")


def can_publish(user: User, author_id: int) -> bool:
    return allowed(lambda: check_can_publish(user, author_id))


def check_can_manage_targets(user: User) -> None:
    if not user.standing.is_administrator:
        raise NotPermitted("Administrators change targets and their secrets.")


def can_manage_targets(user: User) -> bool:
    return allowed(lambda: check_can_manage_targets(user))


def check_can_see_targets(user: User) -> None:
    """Their connections, never their secrets: leads, administrators, auditors."""
    standing = user.standing
    if not (standing.lead_levels or standing.is_administrator or standing.reads_only):
        raise NotPermitted("Leads, administrators and auditors see how targets are reached.")


def can_see_targets(user: User) -> bool:
    return allowed(lambda: check_can_see_targets(user))


def check_can_schedule(user: User) -> None:
    """Leads and administrators; the schedule runs with the rights of its owner."""
    if not (user.standing.lead_levels or user.standing.is_administrator):
        raise NotPermitted("Leads and administrators make schedules.")


def can_schedule(user: User) -> bool:
    return allowed(lambda: check_can_schedule(user))
