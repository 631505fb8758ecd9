"""Tickets that are opened again and again, by a cron rule in a zone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from staff import actions as staff
from staff.models import Tier, User, check_time_zone
from supportdesk.errors import DeskError, Invalid, NotFound
from supportdesk.text import clean, one_line
from tickets import policies
from tickets.actions import recipes
from tickets.actions.life import open_ticket
from tickets.models import Category, Channel, Priority, Recurrence
from tickets.recipe import Recipe, read

SHORTEST = timedelta(minutes=5)


def next_times(cron: str, zone: str, *, after: datetime, count: int = 1) -> list[datetime]:
    """The next moments of a cron rule in UTC, as Debian's cron keeps it around DST. Raises `Invalid`."""
    try:
        check_time_zone(zone)
    except ValidationError as error:
        words = "".join(error.messages)
        raise Invalid(words, fields={"zone": [words]}) from None
    try:
        times = CronSim(cron.strip(), after.astimezone(ZoneInfo(zone)))
        return [next(times).astimezone(UTC) for _ in range(count)]
    except CronSimError as error:
        words = f"“{cron[:60]}” is not a cron rule ({str(error).lower()}); for example 0 9 * * mon: Mondays at nine."
    except StopIteration:
        words = f"“{cron[:60]}” never comes."
    raise Invalid(words, fields={"cron": [words]})


@transaction.atomic
def save_recurrence(
    *,
    by: User,
    name: str,
    cron: str,
    zone: str,
    requester_email: str,
    subject: str,
    text: str,
    tier: Tier,
    requester_name: str = "",
    priority: Priority = Priority.NORMAL,
    category: Category | None = None,
    recipe: Recipe | None = None,
    active: bool = True,
    pk: int | None = None,
) -> Recurrence:
    """Make or change a recurring ticket. It is opened next when its rule comes up after now."""
    policies.check_can_make_rules(by)
    found = (
        Recurrence.objects.select_for_update(of=("self",)).filter(pk=pk).first() if pk else Recurrence(created_by=by)
    )
    if found is None:
        raise NotFound("There is no such recurring ticket.")
    first, second, third = next_times(cron, zone, after=timezone.now(), count=3)
    if min(second - first, third - second) < SHORTEST:
        words = "That is more often than every five minutes."
        raise Invalid(words, fields={"cron": [words]})
    before = _shown(found) if pk else None
    found.name, found.cron, found.zone, found.active = one_line(name, most=80), " ".join(cron.split()), zone, active
    found.requester_email, found.requester_name = one_line(requester_email, most=254).lower(), one_line(requester_name)
    found.subject, found.text, found.tier = one_line(subject, most=300), clean(text).strip(), tier
    found.priority, found.category, found.next_at, found.error = priority, category, first, ""
    found.recipe = recipe.as_data() if recipe else {}
    _check(found)
    found.save()
    staff.audit(by=by, action="recurrence.saved", thing=f"recurring ticket {found}", before=before, after=_shown(found))
    return found


def _check(found: Recurrence) -> None:
    wrong = {name: ["Write something here."] for name in ("name", "subject", "text") if not getattr(found, name)}
    try:
        validate_email(found.requester_email)
    except ValidationError:
        wrong["requester_email"] = ["This is not an address."]
    if Recurrence.objects.exclude(pk=found.pk).filter(name=found.name).exists():
        wrong["name"] = ["It exists already."]
    if wrong:
        raise Invalid("; ".join(f"{key}: {said[0]}" for key, said in wrong.items()), fields=wrong)


def _shown(found: Recurrence) -> dict[str, Any]:
    # Neither address nor words of the ticket: the audit keeps them for good, also when they must be erased.
    names = ("name", "cron", "zone", "active", "priority", "recipe")
    return {name: getattr(found, name) for name in names} | {"tier": found.tier.level}


@transaction.atomic
def delete_recurrence(*, pk: int, by: User) -> None:
    policies.check_can_make_rules(by)
    found = Recurrence.objects.filter(pk=pk).select_related("tier").first()
    if found is None:
        raise NotFound("There is no such recurring ticket.")
    staff.audit(by=by, action="recurrence.deleted", thing=f"recurring ticket {found}", before=_shown(found))
    found.delete()


def sweep_recurrences() -> int:
    """Open the tickets that are due. After an outage one ticket is opened, not one for every time missed."""
    opened = 0
    while (made := _open_next()) is not None:
        opened += made
    return opened


@transaction.atomic
def _open_next() -> int | None:
    """Open the next due one: its ticket and its next time are one transaction. None when nothing is due."""
    now = timezone.now()
    due = Recurrence.objects.filter(active=True, next_at__lte=now).order_by("next_at")
    found = due.select_for_update(skip_locked=True, of=("self",)).select_related("tier", "category").first()
    if found is None:
        return None
    found.last_at, made = now, 0
    try:
        found.next_at = next_times(found.cron, found.zone, after=now)[0]
        with transaction.atomic():
            found.last_ticket, _ = open_ticket(
                by=staff.automation(),
                requester_email=found.requester_email,
                requester_name=found.requester_name,
                subject=found.subject,
                text=found.text,
                tier=found.tier,
                priority=Priority(found.priority),
                category=found.category,
                channel=Channel.WEB,
            )
            recipes.apply(read(found.recipe), number=found.last_ticket.number, by=staff.automation())
        found.error, made = "", 1
    except DeskError as refused:
        found.last_ticket, found.error = None, str(refused)[:500]
        if found.next_at is not None and found.next_at <= now:
            found.active = False  # its rule never comes again
    found.save()
    return made
