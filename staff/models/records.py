"""What people are told, and what is kept of what they did."""

from django.db import models
from django.utils import timezone

from staff.models.people import User


class Notification(models.Model):
    """Something that a person should know, with the reason why it is they. `key` makes it once only for them."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=40)
    text = models.CharField(max_length=300)
    reason = models.CharField(max_length=200)
    url = models.CharField(max_length=200, blank=True)
    key = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="notification_once")]
        indexes = [
            # The unread count of the navigation, and the newest first of one person.
            models.Index(fields=["user", "-id"], name="notification_unread", condition=models.Q(read_at=None)),
            models.Index(fields=["user", "-id"], name="notification_of_user"),
        ]

    def __str__(self) -> str:
        return self.text


class AuditEntry(models.Model):
    """Append-only: who did what to which thing, what it was before and after. Tickets have their own history."""

    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=200)
    action = models.CharField(max_length=60)
    thing = models.CharField(max_length=200)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        # The audit page narrowed to one kind of act.
        indexes = [models.Index(fields=["action", "-id"], name="audit_by_action")]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.thing}"
