"""Targets on real servers: the test PostgreSQL, this machine's shell, a small HTTP server."""

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from runbooks import actions
from supportdesk import guide

SEEN: list[dict[str, Any]] = []  # what the web server was asked, for tests that look


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        SEEN.append(
            {
                "path": parts.path,
                "query": parse_qs(parts.query, keep_blank_values=True),
                "json": body,
                "headers": headers,
                "host": headers.get("host"),
            }
        )
        status = 503 if "broken" in self.path else 302 if "moved" in self.path else 200
        body = b'{"status": "ok"}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def web() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def shop(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """A database and a role without superuser rights, apart from the desk's own."""
    with django_db_blocker.unblock():
        settings = connection.get_connection_params()
    admin = {
        "host": settings.get("host"),
        "port": settings.get("port"),
        "user": settings.get("user"),
        "password": settings.get("password"),
    }
    admin = {key: value for key, value in admin.items() if value}
    name = f"shop_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(**admin, dbname="postgres", autocommit=True) as server:
        server.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'shop-secret-1' IN ROLE pg_monitor, pg_signal_backend").format(
                sql.Identifier(name)
            )
        )
        server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(name)))
    runner = {
        "host": admin.get("host", "127.0.0.1"),
        "port": admin.get("port", 5432),
        "dbname": name,
        "user": name,
        "password": "shop-secret-1",
    }
    with psycopg.connect(**runner) as server:
        server.execute("CREATE TABLE orders (id int, total_amount numeric, created_at timestamptz DEFAULT now())")
        server.execute("INSERT INTO orders SELECT n, n FROM generate_series(1, 40) n")
    yield runner
    with psycopg.connect(**admin, dbname="postgres", autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def target(shop: dict[str, Any], web: str, tmp_path: Any, transactional_db: None) -> Any:
    """A whole target; the tests that use it commit, since a run works in several connections."""
    guide.load()
    logs, backups = tmp_path / "logs", tmp_path / "backups"
    logs.mkdir()
    backups.mkdir()
    (logs / "error.log").write_text("2020-01-01T00:00:00Z ERROR old\n2999-01-01T00:00:00Z ERROR pool exhausted\n")
    (backups / "shop.sql.gz").write_bytes(b"x" * 100)
    return actions.save_target(
        slug="shop",
        name="Shop",
        environment="test",
        connections={
            "postgres": {
                **{k: v for k, v in shop.items() if k != "password"},
                "password": {"secret": "database-password"},
            },
            "http": {"base_url": web, "private": True},
            "paths": {"logs": str(logs), "backups": str(backups)},
        },
        secrets={"database-password": shop["password"]},
    )


@pytest.fixture
def alive() -> Any:
    """Which processes carry a marker in their environment."""

    def find(marker: str) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = marker.encode() in (folder / "environ").read_bytes()
                if marked and (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    return find
