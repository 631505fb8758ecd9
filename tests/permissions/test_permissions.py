"""*Who may do what*, as the architecture's table says it: every address and method for every role.

An address that is not in the tables of `pages` and `api` fails the first test, so that a new one cannot be forgotten.
"""

from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from knowledge.models import Article
from staff.actions import create_token
from staff.models import TokenScope, User
from tests.factories import UserFactory, ticket
from tests.permissions.api import API
from tests.permissions.pages import PAGES
from tests.permissions.roles import READERS, RESTRICTED, ROLES
from tickets import actions
from tickets.models import (
    OutboundEmail,
    Ticket,
)

# Open to everybody, or guarded (tickets:approve: by its signature) by something other than a role; each has a test of its own.
APART = {"", "healthz", "readyz", "metrics", "events/", "api/v1/schema/", "api/v1/docs/"}
LISTS = {"queue", "rows", "index", "launch", "runs", "search"}  # a person without a tier sees them empty


def patterns(resolver: URLResolver, prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            name = entry.app_name or entry.namespace
            found += [(f"{name}:{n}" if name and ":" not in n else n, p) for n, p in patterns(entry, path)]
        elif isinstance(entry, URLPattern):
            found.append((entry.name or "", path))
    return found


def test_every_address_is_in_a_table():
    known = {name.split(" ")[0] for name in (*PAGES, *API)}
    missing = [
        (name, path)
        for name, path in patterns(get_resolver())
        if name not in known
        and path not in APART
        and name not in {"tickets:approve", "tickets:rate", "mute_by_mail"}
        and not path.startswith("accounts/")
    ]
    assert missing == []


def signed_in(user: User | None, **options: Any) -> Client:
    client = Client(**options)
    if user is not None:
        client.cookies[settings.SESSION_COOKIE_NAME] = user.session
    return client


def filled(data: dict[str, Any] | None, things: dict[str, int]) -> dict[str, Any] | None:
    """Data whose texts name things of these tests, such as {other}."""
    return data and {name: value.format(**things) if isinstance(value, str) else value for name, value in data.items()}


def allowed(response: Any) -> bool:
    """Whether the answer is the thing itself: not a refusal, not "no such thing", not the sign-in page."""
    if response.status_code == 302:
        return "/accounts/login/" not in response["Location"]
    assert response.status_code < 500, response.content[:300]
    return response.status_code not in {401, 403, 404, 405}


def for_each_role(check: Any) -> None:
    """Try every role, each on the same things: what one did is taken back before the next."""
    wrong = {}
    for role in ROLES:
        with transaction.atomic():
            problem = check(role)
            transaction.set_rollback(True)
        if problem:
            wrong[role] = problem
    assert wrong == {}


def judged(response: Any, expected: bool) -> Any:
    return None if allowed(response) == expected else (response.status_code, response.content[:200])


@pytest.mark.parametrize("name", PAGES)
def test_reading_a_page(people, things, name):
    path, readers, _, _ = PAGES[name]

    def check(role: str) -> Any:
        response = signed_in(people[role]).get(path.format(**things))
        if not readers and role != "nobody":
            return None if response.status_code == 405 else response.status_code
        return judged(response, role in readers)

    for_each_role(check)


@pytest.mark.parametrize("name", PAGES)
def test_acting_on_a_page(people, things, name):
    path, _, data, actors = PAGES[name]

    def check(role: str) -> Any:
        response = signed_in(people[role]).post(path.format(**things), filled(data, things))
        if not actors and role != "nobody":
            return None if response.status_code == 405 else response.status_code
        return judged(response, role in actors)

    for_each_role(check)


ASKED = (
    "after", "days", "from", "group", "line", "macro", "mailbox", "message", "numbers", "other", "page", "period", "q", "row", "runbook", "saved", "since",
    "size", "sort", "state", "target", "ticket", "tier", "until", "user", "view", "zone", "assignee", "requester_email",
)  # fmt: skip


@pytest.mark.parametrize("odd", ["9" * 5000, "-1", "²", "\0", "\ud800", "[]", "' OR 1=1 --", "../../etc"])
def test_no_odd_question_breaks_a_page(people, things, odd):
    client = signed_in(people["administrator"])
    broken = []
    for name, (path, readers, _, _) in PAGES.items():
        if readers and not name.startswith("events"):
            with transaction.atomic():
                asked = urlencode(dict.fromkeys(ASKED, odd), errors="surrogatepass")
                response = client.get(f"{path.format(**things)}?{asked}")
                if response.status_code >= 500:
                    broken.append((name, response.status_code))
    assert broken == []


@pytest.mark.parametrize("name", [name for name, row in PAGES.items() if row[3]])
def test_a_form_without_its_csrf_token_is_refused(people, things, name):
    path, _, data, _ = PAGES[name]
    client = signed_in(people["administrator"], enforce_csrf_checks=True)
    assert client.post(path.format(**things), filled(data, things)).status_code == 403


def call(user: User | None, row: Any, things: dict[str, int], scopes: list[str] | None = None) -> Any:
    path, method, body, _, _ = row
    headers = {}
    if user is not None:
        _, text = create_token(email=user.email, scopes=scopes or list(TokenScope.values))
        headers = {"Authorization": f"Token {text}"}
    return getattr(Client(), method)(
        f"/api/v1/{path.format(**things)}", filled(body, things), content_type="application/json", headers=headers
    )


@pytest.mark.parametrize("name", API)
def test_the_api(people, things, name):
    for_each_role(lambda role: over_the_api(people, things, role, name))


def over_the_api(people: Any, things: dict[str, int], role: str, name: str) -> Any:
    response = call(people[role], API[name], things)
    may = API[name][3]
    if role == "tierless" and name.split(" ")[0] in {
        "ticket-list", "requester-list", "organization-list", "tier-list", "tier-detail", "article-list", "runbook-list", "runbook-detail",
        "execution-list", "target-list", "target-detail", "runbook-draft-list", "advance-approval-list", "schedule-list", "job-list", "custom-field-list", "custom-field-detail", "ticket-similar", "approval-list", "category-list", "category-detail", "team-list",
    } and API[name][1] == "get":  # fmt: skip
        rows = response.json().get("results", []) if isinstance(response.json(), dict) else []
        assert response.status_code == 200
        assert not rows or name.startswith(
            ("tier", "runbook", "target", "schedule", "advance", "custom-field", "category")
        )
        return None
    return judged(response, role in may)


@pytest.mark.parametrize("name", API)
def test_a_token_without_the_scope_may_not(people, things, name):
    scope = API[name][4]
    others = [other for other in TokenScope.values if other != scope]
    assert call(people["administrator"], API[name], things, others).status_code == 403


@pytest.mark.parametrize("name", API)
@pytest.mark.parametrize("method", ["put", "delete"])
def test_nothing_is_replaced_or_deleted_over_the_api(people, things, name, method):
    row = API[name]
    assert call(people["administrator"], (row[0], method, {}, row[3], row[4]), things).status_code in {403, 405}


@pytest.mark.parametrize("role", sorted(READERS))
def test_a_restricted_ticket_and_its_runs_look_like_none(people, things, role):
    whole = Ticket.objects.filter(number=things["ticket"])
    facts = {
        "restricted": True,
        "tier_id": whole.get().tier_id,
        "status": "new",
        "merged_into": None,
        "snoozed_until": None,
    }
    client = signed_in(people[role])
    for name, (path, readers, data, _) in PAGES.items():
        if not any(thing in path for thing in ("{ticket}", "{run}", "{lost}")):  # these are of no ticket
            continue
        if role in RESTRICTED and ("{pending}" in path or "{draft_file}" in path or name == "tickets:discard"):
            continue  # what somebody writes is theirs, whoever sees the ticket
        whole.update(**facts)
        response = (
            client.get(path.format(**things)) if readers else client.post(path.format(**things), filled(data, things))
        )
        if role in RESTRICTED:
            assert response.status_code != 404, name
        elif role == "integration" and name == "tickets:bulk":  # whatever it names
            assert response.status_code == 403
        else:
            assert response.status_code == 404, name
    whole.update(**facts)
    assert (str(things["ticket"]) in client.get("/tickets/").content.decode()) == (role in RESTRICTED)
    listed = call(people[role], API["ticket-list GET"], things).json()["results"]
    assert (things["ticket"] in {row["number"] for row in listed}) == (role in RESTRICTED)


def test_watchers_and_assignees_see_a_restricted_ticket(people, things):
    number = things["ticket"]
    actions.watch(number=number, by=people["tier1"])
    actions.assign(number=number, by=people["lead"], to=people["tier3"])
    Ticket.objects.filter(number=number).update(restricted=True)
    for role, status in (("tier1", 200), ("tier3", 200), ("tier2", 404)):
        assert signed_in(people[role]).get(f"/tickets/{number}/").status_code == status


def test_an_integration_cannot_sign_in_with_a_password(db):
    user = UserFactory(role="integration")
    user.set_password("correct horse battery")
    user.save()
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": "correct horse battery"})
    assert "_auth_user_id" not in client.session


def test_nobody_signs_up(db):
    assert Client().get("/accounts/signup/").status_code == 404


def test_refusals_name_the_rule(people, things):
    answer = call(people["tier1"], API["ticket-detail PATCH"], things).json()
    assert (
        answer["errors"][0]["detail"]
        == f"Ticket {things['ticket']} is with tier 2: only that tier or a higher one may change it."
    )


def test_the_rows_that_these_tests_need_exist(people, things):
    assert Article.objects.filter(slug="users-cannot-log-in").exists()
    assert OutboundEmail.objects.count() == 1
    assert ticket(1).tier.level == 1
