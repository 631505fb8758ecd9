"""What is asked of a run: its targets by name, its parameters, and which of them are secret."""

from collections.abc import Mapping, Sequence
from typing import Any

from runbooks import definition
from runbooks.models import Target
from runbooks.plans import unfit
from supportdesk import crypto
from supportdesk.errors import Invalid

MASKED = "•••"


def named_targets(slugs: Sequence[str], parsed: definition.Definition) -> list[Target]:
    """The targets by name, each fit for the runbook."""
    wanted = list(dict.fromkeys(slugs))
    known = {target.slug: target for target in Target.objects.filter(slug__in=wanted, retired_at=None)}
    if not wanted or (missing := [slug for slug in wanted if slug not in known]):
        named = ", ".join(missing) if wanted else ""
        every = ", ".join(Target.objects.filter(retired_at=None).values_list("slug", flat=True)[:20]) or "none yet"
        raise Invalid(f"There is no target {named}; the targets are {every}.", fields={"target": ["Choose a target."]})
    if len(wanted) > parsed.target.max:
        raise Invalid(
            f"It runs on {parsed.target.max} targets at a time at most.", fields={"target": ["Choose fewer."]}
        )
    for target in known.values():
        if why := unfit(target, parsed):
            raise Invalid(f"{target} {why}.", fields={"target": [f"It {why}."]})
    return [known[slug] for slug in wanted]


def check_targets_named(parsed: definition.Definition, values: Mapping[str, Any]) -> None:
    """Parameters of type target name one that there is."""
    for name, param in parsed.params.items():
        value = values.get(name)
        if param.type == "target" and value and not Target.objects.filter(slug=value, retired_at=None).exists():
            raise Invalid("Some parameters need another value.", fields={name: [f"There is no target {value}."]})


def apart(parsed: definition.Definition, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters that everybody may read, and the secret ones."""
    hidden = {
        name: value for name, value in values.items() if parsed.params[name].type == "secret" and value is not None
    }
    return {name: value for name, value in values.items() if name not in hidden}, hidden


def digests(hidden: Mapping[str, Any]) -> dict[str, str]:
    """Masks for secret parameters, each with enough of a keyed digest that another value is another plan."""
    return {name: f"{MASKED} {crypto.sign('secret-param', name, value)[:8]}" for name, value in hidden.items()}
