"""How many tickets a second the API takes in, through the real server, with clients of their own processes."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from multiprocessing import get_context
from typing import Any

from django.conf import settings

from staff.actions import add_user, create_token

TICKET = {"subject": "From the bench", "text": "Created by the bench.", "priority": "normal"}


def _client(port: int, token: str, number: int, until: float) -> list[float]:
    """Post until the time is over, on one connection; milliseconds of each request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json", "Host": "localhost"}
    times = []
    while time.time() < until:
        body = json.dumps(TICKET | {"requester_email": f"client{number}-{len(times) % 50}@bench.example"})
        begun = time.perf_counter()
        connection.request("POST", "/api/v1/tickets/", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 201, (answer.status, content[:300])  # noqa: S101 - a bench that measures errors lies
        times.append((time.perf_counter() - begun) * 1000)
    return times


def run(*, clients: int, seconds: float) -> dict[str, Any]:
    """Start the server, let the clients post, and say what came of it."""
    user = add_user(email="bench-api@desk.example", name="Bench", password=None, tiers=[1])
    _, token = create_token(email=user.email)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "supportdesk.asgi:application", "--workers", "2", "--lifespan", "on"]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--log-level", "error"],
        cwd=settings.ROOT,
        env=os.environ | {"DESK_WEB_THREADS": "4"},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        pool = get_context("spawn").Pool(clients)
        pool.starmap(_client, [(port, token, number, time.time() + 2) for number in range(clients)])  # warm-up
        until = time.time() + seconds
        begun = time.perf_counter()
        found = pool.starmap(_client, [(port, token, number, until) for number in range(clients)])
        took = time.perf_counter() - begun
        pool.close()
    finally:
        server.terminate()
        server.wait(timeout=30)
    times = [each for client in found for each in client]
    return {
        "created": len(times),
        "rate": len(times) / took,
        "median": statistics.median(times),
        "p95": statistics.quantiles(times, n=20)[18],
    }
