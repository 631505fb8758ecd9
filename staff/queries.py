"""What the pages of staff show."""

from collections.abc import Iterable
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db.models import Q, QuerySet

from staff import policies
from staff.models import AuditEntry, Mute, Notification, Role, SignIn, User

MOST_UNREAD = 100
IN_PANEL = 12


def notifications_for(user: User) -> QuerySet[Notification]:
    return Notification.objects.filter(user=user, shown=True)


def notices(user: User, *, kind: str = "", unread: bool = False) -> QuerySet[Notification]:
    """A reader's notifications, newest first, narrowed to a kind or to the unread."""
    rows = notifications_for(user)
    rows = rows.filter(kind=kind) if kind else rows
    return rows.filter(read_at=None) if unread else rows


def unread_count(user: User) -> int:
    """How many notifications wait, counted to a limit."""
    return notifications_for(user).filter(read_at=None)[:MOST_UNREAD].count()


def shown_count(count: int) -> str:
    """A count that stops at its limit, as pages show it; empty for none."""
    return f"{MOST_UNREAD - 1}+" if count >= MOST_UNREAD else str(count or "")


def newest_notices(user: User) -> dict[str, Any]:
    """What the bell's panel shows: the newest few, which of their things are muted, and how many wait."""
    rows = list(notifications_for(user)[:IN_PANEL])
    return {"rows": rows, "muted": muted_among(user, rows), "unread": shown_count(unread_count(user))}


def fresh_notices(user: User, after: int | None) -> tuple[str, list[Notification]]:
    """How many wait, and the unread after a key that open browsers are to pop up, oldest first."""
    rows = Notification.objects.filter(Q(read_at=None) | Q(shown=False), user=user, popup=True)
    rows = rows.filter(pk__gt=after) if after is not None else rows.none()
    return shown_count(unread_count(user)), list(rows[:5])[::-1]


def muted_among(user: User, rows: Iterable[Notification]) -> set[str]:
    """The things of these notifications that their reader muted."""
    places = {row.about for row in rows if row.about}
    return set(Mute.objects.filter(user=user, about__in=places).values_list("about", flat=True))


def mutes_of(user: User) -> QuerySet[Mute]:
    return Mute.objects.filter(user=user)


def notifications_cursor(user: User, key: str) -> int | None:
    """The newest notification of the reader, for the topic `notifications.<user>`."""
    if not user.is_authenticated or key != str(user.pk):
        return None
    return newest_of(user).values_list("pk", flat=True).first() or 0


def newest_of(user: User) -> QuerySet[Notification]:
    """All that somebody was told in any way, newest first: what open browsers compare with."""
    return Notification.objects.filter(user=user).order_by("-id")


def audit_entries(action: str = "") -> QuerySet[AuditEntry]:
    """Audit entries, newest first; `action` narrows to one kind or a family such as `calendar`."""
    entries = AuditEntry.objects.select_related("actor")
    return entries.filter(action__startswith=action) if action else entries


def people_of_tiers() -> list[User]:
    """Active members of any tier, by name."""
    members = User.objects.filter(is_active=True, memberships__tier__isnull=False)
    return list(members.distinct().order_by("name", "pk"))


# ------------------------------------------------------------------------------------------- accounts
def anybody_signs_in() -> bool:
    """Whether the desk has somebody who could sign in."""
    return User.objects.filter(is_active=True).exclude(role=Role.INTEGRATION).exists()


def security_of(user: User, session_key: str | None) -> dict[str, Any]:
    """What the security page shows: devices, sessions (the reader's own first), and the newest sign-ins."""
    devices = list(Authenticator.objects.filter(user=user).order_by("created_at"))
    sessions = UserSession.objects.purge_and_list(user)
    sessions.sort(key=lambda one: (one.session_key != session_key, -one.created_at.timestamp()))
    return {
        "app": next((one for one in devices if one.type == Authenticator.Type.TOTP), None),
        "keys": [one for one in devices if one.type == Authenticator.Type.WEBAUTHN],
        "codes": next((one for one in devices if one.type == Authenticator.Type.RECOVERY_CODES), None),
        "sessions": sessions,
        "this_session": session_key,
        "sign_ins": list(SignIn.objects.filter(user=user)[:20]),
        "demanded": policies.must_have_second_factor(user),
    }


def sign_in_before(user: User) -> tuple[SignIn | None, int]:
    """The last sign-in before the present one, and how many tries failed in their name since."""
    came = list(SignIn.objects.filter(user=user, succeeded=True)[:2])
    before = came[1] if len(came) > 1 else None
    failed = SignIn.objects.filter(user=user, succeeded=False, pk__gt=before.pk if before else 0)
    return before, failed[:100].count()
