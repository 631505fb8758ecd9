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
from staff.models.records import AuditEntry, Notification

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
    "Membership",
    "MembershipRole",
    "Notification",
    "Role",
    "Standing",
    "Team",
    "Tier",
    "TokenScope",
    "User",
    "check_time_zone",
]
