"""The demo shop's back end: a health endpoint, and a worker that leaks idle database connections.

Stands in for the e-commerce dashboard that the guide is about, so that HTTP checks and the
connection-pool runbooks have something real to look at.
"""

import contextlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg

LEAKED = 9  # connections of the worker; max_connections of the demo cluster is 30
REOPEN_AFTER = 120.0  # seconds until the worker opens connections again that somebody ended


def leak(dsn: str) -> None:
    """Hold idle connections, and open new ones some time after they were killed."""
    held: list[psycopg.Connection[Any]] = []
    while True:
        alive = []
        for connection in held:
            with contextlib.suppress(psycopg.Error):
                connection.pgconn.consume_input()
            if not connection.broken and not connection.closed:
                alive.append(connection)
        lost = len(held) - len(alive)
        held = alive
        if lost:
            time.sleep(REOPEN_AFTER)
        while len(held) < LEAKED:
            try:
                connection = psycopg.connect(dsn, application_name="orders-worker", connect_timeout=3)
                connection.execute("SELECT id FROM orders LIMIT 1")
                connection.rollback()
                held.append(connection)
            except psycopg.Error:
                break
        time.sleep(5)


class Handler(BaseHTTPRequestHandler):
    """GET /health and /api/workflows/queue-status."""

    dsn = ""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(*self._health())
        elif self.path == "/api/workflows/queue-status":
            self._answer(200, {"waiting": 0, "active": 0, "failed": 0})
        else:
            self._answer(404, {"error": "not found"})

    def _health(self) -> tuple[int, dict[str, Any]]:
        try:
            with psycopg.connect(self.dsn, application_name="api", connect_timeout=3) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return 503, {"status": "down", "database": str(error).splitlines()[0]}
        return 200, {
            "status": "ok",
            "database": "ok",
            "process": "backend",
            "uptime_seconds": int(time.monotonic() - STARTED),
        }

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """No access log."""


STARTED = time.monotonic()

if __name__ == "__main__":
    Handler.dsn = os.environ["DESK_DEMO_SHOP_DSN"]
    threading.Thread(target=leak, args=[Handler.dsn], daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["DESK_DEMO_SHOP_PORT"])), Handler).serve_forever()
