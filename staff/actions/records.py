"""What is kept of what people did."""

from typing import Any

from staff.models import AuditEntry, User


def audit(*, by: User | None, action: str, thing: object, before: Any = None, after: Any = None) -> AuditEntry:
    """Keep who did what, in the open transaction."""
    name = str(by) if by else "Supportdesk"
    return AuditEntry.objects.create(
        actor=by, actor_name=name[:200], action=action, thing=str(thing)[:200], before=before, after=after
    )
