"""Writes about people: the guide's tiers and contacts, users and tokens."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from staff.models import ApiToken, Contact, Membership, MembershipRole, Role, Team, Tier, TokenScope, User
from supportdesk.errors import Invalid


@transaction.atomic
def load_tiers(
    *, tiers: Sequence[dict[str, Any]], contacts: Sequence[dict[str, Any]], teams: Sequence[dict[str, Any]]
) -> None:
    """Write the guide's tiers, contacts and teams; rows already there are brought up to date."""
    by_role = {}
    for row in contacts:
        by_role[row["role"]], _ = Contact.objects.update_or_create(role=row["role"], defaults=row)
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
