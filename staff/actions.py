"""Writes about people: the guide's tiers and contacts, users and tokens."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, F, When
from django.utils import timezone

from staff import calendars
from staff.calendar_file import CalendarFile, intervals
from staff.models import (
    AUTOMATION,
    ApiToken,
    AuditEntry,
    Calendar,
    CalendarHours,
    CalendarVersion,
    Contact,
    Holiday,
    HolidayKind,
    Membership,
    MembershipRole,
    Notification,
    Role,
    Team,
    Tier,
    TokenScope,
    User,
)
from staff.models.people import check_time_zone
from supportdesk import events
from supportdesk.errors import Invalid
from supportdesk.text import clean, one_line


@transaction.atomic
def load_tiers(
    *, tiers: Sequence[dict[str, Any]], contacts: Sequence[dict[str, Any]], teams: Sequence[dict[str, Any]]
) -> None:
    """Write the guide's tiers, contacts and teams; rows already there are brought up to date."""
    by_role = {}
    for row in contacts:
        calendar = Calendar.objects.filter(slug=row["calendar"]).first() if row.get("calendar") else None
        by_role[row["role"]], _ = Contact.objects.update_or_create(
            role=row["role"], defaults={**row, "calendar": calendar}
        )
    for row in tiers:
        low, high = row["response_minutes"]
        Tier.objects.update_or_create(
            level=row["level"],
            defaults={
                "name": row["name"],
                "scope": row["scope"],
                "channels": row["channels"],
                "handled_by": row["handled_by"],
                "response_min_minutes": low,
                "response_max_minutes": high,
                "contact": by_role[row["contact"]],
            },
        )
    for row in teams:
        Team.objects.update_or_create(slug=row["slug"], defaults={"name": row["name"]})


@transaction.atomic
def add_user(
    *,
    email: str,
    name: str,
    password: str | None,
    role: Role = Role.STAFF,
    tiers: Sequence[int] = (),
    leads: Sequence[int] = (),
    time_zone: str = "UTC",
    signature: str = "",
) -> User:
    """Add a person, or bring their name and memberships up to date; an existing password stays."""
    user = User.objects.filter(email=email.lower()).first()
    if user is None:
        user = User.objects.create_user(email, password, name=name, role=role, time_zone=time_zone, signature=signature)
    wanted = dict.fromkeys(tiers, MembershipRole.AGENT) | dict.fromkeys(leads, MembershipRole.LEAD)
    for tier in Tier.objects.filter(level__in=wanted):
        Membership.objects.update_or_create(user=user, tier=tier, defaults={"role": wanted[tier.level]})
    return user


@transaction.atomic
def create_token(*, email: str, scopes: Sequence[str] = (), name: str = "") -> tuple[ApiToken, str]:
    """Make an API token for a user and return it with its text, which is shown once and never stored.

    Without scopes a person's token may do all that the person may, an integration's may read,
    open tickets, reply and note.
    """
    user = User.objects.filter(email=email.lower(), is_active=True).first()
    if user is None:
        raise Invalid(f"There is no active user {email}; the users are: {', '.join(_emails()) or 'none yet'}.")
    if unknown := sorted(set(scopes) - set(TokenScope.values)):
        raise Invalid(f"Unknown scope {', '.join(unknown)}; choose from {', '.join(TokenScope.values)}.")
    if not scopes:
        scopes = [TokenScope.READ, TokenScope.TICKETS] if user.role == Role.INTEGRATION else list(TokenScope.values)
    token, text = ApiToken.objects.create(user=user, expiry=None, name=name, scopes=list(scopes))
    return token, text


def _emails() -> list[str]:
    return list(User.objects.filter(is_active=True).order_by("email").values_list("email", flat=True)[:10])


def audit(*, by: User | None, action: str, thing: object, before: Any = None, after: Any = None) -> AuditEntry:
    """Keep who did what, in the open transaction."""
    name = str(by) if by else "Supportdesk"
    return AuditEntry.objects.create(
        actor=by, actor_name=name[:200], action=action, thing=str(thing)[:200], before=before, after=after
    )


@transaction.atomic
def save_calendar(*, spec: CalendarFile, by: User | None) -> tuple[Calendar, bool]:
    """Make a calendar, or give one a new version. Returns it and whether anything changed.

    Clocks that run by it follow only when `tickets.actions.save_calendar` calls this.
    """
    calendar, _ = Calendar.objects.get_or_create(slug=spec.slug, defaults={"name": spec.name})
    calendar = Calendar.objects.select_for_update(of=("self",)).select_related("current").get(pk=calendar.pk)
    before = calendars.spec_of(calendar) if calendar.current else None
    if before is not None and _same(before, spec):
        return calendar, False
    version = CalendarVersion.objects.create(
        calendar=calendar,
        number=calendar.current.number + 1 if calendar.current else 1,
        zone=spec.zone,
        always_open=spec.hours is None,
        country=spec.holidays.country,
        subdivision=spec.holidays.subdivision,
        created_by=by,
    )
    CalendarHours.objects.bulk_create(
        CalendarHours(version=version, weekday=day, opens=opens, closes=closes)
        for day, rows in (intervals(spec) or {}).items()
        for opens, closes in rows
    )
    dates = [(day, HolidayKind.EXTRA) for day in spec.holidays.extra]
    dates += [(day, HolidayKind.EXCEPT) for day in spec.holidays.open_anyway]
    Holiday.objects.bulk_create(Holiday(version=version, date=day, kind=kind) for day, kind in dict(dates).items())
    calendar.name, calendar.current = spec.name, version
    calendar.save()
    shown = spec.model_dump(mode="json", by_alias=True)
    audit(
        by=by,
        action="calendar.saved",
        thing=f"calendar {calendar.slug}",
        before=before.model_dump(mode="json", by_alias=True) if before else None,
        after=shown,
    )
    return calendar, True


def _same(one: CalendarFile, other: CalendarFile) -> bool:
    """Whether two files mean the same hours, holidays and name."""
    return (one.name, one.zone, intervals(one), set(one.holidays.extra), set(one.holidays.open_anyway)) == (
        other.name, other.zone, intervals(other), set(other.holidays.extra), set(other.holidays.open_anyway),
    ) and (one.holidays.country, one.holidays.subdivision) == (other.holidays.country, other.holidays.subdivision)  # fmt: skip


@transaction.atomic
def automation() -> User:
    """The user in whose name rules and policies act: an administrator who cannot sign in and holds no token."""
    user, _ = User.objects.get_or_create(
        email=AUTOMATION,
        defaults={"name": "Automation", "role": Role.ADMINISTRATOR, "is_active": False, "password": "!"},
    )
    return user


def notify(notices: Iterable[Notification]) -> int:
    """Tell people, each thing once a person (`key`); open pages learn of it when the transaction commits."""
    made = Notification.objects.bulk_create(notices, ignore_conflicts=True, batch_size=1000)
    for user_id in {notice.user_id for notice in made}:
        events.publish(f"notifications.{user_id}", "changed")
    return len(made)


@transaction.atomic
def mark_read(*, by: User) -> int:
    """Mark all notifications of the reader as read."""
    return Notification.objects.filter(user=by, read_at=None).update(read_at=timezone.now())


@transaction.atomic
def set_mails_wanted(*, by: User, wanted: bool) -> None:
    """Say whether what requesters write on one's tickets comes by mail too, to be answered by mail."""
    User.objects.filter(pk=by.pk).update(mails_wanted=wanted)


def saw_home(*, by: User, absence: timedelta) -> None:
    """Note that somebody looks at their home; who was away for longer than `absence` had left."""
    now = timezone.now()
    left = Case(When(home_seen_at__lt=now - absence, then=F("home_seen_at")), default=F("home_left_at"))
    User.objects.filter(pk=by.pk).update(home_left_at=left, home_seen_at=now)
    by.refresh_from_db(fields=["home_left_at", "home_seen_at"])


@transaction.atomic
def save_own_settings(*, by: User, name: str, time_zone: str, signature: str, undo_seconds: int) -> User:
    """What somebody sets for themselves. Raises `Invalid` that names each field that is wrong."""
    wrong: dict[str, list[str]] = {}
    by.name, by.signature = one_line(name, most=120), clean(signature).strip()[:2000]
    by.time_zone, by.undo_seconds = time_zone, undo_seconds
    if not by.name:
        wrong["name"] = ["Write your name."]
    try:
        check_time_zone(time_zone)
    except ValidationError as error:
        wrong["time_zone"] = error.messages
    if undo_seconds not in UNDO_CHOICES:
        wrong["undo_seconds"] = ["Choose one of the list."]
    if wrong:
        raise Invalid(" ".join(words for said in wrong.values() for words in said), fields=wrong)
    by.save(update_fields=["name", "signature", "time_zone", "undo_seconds"])
    return by


UNDO_CHOICES = (0, 5, 10, 20, 30, 60)
