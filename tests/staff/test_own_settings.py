"""What people set for themselves."""

import pytest

from staff import actions
from staff.models import User
from supportdesk.errors import Invalid
from tests.factories import agent

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
OWN = {"name": "Amina", "time_zone": "Europe/Berlin", "signature": "Amina\nSupport", "undo_seconds": 30}


def test_they_are_saved_by_the_page(client, db):
    by = agent(1)
    client.force_login(by, backend=BACKEND)
    assert client.get("/me/").status_code == 200
    assert client.post("/me/", OWN).status_code == 302
    kept = User.objects.get(pk=by.pk)
    assert {name: getattr(kept, name) for name in OWN} == OWN


@pytest.mark.parametrize(
    "values", [{"name": " "}, {"time_zone": "Mars/Olympus"}, {"undo_seconds": 7}, {"undo_seconds": -1}]
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(client, db, values):
    by = agent(1)
    client.force_login(by, backend=BACKEND)
    assert client.post("/me/", OWN | values).status_code == 422
    assert User.objects.get(pk=by.pk).name == by.name
    with pytest.raises(Invalid):
        actions.save_own_settings(by=by, **OWN | values)
