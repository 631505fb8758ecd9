"""The demo target: a database `ecommerce_cod` in a cluster of its own, log files, and backups.

It lies apart from the desk's own database, so that no runbook and no fault of one can touch that.
"""

import gzip
import os
import random
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg import sql

from runbooks import actions
from runbooks.models import Secret, Target
from supportdesk.embedded.places import Places
from supportdesk.embedded.servers import SUPERUSER, Postgres, free_port

DATABASE, APP, RUNNER = "ecommerce_cod", "cod_app", "desk_runner"
SLUG = "cod-dashboard"

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, phone text NOT NULL, city text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE, password text NOT NULL,
    role text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id bigint NOT NULL REFERENCES users, last_activity timestamptz NOT NULL);
CREATE TABLE workflows (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, active boolean NOT NULL DEFAULT true,
    last_run_at timestamptz);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, status text NOT NULL,
    total_amount numeric(10,2) NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE orders_archive (LIKE orders INCLUDING ALL);
INSERT INTO customers (name, phone, city)
    SELECT 'Customer ' || n, '+212600' || lpad(n::text, 6, '0'), (ARRAY['Casablanca','Rabat','Oujda','Agadir','Tanger'])[1 + n % 5]
    FROM generate_series(1, 4000) n;
INSERT INTO users (email, password, role)
    SELECT 'user' || n || '@shop.example', '$2b$10$' || md5(n::text), (ARRAY['agent','manager','courier'])[1 + n % 3]
    FROM generate_series(1, 60) n;
INSERT INTO sessions (user_id, last_activity) SELECT 1 + n % 60, now() - n * interval '37 minutes' FROM generate_series(0, 240) n;
INSERT INTO workflows (name, active, last_run_at) VALUES
    ('Confirm by SMS', true, now() - interval '4 minutes'), ('Assign courier', true, now() - interval '9 minutes'),
    ('Remind unpaid', false, now() - interval '11 days'), ('Close delivered', true, now() - interval '1 hour');
INSERT INTO orders (customer_id, status, total_amount, created_at)
    SELECT 1 + (n * 7919) % 4000,
           CASE WHEN n < 120 THEN 'pending' WHEN n < 400 THEN 'confirmed' WHEN n % 9 = 0 THEN 'returned' ELSE 'delivered' END,
           (90 + (n * 104729) % 90000 / 100.0)::numeric(10,2), now() - n * interval '26.28 minutes'
    FROM generate_series(0, 19999) n;
ANALYZE;
"""


def cluster(places: Places) -> Postgres:
    """The second embedded cluster: small, with statement statistics, passwords for everybody but its superuser."""
    return Postgres(
        places,
        "shop",
        5433,
        ("max_connections=30", "shared_buffers=32MB", "shared_preload_libraries=pg_stat_statements"),
        trusted=SUPERUSER,
    )


def prepare(server: Postgres, *, data: Path) -> tuple[str, int]:
    """Make the shop on first use and bring its target up to date.

    Returns what its back end needs: the address of the database, and the port to listen on.
    """
    port = free_port()
    folder = data / "demo-shop"
    logs, backups = folder / "logs", folder / "backups"
    known = Target.objects.filter(slug=SLUG).first()
    stored = {s.name: s.reveal() for s in Secret.objects.filter(target=known)} if known else {}
    password = stored.get("database-password") or secrets.token_urlsafe(18)
    app_password = secrets.token_urlsafe(18)
    _make_database(server, password, app_password)
    _make_files(logs, backups)
    actions.save_target(
        slug=SLUG,
        name="COD dashboard",
        environment="demo",
        connections={
            "postgres": {
                "host": str(server.places.sockets), "port": server.port, "dbname": DATABASE, "user": RUNNER,
                "password": {"secret": "database-password"},
            },
            "http": {"base_url": f"http://127.0.0.1:{port}", "private": True},
            "paths": {"logs": str(logs), "backups": str(backups)},
        },
        secrets={"database-password": password},
    )  # fmt: skip
    dsn = f"host={server.places.sockets} port={server.port} dbname={DATABASE} user={APP} password={app_password}"
    return dsn, port


def _make_database(server: Postgres, password: str, app_password: str) -> None:
    server.ensure_database(DATABASE)
    with server.connect(DATABASE) as connection:
        for role, secret in ((APP, app_password), (RUNNER, password)):
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            verb = sql.SQL("ALTER" if exists else "CREATE")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                    verb, sql.Identifier(role), sql.Literal(secret)
                )
            )
        if connection.execute("SELECT to_regclass('orders')").fetchone() == (None,):
            with connection.transaction():
                connection.execute(SCHEMA)
                for grant in (
                    f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APP}, {RUNNER}",
                    f"GRANT pg_monitor, pg_signal_backend TO {RUNNER}",
                ):
                    connection.execute(grant)


def _make_files(logs: Path, backups: Path) -> None:
    """Believable logs of the last three days, and a week of nightly backups; made once."""
    if logs.exists():
        return
    logs.mkdir(parents=True)
    backups.mkdir(parents=True)
    dice, now = random.Random(7), datetime.now(UTC)  # noqa: S311 - believable, not secret
    errors = [
        "ERROR Sequelize pool: could not obtain a connection within 5000 ms (orders-worker)",
        "ERROR JWT verification failed: invalid signature",
        "ERROR socket.io: transport close, client 8c1f",
        "ERROR workflow 3: template not found",
    ]
    with (
        (logs / "error.log").open("w") as error,
        (logs / "combined.log").open("w") as combined,
        (logs / "access.log").open("w") as access,
    ):
        for minute in range(3 * 24 * 60, 0, -1):
            at = now - timedelta(minutes=minute, seconds=dice.randrange(60))
            stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            took = int(dice.lognormvariate(4.6, 0.6))
            path = dice.choice(["/api/orders", "/api/orders/search", "/api/customers", "/socket.io/", "/api/workflows"])
            access.write(
                f'10.0.0.{dice.randrange(2, 60)} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" 200 {took} {dice.randrange(200, 9000)}\n'
            )
            combined.write(f"{stamp} INFO socket connected={dice.randrange(20, 60)}\n")
            if dice.random() < 0.02:
                line = f"{stamp} {dice.choice(errors)}\n"
                error.write(line)
                combined.write(line)
    last = (now - timedelta(hours=2)).replace(hour=2, minute=0)
    for day in range(7):
        at = last - timedelta(days=day)
        dump = backups / f"{DATABASE}_{at:%Y%m%d}.sql.gz"
        dump.write_bytes(gzip.compress(random.Random(day).randbytes(200_000)))  # noqa: S311 - stands for a dump
        os.utime(dump, (at.timestamp(), at.timestamp()))
