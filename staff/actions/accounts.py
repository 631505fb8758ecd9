"""Signing in and what guards it: who came, who must have a second factor, and ending sessions."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from staff import policies
from staff.actions.records import audit
from staff.models import AuditEntry, DeskSettings, Place, SignIn, User, forget_settings
from supportdesk import outbox
from supportdesk.errors import Invalid, NotFound

KEEP_SIGN_INS = timedelta(days=400)


@transaction.atomic
def note_sign_in(*, user: User, succeeded: bool, how: str, ip: str | None, agent: str) -> SignIn:
    """Keep that somebody signed in, or that it failed in their name."""
    SignIn.objects.filter(user=user, at__lt=timezone.now() - KEEP_SIGN_INS).delete()
    return SignIn.objects.create(user=user, succeeded=succeeded, how=how[:40], ip=ip, agent=agent[:300])


@transaction.atomic
def end_session(*, by: User, pk: int) -> None:
    """End one session of one's own."""
    session = UserSession.objects.filter(user=by, pk=pk).first()
    if session is None:
        raise NotFound("This session has ended already.")
    session.end()


@transaction.atomic
def end_sessions(*, of: User, by: User, but: str | None = None) -> int:
    """End every session of somebody, but for the one with the key `but`; of others only administrators may.

    Returns how many ended.
    """
    if of != by:
        policies.check_is_administrator(by)
    sessions = UserSession.objects.filter(user=of).exclude(session_key=but or "")
    for session in sessions:
        session.end()
    if of != by:
        audit(by=by, action="sessions.ended", thing=of, after={"sessions": len(sessions)})
    return len(sessions)


@transaction.atomic
def take_second_factor(*, of: User, by: User) -> None:
    """Remove the second factors and passkeys of somebody who lost them, and end their sessions."""
    policies.check_is_administrator(by)
    if of == by:
        raise Invalid("Remove your own on your security page; another administrator helps where you cannot.")
    gone, _ = Authenticator.objects.filter(user=of).delete()
    end_sessions(of=of, by=by)
    audit(by=by, action="second_factor.removed", thing=of, before={"devices": gone})
    outbox.put("staff.second_factor_taken", of.pk, key=f"second_factor_taken:{of.pk}:{timezone.now().timestamp()}")


@outbox.handler("staff.second_factor_taken")
def tell_second_factor_taken(user_id: int) -> None:
    """Mail somebody that their second factors were removed, and by whom."""
    person = User.objects.get(pk=user_id)
    thing = {"action": "second_factor.removed", "thing": str(person)}
    entry = AuditEntry.objects.filter(**thing).order_by("-id").first()
    words = {"person": person, "by": entry.actor_name if entry else "An administrator", "url": settings.BASE_URL}
    body = render_to_string("staff/mail/second_factor_taken.txt", words)
    headers = {"Auto-Submitted": "auto-generated"}
    EmailMessage(subject="Your second factors were removed", body=body, to=[person.email], headers=headers).send()


@transaction.atomic
def require_second_factor(*, by: User, of: Iterable[str]) -> DeskSettings:
    """Say who must have a second factor. One who demands it of administrators has one already, or would be stopped."""
    policies.check_is_administrator(by)
    wanted = [place for place in Place.values if place in set(of)]
    if Place.ADMINISTRATOR in wanted and not policies.has_second_factor(by):
        words = "Set up your own first: you would be stopped at once."
        raise Invalid(words, fields={"second_factor_of": [words]})
    return _save(by, "second_factor_of", wanted)


@transaction.atomic
def await_test_mail(*, by: User, rfc_id: str) -> DeskSettings:
    """Remember the test mail that is on its way to becoming a ticket."""
    policies.check_is_administrator(by)
    return _save(by, "test_mail_id", rfc_id)


@transaction.atomic
def close_checklist(*, by: User, closed: bool = True) -> DeskSettings:
    """Put the checklist of the first hour away, or show it again."""
    policies.check_is_administrator(by)
    return _save(by, "checklist_closed_at", timezone.now() if closed else None)


def _save(by: User, name: str, value: Any) -> DeskSettings:
    DeskSettings.objects.get_or_create(pk=1)
    row = DeskSettings.objects.select_for_update().get(pk=1)
    before = getattr(row, name)
    setattr(row, name, value)
    row.save(update_fields=[name])
    transaction.on_commit(forget_settings)
    audit(by=by, action="desk.settings", thing=name.replace("_", " "), before=str(before), after=str(value))
    return row
