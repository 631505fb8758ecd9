"""A client of the API bench, in a process of its own that knows nothing of Django."""

import http.client
import json
import time

TICKET = {"subject": "From the bench", "text": "Created by the bench.", "priority": "normal"}


def post(port: int, token: str, number: int, until: float) -> list[float]:
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
