from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Beside readers and writers: a desk has a million notifications after some years."""

    atomic = False
    dependencies = [("staff", "0008_notices")]
    operations = [
        AddIndexConcurrently(
            model_name='notification',
            index=models.Index(condition=models.Q(('mail_at__isnull', False)), fields=['user', 'mail_at'], name='notification_to_mail'),
        ),
        AddIndexConcurrently(
            model_name='notification',
            index=models.Index(condition=models.Q(('read_at', None)), fields=['user', 'about'], name='notification_about'),
        ),
    ]
