"""Small runbooks for tests."""

from typing import Any

import yaml

from runbooks import actions
from runbooks.models import Execution, Runbook


def runbook(slug: str, steps: list[dict[str, Any]], **more: Any) -> Runbook:
    definition = {
        "schema": 1, "id": slug, "title": slug.replace("-", " ").capitalize(), "description": "A test.", "purpose": "diagnostic",
        "owner": "Tests", "risk": "change", "tier": 1, "steps": steps, **more,
    }  # fmt: skip
    return actions.load_runbook(text=yaml.safe_dump(definition, sort_keys=False), name=f"{slug}.yaml")


def shell(script: str, **more: Any) -> dict[str, Any]:
    step = {"id": "work", "title": "Work", "uses": "shell", "with": {"script": script}}
    step["with"] |= more.pop("with_", {})
    return step | more


def text_of(execution: Execution, stream: str = "") -> str:
    chunks = execution.chunks.order_by("seq")
    pieces = chunks.filter(stream=stream) if stream else chunks
    return b"".join(bytes(chunk.data) for chunk in pieces).decode(errors="replace")
