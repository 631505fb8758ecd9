"""Who may do what at the desk as a whole. The apps' own policies build on these."""

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AnonymousUser

from staff.models import DeskSettings, Place, Role, User
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


def place_of_user(user: User) -> Place | None:
    """Whom a rule of accounts takes somebody for; None for integrations, which never sign in."""
    standing = user.standing
    if standing.role == Role.STAFF:
        return Place.LEAD if standing.is_lead else Place.AGENT
    return {Role.ADMINISTRATOR: Place.ADMINISTRATOR, Role.AUDITOR: Place.AUDITOR}.get(standing.role)


def must_have_second_factor(user: User) -> bool:
    """Whether the desk demands one of somebody in this place."""
    wanted = DeskSettings.current().second_factor_of
    return bool(wanted) and place_of_user(user) in wanted


def has_second_factor(user: User) -> bool:
    """Whether somebody has an app that makes codes, a passkey or a security key; recovery codes alone are none."""
    return Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES).exists()
