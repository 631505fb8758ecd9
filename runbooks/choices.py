"""Choices of a parameter that a query on the target computes."""

from typing import Any

import psycopg
from psycopg import sql

from runbooks.definition import Definition
from runbooks.definition.params import ChoicesFrom
from runbooks.models import Secret, Target
from runbooks.plans import unfit

MOST = 500
SECONDS = 3


def read(target: Target, source: ChoicesFrom) -> list[tuple[str, str]]:
    """(value, label) pairs, read only and quickly. Raises psycopg.Error or KeyError where the target cannot be asked."""
    server = target.connections[source.connection]
    password = server.get("password")
    secret = Secret.objects.filter(target=target, name=password["secret"]).first() if password else None
    with psycopg.connect(
        host=server["host"], port=server["port"], dbname=server["dbname"], user=server["user"], password=secret.reveal() if secret else None,
        connect_timeout=SECONDS, options=f"-c statement_timeout={SECONDS}s -c default_transaction_read_only=on", application_name="supportdesk choices", sslmode=server.get("sslmode", "prefer"),
    ) as connection:  # fmt: skip
        connection.read_only = True
        rows = connection.execute(sql.SQL(source.query), binary=True).fetchmany(MOST)
    return [(str(row[0]), str(row[1] if len(row) > 1 else row[0])) for row in rows if row[0] is not None]


def for_form(parsed: Definition, slug: str) -> dict[str, Any]:
    """By parameter the choices for a target, or the words of why they cannot be read."""
    computed = {name: param.choices_from for name, param in parsed.params.items() if param.choices_from}
    target = Target.objects.filter(slug=slug, retired_at=None).first() if computed and slug else None
    found: dict[str, Any] = {}
    if target is not None and unfit(target, parsed):
        target = None
    for name, source in computed.items():
        if target is None:
            found[name] = "Choose a target first; its choices come from there."
            continue
        try:
            found[name] = read(target, source)
        except (psycopg.Error, KeyError, OSError):
            found[name] = f"{target} could not be asked. Write the value."
    return found


def check(parsed: Definition, target: Target, values: dict[str, Any]) -> dict[str, list[str]]:
    """What is none of the computed choices, by parameter; a target that cannot be asked refuses nothing here."""
    wrong = {}
    for name, param in parsed.params.items():
        if param.choices_from is None or values.get(name) is None:
            continue
        try:
            known = [value for value, _ in read(target, param.choices_from)]
        except (psycopg.Error, KeyError, OSError):
            continue
        if values[name] not in known:
            wrong[name] = [f"{param.label}: choose one of {', '.join(known[:20]) or 'none'}."]
    return wrong
