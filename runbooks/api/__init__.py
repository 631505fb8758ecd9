"""Runbooks over REST."""

from runbooks.api.directory import (
    FleetViewSet,
    RunbookDraftViewSet,
    RunbookViewSet,
    ScheduleViewSet,
    TargetViewSet,
    ThresholdViewSet,
)
from runbooks.api.runs import AheadViewSet, ExecutionViewSet

__all__ = [
    "AheadViewSet",
    "ExecutionViewSet",
    "FleetViewSet",
    "RunbookDraftViewSet",
    "RunbookViewSet",
    "ScheduleViewSet",
    "TargetViewSet",
    "ThresholdViewSet",
]
