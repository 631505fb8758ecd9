"""Calendars as rows, read as what the clocks calculate with or as the file that would make them."""

from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

from staff.business_time import WEEKDAYS, BusinessTime
from staff.calendar_file import CalendarFile, holiday_test
from staff.models import Calendar, CalendarVersion, HolidayKind
from staff.models.calendars import clock_time
from supportdesk.errors import NotFound


@lru_cache(maxsize=1024)
def business_time(version_id: int) -> BusinessTime:
    """What a version of a calendar calculates with. Versions never change, so it is kept for good."""
    version = CalendarVersion.objects.prefetch_related("hours", "holidays").get(pk=version_id)
    hours: dict[int, list[tuple[int, int]]] | None = None
    if not version.always_open:
        hours = {day: [] for day in range(7)}
        for row in version.hours.all():
            hours[row.weekday].append((row.opens, row.closes))
    extra, open_anyway = _dates(version, HolidayKind.EXTRA), _dates(version, HolidayKind.EXCEPT)
    closed = None
    if version.country or extra:
        closed = holiday_test(version.country, version.subdivision, extra, open_anyway)
    return BusinessTime(ZoneInfo(version.zone), hours, closed)


def _dates(version: CalendarVersion, kind: HolidayKind) -> frozenset[date]:
    return frozenset(row.date for row in version.holidays.all() if row.kind == kind)


def find(slug: str) -> Calendar:
    """A calendar with its current version, or `NotFound` that names those there are."""
    found = Calendar.objects.select_related("current").filter(slug=slug, current__isnull=False).first()
    if found is None:
        known = ", ".join(Calendar.objects.order_by("slug").values_list("slug", flat=True)) or "none yet"
        raise NotFound(f"There is no calendar {slug}; the calendars are: {known}.")
    return found


def spec_of(found: Calendar) -> CalendarFile:
    """The current version as the file that would make it."""
    version = found.current
    assert version is not None  # noqa: S101 - a calendar is saved with its first version
    hours: dict[str, list[str]] | None = None
    if not version.always_open:
        hours = {name: [] for name in WEEKDAYS}
        for row in version.hours.all():
            hours[WEEKDAYS[row.weekday]].append(f"{clock_time(row.opens)}-{clock_time(row.closes)}")
    return CalendarFile.model_validate(
        {
            "slug": found.slug,
            "name": found.name,
            "zone": version.zone,
            "hours": hours,
            "holidays": {
                "country": version.country,
                "subdivision": version.subdivision,
                "extra": sorted(_dates(version, HolidayKind.EXTRA)),
                "except": sorted(_dates(version, HolidayKind.EXCEPT)),
            },
        }
    )
