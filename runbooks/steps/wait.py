"""`wait`: let some time go by, without keeping a worker when it is long."""

from datetime import datetime, timedelta

from django.utils import timezone

from runbooks.definition.scalars import Seconds, Strict, duration_text
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result

SHORT = 20.0  # seconds that a worker waits itself


class WaitWith(Strict):
    duration: Seconds


class Wait(Kind):
    name = "wait"
    With = WaitWith

    def acts(self, with_: WaitWith) -> bool:
        return False

    def run(self, context: Context) -> Result:
        """Sleep here, or park the run until its moment."""
        words = f"Waited {duration_text(context.with_.duration)}."
        until = context.before.get("until")
        if until is not None:
            left = (datetime.fromisoformat(until) - timezone.now()).total_seconds()
            if left <= 0:
                return Result(StepState.SUCCEEDED, words, dict(context.before))
        else:
            left = float(context.with_.duration)
        if left > SHORT:
            wake_at = timezone.now() + timedelta(seconds=left)
            return Result(
                StepState.WAITING,
                f"Waits until {wake_at:%H:%M:%S} UTC.",
                {"until": wake_at.isoformat()},
                wake_at=wake_at,
            )
        if context.stopped.wait(left):
            return context.ended_early()
        return Result(StepState.SUCCEEDED, words)

    def preview(self, context: Context) -> Result:
        return Result(StepState.SKIPPED, f"It would wait {duration_text(context.with_.duration)}.")


KIND = Wait
