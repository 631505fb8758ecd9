"""A calendar as a file or form gives it, checked; the errors say which field and what to write instead."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

import holidays as public_holidays
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from staff.business_time import MINUTES_A_DAY, WEEKDAYS, BusinessTime, Interval, NeverOpens
from supportdesk.errors import Invalid

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
assert get_args(Weekday) == WEEKDAYS  # noqa: S101 - two spellings of one list

_SOME_DAY, _A_SECOND = datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=1)
_INTERVAL = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})")


class Holidays(BaseModel):
    """Public holidays of a country or part of one, dates closed besides, and dates open all the same."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    country: str = ""
    subdivision: str = ""
    extra: list[date] = []
    open_anyway: list[date] = Field([], alias="except")

    @model_validator(mode="after")
    def _known(self) -> "Holidays":
        supported = public_holidays.list_supported_countries()
        if self.country and self.country not in supported:
            raise ValueError(f"country {self.country!r} is not known; write its two letters, for example DE")
        if self.subdivision and not self.country:
            raise ValueError("a subdivision needs its country")
        if self.subdivision and self.subdivision not in supported[self.country]:
            known = ", ".join(supported[self.country]) or "none"
            raise ValueError(f"subdivision {self.subdivision!r} is not known in {self.country}; known are {known}")
        if twice := sorted(set(self.extra) & set(self.open_anyway)):
            raise ValueError(f"{twice[0]} is both in extra and in except")
        return self

    @property
    def are_none(self) -> bool:
        return not (self.country or self.extra)


class CalendarFile(BaseModel):
    """`{slug, name, zone, hours: {mon: ["09:00-17:00"]}, holidays: {…}}`; hours omitted is round the clock."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")
    name: str = Field(min_length=1, max_length=80)
    zone: str
    hours: dict[Weekday, list[str]] | None = None
    holidays: Holidays = Holidays()

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is not a time zone; write one such as Europe/Berlin")
        return value

    @field_validator("hours")
    @classmethod
    def _hours(cls, value: dict[Weekday, list[str]] | None) -> dict[Weekday, list[str]] | None:
        if value is not None:
            if not any(value.values()):
                raise ValueError("a calendar that never opens; leave hours out for round the clock")
            for texts in value.values():
                _intervals(texts)
        return value

    @model_validator(mode="after")
    def _opens(self) -> "CalendarFile":
        if self.hours is not None or not self.holidays.are_none:
            try:
                business_time(self).add(_SOME_DAY, _A_SECOND)
            except NeverOpens:
                raise ValueError("this calendar never opens: its holidays cover all of its hours") from None
        return self


def _intervals(texts: list[str]) -> list[Interval]:
    found = []
    for text in texts:
        match = _INTERVAL.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not an interval; write it as 09:00-17:00")
        opens, closes = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
        if opens >= MINUTES_A_DAY or closes > MINUTES_A_DAY or int(match[2]) > 59 or int(match[4]) > 59:
            raise ValueError(f"{text!r}: a time of day is 00:00 to 24:00")
        if opens == closes:
            raise ValueError(f"{text!r} is empty; write 00:00-24:00 for the whole day")
        found.append((opens, closes or MINUTES_A_DAY))
    return found


def intervals(spec: CalendarFile) -> dict[int, list[Interval]] | None:
    """The hours by weekday (0 is Monday); None is round the clock."""
    if spec.hours is None:
        return None
    return {number: _intervals(spec.hours.get(name, [])) for number, name in enumerate(WEEKDAYS)}  # type: ignore[call-overload]


def business_time(spec: CalendarFile) -> BusinessTime:
    """What the clocks calculate with."""
    closed = (
        None
        if spec.holidays.are_none
        else holiday_test(
            spec.holidays.country,
            spec.holidays.subdivision,
            frozenset(spec.holidays.extra),
            frozenset(spec.holidays.open_anyway),
        )
    )
    return BusinessTime(ZoneInfo(spec.zone), intervals(spec), closed)


@cache
def _public(country: str, subdivision: str) -> public_holidays.HolidayBase:
    return public_holidays.country_holidays(country, subdiv=subdivision or None)


def holiday_test(
    country: str, subdivision: str, extra: frozenset[date], open_anyway: frozenset[date]
) -> Callable[[date], bool]:
    """Whether a local date is closed. A country's years are worked out as they are asked for."""
    public = _public(country, subdivision) if country else None

    def is_holiday(day: date) -> bool:
        return day in extra or (public is not None and day not in open_anyway and day in public)

    return is_holiday


def read(text: str, *, name: str) -> CalendarFile:
    """A calendar from YAML, or `Invalid` with all that is wrong."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid(f"{name}: {error}") from None
    if not isinstance(data, dict):
        raise Invalid(f"{name}: a calendar is a mapping with slug, name and zone")
    return check(data, name=name)


def check(data: dict[str, Any], *, name: str = "calendar") -> CalendarFile:
    """A calendar from plain data, or `Invalid` naming each field."""
    try:
        return CalendarFile.model_validate(data)
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for row in error.errors():
            where = ".".join(str(part) for part in row["loc"]) or "calendar"
            fields.setdefault(where, []).append(row["msg"].removeprefix("Value error, "))
        words = "; ".join(f"{field}: {', '.join(texts)}" for field, texts in fields.items())
        raise Invalid(f"{name}: {words}", fields=fields) from None
