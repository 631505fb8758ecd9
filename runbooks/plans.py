"""What people approve: a version, its targets as they are, and its parameters, as one hash; and which targets fit."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from runbooks import expressions, steps
from runbooks.definition import Definition
from runbooks.models import Target
from supportdesk.errors import Invalid


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


def others(parsed: Definition, target: Target, params: Mapping[str, Any]) -> list[Target]:
    """The other targets that steps use by `on`, each known before anything runs. Raises `Invalid`."""
    found: dict[str, Target] = {}
    names = {
        "params": params, "run": {}, "schedule": {}, "steps": {},
        "target": {"slug": target.slug, "name": target.name, "environment": target.environment, "labels": target.labels},
    }  # fmt: skip
    for step in [*parsed.steps, *parsed.finally_, *(step.undo for step in parsed.steps if step.undo)]:
        if step.on is None:
            continue
        slug = str(expressions.fill(step.on, names))
        if slug == target.slug or slug in found:
            continue
        other = Target.objects.filter(slug=slug, retired_at=None).first()
        if other is None:
            raise Invalid(f"There is no target {slug}, which a step uses.")
        lacking = steps.kinds()[step.uses].needs(step.with_) - set(other.connections)
        if lacking:
            raise Invalid(f"{other} has no connection {', '.join(sorted(lacking))}.")
        found[slug] = other
    return sorted(found.values(), key=lambda one: one.slug)
