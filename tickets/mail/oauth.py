"""OAuth 2 for mailboxes at Microsoft 365 and Google: the sign-in in a browser, and the tokens that come of it (RFC 6749, 7636)."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from supportdesk import crypto
from supportdesk.errors import Invalid
from tickets.models import ImapAccount, ImapLogin

TIMEOUT = 30.0  # seconds that a provider may take to answer

AUTHORIZE_URLS = {
    ImapLogin.MICROSOFT: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
    ImapLogin.GOOGLE: "https://accounts.google.com/o/oauth2/v2/auth",
}
TOKEN_URLS = {
    ImapLogin.MICROSOFT: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
    ImapLogin.GOOGLE: "https://oauth2.googleapis.com/token",
}
SCOPES = {
    ImapLogin.MICROSOFT: "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
    ImapLogin.GOOGLE: "https://mail.google.com/",
}


@dataclass(frozen=True)
class SignIn:
    """A sign-in that has begun: where the browser goes, and what is kept here until it comes back."""

    url: str
    state: str
    verifier: str


def begin(account: ImapAccount, redirect_uri: str) -> SignIn:
    """Where an administrator signs in as the mailbox's user and lets the desk read its mail."""
    login = ImapLogin(account.login)
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code", "client_id": account.client_id, "redirect_uri": redirect_uri, "scope": SCOPES[login], "state": state,
        "code_challenge": challenge, "code_challenge_method": "S256", "login_hint": account.user,
        # Google gives a refresh token only when it is asked for so, and only with consent.
        "access_type": "offline", "prompt": "consent",
    }  # fmt: skip
    return SignIn(f"{_of_tenant(AUTHORIZE_URLS, account)}?{urlencode(asked)}", state, verifier)


def finish(account: ImapAccount, *, code: str, verifier: str, redirect_uri: str) -> str:
    """The refresh token for the code that the browser brought back. Raises `Invalid` with the provider's words."""
    said = _ask(account, grant_type="authorization_code", code=code, code_verifier=verifier, redirect_uri=redirect_uri)
    if not isinstance(said.get("refresh_token"), str):
        raise Invalid(
            "The provider gives no refresh token: the app that is registered there may not ask for offline access."
        )
    return said["refresh_token"]


def access_token(account: ImapAccount) -> str:
    """A fresh access token; a new refresh token that comes along replaces the kept one. Raises `Invalid`, httpx.HTTPError."""
    refresh_token, _ = account.reveal()
    said = _ask(
        account, grant_type="refresh_token", refresh_token=refresh_token, scope=SCOPES[ImapLogin(account.login)]
    )
    if (fresh := said.get("refresh_token", refresh_token)) != refresh_token:
        ImapAccount.objects.filter(pk=account.pk).update(secret=crypto.encrypt(fresh))
    return str(said["access_token"])


def _of_tenant(urls: dict[ImapLogin, str], account: ImapAccount) -> str:
    return urls[ImapLogin(account.login)].format(tenant=account.tenant or "common")


def _ask(account: ImapAccount, **asked: str) -> dict[str, str]:
    """An answer of the token endpoint that holds an access token."""
    _, client_secret = account.reveal()
    asked["client_id"] = account.client_id
    if client_secret:
        asked["client_secret"] = client_secret
    answer = httpx.post(_of_tenant(TOKEN_URLS, account), data=asked, timeout=TIMEOUT, follow_redirects=False)
    said = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    said = said if isinstance(said, dict) else {}
    if answer.status_code != 200 or "access_token" not in said:
        words = (
            f"The provider gives no token: {said.get('error', answer.status_code)} {said.get('error_description', '')}"
        )
        raise Invalid(words[:300])
    return said
