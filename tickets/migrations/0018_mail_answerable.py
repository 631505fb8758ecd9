"""Whether a mail may be answered by itself, and whom a mail that was refused for one has reached."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("tickets", "0017_mail_indexes")]
    operations = [
        migrations.AddField("inboundemail", "unanswerable", models.BooleanField(default=False, db_default=False)),
        migrations.AddField("outboundemail", "copies_have_it", models.BooleanField(default=False, db_default=False)),
    ]
