"""Who may do what at the desk as a whole. The apps' own policies build on these."""

from django.contrib.auth.models import AnonymousUser

from staff.models import User
from supportdesk.errors import NotPermitted


def check_is_administrator(user: User) -> None:
    if not user.standing.is_administrator:
        raise NotPermitted("Only administrators may do this.")


def is_administrator(user: User | AnonymousUser) -> bool:
    return isinstance(user, User) and user.standing.is_administrator


def check_can_see_settings(user: User) -> None:
    if not can_see_settings(user):
        raise NotPermitted("Settings are for administrators; leads and auditors may read them.")


def can_see_settings(user: User) -> bool:
    """Settings, people, targets and mailboxes: administrators write, leads and auditors read."""
    standing = user.standing
    return standing.is_administrator or standing.is_lead or standing.reads_only
