"""Typed parameters of a launch."""

import re
from datetime import UTC
from typing import Any, Literal

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from pydantic import model_validator

from runbooks.definition.scalars import Connection, Strict, duration

Value = str | int | bool | None
MOST_TEXT = 64 * 1024


class ChoicesFrom(Strict):
    """Choices read from the target when the form is shown: the first column, and the second as label if there is one."""

    connection: Connection = "postgres"
    query: str


class Param(Strict):
    """A parameter: its type, its bounds, and how the launch form shows it."""

    type: Literal["string", "integer", "boolean", "choice", "duration", "timestamp", "target", "secret"]
    label: str
    help: str = ""
    unit: str = ""
    default: str | int | bool | None = None
    required: bool = True
    pattern: str | None = None
    min: int | None = None
    max: int | None = None
    choices: list[str] = []
    choices_from: ChoicesFrom | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> "Param":
        if (self.type == "choice") != bool(self.choices or self.choices_from):
            raise ValueError("choices (or choices_from) go with type: choice, and only with it")
        if self.choices and self.choices_from:
            raise ValueError("give choices or choices_from, one of them")
        if self.pattern is not None:
            if self.type not in {"string", "secret"}:
                raise ValueError("pattern goes with type: string")
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern is not a regular expression: {error}") from None
        if (self.min is not None or self.max is not None) and self.type not in {"integer", "duration"}:
            raise ValueError("min and max go with type: integer or duration")
        if self.type == "secret" and self.default is not None:
            raise ValueError("a secret has no default: it would stand in the text")
        if self.default is not None and self.choices_from is None:
            self.parse(self.default)
        return self

    def parse(self, value: Any) -> str | int | bool:
        """A value of the right type within its bounds, or ValueError with what is wrong."""
        if self.type == "boolean":
            return _boolean(value)
        if self.type in {"integer", "duration"}:
            return self._number(value)
        text = str(value)
        if "\0" in text or len(text.encode(errors="surrogatepass")) > MOST_TEXT or not _encodes(text):
            raise ValueError(f"must be plain text of {MOST_TEXT // 1024} KB at most")
        if self.type == "timestamp":
            return _moment(text)
        if self.choices and text not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}")
        if self.type == "target" and not re.fullmatch(r"[-a-zA-Z0-9_]{1,50}", text):
            raise ValueError("must be the short name of a target")
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            raise ValueError(f"must match {self.pattern}")
        return text

    def _number(self, value: Any) -> int:
        plain = self.type == "duration" and isinstance(value, str) and value.strip().isdecimal()  # as it is stored
        number = duration(int(value) if plain else value) if self.type == "duration" else _integer(value)
        if self.min is not None and number < self.min:
            raise ValueError(f"must be {self.min} or more")
        if self.max is not None and number > self.max:
            raise ValueError(f"must be {self.max} or less")
        return int(number)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "on", "yes", "1"}:
        return True
    if str(value).lower() in {"false", "off", "no", "0", ""}:
        return False
    raise ValueError("must be yes or no")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?\d{1,18}", str(value).strip(), re.ASCII):
        raise ValueError("must be a whole number")
    return int(value)


def _moment(text: str) -> str:
    """An ISO 8601 time in UTC; without a zone it is the reader's."""
    try:
        moment = parse_datetime(text.strip())
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError("must be a time such as 2026-01-31T14:30")
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
