"""The launch form, built from a definition's parameters."""

from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from runbooks.definition import Definition, Param


@dataclass(frozen=True)
class Field:
    """One parameter with what was typed and what is wrong with it."""

    name: str
    param: Param
    value: Any
    errors: list[str]

    @property
    def hint(self) -> str:
        low, high = self.param.min, self.param.max
        bounds = f"{low} to {high}." if low is not None and high is not None else ""
        return " ".join(filter(None, [self.param.help, bounds]))

    @property
    def checked(self) -> bool:
        return str(self.value).lower() in {"true", "on", "yes", "1"}


def fields(parsed: Definition, given: QueryDict, errors: dict[str, list[str]]) -> list[Field]:
    """The form's fields; before anything is sent they hold the defaults."""
    found = []
    for name, param in parsed.params.items():
        value = given.get(f"param_{name}", "" if given.get("sent") else param.default)
        found.append(Field(name, param, "" if value is None else value, errors.get(name, [])))
    return found


def params(parsed: Definition, given: QueryDict) -> dict[str, Any]:
    """What was typed, by parameter; an unticked box is false."""
    return {
        name: given.get(f"param_{name}", False if param.type == "boolean" else "")
        for name, param in parsed.params.items()
    }
