"""Indexes of reports, made while the desk goes on working."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

REPORTED = (
    "opened", "split_from", "reopened", "resolved", "merged", "spam", "unmerged", "imported", "undone", "escalated", "handed_back",
    "breach_escalated",
)  # fmt: skip


class Migration(migrations.Migration):

    atomic = False
    dependencies = [("tickets", "0021_saved_views")]
    operations = [
        AddIndexConcurrently(
            "ticketevent",
            models.Index(condition=models.Q(kind__in=REPORTED), fields=["at", "kind"], name="event_reported"),
        ),
        AddIndexConcurrently("ticket", models.Index(fields=["created_at", "channel"], name="ticket_created")),
        AddIndexConcurrently(
            "message",
            models.Index(condition=models.Q(author__isnull=False), fields=["created_at", "author"], name="message_written"),
        ),
        AddIndexConcurrently(
            "slatimer",
            models.Index(condition=models.Q(stopped_at__isnull=False), fields=["stopped_at"], name="timer_stopped"),
        ),
        AddIndexConcurrently(
            "slatimer",
            models.Index(condition=models.Q(breached_at__isnull=False), fields=["breached_at"], name="timer_breached"),
        ),
    ]
