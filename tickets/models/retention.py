"""How long what people wrote is kept."""

from django.db import models
from django.db.models import Q
from django.utils import timezone


class RetentionPolicy(models.Model):
    """So many days after a ticket was closed its personal data are erased, where `query` picks it.

    Numbers, times, clocks and properties stay, so that reports stay true.
    """

    name = models.CharField(max_length=80, unique=True)
    days = models.PositiveIntegerField()
    query = models.CharField(max_length=500, blank=True)
    active = models.BooleanField(default=False)
    erased = models.PositiveIntegerField(default=0)
    changed_at = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=500, blank=True)  # why it does not act: its query is not understood any more

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=Q(days__gt=0), name="retention_days")]

    def __str__(self) -> str:
        return self.name
