"""Writes about people: the guide's tiers and contacts, users and tokens."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, F, When
from django.utils import timezone

from staff.models import (
    AUTOMATION,
    ApiToken,
    Calendar,
    Contact,
    Membership,
    MembershipRole,
    Role,
    Team,
    Tier,
    TokenScope,
    User,
)
from staff.models.people import check_time_zone
from supportdesk.errors import Invalid
from supportdesk.text import clean, one_line

UNDO_CHOICES = (0, 5, 10, 20, 30, 60)


@transaction.atomic
def load_tiers(
    *, tiers: Sequence[dict[str, Any]], contacts: Sequence[dict[str, Any]], teams: Sequence[dict[str, Any]]
) -> None:
    """Add the guide's tiers, contacts and teams; rows already there stay as administrators have them."""
    by_role = {}
    for row in contacts:
        calendar = Calendar.objects.filter(slug=row["calendar"]).first() if row.get("calendar") else None
        by_role[row["role"]], _ = Contact.objects.get_or_create(
            role=row["role"], defaults={**row, "calendar": calendar}
        )
    for row in tiers:
        low, high = row["response_minutes"]
        Tier.objects.get_or_create(
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
        Team.objects.get_or_create(slug=row["slug"], defaults={"name": row["name"]})


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


@transaction.atomic
def automation() -> User:
    """The user in whose name rules and policies act: an administrator who cannot sign in and holds no token."""
    user, _ = User.objects.get_or_create(
        email=AUTOMATION,
        defaults={"name": "Automation", "role": Role.ADMINISTRATOR, "is_active": False, "password": "!"},
    )
    return user


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
