"""The clocks of a ticket."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import F, Q

from tickets.models.ticket import Ticket


class Clock(models.TextChoices):
    """Which promise a timer measures."""

    FIRST_RESPONSE = "first_response", "First response"


class TimerQuerySet(models.QuerySet["SLATimer"]):
    def running(self) -> Self:
        return self.filter(stopped_at=None)

    def acting(self, now: datetime) -> Self:
        """Timers for which something happens by now."""
        return self.filter(next_action_at__lte=now)


class SLATimer(models.Model):
    """One clock of one ticket. Something happens next at `next_action_at`; null when nothing will."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="timers")
    clock = models.CharField(max_length=20, choices=Clock.choices)
    target_seconds = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    due_at = models.DateTimeField()
    next_action_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    breached_at = models.DateTimeField(null=True, blank=True)

    objects = TimerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["ticket", "clock"], name="timer_running_once", condition=Q(stopped_at=None)
            ),
            models.CheckConstraint(condition=Q(due_at__gte=F("started_at")), name="timer_due_after_start"),
            models.CheckConstraint(
                condition=Q(stopped_at=None) | Q(next_action_at=None), name="timer_stopped_acts_no_more"
            ),
        ]
        indexes = [
            # The sweep: its cost follows what is due, not what is open.
            models.Index(fields=["next_action_at"], name="timer_due", condition=Q(next_action_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.clock} of {self.ticket_id}"

    @property
    def target(self) -> timedelta:
        return timedelta(seconds=self.target_seconds)

    @property
    def met(self) -> bool:
        return self.stopped_at is not None and self.stopped_at <= self.due_at

    @property
    def used(self) -> timedelta | None:
        """Time used by a stopped clock."""
        return self.stopped_at - self.started_at if self.stopped_at else None
