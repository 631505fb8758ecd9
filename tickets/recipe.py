"""What is to be done to a ticket, as data: what bulk changes, rules and recurring tickets share."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from supportdesk.errors import Invalid
from tickets.models import Priority, Status

_DURATION = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
ROUND_ROBIN, LEAST_LOADED, NOBODY = "round_robin", "least_loaded", "nobody"


def duration(text: str) -> timedelta:
    """`30m`, `4h`, `2d`, `1w`; raises ValueError."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise ValueError("write a time such as 30m, 4h, 2d or 1w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


class Recipe(BaseModel):
    """Changes to one ticket, made in the order of the fields. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    priority: Priority | None = None
    raise_priority: bool = False
    category: str | None = Field(None, max_length=50, description="A slug; an empty text for none.")
    add_tags: list[str] = Field([], max_length=30)
    remove_tags: list[str] = Field([], max_length=30)
    custom: dict[str, Any] = Field({}, description="Custom fields by slug; null removes one.")
    checklist: list[str] = Field([], max_length=50, description="Steps to add.")
    escalate_to: int | None = Field(None, ge=1, le=3, description="A tier; needs a note that says why.")
    assignee: str | None = Field(
        None, max_length=254, description="An address, `nobody`, or `round_robin` or `least_loaded` within the tier."
    )
    deadline: str | None = Field(None, description="From now: 30m, 4h, 2d, 1w; an empty text removes it.")
    watchers: list[str] = Field([], max_length=50, description="Addresses of staff who shall follow.")
    note: str = Field("", max_length=20_000)
    reply: str = Field("", max_length=20_000, description="A public reply, sent by mail.")
    merge_into: int | None = Field(None, ge=1, lt=10**17, description="The number of the ticket that goes on.")
    status: Status | None = None
    snooze: str | None = Field(None, description="For so long: 30m, 4h, 2d, 1w.")
    notify: list[str] = Field([], max_length=50, description="assignee, watchers, tier, leads, or addresses of staff.")
    notify_text: str = Field("", max_length=200)

    @field_validator("deadline", "snooze")
    @classmethod
    def _is_duration(cls, text: str | None) -> str | None:
        if text:
            duration(text)
        return text

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.escalate_to and not self.note.strip():
            raise ValueError("handing over to a tier needs a note that says why")
        if self.status == Status.NEW:
            raise ValueError("a ticket does not become new again")
        if self.merge_into and len(self.model_dump(exclude_defaults=True)) > 1:
            raise ValueError("merging goes alone: what else is to change belongs to the ticket that goes on")
        return self

    @property
    def is_empty(self) -> bool:
        return not self.as_data()

    def as_data(self) -> dict[str, Any]:
        """For a JSON column: what is asked for and nothing else."""
        return {
            name: value
            for name, value in self.model_dump(mode="json", exclude_defaults=True).items()
            if value not in ([], {}) and not (name in {"note", "reply", "notify_text"} and not value.strip())
        }

    @property
    def words(self) -> list[str]:
        """What it does, a phrase each."""
        said = {
            "priority": lambda v: f"priority {Priority(v).label.lower()}",
            "raise_priority": lambda v: "priority one step up",
            "category": lambda v: f"category {v or 'none'}",
            "add_tags": lambda v: f"add {', '.join('#' + tag for tag in v)}",
            "remove_tags": lambda v: f"remove {', '.join('#' + tag for tag in v)}",
            "custom": lambda v: ", ".join(f"{name} = {'nothing' if value is None else value}" for name, value in v.items()),
            "checklist": lambda v: f"{len(v)} step{'s' * (len(v) > 1)} to the checklist",
            "escalate_to": lambda v: f"hand over to tier {v}",
            "assignee": lambda v: {
                ROUND_ROBIN: "assign in turn", LEAST_LOADED: "assign to who has least", NOBODY: "remove the assignee"
            }.get(v, f"assign to {v}"),
            "deadline": lambda v: f"deadline in {v}" if v else "no deadline",
            "watchers": lambda v: f"watched by {', '.join(v)}",
            "note": lambda v: "an internal note",
            "reply": lambda v: "a reply by mail",
            "merge_into": lambda v: f"merge into {v}",
            "status": lambda v: f"status {Status(v).label.lower()}",
            "snooze": lambda v: f"snooze for {v}",
            "notify": lambda v: f"notify {', '.join(v)}",
        }  # fmt: skip
        return [said[name](value) for name, value in self.as_data().items() if name in said]

    def __str__(self) -> str:
        return "; ".join(self.words) or "nothing"


def read(data: Mapping[str, Any]) -> Recipe:
    """A recipe from JSON, or `Invalid` that names each field that is wrong."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for row in error.errors(include_url=False):
            name = ".".join(str(part) for part in row["loc"]) or "changes"
            fields.setdefault(name, []).append(row["msg"].removeprefix("Value error, ").capitalize() + ".")
        words = "; ".join(f"{name}: {' '.join(said)}" for name, said in fields.items())
        raise Invalid(words, fields=fields) from None
