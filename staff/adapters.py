"""How allauth behaves here.

Guessing passwords is slowed without letting a guesser lock anybody out (OWASP's device cookies): a browser that
signed in before as somebody has its own count of failures, which nobody else can use up. Tries from elsewhere count
against their network and, in all, against the account; who is held up by that resets the password by mail, which
signs in at once.
"""

import hashlib
import secrets
from typing import Any
from zoneinfo import ZoneInfo

from allauth.account.adapter import DefaultAccountAdapter, get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit  # as the adapter that this one extends does: only it can give a try back
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib import messages
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import date
from django.urls import reverse
from django.utils import timezone

from staff import actions, policies, queries
from staff.models import Role, User
from supportdesk import crypto
from supportdesk.text import browser_of

KNOWN = "desk_known"
KNOWN_LASTS = 365 * 24 * 3600
_TOO_MANY_CODES = (
    "Too many codes were wrong. Wait five minutes; then a code of your app, or a recovery code, works again."
)
_HOW = {"password": "password", "mfa": "second factor", "socialaccount": "single sign-on"}


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up; an integration has tokens and no browser session."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "too_many_login_attempts": "Too many tries failed. Wait some minutes, or reset your password by mail: that signs you in at once."
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    # ------------------------------------------------------------------------------------ guessing
    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count this try before it is made; the library gives it back when it succeeds."""
        login = str(credentials.get("email", "")).lower()
        if browser := known_browser(request, login):
            counts = [("login_failed_known", browser)]
        else:
            counts = [("login_failed", f"{login}|{ratelimit.get_ip(request)}"), ("login_failed_anywhere", login)]
        self._used = [
            ratelimit.consume(request, app="allauth.account", action=action, key=key) for action, key in counts
        ]
        if not all(self._used):
            self._rollback_login_failed_rl_usage()
            raise self.validation_error("too_many_login_attempts")

    def _rollback_login_failed_rl_usage(self) -> None:
        for usage in filter(None, getattr(self, "_used", [])):
            usage.rollback()

    def send_password_reset_mail(self, user: Any, email: str, context: dict[str, Any]) -> None:
        """One link a person in two minutes, whoever asks how often; the answer is the same. Integrations have no password."""
        free = ratelimit.consume(self.request, app="allauth.account", action="reset_mail", key=str(user.pk))
        if free and user.role != Role.INTEGRATION:
            super().send_password_reset_mail(user, email, context)

    def pre_login(self, request: HttpRequest, user: Any, **more: Any) -> HttpResponse | None:
        """Whatever the way, an integration gets no session."""
        if user.role == Role.INTEGRATION:
            messages.error(request, "Integrations have tokens, and no pages.")
            return redirect("account_login")
        return super().pre_login(request, user, **more)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        user = super().authenticate(request, **credentials)
        return None if user is not None and user.role == Role.INTEGRATION else user

    def reauthenticate(self, user: Any, password: str) -> bool:
        """Whether the password is theirs: the address of the account is the login, there are no others."""
        found = self.authenticate(context.request, email=user.email, password=password)
        return found is not None and found.pk == user.pk

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        user = User.objects.filter(email=str(credentials.get("email", "")).lower(), is_active=True).first()
        if user is not None:
            actions.note_sign_in(user=user, succeeded=False, how="password", **_where(self, request))

    # ----------------------------------------------------------------------------------- signed in
    def post_login(self, request: HttpRequest, user: Any, **more: Any) -> HttpResponse:
        """Keep that they came, tell them when they came last, and know the browser again."""
        records = get_authentication_records(request, user)
        ways = [_HOW.get(record["method"], record["method"]) for record in records]
        if any(record.get("passwordless") for record in records):
            ways = ["passkey"]
        for action, key in (
            ("login_failed", f"{user.email}|{ratelimit.get_ip(request)}"),
            ("login_failed_anywhere", user.email),
        ):
            ratelimit.clear(request, app="allauth.account", action=action, key=key)
        actions.note_sign_in(user=user, succeeded=True, how=" and ".join(dict.fromkeys(ways)), **_where(self, request))
        response = super().post_login(request, user, **more)
        _tell(request, user)
        value = signing.dumps([user.email, secrets.token_urlsafe(16)], salt=KNOWN)
        response.set_cookie(
            KNOWN, value, max_age=KNOWN_LASTS, httponly=True, secure=settings.SESSION_COOKIE_SECURE, samesite="Lax"
        )
        return response

    # ---------------------------------------------------------------------------------------- mail
    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        own = {"desk_url": settings.BASE_URL, "days": settings.PASSWORD_RESET_TIMEOUT // 86_400}
        super().send_mail(template_prefix, email, context | own)

    def get_reset_password_from_key_url(self, key: str) -> str:
        """At the desk's own address, whatever host the request named."""
        uid, _, token = key.partition("-")
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": token})
        return f"{settings.BASE_URL}{path}"

    def send_notification_mail(
        self, template_prefix: str, user: Any, context: Any = None, email: str | None = None
    ) -> None:
        """Tell somebody what changed on their account; who chose a first password by their invitation knows."""
        if template_prefix == "account/email/password_reset" and user.last_login is None:
            return
        with timezone.override(ZoneInfo(user.time_zone)):
            super().send_notification_mail(template_prefix, user, context, email or user.email)

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        if message_template != "account/messages/logged_in.txt":  # `_tell` says it with more in it
            super().add_message(request, level, message_template, *args, **kwargs)


def known_browser(request: HttpRequest, login: str) -> str:
    """A name for a browser that signed in before with this address; empty for any other."""
    try:
        email, nonce = signing.loads(request.COOKIES.get(KNOWN, ""), salt=KNOWN, max_age=KNOWN_LASTS)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return hashlib.sha256(f"{email}|{nonce}".encode()).hexdigest() if email == login else ""


def _where(adapter: DefaultAccountAdapter, request: HttpRequest) -> dict[str, Any]:
    return {"ip": adapter.get_client_ip(request), "agent": adapter.get_http_user_agent(request)}


def _tell(request: HttpRequest, user: User) -> None:
    before, failed = queries.sign_in_before(user)
    words = f"Welcome, {user.name}."
    if before is not None:
        at = timezone.localtime(before.at, ZoneInfo(user.time_zone))
        words += f" You last signed in on {date(at, 'j M H:i')} from {before.ip}, {browser_of(before.agent)}."
    if failed:
        words += f" {failed} {'try' if failed == 1 else 'tries'} failed in your name since."
        messages.warning(request, words)
    else:
        messages.success(request, words)


class SecondFactorForm(AuthenticateForm):
    """Keeps codes that were wrong beside passwords that were: somebody may know the password."""

    def clean_code(self) -> str:
        try:
            return str(super().clean_code())
        except ValidationError as refused:
            if refused.code == "too_many_login_attempts":
                raise ValidationError(_TOO_MANY_CODES, code=refused.code) from None
            where = _where(get_adapter(), context.request)
            actions.note_sign_in(user=self.user, succeeded=False, how="second factor", **where)
            raise


class SecondFactorAdapter(DefaultMFAAdapter):
    """Secrets are kept encrypted, and the last device stays where the desk demands one."""

    def encrypt(self, text: str) -> str:
        return crypto.encrypt(text).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return crypto.decrypt(encrypted_text.encode())

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        if authenticator.type == Authenticator.Type.RECOVERY_CODES or not policies.must_have_second_factor(
            authenticator.user
        ):
            return True
        others = Authenticator.objects.filter(user=authenticator.user).exclude(pk=authenticator.pk)
        return others.exclude(type=Authenticator.Type.RECOVERY_CODES).exists()


class ProviderAdapter(DefaultSocialAccountAdapter):
    """The company's OpenID provider vouches for an address; who has it here is signed in, nobody is made."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        if sociallogin.is_existing:
            user = sociallogin.user
        else:
            verified = {one.email.lower() for one in sociallogin.email_addresses if str(one.verified).lower() == "true"}
            user = User.objects.filter(email__in=verified, is_active=True).exclude(role=Role.INTEGRATION).first()
            if user is None:
                self._refuse(
                    request,
                    "The desk knows nobody with the address that your provider vouches for. Ask an administrator to invite you.",
                )
            sociallogin.connect(request, user)
        if not user.is_active or user.role == Role.INTEGRATION:
            self._refuse(request, "This account is not in use. Ask an administrator.")

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("mfa_index")

    def _refuse(self, request: HttpRequest, words: str) -> None:
        messages.error(request, words)
        raise ImmediateHttpResponse(redirect("account_login"))
