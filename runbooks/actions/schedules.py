"""Schedules: writing them, and starting what is due. Any number of beats may sweep at once."""

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import TextChoices
from django.utils import timezone

from runbooks import cron, definition, policies, windows
from runbooks.actions.runs import start
from runbooks.engine import ending
from runbooks.models import (
    FINAL_STATES,
    Execution,
    FireOutcome,
    Fold,
    Gap,
    Missed,
    Overlap,
    Runbook,
    RunState,
    Schedule,
    ScheduleFire,
    Target,
    Trigger,
)
from runbooks.plans import unfit
from staff import actions as staff
from staff.models import Notification, User
from supportdesk.errors import Conflict, DeskError, Invalid, NotFound

log = logging.getLogger(__name__)

PUNCTUAL = timedelta(seconds=90)  # later than this a moment counts as missed
MOST_CAUGHT_UP = 200


@transaction.atomic
def save_schedule(
    *,
    name: str,
    slug: str,
    targets: Sequence[str],
    cron_rule: str,
    zone: str,
    by: User,
    params: dict[str, Any] | None = None,
    missed: str = Missed.ONCE,
    grace_seconds: int = 3600,
    gap: str = Gap.FORWARD,
    fold: str = Fold.FIRST,
    overlap: str = Overlap.SKIP,
    jitter_seconds: int = 0,
    schedule_id: int | None = None,
) -> Schedule:
    """Make or change a schedule. It runs in the name of who saved it last, with their rights at the moment of each run."""
    policies.check_can_schedule(by)
    runbook = (
        Runbook.objects.select_related("current").filter(slug=slug, current__isnull=False, retired_at=None).first()
    )
    if runbook is None or runbook.current is None:
        raise Invalid(f"There is no runbook {slug}.", fields={"runbook": ["Choose a runbook."]})
    policies.check_can_run(by, runbook)
    cron.check(cron_rule)
    _check_fields(zone, grace_seconds, jitter_seconds, missed=missed, gap=gap, fold=fold, overlap=overlap)
    parsed = definition.parse(runbook.current.text, name=slug)
    values = parsed.parse_params(params or {})
    if any(param.type == "secret" for param in parsed.params.values()):
        raise Invalid("A runbook that asks for a secret cannot be scheduled; keep the secret with the target.")
    systems = _fit_targets(targets, parsed, runbook, by)
    facts: dict[str, Any] = {
        "name": name.strip(), "runbook": runbook, "params": values, "cron": " ".join(cron_rule.split()), "zone": zone, "missed": missed,
        "grace_seconds": grace_seconds, "gap": gap, "fold": fold, "overlap": overlap, "jitter_seconds": jitter_seconds, "owner": by,
    }  # fmt: skip
    taken = Schedule.objects.filter(name=facts["name"]).exclude(pk=schedule_id or 0)
    if not facts["name"] or taken.exists():
        words = "There is a schedule of this name." if facts["name"] else "Give it a name."
        raise Invalid(words, fields={"name": [words]})
    if schedule_id is None:
        schedule = Schedule(**facts)
    else:
        schedule = _locked(schedule_id)
        for field, value in facts.items():
            setattr(schedule, field, value)
    schedule.next_at = next(_moments(schedule, timezone.now()), None)
    try:
        schedule.clean_fields(exclude=["params"])
    except ValidationError as error:
        raise Invalid("Some fields need another value.", fields=error.message_dict) from None
    schedule.save()
    schedule.targets.set(systems)
    staff.audit(
        by=by,
        action="schedule.saved",
        thing=schedule.name,
        after={"runbook": slug, "cron": schedule.cron, "zone": zone, "targets": sorted(targets), "params": values},
    )
    return schedule


POLICIES: dict[str, type[TextChoices]] = {"missed": Missed, "gap": Gap, "fold": Fold, "overlap": Overlap}


def _check_fields(zone: str, grace_seconds: int, jitter_seconds: int, **chosen: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise Invalid(f"There is no time zone {zone}.", fields={"zone": ["Choose a time zone."]}) from None
    for field, value in chosen.items():
        if value not in (known := POLICIES[field].values):
            words = f"one of {', '.join(known)}."
            raise Invalid(f"{field} is {words}", fields={field: [f"Choose {words}"]})
    if not 60 <= grace_seconds <= 7 * 86_400 or not 0 <= jitter_seconds <= 3600:
        raise Invalid(
            "The grace is 1 minute to 7 days, the jitter an hour at most.",
            fields={"grace_seconds": ["1 minute to 7 days."]},
        )


def _fit_targets(slugs: Sequence[str], parsed: definition.Definition, runbook: Runbook, by: User) -> list[Target]:
    """The targets, each of which the runbook fits and this person may run it on."""
    systems = list(Target.objects.filter(slug__in=slugs, retired_at=None))
    if not systems or len(systems) != len(set(slugs)):
        raise Invalid("Choose the targets.", fields={"targets": ["Choose one or more."]})
    for system in systems:
        if why := unfit(system, parsed):
            raise Invalid(f"{system} {why}.", fields={"targets": [f"{system} {why}."]})
        policies.check_can_run(by, runbook, None, system)
    return systems


def _moments(schedule: Schedule, after: datetime) -> Any:
    return cron.moments(schedule.cron, schedule.zone, after, gap=schedule.gap, fold=schedule.fold)


def next_moments(schedule: Schedule, count: int = 10, after: datetime | None = None) -> list[datetime]:
    """The next moments, for a preview or a calendar."""
    return list(islice(_moments(schedule, after or timezone.now()), count))


def _locked(pk: int) -> Schedule:
    schedule = (
        Schedule.objects.select_for_update(of=("self",))
        .select_related("runbook__current", "owner")
        .filter(pk=pk)
        .first()
    )
    if schedule is None:
        raise NotFound(f"There is no schedule {pk}.")
    return schedule


@transaction.atomic
def pause_schedule(*, schedule_id: int, by: User, paused: bool = True) -> Schedule:
    """Let it rest, or go on from now: what it would have run meanwhile stays left out."""
    policies.check_can_schedule(by)
    schedule = _locked(schedule_id)
    schedule.paused_at = timezone.now() if paused else None
    if not paused:
        schedule.next_at = next(_moments(schedule, timezone.now()), None)
    schedule.save(update_fields=["paused_at", "next_at"])
    staff.audit(by=by, action="schedule.paused" if paused else "schedule.resumed", thing=schedule.name)
    return schedule


@transaction.atomic
def delete_schedule(*, schedule_id: int, by: User) -> None:
    policies.check_can_schedule(by)
    schedule = _locked(schedule_id)
    staff.audit(by=by, action="schedule.deleted", thing=schedule.name)
    schedule.delete()


@transaction.atomic
def run_now(*, schedule_id: int, by: User, scopes: list[str] | None = None) -> list[Execution]:
    """Start it once, now, in the name of who asks."""
    schedule = _locked(schedule_id)
    targets = list(schedule.targets.filter(retired_at=None))
    if not targets:
        raise Conflict("All of its targets are retired.")
    slug, params = schedule.runbook.slug, schedule.params
    return [
        start(
            slug=slug,
            target=target.slug,
            by=by,
            params=params,
            schedule=schedule,
            scopes=scopes,
            trigger=Trigger.SCHEDULE,
        )
        for target in targets
    ]


def fire(*, now: datetime | None = None) -> int:
    """Start what is due; returns how many runs were started."""
    moment = now or timezone.now()
    due = Schedule.objects.filter(paused_at=None, next_at__lte=moment).order_by("next_at")
    count = 0
    for pk in list(due.values_list("pk", flat=True)[:200]):
        try:
            with transaction.atomic():
                schedule = (
                    Schedule.objects.select_for_update(of=("self",), skip_locked=True)
                    .select_related("runbook__current", "owner")
                    .filter(pk=pk, paused_at=None, next_at__lte=moment)
                    .first()
                )
                if schedule is not None:
                    count += _fire(schedule, moment)
        except Exception:
            log.exception("schedule %s could not be looked at; the next sweep tries again", pk)
    return count


def _fire(schedule: Schedule, now: datetime) -> int:
    """Decide about every moment until now, then remember the next one. The caller holds the schedule's lock."""
    due: list[datetime] = [schedule.next_at or now]
    following: datetime | None = None
    for found in _moments(schedule, due[0]):
        if found > now or len(due) >= MOST_CAUGHT_UP:
            following = found
            break
        due.append(found)
    if following is not None and following <= now:  # too many to catch up with: go on from now
        following = next(_moments(schedule, now), None)
    spread = {at: timedelta(seconds=_jitter(schedule, at)) for at in due}
    late = [at for at in due if now - at - spread[at] > PUNCTUAL]
    within = [at for at in late if now - at - spread[at] <= timedelta(seconds=schedule.grace_seconds)]
    caught = {Missed.SKIP: [], Missed.ONCE: within[-1:], Missed.ALL: within}[Missed(schedule.missed)]
    if schedule.missed == Missed.ONCE and len(due) > len(late):
        caught = []  # the newest is on time: that is the one
    targets = list(schedule.targets.filter(retired_at=None).order_by("pk"))
    count = 0
    missed = 0
    for at in due:
        if at in late and at not in caught:
            missed += sum(
                _record(schedule, at, target, FireOutcome.MISSED, note=f"It was {_late(now - at)} late.")
                for target in targets
            )
        elif at + spread[at] > now:
            following = at  # its own moment, a little later
            break
        else:
            count += sum(_start(schedule, at, target) for target in targets)
    if missed:
        _tell_missed(schedule, missed, due[0])
    Schedule.objects.filter(pk=schedule.pk).update(next_at=following)
    return count


def _late(by: timedelta) -> str:
    minutes = int(by.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _jitter(schedule: Schedule, at: datetime) -> int:
    """A delay that is the same for a schedule and moment on every machine."""
    if not schedule.jitter_seconds:
        return 0
    digest = hashlib.sha256(f"{schedule.pk}:{at.isoformat()}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % (schedule.jitter_seconds + 1)


def _record(
    schedule: Schedule,
    at: datetime,
    target: Target,
    outcome: FireOutcome,
    *,
    note: str = "",
    run: Execution | None = None,
) -> bool:
    """Keep what became of a moment; False when that is decided already."""
    try:
        with transaction.atomic():
            ScheduleFire.objects.create(
                schedule=schedule, moment=at, target=target, outcome=outcome, note=note[:300], execution=run
            )
    except IntegrityError:
        return False
    return True


def _start(schedule: Schedule, at: datetime, target: Target) -> bool:
    if ScheduleFire.objects.filter(schedule=schedule, moment=at, target=target).exists():
        return False
    if schedule.runbook.risk != "read" and (why := windows.closed_because(target)):
        _record(schedule, at, target, FireOutcome.FROZEN, note=why)
        return False
    before = Execution.objects.filter(schedule=schedule, target=target).exclude(state__in=FINAL_STATES)
    if schedule.overlap == Overlap.SKIP and (busy := before.first()) is not None:
        _record(
            schedule,
            at,
            target,
            FireOutcome.OVERLAPPED,
            note=f"Run {busy.pk} was {RunState(busy.state).label.lower()}.",
        )
        return False
    try:
        with transaction.atomic():
            run = start(
                slug=schedule.runbook.slug, target=target.slug, by=schedule.owner, params=schedule.params, trigger=Trigger.SCHEDULE,
                schedule=schedule, scheduled_for=at,
            )  # fmt: skip
            if not _record(schedule, at, target, FireOutcome.STARTED, run=run):
                raise Conflict("Another beat was quicker.")
    except Conflict:
        return False
    except DeskError as error:
        _record(schedule, at, target, FireOutcome.REFUSED, note=str(error))
        _tell_refused(schedule, target, str(error), at)
        return False
    return True


def _tell_missed(schedule: Schedule, count: int, at: datetime) -> None:
    words = f"The schedule {schedule.name} missed {count} runs since {at:%Y-%m-%d %H:%M} UTC"
    _tell_owner(schedule, words, f"missed:{schedule.pk}:{at.isoformat()}", policy="missed")


def _tell_refused(schedule: Schedule, target: Target, why: str, at: datetime) -> None:
    _tell_owner(
        schedule,
        f"The schedule {schedule.name} could not run on {target}: {why}",
        f"refused:{schedule.pk}:{at.isoformat()}",
        policy="failed",
    )


def _tell_owner(schedule: Schedule, words: str, key: str, *, policy: str) -> None:
    """A notice to its owner, and a ticket for the runbook's tier where the definition asks for one."""
    staff.notify(
        [
            Notification(
                user=schedule.owner,
                kind="run",
                text=words[:300],
                reason="the schedule is yours",
                url="/schedules/",
                key=key,
            )
        ]
    )
    spec: dict[str, Any] = schedule.runbook.current.spec if schedule.runbook.current else {}
    target = schedule.targets.first()
    if target is not None and ending.opens_ticket(spec, policy, scheduled=True):
        ending.open_schedule_ticket(schedule, target, words)
