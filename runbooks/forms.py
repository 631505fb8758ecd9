"""The launch form, built from a definition's parameters."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict
from django.utils import timezone

from runbooks.definition import Definition, Param
from runbooks.models import Target


@dataclass(frozen=True)
class Field:
    """One parameter with what was typed and what is wrong with it."""

    name: str
    param: Param
    value: Any
    errors: list[str]
    computed: Any = None  # (value, label) pairs, or the words of why there are none
    targets: tuple[tuple[str, str], ...] = ()

    @property
    def options(self) -> list[tuple[str, str]] | None:
        """What can be chosen; None for a field that one types into."""
        if self.param.type == "target":
            return list(self.targets)
        if self.param.choices:
            return [(choice, choice) for choice in self.param.choices]
        return self.computed if isinstance(self.computed, list) else None

    @property
    def kind(self) -> str:
        return {"secret": "password", "timestamp": "datetime-local"}.get(self.param.type, "text")

    @property
    def hint(self) -> str:
        low, high = self.param.min, self.param.max
        bounds = f"{low} to {high}." if low is not None and high is not None else ""
        why = self.computed if isinstance(self.computed, str) else ""
        return " ".join(filter(None, [self.param.help, bounds, why]))

    @property
    def checked(self) -> bool:
        return str(self.value).lower() in {"true", "on", "yes", "1"}


def fields(
    parsed: Definition, given: QueryDict, errors: dict[str, list[str]], computed: dict[str, Any] | None = None
) -> list[Field]:
    """The form's fields; before anything is sent they hold the defaults. A secret is never given back."""
    found = []
    wants_targets = any(param.type == "target" for param in parsed.params.values())
    targets = tuple(Target.objects.filter(retired_at=None).values_list("slug", "name")) if wants_targets else ()
    for name, param in parsed.params.items():
        value = given.get(f"param_{name}", "" if given.get("sent") else param.default)
        value = "" if value is None or param.type == "secret" else value
        if param.type == "timestamp":
            value = _local(str(value))
        found.append(Field(name, param, value, errors.get(name, []), (computed or {}).get(name), targets))
    return found


def params(parsed: Definition, given: QueryDict) -> dict[str, Any]:
    """What was typed, by parameter; an unticked box is false."""
    return {
        name: given.get(f"param_{name}", False if param.type == "boolean" else "")
        for name, param in parsed.params.items()
    }


def _local(text: str) -> str:
    """A stored moment as a field of the reader's own time shows it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M:%S") if moment.tzinfo else text
