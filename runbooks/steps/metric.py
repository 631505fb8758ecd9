"""`metric`: judge a number that an earlier step found, by a threshold of this desk or by limits of its own."""

from pydantic import Field, model_validator

from runbooks import thresholds
from runbooks.definition.scalars import Strict
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result


class MetricWith(Strict):
    """`value` is a number or {…}; `metric` names a threshold, or `warning` and `critical` are given."""

    value: str | float
    name: str = Field(min_length=1, max_length=80)
    metric: str | None = None
    warning: float | None = None
    critical: float | None = None
    unit: str = ""
    below: bool = False

    @model_validator(mode="after")
    def _one_of(self) -> "MetricWith":
        own = self.warning is not None and self.critical is not None
        if (self.metric is None) != own or (self.metric is not None and (self.warning or self.critical) is not None):
            raise ValueError("give metric, or warning and critical")
        if own and (self.warning > self.critical) != self.below and self.warning != self.critical:  # type: ignore[operator]
            raise ValueError("critical lies beyond warning: above it, or below it with below: true")
        return self


class Metric(Kind):
    name = "metric"
    With = MetricWith
    templated = frozenset({"value"})
    only_reads = True

    def acts(self, with_: MetricWith) -> bool:
        return False

    def run(self, context: Context) -> Result:
        """Compare; a value that is no number fails."""
        with_ = context.with_
        try:
            value = float(with_.value)
        except (TypeError, ValueError):
            return Result(StepState.FAILED, f"{with_.name}: {with_.value!r} is no number."[:500])
        limits = thresholds.of_step(with_.metric, with_.warning, with_.critical, with_.unit, below=with_.below)
        result = thresholds.judge(value, with_.name, limits, {})
        context.output.feed("out", f"{result.message}\n".encode())
        context.output.finish_step()
        return result


KIND = Metric
