"""Pages and fragments of runbooks, runs, targets and schedules."""
