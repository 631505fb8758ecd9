"""Targets, their secrets, and trying their connections out."""

import asyncio
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
import psycopg
import redis
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from runbooks import connections, policies, web, windows
from runbooks.engine import machines
from runbooks.engine.redaction import Redactor
from runbooks.models import Secret, Target, TargetCheck
from runbooks.steps import Context, StepError
from runbooks.steps.redis import client_of
from staff import actions as staff
from staff.models import User
from supportdesk import crypto
from supportdesk.errors import Invalid, NotFound

CHECK_SECONDS = 15.0


@transaction.atomic
def save_target(
    *,
    slug: str,
    name: str,
    environment: str = "production",
    connections: dict[str, Any],
    secrets: Mapping[str, str] | None = None,
    by: User | None = None,
    **more: Any,
) -> Target:
    """Write a target and its secrets. A password may only be given as {secret: NAME}.

    `more`: site, labels, zone, windows, freezes, approvals {change, destructive}, run_level. What is not
    given stays. `by` is None for the command line.
    """
    if by is not None:
        policies.check_can_manage_targets(by)
    facts: dict[str, Any] = {
        "name": name.strip(),
        "environment": environment.strip(),
        "connections": _checked(connections),
    }
    if not facts["name"]:
        raise Invalid("A target needs a name.", fields={"name": ["Give it a name."]})
    facts |= _more(more)
    before = Target.objects.filter(slug=slug).first()
    old = _facts(before) if before else None
    try:
        Target(slug=slug, **facts).clean_fields(exclude=["connections", "labels", "windows", "freezes", "approvals"])
    except ValidationError as error:
        raise Invalid("Some fields need another value.", fields=error.message_dict) from None
    target, _ = Target.objects.update_or_create(slug=slug, defaults=facts)
    for secret, value in (secrets or {}).items():
        set_secret(target=target, name=secret, value=value, by=by)
    if old != _facts(target):
        staff.audit(by=by, action="target.saved", thing=slug, before=old, after=_facts(target))
    return target


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    return connections.check(given)


def _more(given: dict[str, Any]) -> dict[str, Any]:
    unknown = set(given) - {"site", "labels", "zone", "windows", "freezes", "approvals", "run_level"}
    if unknown:
        raise Invalid(f"A target has no {', '.join(sorted(unknown))}.")
    facts = {name: value for name, value in given.items() if value is not None}
    if "windows" in facts or "freezes" in facts:
        facts["windows"], facts["freezes"] = windows.check(facts.get("windows"), facts.get("freezes"))
    if "zone" in facts:
        try:
            ZoneInfo(facts["zone"])
        except (ZoneInfoNotFoundError, ValueError):
            raise Invalid(f"There is no time zone {facts['zone']}.", fields={"zone": ["Choose a time zone."]}) from None
    approvals = facts.get("approvals", {})
    if not isinstance(approvals, dict) or any(
        name not in {"read", "change", "destructive"} or not isinstance(count, int) or not 0 <= count <= 5
        for name, count in approvals.items()
    ):
        raise Invalid(
            "Approvals are given by risk, 0 to 5 each, such as {change: 1, destructive: 2}.",
            fields={"approvals": ["Give a count by risk."]},
        )
    labels = facts.get("labels", {})
    if not isinstance(labels, dict) or any(not isinstance(value, str) for value in labels.values()):
        raise Invalid("Labels are texts by name.", fields={"labels": ["Write them as name: text."]})
    if facts.get("run_level", 1) not in {1, 2, 3}:
        raise Invalid("The tier that changes a target is 1, 2 or 3.", fields={"run_level": ["Choose a tier."]})
    return facts


def _facts(target: Target) -> dict[str, Any]:
    names = (
        "name",
        "environment",
        "site",
        "labels",
        "connections",
        "zone",
        "windows",
        "freezes",
        "approvals",
        "run_level",
    )
    return {name: getattr(target, name) for name in names}


@transaction.atomic
def set_secret(*, target: Target, name: str, value: str, by: User | None = None) -> None:
    """Write a secret, which nobody reads again but a worker."""
    if by is not None:
        policies.check_can_manage_targets(by)
    if not value or "\0" in value or len(value) > 64 * 1024:
        raise Invalid("A secret is a text of 64 KB at most.", fields={"value": ["Give the secret."]})
    secret = Secret(target=target, name=name)
    try:
        secret.clean_fields(exclude=["ciphertext", "target"])
    except ValidationError as error:
        raise Invalid("A secret's name is letters, digits, - and _.", fields=error.message_dict) from None
    Secret.objects.update_or_create(
        target=target, name=name, defaults={"ciphertext": crypto.encrypt(value), "changed_at": timezone.now()}
    )
    staff.audit(by=by, action="secret.set", thing=f"{target.slug}/{name}")


@transaction.atomic
def remove_secret(*, target: Target, name: str, by: User) -> None:
    policies.check_can_manage_targets(by)
    used = [key for key, values in target.connections.items() if name in connections.secrets_of(values)]
    if used:
        raise Invalid(f"The connection {', '.join(used)} uses it.")
    Secret.objects.filter(target=target, name=name).delete()
    staff.audit(by=by, action="secret.removed", thing=f"{target.slug}/{name}")


@transaction.atomic
def retire_target(*, slug: str, by: User, retired: bool = True) -> Target:
    """Take a target out of use, or back into it; its runs stay."""
    policies.check_can_manage_targets(by)
    target = Target.objects.select_for_update().filter(slug=slug).first()
    if target is None:
        raise NotFound(f"There is no target {slug}.")
    target.retired_at = timezone.now() if retired else None
    target.save(update_fields=["retired_at"])
    staff.audit(by=by, action="target.retired" if retired else "target.reinstated", thing=slug)
    return target


def rotate_secrets() -> int:
    """Encrypt every secret with the newest key; returns how many. The old key may go afterwards."""
    count = 0
    for pk in list(Secret.objects.values_list("pk", flat=True)):
        with transaction.atomic():
            secret = Secret.objects.select_for_update().get(pk=pk)
            secret.ciphertext = crypto.encrypt(secret.reveal())
            secret.save(update_fields=["ciphertext"])
            count += 1
    return count


def test_connection(*, target: Target, name: str, by: User) -> TargetCheck:
    """Try one connection from here and keep how it went."""
    policies.check_can_manage_targets(by)
    if name not in target.connections:
        raise NotFound(f"{target} has no connection {name}.")
    kept = {secret.name: secret.reveal() for secret in Secret.objects.filter(target=target)}
    values = {
        key: kept.get(value["secret"]) if isinstance(value, dict) and "secret" in value else value
        for key, value in target.connections[name].items()
    }
    begun = time.monotonic()
    try:
        words, ok = _TESTS[str(values["type"])](values, target), True
    except (
        psycopg.Error,
        redis.RedisError,
        httpx.HTTPError,
        httpx.InvalidURL,
        OSError,
        StepError,
        ValueError,
        subprocess.SubprocessError,
    ) as error:
        words, ok = str(error).strip() or type(error).__name__, False
    words = Redactor(kept.values())(words)
    facts = {
        "ok": ok,
        "message": " ".join(words.split())[:500],
        "milliseconds": round((time.monotonic() - begun) * 1000),
        "at": timezone.now(),
    }
    return TargetCheck.objects.update_or_create(target=target, connection=name, defaults=facts)[0]


def _postgres(values: dict[str, Any], target: Target) -> str:
    with psycopg.connect(
        host=values["host"], port=values["port"], dbname=values["dbname"], user=values["user"], password=values.get("password"),
        sslmode=values.get("sslmode", "prefer"), connect_timeout=10, options="-c statement_timeout=5000",
    ) as server:  # fmt: skip
        row = server.execute("SELECT current_setting('server_version'), current_user").fetchone()
    return f"PostgreSQL {row[0]} as {row[1]}" if row else "PostgreSQL answers"


def _redis(values: dict[str, Any], target: Target) -> str:
    with client_of(values, timeout=5) as client:
        return f"Redis {client.info('server')['redis_version']}"


def _http(values: dict[str, Any], target: Target) -> str:
    async def ask() -> int:
        async with web.client(values, timeout=10) as client:
            return (await client.get(values["base_url"])).status_code

    return f"HTTP {asyncio.run(ask())}"


def _host(values: dict[str, Any], target: Target) -> str:
    said: list[bytes] = []
    context = _context(target)
    command = machines.Command(["uname", "-a"], {"PATH": machines.PATH})
    end = machines.run(context, command, values, take=said.append)
    if end.exit != 0:
        raise ValueError(context.output.text or f"exit code {end.exit}")  # type: ignore[attr-defined]
    return b"".join(said).decode(errors="replace")


def _paths(values: dict[str, Any], target: Target) -> str:
    return f"{len(values['folders'])} folders: {', '.join(values['folders'])}"


def _services(values: dict[str, Any], target: Target) -> str:
    return f"{values['manager']} for {', '.join(values['allowed'])}"


_TESTS = {"postgres": _postgres, "redis": _redis, "http": _http, "host": _host, "paths": _paths, "services": _services}


def _context(target: Target) -> Context:
    """Enough of a context to run one command outside a run."""
    return Context(
        execution_id=0, step_id="test", with_=None, params={}, connections={}, target=target.slug, output=_Said(),  # type: ignore[arg-type]
        stopped=threading.Event(), deadline=time.monotonic() + CHECK_SECONDS,
    )  # fmt: skip


class _Said:
    """Takes what a command says, in the place of a run's output."""

    full = is_over = False

    def __init__(self) -> None:
        self.text = ""

    def feed(self, stream: str, data: bytes) -> None:
        self.text += data.decode(errors="replace")[:500]

    def tick(self) -> None:
        pass
