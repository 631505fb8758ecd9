"""Edits of what is promised: calendars, policies, targets and pauses. Clocks follow in the background."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from staff import actions as staff
from staff.calendar_file import CalendarFile
from staff.models import Calendar, Tier, User
from staff.policies import check_is_administrator
from supportdesk.errors import Conflict, Invalid
from tickets.actions import jobs
from tickets.models import (
    Category,
    Channel,
    Clock,
    Organization,
    Priority,
    SLAPause,
    SLAPolicy,
    SLATarget,
    SLATimer,
    Status,
    Ticket,
)
from tickets.models.sla import default_milestones
from tickets.sla import clocks, rules
from tickets.sla.targets import response_target

TargetKey = tuple[int, str, str]  # tier level, priority, clock


@transaction.atomic
def save_calendar(*, spec: CalendarFile, by: User | None, only_new: bool = False) -> tuple[Calendar, bool]:
    """Make or change a calendar; clocks that run by it are retargeted in the background.

    `only_new` leaves an existing one as it is, for the guide, whose edits in the browser stay.
    """
    if by is not None:
        check_is_administrator(by)
    existing = Calendar.objects.filter(slug=spec.slug, current__isnull=False).first() if only_new else None
    if existing is not None:
        return existing, False
    calendar, changed = staff.save_calendar(spec=spec, by=by)
    if changed:
        rules.bump()
        if calendar.policies.exists():
            jobs.recompute_clocks(by=by, title=f"Clocks follow the calendar {calendar}")
    return calendar, changed


@transaction.atomic
def load_promises(*, sla: Mapping[str, Any]) -> None:
    """The guide's fallback policy, targets and pauses. What somebody edited since stays as it is."""
    calendar = Calendar.objects.get(slug=sla["calendar"])
    policy, made = SLAPolicy.objects.get_or_create(
        is_fallback=True,
        defaults={
            "name": sla["name"],
            "calendar": calendar,
            "milestones": sla.get("milestones", default_milestones()),
        },
    )
    if made:
        SLAPause.objects.bulk_create(
            SLAPause(status=Status(status), clock=Clock(clock))
            for status, clocks in sla.get("pauses", {}).items()
            for clock in clocks
        )
    changed = made
    for tier in Tier.objects.all():
        hours = sla["resolution_hours"][tier.level]
        for priority in Priority:
            response = int(response_target(tier, priority).total_seconds())
            for clock in Clock:
                seconds = int(hours[priority.value] * 3600) if clock == Clock.RESOLUTION else response
                changed |= _load_target(policy, tier, priority, clock, seconds)
    rules.bump()  # tiers and categories may have come with the guide, too
    if changed and not made:
        jobs.recompute_clocks(by=None, title="Clocks follow the guide")


def _load_target(policy: SLAPolicy, tier: Tier, priority: Priority, clock: Clock, seconds: int) -> bool:
    target, made = SLATarget.objects.get_or_create(
        policy=policy,
        tier=tier,
        priority=priority,
        clock=clock,
        defaults={"seconds": seconds, "guide_seconds": seconds},
    )
    if made or target.guide_seconds == seconds:
        return made
    if target.seconds == target.guide_seconds:
        target.seconds = seconds
    target.guide_seconds = seconds
    target.save()
    return True


@transaction.atomic
def save_policy(
    *,
    by: User,
    pk: int | None = None,
    name: str,
    calendar: Calendar,
    active: bool = True,
    tier: Tier | None = None,
    category: Category | None = None,
    organization: Organization | None = None,
    tag: str = "",
    channel: Channel | None = None,
    milestones: Sequence[int] = (),
    breach_raises_priority: bool = False,
    breach_escalates: bool = False,
    targets: Mapping[TargetKey, int | None] | None = None,
    position: int | None = None,
) -> SLAPolicy:
    """Make or change a policy with its targets (seconds; None takes the fallback's); clocks follow in the background."""
    check_is_administrator(by)
    policy = SLAPolicy.objects.select_for_update().filter(pk=pk).first() if pk else SLAPolicy()
    if policy is None:
        raise Conflict("That policy was deleted by somebody else; nothing of yours was saved.")
    before = None if pk is None else describe(policy)
    name = name.strip()
    if SLAPolicy.objects.filter(name__iexact=name).exclude(pk=policy.pk).exists():
        raise Invalid("There is a policy of that name.", fields={"name": ["There is a policy of that name."]})
    policy.name, policy.calendar, policy.milestones = name, calendar, sorted(set(milestones)) or default_milestones()
    policy.breach_raises_priority, policy.breach_escalates = breach_raises_priority, breach_escalates
    if not policy.is_fallback:
        policy.active, policy.tier, policy.category, policy.organization = active, tier, category, organization
        policy.tag, policy.channel = tag, channel or ""
        policy.position = position if position is not None else policy.position or SLAPolicy.objects.count()
    policy.save()
    _save_targets(policy, targets or {})
    _edited(by, "policy.saved", f"policy {policy.name}", before, describe(policy), f"Clocks follow the policy {policy}")
    return policy


def _save_targets(policy: SLAPolicy, targets: Mapping[TargetKey, int | None]) -> None:
    tiers = {tier.level: tier for tier in Tier.objects.all()}
    for (level, priority, clock), seconds in targets.items():
        row: dict[str, Any] = {"policy": policy, "tier": tiers[level], "priority": priority, "clock": clock}
        if seconds is not None:
            SLATarget.objects.update_or_create(**row, defaults={"seconds": seconds})
        elif not policy.is_fallback:
            SLATarget.objects.filter(**row).delete()


MOST_PREVIEWED, MOST_SHOWN = 2000, 20


@dataclass(frozen=True)
class Change:
    """A clock whose due time an edit would move."""

    ticket: Ticket
    clock: str
    was: datetime | None
    becomes: datetime | None
    breaches: bool


@dataclass(frozen=True)
class Preview:
    """What an edit would do to the clocks that are due soonest; `looked_at` of them were looked at."""

    looked_at: int
    changed: int
    breaches: int
    shown: list[Change]


def preview_policy(**arguments: Any) -> Preview:
    """What `save_policy` with the same arguments would change. Nothing stays saved."""
    with transaction.atomic():
        save_policy(**arguments)
        preview = _preview()
        transaction.set_rollback(True)
    return preview


def _preview() -> Preview:
    in_force = rules.current()
    timers = list(
        SLATimer.objects.unstopped()
        .select_related("ticket__tier", "ticket__requester")
        .with_log()
        .order_by("next_action_at")[:MOST_PREVIEWED]
    )
    changes = []
    for timer in timers:
        was, breached = timer.due_at, timer.breached_at
        if not clocks.follow(timer, timer.ticket, in_force, at=in_force.edited_at, reason="", save=False):
            continue
        reading = clocks.store(timer, in_force)
        if timer.due_at != was:
            breaks = breached is None and reading.breached_at is not None
            changes.append(Change(timer.ticket, timer.get_clock_display(), was, timer.due_at, breaks))
    return Preview(len(timers), len(changes), sum(change.breaches for change in changes), changes[:MOST_SHOWN])


@transaction.atomic
def delete_policy(*, by: User, pk: int) -> None:
    """Delete a policy; its tickets get the next one that matches."""
    check_is_administrator(by)
    policy = SLAPolicy.objects.select_for_update().filter(pk=pk).first()
    if policy is None:
        return
    if policy.is_fallback:
        raise Invalid("The fallback policy matches every ticket and cannot be deleted; change its targets instead.")
    before = describe(policy)
    policy.delete()
    _edited(by, "policy.deleted", f"policy {before['name']}", before, None, f"Clocks follow without {before['name']}")


@transaction.atomic
def save_pauses(*, by: User, pauses: Sequence[tuple[str, str]]) -> None:
    """Say which status pauses which clock."""
    check_is_administrator(by)
    wanted = {(Status(status), Clock(clock)) for status, clock in pauses}
    before = sorted(f"{row.status}: {row.clock}" for row in SLAPause.objects.select_for_update())
    after = sorted(f"{status}: {clock}" for status, clock in wanted)
    if before == after:
        return
    SLAPause.objects.all().delete()
    SLAPause.objects.bulk_create(SLAPause(status=status, clock=clock) for status, clock in wanted)
    _edited(by, "pauses.saved", "pauses of clocks", before, after, "Clocks follow the pauses")


def _edited(by: User, action: str, thing: str, before: Any, after: Any, title: str) -> None:
    if before == after:
        return
    staff.audit(by=by, action=action, thing=thing, before=before, after=after)
    rules.bump()
    jobs.recompute_clocks(by=by, title=title)


def describe(policy: SLAPolicy) -> dict[str, Any]:
    """A policy with its targets in plain data, for the audit."""
    rows = policy.targets.select_related("tier").order_by("tier__level", "priority", "clock")
    return {
        "name": policy.name, "active": policy.active, "position": policy.position, "calendar": policy.calendar.slug,
        "tier": policy.tier.level if policy.tier else None, "category": policy.category.slug if policy.category else None,
        "organization": str(policy.organization) if policy.organization else None, "tag": policy.tag, "channel": policy.channel,
        "milestones": list(policy.milestones), "breach_raises_priority": policy.breach_raises_priority,
        "breach_escalates": policy.breach_escalates,
        "targets": {f"tier {row.tier.level} {row.priority} {row.clock}": row.seconds for row in rows},
    }  # fmt: skip
