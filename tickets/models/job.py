"""Work that is too long for a request: done in batches, each committed with its progress."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import User
from tickets.models.ticket import Ticket


class JobState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


class Job(models.Model):
    """One piece of background work. `cursor` is where the next batch begins, so that a crash repeats nothing."""

    kind = models.CharField(max_length=30)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=8, choices=JobState.choices, default=JobState.QUEUED)
    by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    parameters = models.JSONField(default=dict)
    cursor = models.BigIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)  # that a batch broke: five in a row end the job
    error = models.TextField(blank=True)
    stop_asked = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # A runner that died is replaced once its lease is over.
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        # The sweep over jobs that nobody works on.
        indexes = [models.Index(fields=["id"], name="job_unfinished", condition=Q(state__in=["queued", "running"]))]

    def __str__(self) -> str:
        return self.title

    @property
    def is_bulk(self) -> bool:
        return self.kind.startswith("bulk")

    @property
    def is_finished(self) -> bool:
        return self.state in {JobState.DONE, JobState.STOPPED, JobState.FAILED}

    @property
    def percent(self) -> int:
        """Progress, 0 to 100; a finished job is 100 whatever came between."""
        return 100 if self.is_finished or not self.total else min(99, 100 * self.done // self.total)

    @property
    def took(self) -> timedelta | None:
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None


class RowOutcome(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DONE = "done", "Done"
    UNCHANGED = "unchanged", "Nothing to change"
    REFUSED = "refused", "Refused"
    FAILED = "failed", "Failed"


class JobRow(models.Model):
    """One ticket of a bulk change: which version was meant, what became of it, and what it was before."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="rows")
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="+")
    version = models.PositiveIntegerField()
    outcome = models.CharField(max_length=10, choices=RowOutcome.choices, default=RowOutcome.WAITING)
    said = models.CharField(max_length=500, blank=True)
    was = models.JSONField(null=True, blank=True)
    version_after = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["job", "ticket"], name="job_ticket_once")]
        indexes = [
            # The rows of a job in order, and those of one outcome.
            models.Index(fields=["job", "outcome", "id"], name="job_rows")
        ]

    def __str__(self) -> str:
        return f"{self.ticket_id} of job {self.job_id}: {self.outcome}"
