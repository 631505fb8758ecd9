"""A number and its limits: OK, over the warning, or over the critical one (the guide's tables say *over*, not *at*)."""

from typing import Any

from runbooks.models import StepState, Threshold
from runbooks.steps import Result, StepError


def of_step(
    slug: str | None, warning: float | None, critical: float | None, unit: str = "", *, below: bool = False
) -> Threshold:
    """The threshold of the desk by its short name, or one with the given limits that is stored nowhere."""
    if slug is None:
        return Threshold(warning=warning or 0.0, critical=critical or 0.0, unit=unit, below=below)
    found = Threshold.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Threshold.objects.values_list("slug", flat=True)) or "none yet"
        raise StepError(f"There is no threshold {slug}; there are {known}.")
    return found


def judge(value: float, name: str, limits: Threshold, data: dict[str, Any]) -> Result:
    """Succeeded or warned, with the sentence and the metric for the page."""
    name, shown, over = name.replace("_", " "), f"{value:g}{limits.unit}", "under" if limits.below else "over"
    level = limits.level_of(value)
    data = data | {
        "level": level,
        "value": value,
        "metrics": [
            {"name": name, "value": value, "unit": limits.unit, "level": level, "warning": limits.warning, "critical": limits.critical}
        ],
    }  # fmt: skip
    if level == "ok":
        within = f"{limits.warning:g}{limits.unit}"
        return Result(
            StepState.SUCCEEDED, f"{name} is {shown}, {'not under' if limits.below else 'within'} {within}.", data
        )
    limit = limits.critical if level == "critical" else limits.warning
    return Result(StepState.WARNED, f"{level.capitalize()}: {name} is {shown}, {over} {limit:g}{limits.unit}.", data)
