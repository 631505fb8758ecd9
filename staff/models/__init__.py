"""The tables of people, calendars and records, by noun."""

from staff.models.calendars import Calendar, CalendarHours, CalendarVersion, Holiday, HolidayKind
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
    "Holiday",
    "HolidayKind",
    "Mailing",
    "Membership",
    "MembershipRole",
    "Mute",
    "NoticeChoice",
    "Notification",
    "Role",
    "Standing",
    "Team",
    "Tier",
    "TokenScope",
    "User",
    "check_time_zone",
    "place_of",
    "thing_at",
]
