"""Who is on a ticket, and who writes."""

import time

import pytest
import redis

from tests.factories import agent, ticket
from tickets import presence

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def names(made, reader):
    return [(one.user.name, one.writes) for one in presence.on(made.number, but=reader)]


@pytest.fixture
def heard(monkeypatch):
    said = []
    monkeypatch.setattr(presence.events, "publish", lambda topic, kind: said.append(topic))
    return said


def test_others_see_who_is_here_and_who_writes_and_only_news_are_told(db, heard):
    made, by, other = ticket(1), agent(1, name="Amina"), agent(1)
    presence.note(number=made.number, user=by, writes=False)
    presence.note(number=made.number, user=by, writes=False)
    assert names(made, other) == [("Amina", False)]
    assert names(made, by) == []
    presence.note(number=made.number, user=by, writes=True)
    assert names(made, other) == [("Amina", True)]
    presence.note(number=made.number, user=by, writes=False, leaves=True)
    assert names(made, other) == []
    assert heard == [f"ticket.{made.number}"] * 3


def test_who_says_nothing_is_gone(db, monkeypatch):
    made, by, other = ticket(1), agent(1), agent(1)
    presence.note(number=made.number, user=by, writes=True)
    later = time.time() + presence.SECONDS + 1
    monkeypatch.setattr(presence.time, "time", lambda: later)
    assert names(made, other) == []


def test_without_redis_nobody_is_shown_and_nothing_breaks(client, db, monkeypatch):
    made, by = ticket(1), agent(1)

    def away():
        raise redis.ConnectionError("away")

    monkeypatch.setattr(presence, "client", away)
    client.force_login(by, backend=BACKEND)
    assert client.post(f"/tickets/{made.number}/presence/", {"writes": "yes"}).status_code == 200
    assert client.get(f"/tickets/{made.number}/presence/").status_code == 200


def test_the_page_says_it(client, db):
    made, by, other = ticket(1), agent(1, name="Amina"), agent(1)
    client.force_login(by, backend=BACKEND)
    client.post(f"/tickets/{made.number}/presence/", {"writes": "yes"})
    client.force_login(other, backend=BACKEND)
    assert "Amina is writing" in client.get(f"/tickets/{made.number}/presence/").content.decode()
