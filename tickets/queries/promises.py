"""The settings pages of what is promised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from staff.models import Calendar, Tier
from tickets.models import Clock, Job, Priority, SLAPause, SLAPolicy, SLATarget


def promises() -> dict[str, Any]:
    """Policies in the order in which they are looked at, calendars, pauses and the newest jobs."""
    policies = SLAPolicy.objects.select_related("calendar", "tier", "category", "organization")
    return {
        "policies": list(policies),
        "calendars": list(Calendar.objects.select_related("current")),
        "pauses": {f"{row.status}-{row.clock}" for row in SLAPause.objects.all()},
        "jobs": list(Job.objects.filter(kind="clocks").select_related("by")[:5]),
    }


def policy_initial(policy: SLAPolicy) -> dict[str, Any]:
    """A policy as the first values of its form."""
    names = ("name", "calendar", "active", "position", "tier", "category", "organization", "tag", "channel")
    values = {name: getattr(policy, name) for name in names}
    return values | {
        "milestones": ", ".join(map(str, policy.milestones)),
        "breach_raises_priority": policy.breach_raises_priority,
        "breach_escalates": policy.breach_escalates,
    }


@dataclass(frozen=True)
class GridRow:
    """A tier and priority with one cell a clock: (field name, minutes as typed, what holds where it is empty)."""

    tier: Tier
    priority: str
    cells: list[tuple[str, str, str, str]]


def target_grid(policy: SLAPolicy | None, typed: Mapping[str, Any] | None) -> list[GridRow]:
    """The grid of a policy's form; `typed` is what somebody sent and is not saved."""
    own = _minutes(policy.pk) if policy else {}
    lent = (
        {}
        if policy and policy.is_fallback
        else _minutes(SLAPolicy.objects.filter(is_fallback=True).values_list("pk", flat=True).first())
    )
    rows = []
    for tier in Tier.objects.all():
        for priority in Priority:
            cells = []
            for clock in Clock:
                key, name = (tier.pk, priority.value, clock.value), f"target-{tier.level}-{priority}-{clock}"
                value = str(typed.get(name, "")) if typed is not None else own.get(key, "")
                label = f"Tier {tier.level}, {priority.label.lower()}, {clock.label.lower()}, minutes"
                cells.append((name, value, lent.get(key, ""), label))
            rows.append(GridRow(tier, priority.label, cells))
    return rows


def _minutes(policy_id: int | None) -> dict[tuple[int, str, str], str]:
    rows = SLATarget.objects.filter(policy=policy_id).values_list("tier_id", "priority", "clock", "seconds")
    return {(tier, priority, clock): f"{seconds / 60:g}" for tier, priority, clock, seconds in rows}
