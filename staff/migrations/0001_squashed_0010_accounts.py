"""What a new database gets at once: the state after all that it replaces, which older databases go on from one by one."""

import datetime
import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
import staff.models.people
from django.conf import settings
from django.db import migrations, models

from supportdesk.together import CreateTogether


class Migration(migrations.Migration):

    replaces = [
        ('staff', '0001_initial'),
        ('staff', '0002_calendars_and_records'),
        ('staff', '0003_contact_calendar'),
        ('staff', '0004_away_and_turns'),
        ('staff', '0005_mails_wanted'),
        ('staff', '0006_undo_send'),
        ('staff', '0007_home'),
        ('staff', '0008_notices'),
        ('staff', '0009_notice_indexes'),
        ('staff', '0010_accounts'),
    ]

    initial = True

    dependencies = [
    ]

    operations = [
        CreateTogether([
            migrations.CreateModel(
                name='Calendar',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('slug', models.SlugField(unique=True)),
                    ('name', models.CharField(max_length=80)),
                    ('current', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='staff.calendarversion')),
                ],
                options={
                    'ordering': ['name'],
                },
            ),
            migrations.CreateModel(
                name='Team',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('slug', models.SlugField(unique=True)),
                    ('name', models.CharField(max_length=80)),
                ],
            ),
            migrations.CreateModel(
                name='User',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('password', models.CharField(max_length=128, verbose_name='password')),
                    ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                    ('email', models.EmailField(max_length=254, unique=True)),
                    ('name', models.CharField(max_length=120)),
                    ('role', models.CharField(choices=[('staff', 'Staff'), ('administrator', 'Administrator'), ('auditor', 'Auditor (reads only)'), ('integration', 'Integration (API only)')], default='staff', max_length=20)),
                    ('time_zone', models.CharField(default='UTC', max_length=64, validators=[staff.models.people.check_time_zone])),
                    ('signature', models.TextField(blank=True)),
                    ('mails_wanted', models.BooleanField(default=False)),
                    ('quiet_from', models.TimeField(blank=True, null=True)),
                    ('quiet_until', models.TimeField(blank=True, null=True)),
                    ('quiet_weekends', models.BooleanField(db_default=False, default=False)),
                    ('digest_at', models.TimeField(db_default=datetime.time(8, 0), default=datetime.time(8, 0))),
                    ('undo_seconds', models.PositiveSmallIntegerField(db_default=10, default=10, validators=[django.core.validators.MaxValueValidator(120)])),
                    ('is_active', models.BooleanField(default=True)),
                    ('away_until', models.DateTimeField(blank=True, null=True)),
                    ('home_seen_at', models.DateTimeField(blank=True, null=True)),
                    ('home_left_at', models.DateTimeField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                ],
                options={
                    'constraints': [models.UniqueConstraint(django.db.models.functions.text.Lower('email'), name='user_email_once'), models.CheckConstraint(condition=models.Q(('email', django.db.models.functions.text.Lower(models.F('email')))), name='user_email_lower'), models.CheckConstraint(condition=models.Q(models.Q(('quiet_from', None), ('quiet_until', None)), models.Q(('quiet_from__isnull', False), ('quiet_until__isnull', False)), _connector='OR'), name='user_quiet_whole')],
                },
            ),
            migrations.CreateModel(
                name='ApiToken',
                fields=[
                    ('digest', models.CharField(max_length=128, primary_key=True, serialize=False)),
                    ('token_key', models.CharField(db_index=True, max_length=25)),
                    ('created', models.DateTimeField(auto_now_add=True)),
                    ('expiry', models.DateTimeField(blank=True, null=True)),
                    ('name', models.CharField(blank=True, max_length=80)),
                    ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('read', 'Read tickets, articles and runs'), ('tickets', "Open tickets, reply and note; people's tokens also change them"), ('runs:read', 'Start runbooks that only read'), ('runs:change', 'Start runbooks that change things'), ('runs:destructive', 'Start runbooks that destroy things')], max_length=20), default=list, size=None)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='auth_token_set', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'abstract': False,
                },
            ),
            migrations.CreateModel(
                name='CalendarVersion',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('number', models.PositiveIntegerField()),
                    ('zone', models.CharField(max_length=64, validators=[staff.models.people.check_time_zone])),
                    ('always_open', models.BooleanField(default=False)),
                    ('country', models.CharField(blank=True, max_length=2)),
                    ('subdivision', models.CharField(blank=True, max_length=10)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('calendar', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='staff.calendar')),
                    ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['calendar', '-number'],
                    'constraints': [models.UniqueConstraint(fields=('calendar', 'number'), name='calendar_version_once')],
                },
            ),
            migrations.CreateModel(
                name='CalendarHours',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('weekday', models.PositiveSmallIntegerField(choices=[(0, 'mon'), (1, 'tue'), (2, 'wed'), (3, 'thu'), (4, 'fri'), (5, 'sat'), (6, 'sun')])),
                    ('opens', models.PositiveSmallIntegerField(validators=[django.core.validators.MaxValueValidator(1439)])),
                    ('closes', models.PositiveSmallIntegerField(validators=[django.core.validators.MaxValueValidator(1440)])),
                    ('version', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hours', to='staff.calendarversion')),
                ],
                options={
                    'ordering': ['weekday', 'opens'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('closes__gt', 0), ('closes__lte', 1440), ('opens__lt', 1440), ('weekday__lte', 6), models.Q(('opens', models.F('closes')), _negated=True)), name='calendar_hours_within_a_day')],
                },
            ),
            migrations.CreateModel(
                name='Contact',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('role', models.CharField(max_length=80, unique=True)),
                    ('email', models.EmailField(max_length=254)),
                    ('phone', models.CharField(blank=True, max_length=40)),
                    ('hours', models.CharField(max_length=80)),
                    ('calendar', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='staff.calendar')),
                ],
                options={
                    'ordering': ['id'],
                },
            ),
            migrations.CreateModel(
                name='DeskSettings',
                fields=[
                    ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                    ('second_factor_of', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('administrator', 'Administrators'), ('lead', 'Leads'), ('agent', 'Agents'), ('auditor', 'Auditors')], max_length=20), blank=True, default=list, size=None)),
                    ('checklist_closed_at', models.DateTimeField(blank=True, null=True)),
                    ('test_mail_id', models.CharField(blank=True, db_default='', default='', max_length=200)),
                ],
                options={
                    'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='desk_settings_one_row')],
                },
            ),
            migrations.CreateModel(
                name='Holiday',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('date', models.DateField()),
                    ('kind', models.CharField(choices=[('extra', 'Closed'), ('except', 'Open although a public holiday')], default='extra', max_length=6)),
                    ('version', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='holidays', to='staff.calendarversion')),
                ],
                options={
                    'ordering': ['date'],
                    'constraints': [models.UniqueConstraint(fields=('version', 'date'), name='holiday_once')],
                },
            ),
            migrations.CreateModel(
                name='Mute',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('about', models.CharField(max_length=200)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='mutes', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['-id'],
                    'constraints': [models.UniqueConstraint(fields=('user', 'about'), name='mute_once')],
                },
            ),
            migrations.CreateModel(
                name='NoticeChoice',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('kind', models.CharField(max_length=40)),
                    ('centre', models.BooleanField()),
                    ('popup', models.BooleanField()),
                    ('mail', models.CharField(choices=[('never', 'No'), ('digest', 'Once a day'), ('at_once', 'At once')], max_length=10)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notice_choices', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'constraints': [models.UniqueConstraint(fields=('user', 'kind'), name='notice_choice_once')],
                },
            ),
            migrations.CreateModel(
                name='Notification',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('kind', models.CharField(max_length=40)),
                    ('text', models.CharField(max_length=300)),
                    ('reason', models.CharField(max_length=200)),
                    ('url', models.CharField(blank=True, max_length=200)),
                    ('key', models.CharField(max_length=120)),
                    ('about', models.CharField(blank=True, db_default='', default='', max_length=200)),
                    ('shown', models.BooleanField(db_default=True, default=True)),
                    ('popup', models.BooleanField(db_default=False, default=False)),
                    ('mail_at', models.DateTimeField(blank=True, null=True)),
                    ('mailed_at', models.DateTimeField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('read_at', models.DateTimeField(blank=True, null=True)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notifications', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(condition=models.Q(('read_at', None)), fields=['user', '-id'], name='notification_unread'), models.Index(fields=['user', '-id'], name='notification_of_user'), models.Index(condition=models.Q(('mail_at__isnull', False)), fields=['user', 'mail_at'], name='notification_to_mail'), models.Index(condition=models.Q(('read_at', None)), fields=['user', 'about'], name='notification_about')],
                    'constraints': [models.UniqueConstraint(fields=('user', 'key'), name='notification_once')],
                },
            ),
            migrations.CreateModel(
                name='SignIn',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('succeeded', models.BooleanField()),
                    ('how', models.CharField(blank=True, max_length=40)),
                    ('ip', models.GenericIPAddressField(blank=True, null=True)),
                    ('agent', models.CharField(blank=True, max_length=300)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sign_ins', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(fields=['user', '-id'], name='sign_in_of_user')],
                },
            ),
            migrations.CreateModel(
                name='Tier',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('level', models.PositiveSmallIntegerField(unique=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3)])),
                    ('name', models.CharField(max_length=80)),
                    ('scope', models.CharField(max_length=300)),
                    ('channels', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), default=list, size=None)),
                    ('handled_by', models.CharField(max_length=80)),
                    ('response_min_minutes', models.PositiveIntegerField()),
                    ('response_max_minutes', models.PositiveIntegerField()),
                    ('contact', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='staff.contact')),
                ],
                options={
                    'ordering': ['level'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('level__in', [1, 2, 3])), name='tier_level_1_to_3'), models.CheckConstraint(condition=models.Q(('response_max_minutes__gte', models.F('response_min_minutes')), ('response_min_minutes__gt', 0)), name='tier_response_range')],
                },
            ),
            migrations.CreateModel(
                name='Membership',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('role', models.CharField(choices=[('agent', 'Agent'), ('lead', 'Lead')], default='agent', max_length=10)),
                    ('last_assigned_at', models.DateTimeField(blank=True, null=True)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                    ('team', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='staff.team')),
                    ('tier', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='staff.tier')),
                ],
                options={
                    'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('team__isnull', True), ('tier__isnull', False)), models.Q(('team__isnull', False), ('tier__isnull', True)), _connector='OR'), name='membership_tier_or_team'), models.UniqueConstraint(fields=('user', 'tier'), name='membership_tier_once'), models.UniqueConstraint(fields=('user', 'team'), name='membership_team_once')],
                },
            ),
            migrations.CreateModel(
                name='AuditEntry',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('actor_name', models.CharField(max_length=200)),
                    ('action', models.CharField(max_length=60)),
                    ('thing', models.CharField(max_length=200)),
                    ('before', models.JSONField(blank=True, null=True)),
                    ('after', models.JSONField(blank=True, null=True)),
                    ('at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('actor', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(fields=['action', '-id'], name='audit_by_action')],
                },
            ),
        ]),
        migrations.RunSQL(
            """CREATE FUNCTION desk_refuse_change() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'rows of % are append-only', TG_TABLE_NAME; END $$""",
            "DROP FUNCTION desk_refuse_change()",
        ),
        migrations.RunSQL(
            """CREATE TRIGGER audit_append_only BEFORE UPDATE OF action, thing, before, after, at, actor_name ON staff_auditentry
            FOR EACH ROW EXECUTE FUNCTION desk_refuse_change();
            CREATE TRIGGER calendar_version_fixed BEFORE UPDATE OF zone, always_open, country, subdivision, number ON staff_calendarversion
            FOR EACH ROW EXECUTE FUNCTION desk_refuse_change();""",
            "DROP TRIGGER audit_append_only ON staff_auditentry; DROP TRIGGER calendar_version_fixed ON staff_calendarversion",
        ),
    ]
