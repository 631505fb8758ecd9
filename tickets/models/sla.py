"""The promises, the clocks of a ticket, and the append-only log that both are derived from."""

from datetime import datetime, timedelta
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from staff.models import Calendar, CalendarVersion, Tier
from tickets.models.ticket import Category, Channel, Organization, Priority, Status, Ticket

BREACH = 100  # the milestone that is the promise itself, in percent of the target


class Clock(models.TextChoices):
    """Which promise a timer measures."""

    FIRST_RESPONSE = "first_response", "First response"
    NEXT_RESPONSE = "next_response", "Next response"
    RESOLUTION = "resolution", "Resolution"
    TIER_RESPONSE = "tier_response", "Tier response"


def default_milestones() -> list[int]:
    return [75, 90, BREACH, 150]


class SLAPolicy(models.Model):
    """Promises for the tickets that match all its conditions. The first match by position wins.

    The one fallback matches every ticket, and lends its target where another policy has none.
    """

    name = models.CharField(max_length=80, unique=True)
    position = models.PositiveSmallIntegerField(default=0)
    active = models.BooleanField(default=True)
    is_fallback = models.BooleanField(default=False)
    calendar = models.ForeignKey(Calendar, on_delete=models.PROTECT, related_name="policies")
    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    category = models.ForeignKey(Category, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    tag = models.CharField(max_length=40, blank=True)
    channel = models.CharField(max_length=10, choices=Channel.choices, blank=True)
    milestones = ArrayField(
        models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(1000)]),
        default=default_milestones,
    )
    breach_raises_priority = models.BooleanField(default=False)
    breach_escalates = models.BooleanField(default=False)

    class Meta:
        ordering = ["is_fallback", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["is_fallback"], name="policy_one_fallback", condition=Q(is_fallback=True)),
            models.CheckConstraint(condition=Q(is_fallback=False) | Q(active=True), name="policy_fallback_active"),
        ]

    def __str__(self) -> str:
        return self.name


class SLATarget(models.Model):
    """Business time promised for one tier, priority and clock. `guide_seconds` is what the guide last said."""

    policy = models.ForeignKey(SLAPolicy, on_delete=models.CASCADE, related_name="targets")
    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, related_name="+")
    priority = models.CharField(max_length=10, choices=Priority.choices)
    clock = models.CharField(max_length=20, choices=Clock.choices)
    seconds = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    guide_seconds = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["policy", "tier", "priority", "clock"], name="target_once"),
            models.CheckConstraint(condition=Q(seconds__gt=0), name="target_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.policy}: {self.clock} of tier {self.tier_id}, {self.priority}"


class SLAPause(models.Model):
    """A status in which a clock stands still."""

    status = models.CharField(max_length=24, choices=Status.choices)
    clock = models.CharField(max_length=20, choices=Clock.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["status", "clock"], name="pause_once")]

    def __str__(self) -> str:
        return f"{self.status} pauses {self.clock}"


class SLARevision(models.Model):
    """One row that counts the edits of policies, targets, pauses and calendars, so that caches know."""

    number = models.PositiveBigIntegerField(default=1)
    edited_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.number)


class TimerQuerySet(models.QuerySet["SLATimer"]):
    def unstopped(self) -> Self:
        """Clocks that run or are paused."""
        return self.filter(stopped_at=None)

    def with_log(self) -> Self:
        """With `log` and `fired` of each timer, in two statements."""
        return self.prefetch_related(*_LOG)

    def acting(self, now: datetime) -> Self:
        """Timers for which something happens by now."""
        return self.filter(next_action_at__lte=now)


class SLATimer(models.Model):
    """One clock of one ticket, as the replay of its events says.

    `used_us` is the business time used, in microseconds, up to the last event; since `running_since`
    more is used. `due_at` is null while a paused clock has time left: nobody knows yet. Something
    happens next at `next_action_at`; null when nothing will.
    """

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="timers")
    clock = models.CharField(max_length=20, choices=Clock.choices)
    policy = models.ForeignKey(SLAPolicy, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    calendar_version = models.ForeignKey(CalendarVersion, on_delete=models.PROTECT, related_name="+")
    target_seconds = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    used_us = models.BigIntegerField(default=0)
    running_since = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    next_action_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    breached_at = models.DateTimeField(null=True, blank=True)

    # In memory only: the events oldest first, and the milestones acted upon; tickets.sla.clocks fills them.
    log: list["ClockEvent"]
    fired: list["ClockMilestone"]

    objects = TimerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["ticket", "clock"], name="timer_running_once", condition=Q(stopped_at=None)
            ),
            models.CheckConstraint(condition=Q(due_at__gte=F("started_at")), name="timer_due_after_start"),
            models.CheckConstraint(
                condition=Q(stopped_at=None) | Q(next_action_at=None, running_since=None),
                name="timer_stopped_acts_no_more",
            ),
        ]
        indexes = [
            # The sweep: its cost follows what is due, not what is open.
            models.Index(fields=["next_action_at"], name="timer_due", condition=Q(next_action_at__isnull=False)),
            # The recomputation after an edit of policies or calendars, in batches by id.
            models.Index(fields=["id"], name="timer_unstopped", condition=Q(stopped_at=None)),
            # Reports: promises kept and broken in a period.
            models.Index(fields=["stopped_at"], name="timer_stopped", condition=Q(stopped_at__isnull=False)),
            models.Index(fields=["breached_at"], name="timer_breached", condition=Q(breached_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.clock} of {self.ticket_id}"

    @property
    def target(self) -> timedelta:
        return timedelta(seconds=self.target_seconds)

    @property
    def used(self) -> timedelta:
        """Business time used up to the last event; all of it once the clock has stopped."""
        return timedelta(microseconds=self.used_us)

    @property
    def is_paused(self) -> bool:
        return self.stopped_at is None and self.running_since is None

    @property
    def met(self) -> bool:
        return self.stopped_at is not None and self.breached_at is None


class ClockEventKind(models.TextChoices):
    STARTED = "started", "Started"
    PAUSED = "paused", "Paused"
    RESUMED = "resumed", "Resumed"
    RETARGETED = "retargeted", "Retargeted"
    STOPPED = "stopped", "Stopped"


class ClockEvent(models.Model):
    """Append-only. Target and calendar are those in force from here on; started and retargeted set them."""

    timer = models.ForeignKey(SLATimer, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=10, choices=ClockEventKind.choices)
    at = models.DateTimeField()
    target_seconds = models.PositiveIntegerField(null=True)
    calendar_version = models.ForeignKey(CalendarVersion, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(kind__in=["started", "retargeted"])
                | Q(target_seconds__isnull=False, calendar_version__isnull=False),
                name="clock_event_has_terms",
            )
        ]
        # The replay of one clock, in order.
        indexes = [models.Index(fields=["timer", "id"], name="clock_event_replay")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"


class ClockMilestone(models.Model):
    """A share of the target that was reached and acted upon, once a clock."""

    timer = models.ForeignKey(SLATimer, on_delete=models.CASCADE, related_name="milestones")
    percent = models.PositiveSmallIntegerField()
    reached_at = models.DateTimeField()
    fired_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["timer", "percent"], name="milestone_once")]

    def __str__(self) -> str:
        return f"{self.percent} % of {self.timer_id}"


_LOG: list[Any] = [
    models.Prefetch("events", ClockEvent.objects.order_by("id"), to_attr="log"),
    models.Prefetch("milestones", ClockMilestone.objects.all(), to_attr="fired"),
]
