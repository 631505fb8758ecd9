"""A mailbox signs in at a provider: in the browser, at a certified OpenID provider, with a token that comes of it."""

import pytest

from staff.models import AuditEntry
from tests.staff.test_accounts import at_the_provider, provider
from tickets.mail import imap, oauth
from tickets.models import ImapAccount, ImapLogin, Mailbox

FORM = {
    "host": "imap.gmail.com", "port": "993", "security": "tls", "user": "support@example.com", "login": "google", "client_id": "desk",
    "client_secret": "not-a-secret", "folder": "INBOX", "active": "on",
}  # fmt: skip


@pytest.fixture
def at_google(settings, monkeypatch):
    settings.BASE_URL = "http://testserver"
    more = {"grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "client_secret_post"}
    with provider("desk", "http://testserver/settings/mail/signed-in/", more) as url:
        monkeypatch.setitem(oauth.AUTHORIZE_URLS, ImapLogin.GOOGLE, f"{url}/auth")
        monkeypatch.setitem(oauth.TOKEN_URLS, ImapLogin.GOOGLE, f"{url}/token")
        monkeypatch.setitem(oauth.SCOPES, ImapLogin.GOOGLE, "openid offline_access")
        yield url


@pytest.fixture
def box(db):
    return Mailbox.objects.get(name="support")


def test_somebody_signs_in_and_the_mailbox_is_fetched(db, at_google, browser_of, administrator, box):
    client = browser_of(administrator)
    page = f"/settings/mail/{box.pk}/imap/"
    assert client.post(page, FORM).status_code == 302  # without a password: there is none
    shown = client.get(page).content.decode()
    assert ("Nobody has signed in" in shown, "Sign in as support@example.com" in shown) == (True, True)
    assert "http://testserver/settings/mail/signed-in/" in shown
    assert not ImapAccount.objects.ready().exists()
    away = client.get(f"{page}sign-in/")["Location"]
    assert away.startswith(f"{at_google}/auth?")
    assert "code_challenge_method=S256" in away
    back = at_the_provider(away)
    assert "Signed in. The mailbox is fetched from now on." in client.get(back, follow=True).content.decode()
    account = ImapAccount.objects.ready().get()
    refresh_token = account.reveal()[0]
    assert len(refresh_token) > 20
    assert refresh_token not in client.get(page).content.decode()
    assert AuditEntry.objects.first().action == "mailbox.signed_in"
    assert len(oauth.access_token(account)) > 20
    assert client.get(back).status_code == 409  # once
    # Another user: what was given for the first is forgotten.
    client.post(page, FORM | {"user": "sales@example.com"})
    assert not ImapAccount.objects.ready().exists()


def test_who_did_not_begin_it_cannot_end_it(db, browser_of, administrator, tier3, box):
    client = browser_of(administrator)
    client.post(f"/settings/mail/{box.pk}/imap/", FORM)
    client.get(f"/settings/mail/{box.pk}/imap/sign-in/")
    assert client.get("/settings/mail/signed-in/?state=forged&code=x").status_code == 409
    assert client.get("/settings/mail/signed-in/?state=&code=x").status_code == 409
    assert browser_of(tier3).get(f"/settings/mail/{box.pk}/imap/sign-in/").status_code == 403
    assert browser_of(tier3).get("/settings/mail/signed-in/?state=x&code=x").status_code == 403


def test_what_a_provider_refuses_is_said(db, at_google, browser_of, administrator, box):
    client = browser_of(administrator)
    page = f"/settings/mail/{box.pk}/imap/"
    client.post(page, FORM)
    client.get(f"{page}sign-in/")
    state = client.session["imap_sign_in"]["state"]
    refused = client.get(f"/settings/mail/signed-in/?state={state}&error=access_denied", follow=True)
    assert "did not let the desk in: access_denied" in refused.content.decode()
    client.get(f"{page}sign-in/")
    state = client.session["imap_sign_in"]["state"]
    wrong = client.get(f"/settings/mail/signed-in/?state={state}&code=made-up", follow=True)
    assert "gives no token: invalid_grant" in wrong.content.decode()
    with pytest.raises(imap.TROUBLE, match="Nobody has signed in"):
        imap.try_out(ImapAccount.objects.select_related("mailbox").get())
    assert client.get(f"/settings/mail/{Mailbox.objects.get(name='tech').pk}/imap/sign-in/").status_code == 409
