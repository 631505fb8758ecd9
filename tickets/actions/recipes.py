"""Do to a ticket what a recipe says, in one transaction, and know how to take it back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from staff import actions as staff
from staff.models import Membership, MembershipRole, Notification, Tier, User
from supportdesk.errors import Invalid
from tickets import policies
from tickets.actions import assignment
from tickets.actions.conversation import note, reply
from tickets.actions.joining import merge, unmerge
from tickets.actions.planning import add_step
from tickets.actions.properties import hand_over, update
from tickets.models import Category, Priority, Status, Ticket, Watcher
from tickets.recipe import LEAST_LOADED, NOBODY, ROUND_ROBIN, Recipe, duration

# What is kept of a ticket to take a change back; the same names as `update` knows.
_KEPT = ("priority", "tags", "deadline_at", "snoozed_until", "status")


@dataclass
class Applied:
    """What became of a recipe: the ticket's version before and after, and what it was (for `undo`)."""

    ticket: Ticket
    was: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.events)


@transaction.atomic
def apply(recipe: Recipe, *, number: int, by: User, version: int | None = None, key: str = "") -> Applied:
    """Do all of it or nothing. `key` names the occasion, so that a notification of it comes once.

    Raises what the single actions raise: who may not do one of the changes may not do any.
    """
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_bulk(by)
    seen = ticket.events.order_by("-id").values_list("pk", flat=True).first() or 0
    was = _kept(ticket)
    if recipe.merge_into:
        merge(number=number, into=recipe.merge_into, by=by)
        was = {"merged": True}
    else:
        _change(recipe, ticket, by)
        _say(recipe, number, by)
        _finish(recipe, number, by)
    _notify(recipe, number, key or f"{seen}")
    ticket = Ticket.objects.select_related("tier", "assignee", "requester").get(pk=ticket.pk)
    fresh = ticket.events.filter(pk__gt=seen).select_related("actor").order_by("id")
    return Applied(ticket, was, [event.words for event in fresh])


def _kept(ticket: Ticket) -> dict[str, Any]:
    kept = {name: getattr(ticket, name) for name in _KEPT}
    at = {name: kept[name].isoformat() for name in ("deadline_at", "snoozed_until") if kept[name]}
    category = ticket.category.slug if ticket.category else None
    return kept | at | {"assignee": ticket.assignee_id, "category": category, "custom": ticket.custom}


def _change(recipe: Recipe, ticket: Ticket, by: User) -> None:
    """Properties, before anything is said."""
    changes: dict[str, Any] = {}
    if recipe.priority:
        changes["priority"] = recipe.priority
    if recipe.raise_priority:
        ranked = list(Priority)
        changes["priority"] = ranked[max(0, ranked.index(Priority(recipe.priority or ticket.priority)) - 1)]
    if recipe.category is not None:
        changes["category"] = _category(recipe.category)
    if recipe.add_tags or recipe.remove_tags:
        changes["tags"] = sorted({*ticket.tags, *recipe.add_tags} - set(recipe.remove_tags))
    if recipe.custom:
        changes["custom"] = recipe.custom
    if recipe.deadline is not None:
        changes["deadline_at"] = timezone.now() + duration(recipe.deadline) if recipe.deadline else None
    if changes:
        update(number=ticket.number, by=by, **changes)
    for text in recipe.checklist:
        add_step(number=ticket.number, by=by, text=text)
    if recipe.escalate_to and recipe.escalate_to != ticket.tier.level:
        tier = Tier.objects.get(level=recipe.escalate_to)
        hand_over(number=ticket.number, by=by, to=tier, tried=recipe.note)
    if recipe.assignee is not None:
        _assign(recipe.assignee, ticket.number, by)
    users = User.objects.filter(email__in=[address.lower() for address in recipe.watchers], is_active=True)
    Watcher.objects.bulk_create([Watcher(ticket=ticket, user=user) for user in users], ignore_conflicts=True)


def _category(slug: str) -> Category | None:
    found = Category.objects.filter(slug=slug).first() if slug else None
    if slug and found is None:
        raise Invalid(f"There is no category {slug} any more.", fields={"category": ["It does not exist."]})
    return found


def _assign(wanted: str, number: int, by: User) -> None:
    modes: dict[str, Callable[[], Any]] = {
        NOBODY: lambda: update(number=number, by=by, assignee=None),
        ROUND_ROBIN: lambda: assignment.assign_in_turn(number=number, by=by),
        LEAST_LOADED: lambda: assignment.assign_to_least_loaded(number=number, by=by),
    }
    if wanted in modes:
        modes[wanted]()
        return
    person = User.objects.filter(email=wanted.lower(), is_active=True).first()
    if person is None:
        raise Invalid(f"{wanted} is not on the desk.", fields={"assignee": ["Choose somebody else."]})
    update(number=number, by=by, assignee=person)


def _say(recipe: Recipe, number: int, by: User) -> None:
    if recipe.note.strip() and not recipe.escalate_to:
        note(number=number, by=by, text=recipe.note)
    if recipe.reply.strip():
        reply(number=number, by=by, text=recipe.reply)


def _finish(recipe: Recipe, number: int, by: User) -> None:
    """Status and snooze come last: a reply would move them."""
    if recipe.status:
        update(number=number, by=by, status=recipe.status)
    if recipe.snooze:
        update(number=number, by=by, snoozed_until=timezone.now() + duration(recipe.snooze))


def _notify(recipe: Recipe, number: int, key: str) -> None:
    if not recipe.notify:
        return
    ticket = Ticket.objects.select_related("tier").get(number=number)
    people: dict[int, str] = {}
    for whom in recipe.notify:
        people |= {user: reason for user, reason in _audience(whom, ticket).items() if user not in people}
    allowed = User.objects.filter(pk__in=people, is_active=True)
    text = f"{recipe.notify_text or 'Look at this'}: {number} {ticket.subject}"[:300]
    staff.notify(
        Notification(
            user=user, kind="ticket.rule", text=text, reason=people[user.pk], url=f"/tickets/{number}/", key=f"rule:{number}:{key}"[:120]
        )
        for user in allowed
        if Ticket.objects.visible_to(user).filter(pk=ticket.pk).exists()
    )  # fmt: skip


def _audience(whom: str, ticket: Ticket) -> dict[int, str]:
    """User ids with the reason why it is they."""
    level = ticket.tier.level
    members = Membership.objects.filter(tier__level=level)
    if whom == "assignee":
        return {ticket.assignee_id: "Because it is assigned to you"} if ticket.assignee_id else {}
    if whom == "watchers":
        return dict.fromkeys(ticket.watchers.values_list("user", flat=True), "Because you watch it")
    if whom == "tier":
        return dict.fromkeys(members.values_list("user", flat=True), f"Because you are in tier {level}")
    if whom == "leads":
        leads = members.filter(role=MembershipRole.LEAD)
        return dict.fromkeys(leads.values_list("user", flat=True), f"Because you lead tier {level}")
    return dict.fromkeys(
        User.objects.filter(email=whom.lower()).values_list("pk", flat=True), "Because a rule names you"
    )


@transaction.atomic
def undo(*, number: int, by: User, was: dict[str, Any], version: int) -> Ticket:
    """Give a ticket back what a recipe changed, where nobody changed it since. What was said stays said."""
    if was.get("merged"):
        return unmerge(number=number, by=by)
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    changes: dict[str, Any] = {"tags": was["tags"], "priority": Priority(was["priority"])}
    changes["category"] = _category(was["category"] or "")
    changes["assignee"] = User.objects.filter(pk=was["assignee"], is_active=True).first()
    changes["deadline_at"] = _moment(was["deadline_at"])
    gone = {slug: None for slug in ticket.custom if slug not in was["custom"]}
    changes["custom"] = {
        slug: value for slug, value in (was["custom"] | gone).items() if ticket.custom.get(slug) != value
    }
    if ticket.status != was["status"]:
        changes["status"] = _back_to(Status(was["status"]))
    ticket = update(number=number, by=by, **changes)
    until = _moment(was["snoozed_until"])
    if until is None or until > timezone.now():
        update(number=number, by=by, snoozed_until=until)
    return Ticket.objects.get(pk=ticket.pk)


def _moment(text: str | None) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text) if text else None


def _back_to(status: Status) -> Status:
    """A ticket that was new becomes open: it was looked at."""
    return Status.OPEN if status == Status.NEW else status
