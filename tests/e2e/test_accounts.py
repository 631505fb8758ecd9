"""Passkeys and codes in a real browser, with an authenticator that the browser itself plays."""

import re
import time

import pytest
from allauth.mfa.totp.internal import auth as totp
from playwright.sync_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e two")]
PASSWORD = "supportdesk-demo"


def code_of(secret: str) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))


def test_a_passkey_signs_in_without_a_password_and_a_code_after_one(desk, sign_in):
    by_name = desk.url.replace("127.0.0.1", "localhost")  # a passkey belongs to a name, never to a number
    desk.manage(
        "shell", "-c",
        "from staff.actions import add_user; add_user(email='keys@example.com', name='Kim Keys', password='supportdesk-demo', tiers=[1])",
    )  # fmt: skip
    page = sign_in("keys", base_url=by_name)
    client = page.context.new_cdp_session(page)
    client.send("WebAuthn.enable")
    client.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
                "isUserVerified": True, "automaticPresenceSimulation": True,
            }
        },
    )  # fmt: skip
    page.goto("/accounts/security/webauthn/add/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("Add a passkey")
    page.goto("/accounts/security/")
    expect(page.locator("main")).to_contain_text("Laptop")
    page.goto("/accounts/security/totp/activate/")
    secret = page.locator("code.secret").text_content()
    page.get_by_label("Code").fill(code_of(secret))
    page.get_by_role("button", name="Set it up").click()
    expect(page.locator("main")).to_contain_text("ecovery codes")
    told = [path.read_text() for path in (desk.data / "outbox").iterdir() if "keys@example.com" in path.read_text()]
    assert any("Authenticator App Activated" in text for text in told)
    page.goto("/accounts/logout/")
    page.get_by_role("button", name="Sign out").click()
    page.goto("/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/home/")
    expect(page.locator("#toasts")).to_contain_text(re.compile("You last signed in on .*Chrome on Linux"))
    page.goto("/accounts/security/")
    expect(page.locator("main")).to_contain_text("by passkey")
    page.goto("/accounts/logout/")
    page.get_by_role("button", name="Sign out").click()
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill("keys@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_label("Code")).to_be_focused()
    page.get_by_role("button", name="Use a passkey or security key").click()
    page.wait_for_url("**/home/")
