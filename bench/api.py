"""How many tickets a second the API takes in, through the real server, with clients of their own processes."""

import os
import socket
import statistics
import subprocess
import sys
import time
from multiprocessing import get_context
from typing import Any

from django.conf import settings

from bench.client import post
from staff.actions import add_user, create_token


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
        pool.starmap(post, [(port, token, number, time.time() + 2) for number in range(clients)])  # warm-up
        until = time.time() + seconds
        begun = time.perf_counter()
        found = pool.starmap(post, [(port, token, number, until) for number in range(clients)])
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
