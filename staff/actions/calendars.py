"""Writes about business calendars."""

from django.db import transaction

from staff import calendars
from staff.actions.records import audit
from staff.calendar_file import CalendarFile, intervals
from staff.models import Calendar, CalendarHours, CalendarVersion, Holiday, HolidayKind, User


@transaction.atomic
def save_calendar(*, spec: CalendarFile, by: User | None) -> tuple[Calendar, bool]:
    """Make a calendar, or give one a new version. Returns it and whether anything changed.

    Clocks that run by it follow only when `tickets.actions.save_calendar` calls this.
    """
    calendar, _ = Calendar.objects.get_or_create(slug=spec.slug, defaults={"name": spec.name})
    calendar = Calendar.objects.select_for_update(of=("self",)).select_related("current").get(pk=calendar.pk)
    before = calendars.spec_of(calendar) if calendar.current else None
    if before is not None and _same(before, spec):
        return calendar, False
    version = CalendarVersion.objects.create(
        calendar=calendar,
        number=calendar.current.number + 1 if calendar.current else 1,
        zone=spec.zone,
        always_open=spec.hours is None,
        country=spec.holidays.country,
        subdivision=spec.holidays.subdivision,
        created_by=by,
    )
    CalendarHours.objects.bulk_create(
        CalendarHours(version=version, weekday=day, opens=opens, closes=closes)
        for day, rows in (intervals(spec) or {}).items()
        for opens, closes in rows
    )
    dates = [(day, HolidayKind.EXTRA) for day in spec.holidays.extra]
    dates += [(day, HolidayKind.EXCEPT) for day in spec.holidays.open_anyway]
    Holiday.objects.bulk_create(Holiday(version=version, date=day, kind=kind) for day, kind in dict(dates).items())
    calendar.name, calendar.current = spec.name, version
    calendar.save()
    shown = spec.model_dump(mode="json", by_alias=True)
    audit(
        by=by,
        action="calendar.saved",
        thing=f"calendar {calendar.slug}",
        before=before.model_dump(mode="json", by_alias=True) if before else None,
        after=shown,
    )
    return calendar, True


def _same(one: CalendarFile, other: CalendarFile) -> bool:
    """Whether two files mean the same hours, holidays and name."""
    return (one.name, one.zone, intervals(one), set(one.holidays.extra), set(one.holidays.open_anyway)) == (
        other.name, other.zone, intervals(other), set(other.holidays.extra), set(other.holidays.open_anyway),
    ) and (one.holidays.country, one.holidays.subdivision) == (other.holidays.country, other.holidays.subdivision)  # fmt: skip
