"""What an attempt works with: its parameters, the opened connections of its targets, and the secrets to mask."""

import json
from collections.abc import Mapping
from typing import Any

from runbooks import definition, expressions, steps, windows
from runbooks.connections import secrets_of
from runbooks.engine.redaction import Redactor
from runbooks.engine.results import facts
from runbooks.models import Execution, Secret, SecretUse, StepRun, Target
from runbooks.plans import others
from supportdesk import crypto


class Scope:
    """The values of one attempt. `redact` masks every secret that it has met so far."""

    def __init__(self, execution: Execution, attempt: int, wanted: definition.Definition) -> None:
        self.execution, self.attempt, self.definition = execution, attempt, wanted
        self.params = dict(execution.params)
        self._secrets: list[str] = []
        if execution.secret_params:
            given = json.loads(crypto.decrypt(bytes(execution.secret_params)))
            self.params |= given
            self._secrets += [str(value) for value in given.values()]
        self._opened: dict[str, dict[str, Any]] = {}
        self.others = others(wanted, execution.target, self.params)
        self.connections = self._open(execution.target)

    def _open(self, target: Target) -> dict[str, Any]:
        """The target's connections with `{secret: NAME}` resolved; each use of a secret is recorded."""
        if target.slug in self._opened:
            return self._opened[target.slug]
        wanted = {name for values in target.connections.values() for name in secrets_of(values)}
        kept = {secret.name: secret for secret in Secret.objects.filter(target=target)}
        found = {name: kept[name].reveal() for name in wanted if name in kept}
        SecretUse.objects.bulk_create(
            [SecretUse(secret=kept[name], execution=self.execution, attempt=self.attempt) for name in found],
            ignore_conflicts=True,
        )
        # All of the target's are masked, also those that no connection uses: a step may meet them elsewhere.
        self._secrets += [secret.reveal() for secret in kept.values()]
        self.redact = Redactor(self._secrets)
        opened = {}
        for name, values in target.connections.items():
            opened[name] = {
                key: found.get(value["secret"], "") if isinstance(value, dict) and "secret" in value else value
                for key, value in values.items()
            }
        self._opened[target.slug] = opened
        return opened

    def target_of(self, step: Any, names: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The slug and the opened connections of the target that a step works on.

        Raises StepError for a target that the run was not started for, or that may not be changed now.
        """
        if step.on is None:
            return self.execution.target.slug, self.connections
        slug = str(expressions.fill(step.on, names))
        if slug == self.execution.target.slug:
            return slug, self.connections
        target = next((one for one in self.others if one.slug == slug), None)
        if target is None:
            raise steps.StepError(f"{slug} is none of the targets that this run was started for.")
        if self.definition.risk != "read" and not self.execution.dry_run and (why := windows.closed_because(target)):
            raise steps.StepError(why)
        return slug, self._open(target)

    def names(self, rows: Mapping[str, StepRun], outcome: str) -> dict[str, Any]:
        """What expressions look up. `rows` are the steps that ended, `outcome` is how the run ends, for `finally`."""
        row, target = self.execution, self.execution.target
        return {
            "params": self.params,
            "steps": {step_id: facts(found) for step_id, found in rows.items()},
            "target": {"slug": target.slug, "name": target.name, "environment": target.environment, "labels": target.labels},
            "run": {
                "id": row.pk, "attempt": self.attempt, "dry_run": row.dry_run, "requested_by": row.requested_by.email,
                "state": outcome, "ticket": row.ticket.number if row.ticket else None,
            },
            "schedule": {
                "name": row.schedule.name if row.schedule else None,
                "moment": row.scheduled_for.isoformat() if row.scheduled_for else None,
            },
        }  # fmt: skip
