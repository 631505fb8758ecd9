"""Indexes on mail and tickets, made while the desk goes on working."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False
    dependencies = [("tickets", "0016_mail")]
    operations = [
        AddIndexConcurrently(
            model_name='inboundemail',
            index=models.Index(condition=models.Q(('state', 'failed')), fields=['-id'], name='inbound_failed'),
        ),
        AddIndexConcurrently(
            model_name='inboundemail',
            index=models.Index(condition=models.Q(('likeness', ''), _negated=True), fields=['likeness', '-id'], name='inbound_alike'),
        ),
        AddIndexConcurrently(
            model_name='inboundemail',
            index=models.Index(fields=['mailbox', '-id'], name='inbound_of_mailbox'),
        ),
        AddIndexConcurrently(
            model_name='inboundemail',
            index=models.Index(condition=models.Q(('state', 'duplicate')), fields=['content_hash'], name='inbound_copies'),
        ),
        AddIndexConcurrently(
            model_name='letter',
            index=models.Index(fields=['to', '-created_at'], name='letter_to'),
        ),
        AddIndexConcurrently(
            model_name='letter',
            index=models.Index(fields=['ticket', '-created_at'], name='letter_of_ticket'),
        ),
        AddIndexConcurrently(
            model_name='letter',
            index=models.Index(condition=models.Q(('rfc_id', ''), _negated=True), fields=['rfc_id'], name='letter_by_id'),
        ),
        AddIndexConcurrently(
            model_name='ticket',
            index=models.Index(condition=models.Q(('spam_at__isnull', False)), fields=['-id'], name='ticket_spam'),
        ),
        migrations.RunSQL("ANALYZE tickets_ticket", migrations.RunSQL.noop),
    ]
