"""Signing in: guessing locks nobody else out, second factors by place, sessions, and who came when."""

import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from allauth.usersessions.models import UserSession
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from staff import actions, policies
from staff.models import AuditEntry, DeskSettings, SignIn, User
from supportdesk import events, outbox
from supportdesk.embedded.servers import free_port
from supportdesk.errors import Invalid, NotFound, NotPermitted
from supportdesk.models import OutboxItem
from tests.conftest import require
from tests.factories import UserFactory, agent, lead

PASSWORD = "a long enough secret"


@pytest.fixture
def person(db):
    user = agent(1)
    user.set_password(PASSWORD)
    user.save()
    return user


def sign_in(client, user, password=PASSWORD, ip="10.0.0.1", **more):
    return client.post("/accounts/login/", {"login": user.email, "password": password}, REMOTE_ADDR=ip, **more)


def came_in(answer):
    return answer.status_code == 302 and answer["Location"] == "/home/"


def confirm(client, password=PASSWORD):
    """What guards the account is changed by who types the password again."""
    assert client.get("/accounts/security/totp/activate/")["Location"].startswith("/accounts/reauthenticate/")
    assert client.post("/accounts/reauthenticate/", {"password": "wrong wrong wrong"}).status_code == 200
    assert client.post("/accounts/reauthenticate/", {"password": password}).status_code == 302


def set_up_app(client):
    confirm(client)
    page = client.get("/accounts/security/totp/activate/")
    secret = page.context["form"].secret
    code = totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))
    assert client.post("/accounts/security/totp/activate/", {"code": code}).status_code == 302
    return secret


# ------------------------------------------------------------------------------------------- guessing
def test_who_guesses_is_stopped_and_locks_nobody_else_out(person):
    owner, guesser = Client(), Client()
    assert came_in(sign_in(owner, person, ip="10.0.0.9"))
    owner.post("/accounts/logout/")
    for _ in range(5):
        sign_in(guesser, person, "wrong wrong wrong")
    assert b"Too many tries failed" in sign_in(guesser, person).content
    # From another network, and from the guesser's own in a browser that is known: no lock.
    assert came_in(sign_in(Client(), person, ip="10.0.0.2"))
    assert came_in(sign_in(owner, person, ip="10.0.0.1"))


def test_many_networks_together_are_stopped_and_a_known_browser_is_not(person, settings):
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | {"login_failed_anywhere": "3/h/key"}
    owner = Client()
    assert came_in(sign_in(owner, person, ip="10.0.0.9"))
    for number in range(3):
        sign_in(Client(), person, "wrong wrong wrong", ip=f"10.1.0.{number}")
    assert not came_in(sign_in(Client(), person, ip="10.2.0.1"))
    assert came_in(sign_in(owner, person, ip="10.3.0.1"))


def test_a_reset_by_mail_is_the_way_past_a_lock(person):
    client = Client(REMOTE_ADDR="10.0.0.1")
    for _ in range(6):
        sign_in(client, person, "wrong wrong wrong")
    client.post("/accounts/password/reset/", {"email": person.email})
    path = "/" + re.search(r"https?://[^/]+/(\S+)", mail.outbox[-1].body)[1]
    page = client.get(path)
    new = "quite another secret"
    answer = client.post(page["Location"], {"password1": new, "password2": new})
    assert answer["Location"] == "/home/"
    assert came_in(sign_in(Client(), person, new))


def test_a_known_browser_is_known_for_its_own_user_alone(person):
    client, other = Client(), agent(1)
    sign_in(client, person)
    client.post("/accounts/logout/")
    for _ in range(5):
        sign_in(client, other, "wrong wrong wrong")
    assert b"Too many tries" in sign_in(client, other).content
    client.cookies["desk_known"] = "forged"
    assert came_in(sign_in(client, person, ip="10.0.0.3"))


def test_one_is_told_when_one_came_last_and_what_failed_since(person):
    client = Client()
    sign_in(client, person, HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
    client.post("/accounts/logout/")
    sign_in(client, person, "wrong wrong wrong", ip="10.6.6.6")
    page = client.post(
        "/accounts/login/", {"login": person.email, "password": PASSWORD}, REMOTE_ADDR="10.0.0.1", follow=True
    ).content.decode()
    assert "from 10.0.0.1, Firefox on Linux" in page
    assert "1 try failed in your name since" in page
    page = client.get("/accounts/security/").content.decode()
    assert "10.6.6.6" in page
    assert "This browser" in page
    assert list(SignIn.objects.order_by("id").values_list("succeeded", flat=True)) == [True, False, True]


def test_a_link_is_mailed_once_in_two_minutes_whoever_asks_how_often(person):
    for number in range(6):
        answer = Client().post("/accounts/password/reset/", {"email": person.email}, REMOTE_ADDR=f"10.9.0.{number}")
        assert answer["Location"].endswith("/done/")
    assert len(mail.outbox) == 1


def test_an_integration_gets_no_session_whatever_the_way(db):
    machine = UserFactory(role="integration")
    Client().post("/accounts/password/reset/", {"email": machine.email})
    assert mail.outbox == []
    machine.set_password(PASSWORD)
    machine.save()
    client = Client()
    sign_in(client, machine)
    assert client.get("/home/").status_code == 302
    # A link from before their role was changed.
    from allauth.account.forms import default_token_generator
    from allauth.account.utils import user_pk_to_url_str

    key = f"{user_pk_to_url_str(machine)}-{default_token_generator.make_token(machine)}"
    page = client.get(f"/accounts/password/reset/key/{key}/")
    client.post(page["Location"], {"password1": "quite another secret", "password2": "quite another secret"})
    assert client.get("/home/").status_code == 302


def test_codes_that_were_wrong_are_kept_too(person):
    client = Client()
    sign_in(client, person)
    set_up_app(client)
    other = Client()
    sign_in(other, person)
    other.post("/accounts/security/authenticate/", {"code": "000000"})
    assert SignIn.objects.first().how == "second factor"
    assert not SignIn.objects.first().succeeded


# -------------------------------------------------------------------------------------- second factor
def test_an_app_is_set_up_asked_for_and_its_secret_is_encrypted(person):
    client = Client()
    sign_in(client, person)
    secret = set_up_app(client)
    assert secret not in json.dumps(Authenticator.objects.get(type="totp").data)
    assert "Set up" in client.get("/accounts/security/").content.decode()
    other = Client()
    answer = sign_in(other, person)
    assert answer["Location"] == "/accounts/security/authenticate/"
    assert "/accounts/login/" in other.get("/home/")["Location"]
    wrong = other.post("/accounts/security/authenticate/", {"code": "000000"})
    assert wrong.status_code == 200
    code = totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30 + 1))
    assert other.post("/accounts/security/authenticate/", {"code": code})["Location"] == "/home/"
    assert SignIn.objects.first().how == "password and second factor"
    again = Client()
    sign_in(again, person)
    assert again.post("/accounts/security/authenticate/", {"code": code}).status_code == 200  # used once


def test_recovery_codes_sign_in_once_each(person):
    client = Client()
    sign_in(client, person)
    set_up_app(client)
    client.post("/accounts/security/recovery-codes/generate/")
    page = client.get("/accounts/security/recovery-codes/").content.decode()
    code = re.search(r"<pre[^>]*>(\d{8})", page)[1]
    for wanted in (302, 200):
        other = Client()
        sign_in(other, person)
        assert other.post("/accounts/security/authenticate/", {"code": code}).status_code == wanted


def test_who_must_have_a_second_factor_can_do_nothing_else_until_then(administrator, client):
    chief = lead(1)
    DeskSettings.objects.create(second_factor_of=["lead"])
    client.force_login(chief, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/tickets/")["Location"] == "/accounts/security/"
    assert b"A second factor is missing" in client.get("/accounts/security/").content
    assert client.get("/tickets/rows/", headers={"HX-Request": "true"}).status_code == 204
    assert client.get("/events/?topics=queue").status_code == 204
    assert client.post("/tickets/new/", headers={"HX-Request": "true"}).status_code == 403
    answer = client.get("/api/v1/tickets/")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "second_factor_missing")
    Authenticator.objects.create(user=chief, type="recovery_codes", data={})
    assert client.get("/tickets/").status_code == 302
    device = Authenticator.objects.create(user=chief, type="totp", data={})
    assert client.get("/tickets/").status_code == 200
    assert not _adapter().can_delete_authenticator(device)
    Authenticator.objects.create(user=chief, type="webauthn", data={})
    assert _adapter().can_delete_authenticator(device)


def _adapter():
    from allauth.mfa.adapter import get_adapter

    return get_adapter()


def test_agents_are_left_alone_where_only_leads_must(db, client):
    DeskSettings.objects.create(second_factor_of=["lead", "auditor"])
    client.force_login(agent(1))
    assert client.get("/tickets/").status_code == 200


def test_demanding_it_is_for_administrators_who_have_one(administrator, tier1):
    with pytest.raises(NotPermitted):
        actions.require_second_factor(by=tier1, of=["lead"])
    with pytest.raises(Invalid):
        actions.require_second_factor(by=administrator, of=["administrator"])
    actions.require_second_factor(by=administrator, of=["lead", "nonsense"])
    assert DeskSettings.objects.get().second_factor_of == ["lead"]
    assert AuditEntry.objects.first().action == "desk.settings"
    Authenticator.objects.create(user=administrator, type="totp", data={})
    actions.require_second_factor(by=administrator, of=["administrator"])
    assert policies.must_have_second_factor(administrator)


def test_an_administrator_helps_who_lost_their_phone(administrator, person):
    client = Client()
    sign_in(client, person)
    set_up_app(client)
    with pytest.raises(NotPermitted):
        actions.take_second_factor(of=administrator, by=person)
    with pytest.raises(Invalid):
        actions.take_second_factor(of=administrator, by=administrator)
    actions.take_second_factor(of=person, by=administrator)
    assert client.get("/home/").status_code == 302
    assert came_in(sign_in(Client(), person))


# ------------------------------------------------------------------------------------------- sessions
def test_sessions_are_listed_and_ended_one_or_all_others(person):
    here, there, elsewhere = Client(), Client(), Client()
    for number, client in enumerate((here, there, elsewhere)):
        sign_in(client, person, ip=f"10.0.1.{number}")
    page = here.get("/accounts/security/").content.decode()
    assert page.index("This browser") < page.index("10.0.1.1")
    one = UserSession.objects.get(ip="10.0.1.1")
    here.post("/accounts/security/sessions/end/", {"pk": one.pk})
    assert there.get("/home/").status_code == 302
    here.post("/accounts/security/sessions/end/")
    assert elsewhere.get("/home/").status_code == 302
    assert here.get("/home/").status_code == 200
    with pytest.raises(NotFound):
        actions.end_session(by=agent(1), pk=UserSession.objects.get().pk)


# ------------------------------------------------------------------------------------------ mail and ways in
def test_mail_about_an_account_speaks_for_the_desk_and_leads_to_its_own_address(person, settings):
    settings.BASE_URL, settings.ALLOWED_HOSTS = "https://desk.example.com", ["*"]
    Client().post("/accounts/password/reset/", {"email": person.email}, headers={"Host": "evil.example"})
    (sent,) = mail.outbox
    assert sent.subject == "Choose a new password for the support desk"
    assert "https://desk.example.com/accounts/password/reset/key/" in sent.body
    assert "evil.example" not in sent.body + sent.subject
    assert "Hello from" not in sent.body
    Client().post("/accounts/password/reset/", {"email": "stranger@elsewhere.example"})
    assert len(mail.outbox) == 1


def test_what_changed_on_an_account_is_told_in_the_persons_zone(person):
    person.time_zone = "Asia/Kolkata"
    person.save()
    client = Client()
    sign_in(client, person)
    passwords = {"oldpassword": PASSWORD, "password1": "another long secret", "password2": "another long secret"}
    client.post("/accounts/password/change/", passwords, headers={"User-Agent": "Mozilla/5.0 Firefox/140.0"})
    (sent,) = mail.outbox
    assert (sent.subject, "(IST)" in sent.body, "Firefox" in sent.body) == ("Your password was changed", True, True)
    client.post("/accounts/logout/")
    before = SignIn.objects.filter(user=person, succeeded=True).order_by("-at").first()
    again = client.post("/accounts/login/", {"login": person.email, "password": "another long secret"}, follow=True)
    assert timezone.localtime(before.at, ZoneInfo("Asia/Kolkata")).strftime("%H:%M") in again.content.decode()


def test_codes_that_were_wrong_too_often_have_words_of_their_own(person):
    client = Client()
    sign_in(client, person)
    set_up_app(client)
    other = Client()
    sign_in(other, person)
    for _ in range(6):
        page = other.post("/accounts/security/authenticate/", {"code": "000000"})
    assert "Too many codes were wrong. Wait five minutes" in page.content.decode()


def test_the_first_administrator_comes_by_a_link_of_the_machine(db, settings):
    User.objects.all().delete()
    assert "add_administrator" in Client().get("/accounts/login/").content.decode()
    out = StringIO()
    call_command("add_administrator", "Ada@Example.com", stdout=out)
    link = out.getvalue().strip().splitlines()[-1]
    assert link.startswith(settings.BASE_URL)
    client = Client()
    there = client.get(link.removeprefix(settings.BASE_URL))
    chosen = {"password1": "a long enough secret", "password2": "a long enough secret"}
    assert client.post(there["Location"], chosen).status_code == 302
    assert client.get("/settings/").status_code == 200
    assert mail.outbox == []  # nothing was reset: it is the first
    assert "add_administrator" not in Client().get("/accounts/login/").content.decode()
    with pytest.raises(CommandError, match="is staff and no active administrator"):
        call_command("add_administrator", agent(1).email)


def test_passkeys_say_where_they_work(db):
    page = Client().get("/accounts/login/", headers={"Host": "127.0.0.1:8000"}).content.decode()
    assert "http://localhost:8000/accounts/login/" in page
    assert (
        "need a name in the address"
        not in Client().get("/accounts/login/", headers={"Host": "localhost:8000"}).content.decode()
    )


def test_who_lost_their_devices_is_told_who_removed_them(administrator, person):
    Authenticator.objects.create(user=person, type="totp", data={})
    actions.take_second_factor(of=person, by=administrator)
    outbox.deliver(OutboxItem.objects.get(handler="staff.second_factor_taken").pk)
    (sent,) = mail.outbox
    assert (sent.to, administrator.name in sent.body) == ([person.email], True)


def test_a_session_that_is_named_wrongly_ends_none(person):
    one, other = Client(), Client()
    sign_in(one, person)
    sign_in(other, person)
    assert one.post("/accounts/security/sessions/end/", {"pk": "x"}).status_code == 404
    assert other.get("/home/").status_code == 200


@pytest.mark.parametrize("way", ["signed out", "ended elsewhere", "another password"])
def test_the_streams_of_a_session_end_with_it(person, monkeypatch, way, django_capture_on_commit_callbacks):
    one, other = Client(), Client()
    sign_in(one, person)
    sign_in(other, person)
    told = []
    monkeypatch.setattr(events, "publish_all", lambda *topics: told.extend(topic for topic, _ in topics))
    key = one.session.session_key
    if way == "signed out":
        one.post("/accounts/logout/")
    elif way == "ended elsewhere":
        other.post("/accounts/security/sessions/end/")
    else:
        passwords = {"oldpassword": PASSWORD, "password1": "another long secret", "password2": "another long secret"}
        other.post("/accounts/password/change/", passwords)
    assert events.CHANNEL + told[0] == events._door(key)


# ---------------------------------------------------------------------------------- single sign-on
@contextmanager
def provider(client_id, callback, more=None, **claims):
    """A real OpenID provider; its interactions take any name and password."""
    npm = shutil.which("npm")
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=True).stdout.strip() if npm else ""
    package = Path(root) / "oidc-provider"
    require(root and package.exists(), "oidc-provider (npm)")
    port = free_port()
    script = Path(__file__).parent / "provider.mjs"
    process = subprocess.Popen(
        ["node", script, package, str(port), client_id, callback, json.dumps(claims), json.dumps(more or {})],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def through_the_provider(desk, start):
    """Follow a sign-in with the provider's own pages, up to the address that it sends the browser back to."""
    answer = desk.post("/accounts/oidc/login/", start)
    assert answer.status_code == 302, answer.content[:500]
    return at_the_provider(answer["Location"])


def at_the_provider(address):
    """Sign in and consent on the provider's own pages; where it sends the browser back to, at the desk."""
    with httpx.Client(follow_redirects=True) as browser:
        page = browser.get(address)
        for _ in range(2):  # who one is, then consent
            action = re.search(r'action="([^"]+)"', page.text)[1]
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text)[1]
            browser.follow_redirects = False
            page = browser.post(action, data={"prompt": prompt, "login": "someone", "password": "x"})
            while page.is_redirect:
                to = page.headers["Location"]
                if to.startswith("http://testserver/"):
                    return to.removeprefix("http://testserver")
                page = browser.get(httpx.URL(page.url).join(to))
    raise AssertionError(page.text[:500])


@pytest.fixture
def single_sign_on(settings):
    @contextmanager
    def make(**claims):
        with provider("desk", "http://testserver/accounts/oidc/login/callback/", **claims) as url:
            settings.SOCIALACCOUNT_PROVIDERS = {
                "openid_connect": {
                    "OAUTH_PKCE_ENABLED": True,
                    "APPS": [
                        {
                            "provider_id": "oidc", "name": "Acme", "client_id": "desk", "secret": "not-a-secret",
                            "settings": {"server_url": url},
                        }
                    ],
                }
            }  # fmt: skip
            yield url

    return make


def test_a_person_signs_in_at_the_providers_and_is_known_the_next_time(person, single_sign_on):
    with single_sign_on(email=person.email.upper(), email_verified=True, name="Other Name"):
        desk = Client()
        assert b"Acme" in desk.get("/accounts/login/").content
        back = through_the_provider(desk, {"process": "login"})
        assert desk.get(back)["Location"] == "/home/"
        assert desk.get("/home/").status_code == 200
        assert SignIn.objects.first().how == "single sign-on"
        person.refresh_from_db()
        assert person.name != "Other Name"
        desk.post("/accounts/logout/")
        assert desk.get(through_the_provider(desk, {})).status_code == 302
        assert desk.get("/home/").status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},  # an address that anybody may have typed
        {"email_verified": "false"},  # as some providers write it
        {"email": "stranger@example.com", "email_verified": True},
    ],
)
def test_who_is_not_known_or_not_vouched_for_stays_outside(person, single_sign_on, claims):
    with single_sign_on(**{"email": person.email, **claims}):
        desk = Client()
        answer = desk.get(through_the_provider(desk, {}), follow=True)
        assert b"knows nobody with the address" in answer.content
        assert desk.get("/home/").status_code == 302


def test_integrations_and_people_who_left_do_not_come_in_by_the_provider(db, single_sign_on):
    machine, gone = UserFactory(role="integration"), agent(1, is_active=False)
    for user in (machine, gone):
        with single_sign_on(email=user.email, email_verified=True):
            desk = Client()
            desk.get(through_the_provider(desk, {}))
            assert desk.get("/home/").status_code == 302


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(person, single_sign_on):
    with single_sign_on(email=person.email, email_verified=True):
        back = through_the_provider(Client(), {})
        stranger = Client()
        answer = stranger.get(back)
        assert b"did not vouch" in answer.content
        assert stranger.get("/home/").status_code == 302
