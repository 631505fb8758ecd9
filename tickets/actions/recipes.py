"""Do to a ticket what a recipe says, in one transaction, and know how to take it back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from staff import actions as staff
from staff.models import Membership, MembershipRole, Notification, Tier, User
from supportdesk.errors import Conflict, Invalid
from tickets import policies
from tickets.actions import _telling as telling
from tickets.actions import assignment
from tickets.actions.conversation import note, reply
from tickets.actions.joining import merge, unmerge
from tickets.actions.planning import add_step
from tickets.actions.properties import hand_over, update
from tickets.models import (
    Category,
    MergeRecord,
    Priority,
    SLATimer,
    Status,
    Ticket,
    TicketEvent,
    TicketText,
    Watcher,
)
from tickets.recipe import LEAST_LOADED, NOBODY, ROUND_ROBIN, Recipe, duration
from tickets.sla import clocks

# What is kept of a ticket to take a change back.
_PLAIN = ("priority", "tags", "custom")
_MOMENTS = ("deadline_at", "snoozed_until", "resolved_at", "closed_at")


@dataclass
class Applied:
    """What became of a recipe: the ticket's version before and after, and what it was (for `undo`)."""

    ticket: Ticket
    was: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.events or self.was.get("watchers"))


@transaction.atomic
def apply(recipe: Recipe, *, number: int, by: User, version: int | None = None, key: str = "") -> Applied:
    """Do all of it or nothing. `key` names the occasion, so that a notification of it comes once.

    Raises what the single actions raise: who may not do one of the changes may not do any.
    """
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_bulk(by)
    seen = ticket.events.order_by("-id").values_list("pk", flat=True).first() or 0
    was, steps = _kept(ticket), set(ticket.checklist.values_list("pk", flat=True))
    if recipe.merge_into:
        merge(number=number, into=recipe.merge_into, by=by)
        was = {"merge": MergeRecord.objects.filter(source=ticket, undone_at=None).values_list("pk", flat=True).first()}
    else:
        _change(recipe, ticket, by)
        was["watchers"] = _watch(recipe, ticket, by)
        _say(recipe, number, by)
        _finish(recipe, number, by)
        was["steps"] = sorted(set(ticket.checklist.values_list("pk", flat=True)) - steps)
    _notify(recipe, number, key or f"{seen}")
    ticket = Ticket.objects.select_related("tier", "assignee", "requester").get(pk=ticket.pk)
    fresh = ticket.events.filter(pk__gt=seen).select_related("actor").order_by("id")
    return Applied(ticket, was, [event.words for event in fresh])


def _kept(ticket: Ticket) -> dict[str, Any]:
    """The ticket as JSON, with the clocks that run or are paused."""
    moments = {name: getattr(ticket, name) for name in _MOMENTS}
    return {
        **{name: getattr(ticket, name) for name in _PLAIN},
        **{name: at.isoformat() if at else None for name, at in moments.items()},
        "status": ticket.status,
        "resolved_by": ticket.resolved_by_id,
        "tier": ticket.tier.level,
        "assignee": ticket.assignee_id,
        "category": ticket.category.slug if ticket.category else None,
        "clocks": list(SLATimer.objects.unstopped().filter(ticket=ticket).values_list("pk", flat=True)),
    }


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


def _watch(recipe: Recipe, ticket: Ticket, by: User) -> list[int]:
    """Let staff follow the ticket; returns who did not before. On a restricted one that is leave to read it."""
    if not recipe.watchers:
        return []
    policies.check_can_change(by, ticket)
    if ticket.restricted:
        policies.check_can_restrict(by, ticket)
    had = set(ticket.watchers.values_list("user", flat=True))
    people = User.objects.filter(email__in=[address.lower() for address in recipe.watchers], is_active=True)
    fresh = [person.pk for person in people.exclude(pk__in=had)]
    Watcher.objects.bulk_create(Watcher(ticket=ticket, user_id=user) for user in fresh)
    return fresh


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
        return {ticket.assignee_id: telling.YOURS} if ticket.assignee_id else {}
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
    """Give a ticket back what a recipe changed, where nobody changed it since. What was said stays said.

    The status goes back also where the table of moves has no way: the move is taken back, not made anew. Clocks
    that it stopped run on as if they had never stopped.
    """
    if (merged := was.get("merge")) is not None:
        if not MergeRecord.objects.filter(pk=merged, undone_at=None).exists():
            raise Conflict(f"The merge of ticket {number} was taken back already.")
        return unmerge(number=number, by=by)
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    now = _kept(ticket)
    differs = sorted(name for name in was if name in now and was[name] != now[name] and name != "clocks")
    if "tier" in differs:
        tier = Tier.objects.get(level=was["tier"])
        policies.check_can_hand_over(by, ticket, tier)
        ticket.tier = tier
    for name in differs:
        if name in _PLAIN:
            setattr(ticket, name, was[name])
        elif name in _MOMENTS:
            setattr(ticket, name, datetime.fromisoformat(was[name]) if was[name] else None)
    if "assignee" in differs:
        person = User.objects.filter(pk=was["assignee"], is_active=True).first()
        ticket.assignee = person if person and person.standing.level >= ticket.tier.level else None
    if "category" in differs:
        ticket.category = _category(was["category"] or "")
    was_open = ticket.is_open
    _undo_status(ticket, was)
    ticket.touch(*_PLAIN, *_MOMENTS, "tier", "assignee", "category", "status", "resolved_by")
    ticket.watchers.filter(user__in=was["watchers"]).delete()
    ticket.checklist.filter(pk__in=was["steps"], done_at=None).delete()
    if "custom" in differs:
        TicketText.rebuild(ticket)
    if differs:
        what = ", ".join(name.removesuffix("_at") for name in differs)
        TicketEvent.record(ticket, by, "undone", what=what, was_open=was_open, is_open=ticket.is_open)
        _undo_clocks(ticket, was)
    return ticket


def _undo_status(ticket: Ticket, was: dict[str, Any]) -> None:
    """Back to the status of then; a new ticket that was answered since is open."""
    answered = ticket.messages.filter(kind="reply").exists()
    ticket.status = Status.OPEN if was["status"] == Status.NEW and answered else Status(was["status"])
    ticket.resolved_by = User.objects.filter(pk=was["resolved_by"]).first() if ticket.resolved_at else None


def _undo_clocks(ticket: Ticket, was: dict[str, Any]) -> None:
    if ticket.is_open:
        clocks.resume(ticket, was["clocks"], reason="Taken back")
    else:
        clocks.stop_all(ticket, at=ticket.updated_at, reason="Taken back")
    clocks.retarget(ticket, at=ticket.updated_at, reason="Taken back")
