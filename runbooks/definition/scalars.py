"""The small types of a definition: durations, sizes, names."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

_DURATION = re.compile(r"^(\d{1,9})\s*(s|m|h|d)$")
_SIZE = re.compile(r"^(\d{1,9})\s*(KB|MB|GB)$")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FACTORS = {"KB": 1024, "MB": 1024**2, "GB": 1024**3}


def duration(value: Any) -> Any:
    """`90s`, `5m`, `2h`, `1d` to seconds."""
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return int(match[1]) * _UNITS[match[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("write a duration such as 30s, 5m, 2h or 1d")


def size(value: Any) -> Any:
    """`512KB`, `20MB`, `1GB` to bytes."""
    if isinstance(value, str) and (match := _SIZE.match(value.strip())):
        return int(match[1]) * _FACTORS[match[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("write a size such as 512KB or 20MB")


def as_text(value: Any) -> Any:
    """A value as a program reads it: yes and no are true and false, nothing is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


_DURATION_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string", "pattern": _DURATION.pattern}, {"type": "integer"}]})
_SIZE_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string", "pattern": _SIZE.pattern}, {"type": "integer"}]})

Seconds = Annotated[int, BeforeValidator(duration), Field(gt=0, le=30 * 86_400), _DURATION_SCHEMA]
Bytes = Annotated[int, BeforeValidator(size), Field(gt=0), _SIZE_SCHEMA]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Text = Annotated[str, BeforeValidator(as_text)]  # where {…} may bring a number
Connection = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]


class Strict(BaseModel):
    """Refuses what it does not know, so that a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def duration_text(seconds: int) -> str:
    """A duration as people write it: 90 s, 5 min, 2 h."""
    if seconds % 3600 == 0 and seconds:
        return f"{seconds // 3600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 and seconds else f"{seconds} s"
