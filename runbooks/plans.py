"""What people approve: a version, its targets as they are, and its parameters, as one hash; and which targets fit."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from runbooks.definition import Definition
from runbooks.models import Target


def plan_hash(version: str, targets: Iterable[Target], params: Mapping[str, Any]) -> str:
    """SHA-256 over the version's hash, each target with its connections, and the parameters (secret ones masked)."""
    systems = sorted(
        (target.slug, target.environment, json.dumps(target.connections, sort_keys=True)) for target in targets
    )
    text = json.dumps([version, systems, dict(params)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def unfit(target: Target, parsed: Definition) -> str:
    """What the target lacks for the runbook, as the words after its name; empty where it fits."""
    if missing := [need for need in parsed.needed_connections if need not in target.connections]:
        return f"has no connection {', '.join(missing)}"
    if parsed.target.environments and target.environment not in parsed.target.environments:
        return f"is {target.environment}; this runbook is for {', '.join(parsed.target.environments)}"
    for name, value in parsed.target.labels.items():
        if target.labels.get(name) != value:
            return f"lacks the label {name}: {value}"
    return ""
