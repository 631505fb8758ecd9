"""The tables of people, calendars and records, by noun."""

from staff.models.calendars import Calendar, CalendarHours, CalendarVersion, Holiday, HolidayKind
from staff.models.desk import DeskSettings, Place, SignIn, forget_settings
from staff.models.people import (
    AUTOMATION,
    ApiToken,
    Contact,
    Membership,
    MembershipRole,
    Role,
    Standing,
    Team,
    Tier,
    TokenScope,
    User,
    check_time_zone,
)
from staff.models.records import AuditEntry, Mailing, Mute, NoticeChoice, Notification, place_of, thing_at

__all__ = [
    "AUTOMATION",
    "ApiToken",
    "AuditEntry",
    "Calendar",
    "CalendarHours",
    "CalendarVersion",
    "Contact",
    "DeskSettings",
    "Holiday",
    "HolidayKind",
    "Mailing",
    "Membership",
    "MembershipRole",
    "Mute",
    "NoticeChoice",
    "Notification",
    "Place",
    "Role",
    "SignIn",
    "Standing",
    "Team",
    "Tier",
    "TokenScope",
    "User",
    "check_time_zone",
    "forget_settings",
    "place_of",
    "thing_at",
]
