"""Give the clocks of an older desk their log: they ran round the clock, from start to stop."""

import django.db.models.deletion
from django.db import migrations, models

CALENDAR = """
INSERT INTO staff_calendar (slug, name) SELECT 'round-the-clock', 'Round the clock'
WHERE EXISTS (SELECT 1 FROM tickets_slatimer) ON CONFLICT (slug) DO NOTHING;
INSERT INTO staff_calendarversion (calendar_id, number, zone, always_open, country, subdivision, created_at)
SELECT id, 1, 'UTC', true, '', '', now() FROM staff_calendar WHERE slug = 'round-the-clock' AND current_id IS NULL;
UPDATE staff_calendar c SET current_id = v.id FROM staff_calendarversion v
WHERE c.slug = 'round-the-clock' AND v.calendar_id = c.id AND v.number = 1 AND c.current_id IS NULL;
"""
TIMERS = """
UPDATE tickets_slatimer t SET
    calendar_version_id = (SELECT current_id FROM staff_calendar WHERE slug = 'round-the-clock'),
    running_since = CASE WHEN stopped_at IS NULL THEN started_at END,
    used_us = CASE WHEN stopped_at IS NULL THEN 0 ELSE (extract(epoch FROM stopped_at - started_at) * 1000000)::bigint END,
    next_action_at = CASE WHEN stopped_at IS NULL THEN due_at END
WHERE calendar_version_id IS NULL;
"""
LOG = """
INSERT INTO tickets_clockevent (timer_id, kind, at, target_seconds, calendar_version_id, reason)
SELECT id, 'started', started_at, target_seconds, calendar_version_id, '' FROM tickets_slatimer;
INSERT INTO tickets_clockevent (timer_id, kind, at, reason)
SELECT id, 'stopped', stopped_at, '' FROM tickets_slatimer WHERE stopped_at IS NOT NULL;
"""


class Migration(migrations.Migration):
    dependencies = [("tickets", "0002_clocks_and_policies"), ("staff", "0003_contact_calendar")]

    operations = [
        migrations.RunSQL(CALENDAR, migrations.RunSQL.noop),
        migrations.RunSQL(TIMERS, migrations.RunSQL.noop),
        migrations.RunSQL(LOG, migrations.RunSQL.noop),
        # Pending foreign key checks would stand in the way of changing the column.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="slatimer",
            name="calendar_version",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="staff.calendarversion"),
        ),
    ]
