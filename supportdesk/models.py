"""Tables of the kernel: the outbox, seen workers, and answers kept for Idempotency-Key."""

from django.conf import settings
from django.db import models

from supportdesk.outbox import OutboxItem

__all__ = ["IdempotentAnswer", "OutboxItem", "WorkerSeen"]


class WorkerSeen(models.Model):
    """When a canary task last came through a queue: proof that beat, broker and worker are alive."""

    queue = models.CharField(max_length=40, primary_key=True)
    seen_at = models.DateTimeField()


class IdempotentAnswer(models.Model):
    """The answer to a POST with an Idempotency-Key, repeated for the same caller, key and body."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotent_once")]
