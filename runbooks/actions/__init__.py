"""Every write to runbooks, targets, schedules and runs that a person or program asks for."""

from runbooks.actions.approvals import approve, approve_ahead, revoke_ahead
from runbooks.actions.definitions import (
    load_runbook,
    load_thresholds,
    publish_draft,
    reject_draft,
    retire,
    save_draft,
    set_favourite,
    submit_draft,
)
from runbooks.actions.retention import forget
from runbooks.actions.runs import (
    answer,
    cancel,
    give_up,
    go_on,
    pause,
    perform,
    resume,
    retry,
    start,
    start_child,
    start_many,
    stop_batch,
    sweep,
)
from runbooks.actions.schedules import delete_schedule, fire, next_moments, pause_schedule, run_now, save_schedule
from runbooks.actions.targets import (
    remove_secret,
    retire_target,
    rotate_secrets,
    save_target,
    set_secret,
    test_connection,
)

__all__ = [
    "answer", "approve", "approve_ahead", "cancel", "delete_schedule", "fire", "forget", "give_up", "go_on", "load_runbook", "load_thresholds",
    "next_moments", "pause", "pause_schedule", "perform", "publish_draft", "reject_draft", "remove_secret", "resume", "retire",
    "retire_target", "retry", "revoke_ahead", "rotate_secrets", "run_now", "save_draft", "save_schedule", "save_target", "set_favourite",
    "set_secret", "start", "start_child", "start_many", "stop_batch", "submit_draft", "sweep", "test_connection",
]  # fmt: skip
