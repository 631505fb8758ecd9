"""Workers, as they say of themselves."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

ALIVE = timedelta(seconds=30)


class Worker(models.Model):
    """A worker process with its queues; `seen_at` is renewed while it lives."""

    name = models.CharField(max_length=200, unique=True)
    queues = models.JSONField(default=list)
    slots = models.PositiveSmallIntegerField(default=1)
    version = models.CharField(max_length=40, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    draining_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_alive(self) -> bool:
        return self.stopped_at is None and self.seen_at > timezone.now() - ALIVE
