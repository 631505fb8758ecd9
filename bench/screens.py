"""Pictures of every page in light, dark and at phone width, of a desk that runs with demo data (`bin/run`)."""

import re
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "screens"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
# Every page of the desk, with the demo data of its first start; the browser tests look at them too.
PAGES = [
    "/home/", "/tickets/", "/tickets/?view=all", "/tickets/?q=qqqq", "/tickets/?q=is:nonsense", "/tickets/?group=priority",
    "/tickets/1001/", "/tickets/new/", "/tickets/intake/?requester_email=sofia@nova-beauty.example", "/tickets/bulk/?numbers=1001,1002",
    "/tickets/999999/", "/views/", "/views/new/?view=mine&q=printer", "/palette/?q=con", "/notifications/", "/notifications/settings/",
    "/me/", "/accounts/security/", "/accounts/password/change/", "/accounts/logout/",
    "/approvals/", "/team/", "/requesters/", "/requesters/1/", "/requesters/1/erase/", "/organizations/", "/organizations/new/",
    "/knowledge/", "/knowledge/?q=connection", "/knowledge/?q=qqqqzzzz", "/knowledge/database-connection-pool-exhausted/",
    "/runbooks/", "/runbooks/new/", "/runbooks/kill-idle-connections/", "/runbooks/kill-idle-connections/versions/",
    "/runs/", "/runs/approvals/", "/runs/fleet/", "/schedules/", "/schedules/new/?runbook=morning-health-check",
    "/schedules/calendar/", "/schedules/calendar/?view=month", "/targets/", "/targets/cod-dashboard/", "/targets/new/", "/thresholds/",
    "/reports/", "/reports/backlog/", "/reports/attainment/", "/reports/channels/tickets/?row=email", "/reports/kept/new/?report=load",
    "/macros/", "/macros/new/", "/settings/", "/settings/?q=mail", "/settings/people/", "/settings/people/invite/", "/settings/people/2/",
    "/settings/tiers/", "/settings/tiers/1/", "/settings/contacts/new/", "/settings/teams/new/", "/settings/accounts/",
    "/settings/promises/", "/settings/promises/policies/1/", "/settings/calendars/business-hours/", "/settings/tickets/",
    "/settings/fields/new/", "/settings/retention/new/", "/settings/rules/", "/settings/rules/1/", "/settings/recurring/",
    "/settings/recurring/new/", "/settings/mail/", "/settings/mail/templates/", "/settings/mail/rules/", "/mail/upload/", "/mail/outgoing/", "/mail/attention/",
    "/audit/",
]  # fmt: skip
BEFORE_SIGN_IN = ["/accounts/login/", "/accounts/password/reset/"]


def name_of(path: str) -> str:
    """A file's name for an address: `reports-backlog`."""
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-") or "start"


def take(url: str, folder: Path = FOLDER, only: str = "") -> int:
    """Take all of them as administrator, or the pages whose address holds `only`. Returns how many."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    pages = [path for path in PAGES if only in path]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for look, options in LOOKS.items():
            (folder / look).mkdir(parents=True, exist_ok=True)
            _look(browser, url, folder / look, options, pages)
        browser.close()
    return len(LOOKS) * (len(pages) + len(BEFORE_SIGN_IN))


def _look(browser: Browser, url: str, folder: Path, options: dict[str, Any], paths: list[str]) -> None:
    page = browser.new_context(base_url=url, **options).new_page()
    for path in BEFORE_SIGN_IN:
        page.goto(path)
        page.screenshot(path=folder / f"{name_of(path)}.jpg", type="jpeg", quality=60)
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill("admin@example.com")
    page.get_by_label("Password").fill("supportdesk-demo")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/home/")
    page.goto("/me/")  # the welcome of signing in is on the page before
    for path in paths:
        page.goto(path)
        page.wait_for_load_state("load")
        page.wait_for_timeout(700 if path in {"/reports/", "/home/"} else 250)
        page.screenshot(path=folder / f"{name_of(path)}.jpg", type="jpeg", quality=60)
    page.context.close()
