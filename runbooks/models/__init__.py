"""Runbooks, the systems they run on, and every run with its steps and output."""

from runbooks.models.fleet import Worker
from runbooks.models.run import (
    FINAL_STATES,
    AdvanceApproval,
    Batch,
    Execution,
    OutputChunk,
    RunApproval,
    RunLock,
    RunState,
    RunTicket,
    StepRun,
    StepState,
    Trigger,
)
from runbooks.models.runbook import DraftState, Purpose, Risk, Runbook, RunbookDraft, RunbookVersion
from runbooks.models.schedule import FireOutcome, Fold, Gap, Missed, Overlap, Schedule, ScheduleFire
from runbooks.models.target import Secret, SecretUse, Target, TargetCheck, Threshold

__all__ = [
    "FINAL_STATES", "AdvanceApproval", "Batch", "DraftState", "Execution", "FireOutcome", "Fold", "Gap", "Missed",
    "OutputChunk", "Overlap", "Purpose", "Risk", "RunApproval", "RunLock", "RunState", "RunTicket", "Runbook",
    "RunbookDraft", "RunbookVersion", "Schedule", "ScheduleFire", "Secret", "SecretUse", "StepRun", "StepState",
    "Target", "TargetCheck", "Threshold", "Trigger", "Worker",
]  # fmt: skip
