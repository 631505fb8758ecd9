"""Figures that took long, kept for a while; and reports that are mailed by a timetable."""

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone

from staff.models import User


class CountedReport(models.Model):
    """What a report found for one reader, kept because finding it took long; `asked` is report, period, zone and query."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    asked = models.CharField(max_length=800)
    # The table as `workspace.counting` writes it; empty until it was counted once.
    found = models.JSONField(null=True, blank=True)
    counted_at = models.DateTimeField(null=True, blank=True)
    took_ms = models.PositiveIntegerField(default=0)
    asked_at = models.DateTimeField(default=timezone.now)
    # Claimed by whoever counts; a claim that is older than its limit is void.
    claimed_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "asked"], name="counted_once")]
        # The sweep: those that somebody still asks for.
        indexes = [models.Index(fields=["asked_at"], name="counted_asked")]

    def __str__(self) -> str:
        return f"{self.asked} for {self.user}"


class Every(models.TextChoices):
    """How often a kept report is mailed."""

    NEVER = "never", "Never: only kept"
    DAY = "day", "Every day"
    WEEK = "week", "Every week"
    MONTH = "month", "Every month, on the first"


class KeptReport(models.Model):
    """A report with its period, zone and query under a name, mailed to people by a timetable."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="kept_reports")
    name = models.CharField(max_length=80)
    report = models.CharField(max_length=40)
    period = models.CharField(max_length=10)
    zone = models.CharField(max_length=64)
    query = models.CharField(max_length=500, blank=True)
    every = models.CharField(max_length=10, choices=Every.choices, default=Every.NEVER)
    weekday = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(6)])  # Monday is 0
    at = models.TimeField()
    next_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="kept_report_name_once")]
        # The sweep of those that are due.
        indexes = [models.Index(fields=["next_at"], name="kept_report_due", condition=models.Q(next_at__isnull=False))]

    def __str__(self) -> str:
        return self.name


class ReportReader(models.Model):
    """Somebody who gets a kept report; each sees the figures of the tickets that they may see."""

    kept = models.ForeignKey(KeptReport, on_delete=models.CASCADE, related_name="readers")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    # The occasion that is not sent yet, and when the last one was.
    due_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kept", "user"], name="report_reader_once")]

    def __str__(self) -> str:
        return f"{self.kept} for {self.user}"
