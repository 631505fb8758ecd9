"""Indexes on the tickets, made while the desk goes on working."""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False
    dependencies = [("tickets", "0006_links_fields_moments")]
    operations = [
        AddIndexConcurrently(
            model_name='ticket',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('custom', name='jsonb_path_ops'), name='ticket_custom'),
        ),
        AddIndexConcurrently(
            model_name='ticket',
            index=models.Index(condition=models.Q(('deadline_at__isnull', False), ('deadline_told_at', None), ('status__in', ('new', 'open', 'waiting_on_requester', 'on_hold'))), fields=['deadline_at'], name='ticket_deadline'),
        ),
        AddIndexConcurrently(
            model_name='ticket',
            index=models.Index(condition=models.Q(('restricted', False), ('snoozed_until', None), ('status__in', ('new', 'open', 'waiting_on_requester', 'on_hold'))), fields=['tier', 'assignee', 'status'], name='ticket_here_counts'),
        ),
        AddIndexConcurrently(
            model_name='ticket',
            index=models.Index(condition=models.Q(('snoozed_until__isnull', False)), fields=['snoozed_until'], name='ticket_snoozed'),
        ),
        RemoveIndexConcurrently(
            model_name='ticket',
            name='ticket_open_counts',
        ),
        # Until a new column is analysed the planner takes it to be hardly ever null, and sorts what an index has in order.
        migrations.RunSQL("ANALYZE tickets_ticket", migrations.RunSQL.noop),
    ]
