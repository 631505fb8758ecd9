"""What the pages and endpoints of runbooks show."""

from runbooks.queries.catalogue import (
    draft,
    drafts_for,
    held_locks,
    runbook,
    runbooks_for,
    schedule,
    schedules,
    target,
    targets,
    targets_for,
    thresholds,
)
from runbooks.queries.cursors import run_cursor, runs_cursor
from runbooks.queries.detail import compare, execution, run_detail
from runbooks.queries.history import (
    as_csv,
    executions,
    given_ahead,
    history,
    references,
    runs_of_ticket,
    statistics,
    waiting_for_approval,
    waiting_for_people,
)
from runbooks.queries.output import line_of, output, output_window, raw_output, search_output

__all__ = [
    "as_csv",
    "compare",
    "draft",
    "drafts_for",
    "execution",
    "executions",
    "given_ahead",
    "held_locks",
    "history",
    "line_of",
    "output",
    "output_window",
    "raw_output",
    "references",
    "run_cursor",
    "run_detail",
    "runbook",
    "runbooks_for",
    "runs_cursor",
    "runs_of_ticket",
    "schedule",
    "schedules",
    "search_output",
    "statistics",
    "target",
    "targets",
    "targets_for",
    "thresholds",
    "waiting_for_approval",
    "waiting_for_people",
]
