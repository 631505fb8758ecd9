"""Envelopes, checks and spam of mail; mailboxes that are fetched; templates, rules, ratings and addresses."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('staff', '0005_mails_wanted'),
        ('tickets', '0015_review'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='attachment',
            name='content_id',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.CreateModel(
            name='ImapAccount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('active', models.BooleanField(default=True)),
                ('host', models.CharField(max_length=253)),
                ('port', models.PositiveIntegerField(default=993)),
                ('security', models.CharField(choices=[('tls', 'TLS (993)'), ('starttls', 'STARTTLS (143)'), ('none', 'None: only on this machine')], default='tls', max_length=8)),
                ('user', models.CharField(max_length=254)),
                ('login', models.CharField(choices=[('password', 'Password'), ('microsoft', 'OAuth 2, Microsoft 365'), ('google', 'OAuth 2, Google')], default='password', max_length=10)),
                ('secret', models.BinaryField()),
                ('client_id', models.CharField(blank=True, max_length=200)),
                ('client_secret', models.BinaryField(blank=True, default=bytes)),
                ('tenant', models.CharField(blank=True, max_length=100)),
                ('folder', models.CharField(default='INBOX', max_length=200)),
                ('done_folder', models.CharField(blank=True, max_length=200)),
                ('uid_validity', models.BigIntegerField(blank=True, null=True)),
                ('last_uid', models.BigIntegerField(default=0)),
                ('contact_at', models.DateTimeField(blank=True, null=True)),
                ('message_at', models.DateTimeField(blank=True, null=True)),
                ('taken', models.PositiveBigIntegerField(default=0)),
                ('idles', models.BooleanField(default=False)),
                ('error', models.CharField(blank=True, max_length=500)),
                ('error_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='MailAddress',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.EmailField(max_length=254)),
                ('bounced_at', models.DateTimeField(blank=True, null=True)),
                ('permanent', models.BooleanField(default=False)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('bounces', models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name='MailRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80, unique=True)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('active', models.BooleanField(default=True)),
                ('conditions', models.JSONField(default=list)),
                ('spam', models.BooleanField(default=False)),
                ('recipe', models.JSONField(blank=True, default=dict)),
                ('stops', models.BooleanField(default=True)),
                ('matched', models.PositiveBigIntegerField(default=0)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['position', 'id'],
            },
        ),
        migrations.CreateModel(
            name='MailTemplate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('language', models.CharField(default='en', max_length=5)),
                ('kind', models.CharField(choices=[('replied', 'A reply'), ('needs_answer', 'A reply that needs an answer'), ('resolved', 'Resolved, with a rating'), ('received', 'Your message has arrived'), ('notice', 'To staff: somebody wrote'), ('plain', 'Of the desk')], max_length=12)),
                ('subject', models.CharField(blank=True, max_length=300)),
                ('text', models.TextField()),
                ('active', models.BooleanField(default=True)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['kind', 'language', 'mailbox'],
            },
        ),
        migrations.CreateModel(
            name='Rating',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('score', models.CharField(choices=[('good', 'Good'), ('fair', 'It will do'), ('bad', 'Bad')], max_length=4)),
                ('comment', models.TextField(blank=True)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='checks',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='envelope_from',
            field=models.CharField(blank=True, max_length=320),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='envelope_to',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=320), blank=True, default=list, size=None),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='language',
            field=models.CharField(blank=True, max_length=5),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='likeness',
            field=models.CharField(blank=True, max_length=40),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='perhaps',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tickets.ticket'),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='protection',
            field=models.CharField(blank=True, max_length=10),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='remote',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='rules',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), blank=True, default=list, size=None),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='sender',
            field=models.CharField(blank=True, max_length=254),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='spam',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='subject',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='unverified',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='inboundemail',
            name='via',
            field=models.CharField(choices=[('pipe', 'pipe'), ('smtp', 'SMTP'), ('lmtp', 'LMTP'), ('imap', 'IMAP'), ('webhook', 'webhook'), ('upload', 'upload')], default='pipe', max_length=8),
        ),
        migrations.AddField(
            model_name='letter',
            name='in_reply_to',
            field=models.CharField(blank=True, max_length=998),
        ),
        migrations.AddField(
            model_name='letter',
            name='kind',
            field=models.CharField(choices=[('replied', 'A reply'), ('needs_answer', 'A reply that needs an answer'), ('resolved', 'Resolved, with a rating'), ('received', 'Your message has arrived'), ('notice', 'To staff: somebody wrote'), ('plain', 'Of the desk')], default='plain', max_length=12),
        ),
        migrations.AddField(
            model_name='letter',
            name='reply_to',
            field=models.EmailField(blank=True, max_length=320),
        ),
        migrations.AddField(
            model_name='letter',
            name='rfc_id',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name='letter',
            name='sender',
            field=models.CharField(blank=True, max_length=320),
        ),
        migrations.AddField(
            model_name='mailbox',
            name='active',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='mailbox',
            name='keeps_copies',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='mailbox',
            name='language',
            field=models.CharField(default='en', max_length=5),
        ),
        migrations.AddField(
            model_name='mailbox',
            name='quotes_history',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='mailbox',
            name='reopen_days',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='mailbox',
            name='trusts_organization',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='outboundemail',
            name='error',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AddField(
            model_name='outboundemail',
            name='kind',
            field=models.CharField(default='replied', max_length=12),
        ),
        migrations.AddField(
            model_name='outboundemail',
            name='language',
            field=models.CharField(default='en', max_length=5),
        ),
        migrations.AddField(
            model_name='outboundemail',
            name='mailbox',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tickets.mailbox'),
        ),
        migrations.AddField(
            model_name='outboundemail',
            name='sent_again',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='ticket',
            name='spam_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='imapaccount',
            name='mailbox',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='imap', to='tickets.mailbox'),
        ),
        migrations.AddConstraint(
            model_name='mailaddress',
            constraint=models.UniqueConstraint(fields=('address',), name='mail_address_once'),
        ),
        migrations.AddField(
            model_name='mailrule',
            name='changed_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='mailrule',
            name='mailbox',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tickets.mailbox'),
        ),
        migrations.AddField(
            model_name='mailrule',
            name='tier',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='staff.tier'),
        ),
        migrations.AddField(
            model_name='mailtemplate',
            name='changed_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='mailtemplate',
            name='mailbox',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='templates', to='tickets.mailbox'),
        ),
        migrations.AddField(
            model_name='rating',
            name='ticket',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='rating', to='tickets.ticket'),
        ),
        migrations.AddConstraint(
            model_name='mailtemplate',
            constraint=models.UniqueConstraint(fields=('mailbox', 'language', 'kind'), name='mail_template_once', nulls_distinct=False),
        ),
    ]
