"""What a page costs: server time and statements of the whole WSGI stack, one client, no network."""

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bench.corpus import VOCABULARY
from staff.actions import add_user, create_token
from tickets.models import Ticket

WARM_UP = 10


def measure(name: str, call: Callable[[], Any], *, rounds: int) -> dict[str, Any]:
    """Median and p95 in milliseconds, statements, and bytes of the answer."""
    for _ in range(WARM_UP):
        answer = call()
        assert answer.status_code < 400, (name, answer.status_code, answer.content[:200])  # noqa: S101 - a bench that measures errors lies
    with CaptureQueriesContext(connection) as queries:
        answer = call()
    statements = len(queries)  # read now: the log is emptied when the next request starts
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        times.append((time.perf_counter() - begun) * 1000)
    return {
        "name": name,
        "median": statistics.median(times),
        "p95": statistics.quantiles(times, n=20)[18],
        "queries": statements,
        "bytes": len(answer.content),
    }


def run(*, rounds: int) -> list[dict[str, Any]]:
    """Queue, ticket, search and API create against what the database holds now."""
    agent = add_user(email="bench-agent@desk.example", name="Bench", password=None, tiers=[2])
    _, token = create_token(email=agent.email)
    page = Client(SERVER_NAME="localhost")
    page.force_login(agent, backend="allauth.account.auth_backends.AuthenticationBackend")
    api = Client(SERVER_NAME="localhost", headers={"Authorization": f"Token {token}"})
    highest = Ticket.objects.order_by("-number").values_list("number", flat=True)[0]
    dice = random.Random(3)
    rare = VOCABULARY[8000:9000:50]
    pairs, phrase = ("order courier", "courier label", "order label"), '"order courier"'
    new = {"requester_email": "api@bench.example", "subject": "From the bench", "text": "Created by the bench."}
    return [
        measure("queue, 25 rows", lambda: page.get("/tickets/"), rounds=rounds),
        measure("queue, 100 rows", lambda: page.get("/tickets/?size=100"), rounds=rounds),
        measure("queue of a tier, 25 rows", lambda: page.get("/tickets/?tier=2"), rounds=rounds),
        measure("ticket", lambda: page.get(f"/tickets/{dice.randint(1001, highest)}/"), rounds=rounds),
        measure(
            "search, a rare word", lambda: page.get("/tickets/", {"view": "all", "q": dice.choice(rare)}), rounds=rounds
        ),
        measure(
            "search, two common words",
            lambda: page.get("/tickets/", {"view": "all", "q": dice.choice(pairs)}),
            rounds=rounds,
        ),
        measure("search, a phrase", lambda: page.get("/tickets/", {"view": "all", "q": phrase}), rounds=rounds),
        measure("search in open tickets", lambda: page.get("/tickets/", {"q": "is:open order"}), rounds=rounds),
        measure("knowledge search", lambda: page.get("/knowledge/?q=too+many+connections"), rounds=rounds),
        measure(
            "API create", lambda: api.post("/api/v1/tickets/", new, content_type="application/json"), rounds=rounds
        ),
    ]
