"""Views of the queue that people keep: a query, and how its tickets are shown."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import User


class ViewQuerySet(models.QuerySet["SavedView"]):
    def visible_to(self, user: User) -> Self:
        """Everybody's and one's own."""
        return self.filter(Q(owner=None) | Q(owner=user))


class SavedView(models.Model):
    """A query with its columns, order and groups. Without an owner it is everybody's; each reader sees what they may."""

    name = models.CharField(max_length=60)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="views")
    query = models.CharField(max_length=500, blank=True)
    columns = ArrayField(models.CharField(max_length=60), default=list, blank=True)  # empty: the usual ones
    sort = models.CharField(max_length=20, blank=True)
    group = models.CharField(max_length=20, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    objects = ViewQuerySet.as_manager()

    class Meta:
        ordering = ["position", "name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="saved_view_once", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return self.name
