"""`logs`: search a log and its rotated ones since a time, count lines, or take percentiles of a number in them."""

import glob
import time
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from runbooks import thresholds
from runbooks.definition.scalars import Connection, Strict, Text, duration
from runbooks.engine import agents
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result, StepError
from runbooks.steps.sql import Thresholds


class LogsWith(Strict):
    """`file` is a glob within the folder; a pattern is plain text, or with `regex: true` an expression of the definition's own."""

    connection: Connection = "paths"
    action: Literal["search", "count", "percentile"] = "search"
    folder: str
    file: str = Field(min_length=1, max_length=400)
    pattern: Text = ""
    regex: bool = False
    ignore_case: bool = False
    since: str | int | None = Field(default=None, description="A duration such as 24h before now, or a time.")
    newest: int | str = 20
    field: str = Field(default="", description="A regular expression with a group around the number.")
    json_field: str = Field(default="", pattern=r"^([\w@-]+(\.[\w@-]+)*)?$")
    percentiles: list[float] = [50, 95, 99]
    thresholds: Thresholds | None = None
    max_count: int | None = Field(default=None, ge=0, description="More lines than this are a warning.")
    host: Connection | None = None

    @model_validator(mode="after")
    def _measured(self) -> "LogsWith":
        if (self.action == "percentile") != bool(self.field or self.json_field):
            raise ValueError("field or json_field goes with action: percentile, and only with it")
        if "{" in self.pattern and self.regex:
            raise ValueError("a regular expression takes no {…}: a value could change what it means")
        if any(not 0 < share <= 100 for share in self.percentiles):
            raise ValueError("percentiles are more than 0 and at most 100")
        return self


class Logs(Kind):
    name = "logs"
    With = LogsWith
    templated = frozenset({"folder", "file", "pattern", "since", "newest"})
    escapes = {"file": glob.escape}
    only_reads = True

    def acts(self, with_: LogsWith) -> bool:
        return False

    def needs(self, with_: LogsWith) -> set[str]:
        return {with_.connection} | ({with_.host} if with_.host else set())

    def run(self, context: Context) -> Result:
        """Look through it where it is; only what is found comes here."""
        with_ = context.with_
        newest = int(with_.newest) if str(with_.newest).isdecimal() else 0
        if not 1 <= newest <= 10_000:
            raise StepError("newest is a whole number from 1 to 10,000.")
        job: dict[str, Any] = {
            "do": "logs", "action": with_.action, "folder": agents.folder_of(context, with_.connection, with_.folder),
            "file": with_.file, "pattern": with_.pattern, "regex": with_.regex, "ignore_case": with_.ignore_case,
            "since": _since(with_.since), "newest": newest, "field": with_.field, "json_field": with_.json_field,
            "percentiles": with_.percentiles,
        }  # fmt: skip
        if "/" in with_.file or "\0" in with_.file:
            raise StepError("file is a name within the folder, without /.")
        found = agents.ask(context, job, with_.host)
        if isinstance(found, Result):
            return found
        return self._judged(with_, found)

    def _judged(self, with_: LogsWith, found: dict[str, Any]) -> Result:
        lines = "1 line" if found["count"] == 1 else f"{found['count']} lines"
        if with_.action == "percentile":
            if not found["numbers"]:
                return Result(StepState.WARNED, f"No number in {lines}.", found)
            words = ", ".join(f"{name} {value:g}" for name, value in found["percentiles"].items())
            if with_.thresholds is None:
                return Result(StepState.SUCCEEDED, f"{words} of {found['numbers']} numbers", found)
            limits = with_.thresholds
            value = found["percentiles"].get(limits.column)
            if value is None:
                return Result(
                    StepState.FAILED,
                    f"There is no {limits.column} to judge; it is one of {', '.join(found['percentiles'])}.",
                    found,
                )
            judged = thresholds.of_step(limits.metric, limits.warning, limits.critical, limits.unit)
            return thresholds.judge(value, limits.column, judged, found)
        if with_.max_count is not None and found["count"] > with_.max_count:
            return Result(StepState.WARNED, f"{lines}, at most {with_.max_count} expected.", found)
        return Result(StepState.SUCCEEDED, lines, found)


def _since(text: str | int | None) -> float | None:
    if text is None or text == "":
        return None
    try:
        return time.time() - duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        raise StepError(
            f"since: {text} is neither a duration such as 24h nor a time such as 2026-01-31T14:30:00Z."
        ) from None
    if moment.tzinfo is None:
        raise StepError(f"since: {text} has no zone; write it with Z or an offset.")
    return moment.timestamp()


KIND = Logs
