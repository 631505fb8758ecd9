"""The streams of open browsers end with their sessions: signed out, ended from elsewhere, or another password."""

from typing import Any

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.usersessions.models import UserSession
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete

from supportdesk import events


def connect() -> None:
    """Listen to whatever ends a session."""
    user_logged_out.connect(_signed_out)
    post_delete.connect(_ended, sender=UserSession)
    for signal in (password_changed, password_reset, password_set):
        signal.connect(_other_password)


def _signed_out(sender: Any, request: Any, **more: Any) -> None:
    if request is not None and request.session.session_key:
        events.end_streams(request.session.session_key)


def _ended(sender: Any, instance: UserSession, **more: Any) -> None:
    events.end_streams(instance.session_key)


def _other_password(sender: Any, request: Any, user: Any, **more: Any) -> None:
    """All other sessions are worth nothing any more."""
    for session in UserSession.objects.filter(user=user).exclude(session_key=request.session.session_key):
        events.end_streams(session.session_key)
