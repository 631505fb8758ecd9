"""What a new database gets at once: the state after all that it replaces, which older databases go on from one by one."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from supportdesk.together import CreateTogether


class Migration(migrations.Migration):

    replaces = [
        ('runbooks', '0001_initial'),
        ('runbooks', '0002_depth'),
        ('runbooks', '0003_view_level'),
    ]

    initial = True

    dependencies = [
        ('staff', '0001_squashed_0010_accounts'),
        ('tickets', '0001_squashed_0022_report_indexes'),
    ]

    operations = [
        CreateTogether([
            migrations.CreateModel(
                name='Secret',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('name', models.SlugField()),
                    ('ciphertext', models.BinaryField()),
                    ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('target', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secrets', to='runbooks.target')),
                ],
                options={
                    'constraints': [models.UniqueConstraint(fields=('target', 'name'), name='secret_once')],
                },
            ),
            migrations.CreateModel(
                name='Target',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('slug', models.SlugField(unique=True)),
                    ('name', models.CharField(max_length=80)),
                    ('environment', models.CharField(default='production', max_length=40)),
                    ('site', models.SlugField(blank=True, help_text='Workers of this site take its runs; empty: any worker.')),
                    ('labels', models.JSONField(blank=True, default=dict)),
                    ('connections', models.JSONField(default=dict)),
                    ('zone', models.CharField(default='UTC', max_length=64)),
                    ('windows', models.JSONField(blank=True, default=list)),
                    ('freezes', models.JSONField(blank=True, default=list)),
                    ('approvals', models.JSONField(blank=True, default=dict)),
                    ('run_level', models.PositiveSmallIntegerField(default=1, help_text='The tier that changing it needs at least.')),
                    ('retired_at', models.DateTimeField(blank=True, null=True)),
                ],
                options={
                    'ordering': ['name'],
                },
            ),
            migrations.CreateModel(
                name='Threshold',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('slug', models.SlugField(unique=True)),
                    ('name', models.CharField(max_length=80)),
                    ('group', models.CharField(max_length=40)),
                    ('unit', models.CharField(blank=True, max_length=12)),
                    ('warning', models.FloatField()),
                    ('critical', models.FloatField()),
                    ('below', models.BooleanField(default=False, help_text='Whether less is worse.')),
                    ('position', models.PositiveSmallIntegerField(default=0)),
                ],
                options={
                    'ordering': ['group', 'position'],
                },
            ),
            migrations.CreateModel(
                name='Worker',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('name', models.CharField(max_length=200, unique=True)),
                    ('queues', models.JSONField(default=list)),
                    ('slots', models.PositiveSmallIntegerField(default=1)),
                    ('version', models.CharField(blank=True, max_length=40)),
                    ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('seen_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('draining_at', models.DateTimeField(blank=True, null=True)),
                    ('stopped_at', models.DateTimeField(blank=True, null=True)),
                ],
                options={
                    'ordering': ['name'],
                },
            ),
            migrations.CreateModel(
                name='Batch',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('size', models.PositiveSmallIntegerField(default=1)),
                    ('stop_after', models.PositiveSmallIntegerField(default=1)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('stopped_at', models.DateTimeField(blank=True, null=True)),
                    ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='runbooks.runbookversion')),
                ],
            ),
            migrations.CreateModel(
                name='Runbook',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('slug', models.SlugField(max_length=80, unique=True)),
                    ('title', models.CharField(max_length=160)),
                    ('description', models.TextField(blank=True)),
                    ('purpose', models.CharField(choices=[('diagnostic', 'Diagnostic'), ('maintenance', 'Maintenance'), ('backup', 'Backup'), ('recovery', 'Recovery')], max_length=20)),
                    ('owner', models.CharField(blank=True, max_length=80)),
                    ('risk', models.CharField(choices=[('read', 'Reads only'), ('change', 'Changes things'), ('destructive', 'Destroys things')], max_length=12)),
                    ('tier_level', models.PositiveSmallIntegerField()),
                    ('role', models.CharField(default='agent', max_length=14)),
                    ('view_level', models.PositiveSmallIntegerField(default=1)),
                    ('retired_at', models.DateTimeField(blank=True, null=True)),
                    ('favourite_of', models.ManyToManyField(blank=True, related_name='favourite_runbooks', to=settings.AUTH_USER_MODEL)),
                    ('current', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='runbooks.runbookversion')),
                ],
                options={
                    'ordering': ['title'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('tier_level__in', [1, 2, 3])), name='runbook_tier_1_to_3')],
                },
            ),
            migrations.CreateModel(
                name='RunbookVersion',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('sha256', models.CharField(max_length=64)),
                    ('text', models.TextField()),
                    ('spec', models.JSONField()),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('runbook', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='runbooks.runbook')),
                ],
                options={
                    'constraints': [models.UniqueConstraint(fields=('runbook', 'sha256'), name='version_once')],
                },
            ),
            migrations.CreateModel(
                name='RunbookDraft',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('text', models.TextField()),
                    ('note', models.CharField(blank=True, max_length=500)),
                    ('state', models.CharField(choices=[('draft', 'Draft'), ('in_review', 'In review'), ('published', 'Published'), ('rejected', 'Sent back')], default='draft', max_length=10)),
                    ('review_note', models.CharField(blank=True, max_length=500)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('reviewed_at', models.DateTimeField(blank=True, null=True)),
                    ('author', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('reviewer', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('runbook', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='drafts', to='runbooks.runbook')),
                    ('base', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='runbooks.runbookversion')),
                    ('version', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='drafts', to='runbooks.runbookversion')),
                ],
                options={
                    'ordering': ['-changed_at'],
                    'indexes': [models.Index(condition=models.Q(('state__in', ['draft', 'in_review'])), fields=['-changed_at'], name='draft_open')],
                    'constraints': [models.CheckConstraint(condition=models.Q(('reviewer', None), models.Q(('reviewer', models.F('author')), _negated=True), _connector='OR'), name='draft_four_eyes'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'published'), _negated=True), models.Q(('reviewer__isnull', False), ('version__isnull', False)), _connector='OR'), name='draft_published_by')],
                },
            ),
            migrations.CreateModel(
                name='Execution',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('params', models.JSONField(default=dict)),
                    ('secret_params', models.BinaryField(blank=True, null=True)),
                    ('dry_run', models.BooleanField(default=False)),
                    ('trigger', models.CharField(choices=[('person', 'By hand'), ('ticket', 'From a ticket'), ('article', 'From an article'), ('api', 'Over the API'), ('command', 'By the command line'), ('schedule', 'By a schedule'), ('runbook', 'By another run'), ('rerun', 'Run again')], default='person', max_length=10)),
                    ('queue', models.CharField(default='runbooks', max_length=80)),
                    ('parent_step', models.CharField(blank=True, max_length=100)),
                    ('scheduled_for', models.DateTimeField(blank=True, null=True)),
                    ('plan_hash', models.CharField(blank=True, max_length=64)),
                    ('approvals_needed', models.PositiveSmallIntegerField(default=0)),
                    ('approval_tier', models.PositiveSmallIntegerField(default=1)),
                    ('approval_expires_at', models.DateTimeField(blank=True, null=True)),
                    ('break_glass_reason', models.TextField(blank=True)),
                    ('state', models.CharField(choices=[('planned', 'Planned'), ('awaiting_approval', 'Awaiting approval'), ('queued', 'Queued'), ('waiting_lock', 'Waiting for a lock'), ('running', 'Running'), ('paused', 'Paused'), ('cancelling', 'Cancelling'), ('lost', 'Lost its worker'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('cancel_failed', 'Could not be cancelled'), ('skipped', 'Skipped')], default='queued', max_length=20)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('queued_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('started_at', models.DateTimeField(blank=True, null=True)),
                    ('finished_at', models.DateTimeField(blank=True, null=True)),
                    ('attempt', models.PositiveIntegerField(default=0)),
                    ('fresh_from', models.PositiveIntegerField(default=1)),
                    ('worker', models.CharField(blank=True, max_length=200)),
                    ('lease_expires_at', models.DateTimeField(blank=True, null=True)),
                    ('pause_requested_at', models.DateTimeField(blank=True, null=True)),
                    ('wake_at', models.DateTimeField(blank=True, null=True)),
                    ('lock_deadline', models.DateTimeField(blank=True, null=True)),
                    ('waiting_for', models.CharField(blank=True, max_length=500)),
                    ('cancel_requested_at', models.DateTimeField(blank=True, null=True)),
                    ('last_seq', models.PositiveBigIntegerField(default=0)),
                    ('output_bytes', models.PositiveBigIntegerField(default=0)),
                    ('output_lines', models.PositiveBigIntegerField(default=0)),
                    ('output_cut', models.PositiveBigIntegerField(default=0)),
                    ('output_removed_at', models.DateTimeField(blank=True, null=True)),
                    ('summary', models.CharField(blank=True, max_length=500)),
                    ('batch', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='executions', to='runbooks.batch')),
                    ('cancel_requested_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='runbooks.execution')),
                    ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('retry_of', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='retries', to='runbooks.execution')),
                    ('ticket', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tickets.ticket')),
                    ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='executions', to='runbooks.runbookversion')),
                    ('schedule', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='executions', to='runbooks.schedule')),
                    ('target', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='executions', to='runbooks.target')),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(condition=models.Q(('state', 'queued')), fields=['queued_at'], name='run_queued'), models.Index(condition=models.Q(('state__in', ['running', 'cancelling'])), fields=['lease_expires_at'], name='run_lease'), models.Index(fields=['ticket', '-id'], name='run_of_ticket'), models.Index(condition=models.Q(('state', 'waiting_lock')), fields=['lock_deadline'], name='run_waits_lock'), models.Index(condition=models.Q(('state', 'paused')), fields=['wake_at'], name='run_wakes'), models.Index(condition=models.Q(('state', 'awaiting_approval')), fields=['approval_expires_at'], name='run_waits_approval'), models.Index(fields=['state', '-id'], name='run_by_state'), models.Index(fields=['-created_at'], name='run_by_day'), models.Index(fields=['version', '-id'], name='run_by_version'), models.Index(fields=['target', '-id'], name='run_by_target')],
                    'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['running', 'cancelling']), _negated=True), ('lease_expires_at__isnull', False), _connector='OR'), name='run_has_lease'), models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['succeeded', 'failed', 'cancelled', 'cancel_failed', 'skipped']), _negated=True), ('finished_at__isnull', False), _connector='OR'), name='run_final_has_end'), models.CheckConstraint(condition=models.Q(models.Q(('cancel_requested_at', None), ('cancel_requested_by', None)), models.Q(('cancel_requested_at__isnull', False), ('cancel_requested_by__isnull', False)), _connector='OR'), name='run_cancel_pair'), models.UniqueConstraint(condition=models.Q(('parent__isnull', False)), fields=('parent', 'parent_step'), name='run_called_once')],
                },
            ),
            migrations.CreateModel(
                name='RunLock',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('key', models.CharField(max_length=240)),
                    ('exclusive', models.BooleanField()),
                    ('waits_since', models.DateTimeField(default=django.utils.timezone.now)),
                    ('held_since', models.DateTimeField(blank=True, null=True)),
                    ('execution', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='run_locks', to='runbooks.execution')),
                ],
                options={
                    'indexes': [models.Index(fields=['key', 'waits_since'], name='run_lock_key')],
                    'constraints': [models.UniqueConstraint(fields=('key', 'execution'), name='run_lock_once'), models.UniqueConstraint(condition=models.Q(('exclusive', True), ('held_since__isnull', False)), fields=('key',), name='run_lock_exclusive')],
                },
            ),
            migrations.CreateModel(
                name='Schedule',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('name', models.SlugField(max_length=80, unique=True)),
                    ('params', models.JSONField(blank=True, default=dict)),
                    ('cron', models.CharField(max_length=120)),
                    ('zone', models.CharField(default='UTC', max_length=64)),
                    ('missed', models.CharField(choices=[('skip', 'Leave them out'), ('once', 'Run once'), ('all', 'Run each')], default='once', max_length=4)),
                    ('grace_seconds', models.PositiveIntegerField(default=3600)),
                    ('gap', models.CharField(choices=[('forward', 'At the end of the gap'), ('skip', 'Leave it out')], default='forward', max_length=8)),
                    ('fold', models.CharField(choices=[('first', 'The first time'), ('second', 'The second time'), ('both', 'Both times')], default='first', max_length=6)),
                    ('overlap', models.CharField(choices=[('skip', 'Leave the new one out'), ('queue', 'Queue the new one'), ('allow', 'Run both')], default='skip', max_length=6)),
                    ('jitter_seconds', models.PositiveIntegerField(default=0)),
                    ('paused_at', models.DateTimeField(blank=True, null=True)),
                    ('next_at', models.DateTimeField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('owner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('runbook', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='schedules', to='runbooks.runbook')),
                    ('targets', models.ManyToManyField(related_name='schedules', to='runbooks.target')),
                ],
                options={
                    'ordering': ['name'],
                    'indexes': [models.Index(condition=models.Q(('paused_at', None)), fields=['next_at'], name='schedule_due')],
                },
            ),
            migrations.CreateModel(
                name='SecretUse',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('attempt', models.PositiveIntegerField()),
                    ('at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('execution', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secret_uses', to='runbooks.execution')),
                    ('secret', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='uses', to='runbooks.secret')),
                ],
                options={
                    'ordering': ['-id'],
                    'constraints': [models.UniqueConstraint(fields=('secret', 'execution', 'attempt'), name='secret_use_once_an_attempt')],
                },
            ),
            migrations.CreateModel(
                name='StepRun',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('attempt', models.PositiveIntegerField()),
                    ('index', models.PositiveSmallIntegerField()),
                    ('step_id', models.CharField(max_length=60)),
                    ('phase', models.CharField(default='step', max_length=8)),
                    ('tries', models.PositiveSmallIntegerField(default=1)),
                    ('captured', models.JSONField(default=dict)),
                    ('state', models.CharField(choices=[('pending', 'Waiting'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('warned', 'Passed with warning'), ('failed', 'Failed'), ('skipped', 'Skipped'), ('cancelled', 'Cancelled'), ('lost', 'Interrupted'), ('waiting', 'Waiting for somebody')], default='running', max_length=10)),
                    ('started_at', models.DateTimeField(blank=True, null=True)),
                    ('finished_at', models.DateTimeField(blank=True, null=True)),
                    ('message', models.CharField(blank=True, max_length=500)),
                    ('result', models.JSONField(default=dict)),
                    ('execution', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='runbooks.execution')),
                ],
                options={
                    'ordering': ['attempt', 'index'],
                    'constraints': [models.UniqueConstraint(fields=('execution', 'attempt', 'phase', 'index'), name='step_once_an_attempt'), models.CheckConstraint(condition=models.Q(('finished_at', None), ('finished_at__gte', models.F('started_at')), _connector='OR'), name='step_end_after_start')],
                },
            ),
            migrations.CreateModel(
                name='ScheduleFire',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('moment', models.DateTimeField()),
                    ('outcome', models.CharField(choices=[('started', 'Started'), ('missed', 'Missed'), ('frozen', 'Left out: freeze or outside the window'), ('overlapped', 'Left out: the one before still ran'), ('refused', 'Refused')], max_length=10)),
                    ('note', models.CharField(blank=True, max_length=300)),
                    ('at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('execution', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='runbooks.execution')),
                    ('schedule', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='fires', to='runbooks.schedule')),
                    ('target', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='runbooks.target')),
                ],
                options={
                    'ordering': ['-moment'],
                    'constraints': [models.UniqueConstraint(fields=('schedule', 'moment', 'target'), name='schedule_fires_once')],
                },
            ),
            migrations.CreateModel(
                name='RunTicket',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('slug', models.SlugField(max_length=80)),
                    ('opened_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('resolved_at', models.DateTimeField(blank=True, null=True)),
                    ('ticket', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tickets.ticket')),
                    ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='runbooks.runbookversion')),
                    ('target', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='runbooks.target')),
                ],
                options={
                    'constraints': [models.UniqueConstraint(condition=models.Q(('resolved_at', None)), fields=('slug', 'target'), name='run_ticket_open_once')],
                },
            ),
            migrations.CreateModel(
                name='AdvanceApproval',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('params', models.JSONField(default=dict)),
                    ('plan_hash', models.CharField(max_length=64)),
                    ('starts_at', models.DateTimeField()),
                    ('ends_at', models.DateTimeField()),
                    ('comment', models.CharField(blank=True, max_length=500)),
                    ('revoked_at', models.DateTimeField(blank=True, null=True)),
                    ('at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('approver', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='runbooks.runbookversion')),
                    ('target', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='runbooks.target')),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(condition=models.Q(('revoked_at', None)), fields=['plan_hash'], name='advance_by_plan')],
                    'constraints': [models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='advance_ends_after_start')],
                },
            ),
            migrations.CreateModel(
                name='TargetCheck',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('connection', models.CharField(max_length=40)),
                    ('ok', models.BooleanField()),
                    ('message', models.CharField(max_length=500)),
                    ('milliseconds', models.PositiveIntegerField(default=0)),
                    ('at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('target', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='checks', to='runbooks.target')),
                ],
                options={
                    'constraints': [models.UniqueConstraint(fields=('target', 'connection'), name='target_check_once')],
                },
            ),
            migrations.CreateModel(
                name='OutputChunk',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('first_seq', models.PositiveBigIntegerField(default=0)),
                    ('seq', models.PositiveBigIntegerField()),
                    ('attempt', models.PositiveIntegerField()),
                    ('step_id', models.CharField(blank=True, max_length=60)),
                    ('stream', models.CharField(max_length=6)),
                    ('data', models.BinaryField(default=b'')),
                    ('offset', models.PositiveBigIntegerField(default=0)),
                    ('line', models.PositiveBigIntegerField(default=0)),
                    ('cut_bytes', models.PositiveBigIntegerField(default=0)),
                    ('at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('execution', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='chunks', to='runbooks.execution')),
                ],
                options={
                    'ordering': ['seq'],
                    'indexes': [models.Index(fields=['execution', 'line'], name='chunk_line')],
                    'constraints': [models.UniqueConstraint(fields=('execution', 'seq'), name='chunk_seq_once')],
                },
            ),
            migrations.CreateModel(
                name='RunApproval',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('plan_hash', models.CharField(max_length=64)),
                    ('approved', models.BooleanField()),
                    ('comment', models.CharField(blank=True, max_length=500)),
                    ('at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('ahead', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='used', to='runbooks.advanceapproval')),
                    ('approver', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('execution', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='approvals', to='runbooks.execution')),
                    ('requester', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['id'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('approver', models.F('requester')), _negated=True), name='run_approval_four_eyes'), models.UniqueConstraint(fields=('execution', 'approver'), name='run_approval_once')],
                },
            ),
        ]),
        migrations.RunSQL(
            "CREATE FUNCTION runbooks_runbookversion_frozen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'runbooks_runbookversion rows are never changed' USING ERRCODE = 'integrity_constraint_violation'; END $$;"
            "CREATE TRIGGER runbooks_runbookversion_frozen BEFORE UPDATE ON runbooks_runbookversion FOR EACH ROW "
            "WHEN (OLD.runbook_id IS DISTINCT FROM NEW.runbook_id OR OLD.sha256 IS DISTINCT FROM NEW.sha256 OR OLD.text IS DISTINCT FROM NEW.text OR OLD.spec IS DISTINCT FROM NEW.spec) EXECUTE FUNCTION runbooks_runbookversion_frozen();",
            "DROP TRIGGER runbooks_runbookversion_frozen ON runbooks_runbookversion; DROP FUNCTION runbooks_runbookversion_frozen();",
        ),
        migrations.RunSQL(
            """CREATE FUNCTION runbooks_execution_approved() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE said integer;
            BEGIN
                SELECT count(DISTINCT approver_id) INTO said FROM runbooks_runapproval
                WHERE execution_id = NEW.id AND approved AND plan_hash = NEW.plan_hash AND approver_id <> NEW.requested_by_id;
                IF said < NEW.approvals_needed THEN
                    RAISE EXCEPTION 'run % needs % approvals and has %', NEW.id, NEW.approvals_needed, said USING ERRCODE = 'integrity_constraint_violation';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER runbooks_execution_approved BEFORE INSERT OR UPDATE OF state ON runbooks_execution FOR EACH ROW
            WHEN (NEW.approvals_needed > 0 AND NEW.break_glass_reason = '' AND NEW.state IN ('queued', 'waiting_lock', 'running'))
            EXECUTE FUNCTION runbooks_execution_approved();
            CREATE FUNCTION runbooks_execution_plan_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'what run % was approved for is not changed', NEW.id USING ERRCODE = 'integrity_constraint_violation'; END $$;
            CREATE TRIGGER runbooks_execution_plan_kept BEFORE UPDATE ON runbooks_execution FOR EACH ROW
            WHEN (OLD.plan_hash IS DISTINCT FROM NEW.plan_hash OR OLD.version_id IS DISTINCT FROM NEW.version_id
                  OR OLD.target_id IS DISTINCT FROM NEW.target_id OR OLD.params IS DISTINCT FROM NEW.params
                  OR OLD.requested_by_id IS DISTINCT FROM NEW.requested_by_id OR NEW.approvals_needed < OLD.approvals_needed)
            EXECUTE FUNCTION runbooks_execution_plan_kept();""",
            """DROP TRIGGER runbooks_execution_plan_kept ON runbooks_execution; DROP FUNCTION runbooks_execution_plan_kept();
            DROP TRIGGER runbooks_execution_approved ON runbooks_execution; DROP FUNCTION runbooks_execution_approved();""",
        ),
    ]
