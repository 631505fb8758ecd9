"""When a target may be changed: its windows, which recur by weekday, and its freezes."""

from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from django.utils import timezone
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, model_validator

from runbooks.definition.scalars import Strict
from runbooks.models import Target
from staff.business_time import instant, moment
from supportdesk.errors import Invalid

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]


class Window(Strict):
    """Wall-clock hours on weekdays; one that ends before it begins goes over midnight."""

    days: list[Day] = Field(default=[*DAYS], min_length=1)
    start: Clock = Field(alias="from")
    end: Clock = Field(alias="to")


class Freeze(Strict):
    """A time during which nothing is changed."""

    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")
    reason: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _ordered(self) -> "Freeze":
        if self.end <= self.start:
            raise ValueError("a freeze ends after it begins")
        return self


_WINDOWS, _FREEZES = TypeAdapter(list[Window]), TypeAdapter(list[Freeze])


def check(windows: Any, freezes: Any) -> tuple[list[Any], list[Any]]:
    """As they are stored; `Invalid` says what is wrong."""
    try:
        return (
            _WINDOWS.dump_python(_WINDOWS.validate_python(windows or []), mode="json", by_alias=True),
            _FREEZES.dump_python(_FREEZES.validate_python(freezes or []), mode="json", by_alias=True),
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Invalid(f"Windows and freezes: {place}: {first['msg'].removeprefix('Value error, ')}") from None


def closed_because(target: Target, at: datetime | None = None) -> str | None:
    """Why the target may not be changed at that moment; None where it may."""
    at = at or timezone.now()
    for freeze in _FREEZES.validate_python(target.freezes):
        if freeze.start <= at < freeze.end:
            why = f" ({freeze.reason})" if freeze.reason else ""
            return f"{target} is frozen until {freeze.end.astimezone(ZoneInfo(target.zone)):%Y-%m-%d %H:%M} {target.zone}{why}."
    windows = _WINDOWS.validate_python(target.windows)
    if windows and not any(_holds(window, target.zone, at) for window in windows):
        shown = "; ".join(f"{', '.join(window.days)} {window.start} to {window.end}" for window in windows)
        return f"It is outside the maintenance window of {target}: {shown} ({target.zone})."
    return None


def _holds(window: Window, zone: str, at: datetime) -> bool:
    local = at.astimezone(ZoneInfo(zone))
    for back in (0, 1):  # yesterday's window may reach into today
        day = local.date() - timedelta(days=back)
        if DAYS[day.weekday()] not in window.days:
            continue
        start, end = (_wall(day, text) for text in (window.start, window.end))
        if end <= start:
            end += timedelta(days=1)
        tz = ZoneInfo(zone)
        if moment(instant(tz, start)) <= at < moment(instant(tz, end)):
            return True
    return False


def _wall(day: Any, text: str) -> datetime:
    if text == "24:00":
        return datetime.combine(day, time()) + timedelta(days=1)
    return datetime.combine(day, time.fromisoformat(text))
