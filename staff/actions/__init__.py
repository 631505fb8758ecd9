"""Every write about people, calendars, notifications and the audit."""

from staff.actions.accounts import (
    await_test_mail,
    close_checklist,
    end_session,
    end_sessions,
    note_sign_in,
    require_second_factor,
    take_second_factor,
)
from staff.actions.calendars import save_calendar
from staff.actions.directory import (
    add_administrator,
    invite_again,
    refuse,
    save_contact,
    save_person,
    save_team,
    save_tier,
)
from staff.actions.notices import (
    mail_notices,
    mark_about_read,
    mark_read,
    mute,
    notify,
    notify_test,
    open_notice,
    save_notice_settings,
    sweep_notices,
    unmute,
)
from staff.actions.people import (
    UNDO_CHOICES,
    add_user,
    automation,
    create_token,
    load_tiers,
    save_own_settings,
    saw_home,
)
from staff.actions.records import audit

__all__ = [
    "UNDO_CHOICES",
    "add_administrator",
    "add_user",
    "audit",
    "automation",
    "await_test_mail",
    "close_checklist",
    "create_token",
    "end_session",
    "end_sessions",
    "invite_again",
    "load_tiers",
    "mail_notices",
    "mark_about_read",
    "mark_read",
    "mute",
    "note_sign_in",
    "notify",
    "notify_test",
    "open_notice",
    "refuse",
    "require_second_factor",
    "save_calendar",
    "save_contact",
    "save_notice_settings",
    "save_own_settings",
    "save_person",
    "save_team",
    "save_tier",
    "saw_home",
    "sweep_notices",
    "take_second_factor",
    "unmute",
]
