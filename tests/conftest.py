"""The guide is loaded once a test database; each test runs in a transaction of its own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from hypothesis import settings as hypothesis

from staff.models import forget_settings
from supportdesk import guide
from tests import factories

# How long a case takes is for bench/ to say: machines are shared.
hypothesis.register_profile("desk", deadline=None)
hypothesis.load_profile("desk")


def require(found: object, what: str) -> None:
    """Skip where something real is missing; fail instead where REQUIRE_REAL=1 promises it."""
    if found:
        return
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(f"{what} is missing and REQUIRE_REAL=1")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        guide.load()


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Any, tmp_path: Path) -> None:
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "files")},
        },
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def _no_doorbell(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No worker listens in unit tests: ringing is left out, publishing stays real."""
    if "e2e" not in request.keywords:
        for module in ("supportdesk.doorbell", "runbooks.engine.reaper", "runbooks.fleet"):
            monkeypatch.setattr(f"{module}.ring", lambda *args, **kwargs: True)
        monkeypatch.setattr("supportdesk.doorbell.ring_once", lambda *args, **kwargs: None)


@pytest.fixture(autouse=True)
def _settings_as_they_are() -> None:
    forget_settings()


@pytest.fixture
def tier1(db: None) -> Any:
    return factories.agent(1)


@pytest.fixture
def tier2(db: None) -> Any:
    return factories.agent(2)


@pytest.fixture
def tier3(db: None) -> Any:
    return factories.agent(3)


@pytest.fixture
def lead(db: None) -> Any:
    return factories.lead(1, 2)


@pytest.fixture
def administrator(db: None) -> Any:
    return factories.UserFactory(role="administrator")


@pytest.fixture
def auditor(db: None) -> Any:
    return factories.UserFactory(role="auditor")


@pytest.fixture
def integration(db: None) -> Any:
    return factories.UserFactory(role="integration")


@pytest.fixture
def browser_of() -> Iterator[Any]:
    """A function that gives a signed-in client of a user."""

    def make(user: Any) -> Client:
        client = Client()
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    yield make
    cache.clear()


@pytest.fixture(scope="session")
def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    require(path, "Chromium")
    return str(path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that mostly wait come first, so that the short ones fill the other process; browsers stay at the end."""
    items.sort(key=lambda item: "torture" not in item.nodeid)
