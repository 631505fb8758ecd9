"""`files`: find, measure, or delete files of a named folder; what is deleted can be seen before, and some always stay."""

import glob
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from runbooks.definition.scalars import Connection, Seconds, Strict, Text, size
from runbooks.engine import agents
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result


class FilesWith(Strict):
    """`folder` names one of the target's paths; `pattern` is a glob. Links are never followed."""

    connection: Connection = "paths"
    action: Literal["find", "size", "age", "delete"] = "find"
    folder: str
    pattern: Text = Field(default="*", min_length=1, max_length=400)
    depth: int = Field(default=0, ge=0, le=20, description="How many folders deep.")
    older_than: Seconds | None = None
    newer_than: Seconds | None = None
    larger_than: Annotated[int, BeforeValidator(size)] = 0
    keep_newest: int | None = Field(
        default=None, ge=1, description="For delete: so many of the alike files always stay."
    )
    min_count: int | None = Field(default=None, ge=0)
    max_age: Seconds | None = Field(default=None, description="For age: a newest file older than this is a warning.")
    host: Connection | None = None

    @model_validator(mode="after")
    def _floored(self) -> "FilesWith":
        if (self.action == "delete") != (self.keep_newest is not None):
            raise ValueError("keep_newest goes with action: delete, and delete needs it: it says how many stay")
        return self


def _literal(value: str) -> str:
    """A value as one name, whatever characters of a glob it holds."""
    return glob.escape(value).replace("\\", "[\\]")


class Files(Kind):
    name = "files"
    With = FilesWith
    templated = frozenset({"folder", "pattern"})
    escapes = {"pattern": _literal}
    only_reads = True

    def acts(self, with_: FilesWith) -> bool:
        return with_.action == "delete"

    def acts_because(self, with_: FilesWith) -> str:
        return "deletes files"

    def needs(self, with_: FilesWith) -> set[str]:
        return {with_.connection} | ({with_.host} if with_.host else set())

    def run(self, context: Context) -> Result:
        """List what the conditions pick, and delete it where asked."""
        return _look(context, preview=False)

    def preview(self, context: Context) -> Result:
        """List what would be deleted."""
        return _look(context, preview=True)


def _look(context: Context, *, preview: bool) -> Result:
    with_ = context.with_
    job: dict[str, Any] = {
        "do": "files", "action": with_.action, "folder": agents.folder_of(context, with_.connection, with_.folder),
        "pattern": with_.pattern, "depth": with_.depth, "older_than": with_.older_than, "newer_than": with_.newer_than,
        "larger_than": with_.larger_than, "keep_newest": with_.keep_newest or 0, "preview": preview,
    }  # fmt: skip
    found = agents.ask(context, job, with_.host)
    if isinstance(found, Result):
        return found
    files = "1 file" if found["count"] == 1 else f"{found['count']} files"
    megabytes = f"{found['bytes'] / 1024**2:.1f} MB"
    if with_.action == "delete":
        if preview:
            return Result(
                StepState.SKIPPED,
                f"It would delete {files}, {megabytes}; {found['alike'] - found['count']} would stay.",
                found,
            )
        if found["failed"]:
            return Result(
                StepState.FAILED, f"{found['deleted']} deleted, but {'; '.join(found['failed'])}"[:500], found
            )
        return Result(
            StepState.SUCCEEDED,
            f"{found['deleted']} deleted, {megabytes}; {found['alike'] - found['deleted']} stay.",
            found,
        )
    if with_.min_count is not None and found["count"] < with_.min_count:
        return Result(StepState.FAILED, f"{files}, at least {with_.min_count} expected.", found)
    age = found["newest_seconds"]
    if with_.max_age is not None and (age is None or age > with_.max_age):
        words = "There is none" if age is None else f"The newest is {age // 3600} h {age % 3600 // 60} min old"
        return Result(StepState.WARNED, f"{words}; it should be at most {with_.max_age // 3600} h.", found)
    return Result(StepState.SUCCEEDED, f"{files}, {megabytes}", found)


KIND = Files
