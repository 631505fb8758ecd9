"""The API against its own schema: whatever the schema allows, and what it does not, is answered in words."""

from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, given, settings

from staff.actions import create_token
from supportdesk import guide
from tests.factories import UserFactory, ticket
from tests.runbooks.make import runbook, shell


@pytest.fixture
def served(transactional_db: None) -> Any:
    guide.load()
    runbook("reads-only", [shell("true")], risk="read")
    ticket(1)
    return schemathesis.openapi.from_wsgi("/api/v1/schema/?format=json", get_wsgi_application())


def test_no_request_is_a_server_error(served: Any) -> None:
    user = UserFactory(role="administrator")
    _, token = create_token(email=user.email)
    operations = [result.ok() for result in served.get_all_operations()]
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def ask(case: Any) -> None:
            answer = case.call(headers={"Authorization": f"Token {token}"})
            assert answer.status_code < 500, (case.method, case.path, answer.text[:500])

        ask()
    assert len(operations) > 20
