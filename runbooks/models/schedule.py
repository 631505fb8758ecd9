"""When runs start by themselves."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from runbooks.models.runbook import Runbook
from runbooks.models.target import Target
from staff.models import User


class Missed(models.TextChoices):
    SKIP = "skip", "Leave them out"
    ONCE = "once", "Run once"
    ALL = "all", "Run each"


class Overlap(models.TextChoices):
    SKIP = "skip", "Leave the new one out"
    QUEUE = "queue", "Queue the new one"
    ALLOW = "allow", "Run both"


class Gap(models.TextChoices):
    FORWARD = "forward", "At the end of the gap"
    SKIP = "skip", "Leave it out"


class Fold(models.TextChoices):
    FIRST = "first", "The first time"
    SECOND = "second", "The second time"
    BOTH = "both", "Both times"


class Schedule(models.Model):
    """A runbook at wall-clock times of a zone. `next_at` is the next moment to decide about, as UTC."""

    name = models.SlugField(max_length=80, unique=True)
    runbook = models.ForeignKey(Runbook, on_delete=models.PROTECT, related_name="schedules")
    targets = models.ManyToManyField(Target, related_name="schedules")
    params = models.JSONField(default=dict, blank=True)
    cron = models.CharField(max_length=120)
    zone = models.CharField(max_length=64, default="UTC")
    missed = models.CharField(max_length=4, choices=Missed.choices, default=Missed.ONCE)
    grace_seconds = models.PositiveIntegerField(default=3600)
    gap = models.CharField(max_length=8, choices=Gap.choices, default=Gap.FORWARD)
    fold = models.CharField(max_length=6, choices=Fold.choices, default=Fold.FIRST)
    overlap = models.CharField(max_length=6, choices=Overlap.choices, default=Overlap.SKIP)
    jitter_seconds = models.PositiveIntegerField(default=0)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    paused_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        indexes = [
            # The sweep: what is due.
            models.Index(fields=["next_at"], name="schedule_due", condition=Q(paused_at=None))
        ]

    def __str__(self) -> str:
        return self.name


class FireOutcome(models.TextChoices):
    STARTED = "started", "Started"
    MISSED = "missed", "Missed"
    FROZEN = "frozen", "Left out: freeze or outside the window"
    OVERLAPPED = "overlapped", "Left out: the one before still ran"
    REFUSED = "refused", "Refused"


class ScheduleFire(models.Model):
    """What became of one moment of a schedule on one target; unique, so that it fires once under any number of beats."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="fires")
    moment = models.DateTimeField()
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="+")
    outcome = models.CharField(max_length=10, choices=FireOutcome.choices)
    execution = models.ForeignKey("Execution", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-moment"]
        constraints = [models.UniqueConstraint(fields=["schedule", "moment", "target"], name="schedule_fires_once")]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.moment}"
