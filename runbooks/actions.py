"""Every write to runbooks, targets and runs that a person or program asks for."""

import hashlib
from typing import Any

from django.db import transaction
from django.utils import timezone

from runbooks import definition, policies
from runbooks.engine import executor
from runbooks.models import Execution, Runbook, RunbookVersion, RunState, Secret, Target
from staff.models import User
from supportdesk import crypto, events
from supportdesk.doorbell import ring_on_commit
from supportdesk.errors import Invalid, NotFound
from tickets import actions as ticket_actions
from tickets.models import Ticket


@transaction.atomic
def load_runbook(*, text: str, name: str) -> Runbook:
    """Validate a definition and make it the current version; the same text again changes nothing."""
    parsed = definition.parse(text, name=name)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    facts = {
        "title": parsed.title,
        "description": parsed.description,
        "purpose": parsed.purpose,
        "owner": parsed.owner,
        "risk": parsed.risk,
        "tier_level": parsed.tier_level,
    }
    runbook, _ = Runbook.objects.select_for_update().get_or_create(slug=parsed.id, defaults=facts)
    version, _ = RunbookVersion.objects.get_or_create(
        runbook=runbook,
        sha256=sha256,
        defaults={"text": text, "spec": parsed.model_dump(mode="json", by_alias=True)},
    )
    if runbook.current_id != version.pk:
        Runbook.objects.filter(pk=runbook.pk).update(current=version, **facts)
        runbook.refresh_from_db()
    return runbook


@transaction.atomic
def save_target(
    *,
    slug: str,
    name: str,
    environment: str,
    connections: dict[str, Any],
    secrets: dict[str, str] | None = None,
) -> Target:
    """Write a target and its secrets. A password may only be given as {secret: NAME}."""
    for connection, values in connections.items():
        if not isinstance(values, dict):
            raise Invalid(f"Connection {connection} must be a mapping.")
        if isinstance(values.get("password"), str):
            raise Invalid(f"Connection {connection}: write password: {{secret: NAME}} and give the secret apart.")
    target, _ = Target.objects.update_or_create(
        slug=slug, defaults={"name": name, "environment": environment, "connections": connections}
    )
    for secret, value in (secrets or {}).items():
        Secret.objects.update_or_create(target=target, name=secret, defaults={"ciphertext": crypto.encrypt(value)})
    return target


@transaction.atomic
def start(
    *,
    slug: str,
    target: str,
    by: User,
    params: dict[str, Any] | None = None,
    ticket: int | None = None,
    dry_run: bool = False,
    scopes: list[str] | None = None,
) -> Execution:
    """Queue a run of the current version; `scopes` are those of an API token, None for a browser."""
    runbook = Runbook.objects.select_related("current").filter(slug=slug, current__isnull=False).first()
    if runbook is None or runbook.current is None:
        raise NotFound(f"There is no runbook {slug}.")
    policies.check_can_run(by, runbook, scopes)
    parsed = definition.parse(runbook.current.text, name=slug)
    system = Target.objects.filter(slug=target).first()
    if system is None:
        known = ", ".join(Target.objects.values_list("slug", flat=True)) or "none yet"
        raise Invalid(f"There is no target {target}; the targets are {known}.", fields={"target": ["Choose a target."]})
    if missing := [need for need in parsed.target.needs if need not in system.connections]:
        raise Invalid(
            f"{system} has no connection {', '.join(missing)}.",
            fields={"target": [f"It lacks {', '.join(missing)}."]},
        )
    values = parsed.parse_params(params or {})
    attached = None
    if ticket is not None:
        attached = Ticket.objects.visible_to(by).filter(number=ticket).first()
        if attached is None:
            raise Invalid(f"There is no ticket {ticket}.", fields={"ticket": [f"There is no ticket {ticket}."]})
    execution = Execution.objects.create(
        version=runbook.current,
        target=system,
        ticket=attached,
        params=values,
        dry_run=dry_run,
        requested_by=by,
    )
    if attached is not None:
        ticket_actions.record_run_started(
            ticket_id=attached.pk, by=by, run=execution.pk, title=runbook.title, url=f"/runs/{execution.pk}/"
        )
    ring_on_commit("runbooks.run", execution.pk, queue="runbooks")
    events.publish("runs", "state")
    return execution


@transaction.atomic
def cancel(*, execution_id: int, by: User, scopes: list[str] | None = None) -> Execution:
    """Stop a run: at once while it is queued, else its worker ends every process first. Twice is once."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_cancel(by, execution, scopes)
    if execution.state == RunState.CANCELLING:
        return execution
    execution.cancel_requested_at, execution.cancel_requested_by = timezone.now(), by
    if execution.state == RunState.QUEUED:
        execution.move_to(RunState.CANCELLED)
        execution.finished_at, execution.summary = timezone.now(), f"Cancelled by {by} before it began."
        execution.save(update_fields=["state", "finished_at", "summary", "cancel_requested_at", "cancel_requested_by"])
        executor.tell(execution)
        return execution
    execution.move_to(RunState.CANCELLING)
    execution.save(update_fields=["state", "cancel_requested_at", "cancel_requested_by"])
    events.publish(f"run.{execution.pk}", "state")
    return execution


@transaction.atomic
def resume(*, execution_id: int, by: User, from_start: bool = False, scopes: list[str] | None = None) -> Execution:
    """Queue a lost run again: from the interrupted step, or from the start."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_run(by, execution.version.runbook, scopes)
    executor.requeue(execution, from_start=from_start)
    return execution


@transaction.atomic
def give_up(*, execution_id: int, by: User, scopes: list[str] | None = None) -> Execution:
    """Call a lost run failed."""
    execution = Execution.objects.visible_to(by).lock(execution_id)
    policies.check_can_run(by, execution.version.runbook, scopes)
    execution.move_to(RunState.FAILED)
    execution.finished_at, execution.summary = timezone.now(), f"Lost its worker; called failed by {by}."
    execution.save(update_fields=["state", "finished_at", "summary"])
    executor.tell(execution)
    return execution


def perform(*, execution_id: int) -> bool:
    """Run a queued run here and now: what the worker's task calls."""
    return executor.run(execution_id)


def sweep() -> dict[str, int]:
    """Reap leases that ran out and ring again for what is still queued."""
    return {"reaped": executor.reap(), "rung": executor.ring_again()}
