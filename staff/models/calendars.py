"""Business calendars. What a clock once ran by never changes: an edit makes a new version."""

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q

from staff.business_time import MINUTES_A_DAY, WEEKDAYS
from staff.models.people import User, check_time_zone


class Calendar(models.Model):
    """A named calendar; `current` is the version in force."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    current = models.ForeignKey("CalendarVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class CalendarVersion(models.Model):
    """Hours and holidays as they were in force, immutable. `always_open`: hours omitted, round the clock."""

    calendar = models.ForeignKey(Calendar, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    zone = models.CharField(max_length=64, validators=[check_time_zone])
    always_open = models.BooleanField(default=False)
    country = models.CharField(max_length=2, blank=True)
    subdivision = models.CharField(max_length=10, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["calendar", "-number"]
        constraints = [models.UniqueConstraint(fields=["calendar", "number"], name="calendar_version_once")]

    def __str__(self) -> str:
        return f"{self.calendar}, version {self.number}"


class CalendarHours(models.Model):
    """One open interval of a weekday, in minutes of the local day; `closes` <= `opens` crosses midnight."""

    version = models.ForeignKey(CalendarVersion, on_delete=models.CASCADE, related_name="hours")
    weekday = models.PositiveSmallIntegerField(choices=list(enumerate(WEEKDAYS)))
    opens = models.PositiveSmallIntegerField(validators=[MaxValueValidator(MINUTES_A_DAY - 1)])
    closes = models.PositiveSmallIntegerField(validators=[MaxValueValidator(MINUTES_A_DAY)])

    class Meta:
        ordering = ["weekday", "opens"]
        constraints = [
            models.CheckConstraint(
                condition=Q(weekday__lte=6, opens__lt=MINUTES_A_DAY, closes__gt=0, closes__lte=MINUTES_A_DAY)
                & ~Q(opens=F("closes")),
                name="calendar_hours_within_a_day",
            )
        ]

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday]} {clock_time(self.opens)}-{clock_time(self.closes)}"


def clock_time(minutes: int) -> str:
    """540 as 09:00, 1440 as 24:00."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


class HolidayKind(models.TextChoices):
    EXTRA = "extra", "Closed"
    EXCEPT = "except", "Open although a public holiday"


class Holiday(models.Model):
    """A date by hand: closed, or open although the country's list has it."""

    version = models.ForeignKey(CalendarVersion, on_delete=models.CASCADE, related_name="holidays")
    date = models.DateField()
    kind = models.CharField(max_length=6, choices=HolidayKind.choices, default=HolidayKind.EXTRA)

    class Meta:
        ordering = ["date"]
        constraints = [models.UniqueConstraint(fields=["version", "date"], name="holiday_once")]

    def __str__(self) -> str:
        return f"{self.date} {self.kind}"
