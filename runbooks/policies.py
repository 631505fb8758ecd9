"""Who may run, cancel and pick up a run."""

from runbooks.models import Execution, Runbook, RunState
from staff.models import User
from supportdesk.errors import NotPermitted
from tickets.policies import _allowed as allowed


def check_can_run(user: User, runbook: Runbook, scopes: list[str] | None = None) -> None:
    """Tier >= the runbook's; leads and administrators as tier 3; integrations by the scope of their token."""
    standing = user.standing
    _check_scope(runbook, scopes)
    if standing.reads_only:
        raise NotPermitted("Auditors read and change nothing.")
    if standing.is_integration:
        if scopes is None:
            raise NotPermitted("Integrations use the API.")
        return
    if standing.run_level < runbook.tier_level:
        needed = "tier 3" if runbook.tier_level == 3 else f"tier {runbook.tier_level} or higher"
        raise NotPermitted(f"“{runbook.title}” needs {needed}.")


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


def can_cancel(user: User, execution: Execution) -> bool:
    cancellable = execution.state in {RunState.QUEUED, RunState.RUNNING}
    return cancellable and allowed(lambda: check_can_cancel(user, execution))


def can_pick_up(user: User, execution: Execution) -> bool:
    """Decide what becomes of a run that lost its worker."""
    return execution.state == RunState.LOST and can_run(user, execution.version.runbook)
