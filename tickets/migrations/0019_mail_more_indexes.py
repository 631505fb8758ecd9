"""More indexes on mail, made while the desk goes on working."""

from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False
    dependencies = [("tickets", "0018_mail_answerable")]
    operations = [
        AddIndexConcurrently(
            "inboundemail", BrinIndex(fields=["received_at"], name="inbound_by_day", pages_per_range=16)
        ),
        AddIndexConcurrently(
            "outboundemail", models.Index(condition=models.Q(sent_at=None), fields=["-id"], name="outbound_queued")
        ),
        AddIndexConcurrently(
            "outboundemail",
            models.Index(condition=models.Q(bounced_at__isnull=False), fields=["-id"], name="outbound_bounced"),
        ),
        AddIndexConcurrently("outboundemail", models.Index(fields=["to", "-created_at"], name="outbound_to")),
    ]
