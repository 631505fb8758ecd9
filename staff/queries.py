"""What the pages of staff show."""

from django.db.models import QuerySet

from staff.models import AuditEntry, Notification, User


def notifications_for(user: User) -> QuerySet[Notification]:
    return Notification.objects.filter(user=user)


def unread_count(user: User, *, most: int = 100) -> int:
    """How many notifications wait, counted to a limit."""
    return notifications_for(user).filter(read_at=None)[:most].count()


def notifications_cursor(user: User, key: str) -> int | None:
    """The newest notification of the reader, for the topic `notifications.<user>`."""
    if not user.is_authenticated or key != str(user.pk):
        return None
    return notifications_for(user).values_list("pk", flat=True).first() or 0


def audit_entries(action: str = "") -> QuerySet[AuditEntry]:
    """Audit entries, newest first; `action` narrows to one kind or a family such as `calendar`."""
    entries = AuditEntry.objects.select_related("actor")
    return entries.filter(action__startswith=action) if action else entries


def people_of_tiers() -> list[User]:
    """Active members of any tier, by name."""
    members = User.objects.filter(is_active=True, memberships__tier__isnull=False)
    return list(members.distinct().order_by("name", "pk"))
