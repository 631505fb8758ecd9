"""Who gets a ticket when nobody chooses: in turn, or who has least, among those of the tier who are there."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import models, transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from staff import actions as staff
from staff.models import Membership, MembershipRole, Tier, User
from supportdesk.errors import Invalid, NotPermitted
from tickets import policies
from tickets.actions.properties import assign
from tickets.models import OPEN_STATUSES, Ticket

LONGEST_ABSENCE = timedelta(days=366)


@transaction.atomic
def assign_in_turn(*, number: int, by: User) -> Ticket:
    """Assign to the agent of the tier who was given a ticket longest ago. Raises `Invalid` where all are away."""
    return _give(number, by, ["last_assigned_at", "pk"])


@transaction.atomic
def assign_to_least_loaded(*, number: int, by: User) -> Ticket:
    """Assign to the agent of the tier with the fewest open tickets, snoozed ones left out; ties go in turn."""
    return _give(number, by, ["load", "last_assigned_at", "pk"])


def _give(number: int, by: User, order: Sequence[str]) -> Ticket:
    ticket = Ticket.objects.visible_to(by).lock(number)
    policies.check_can_assign(by, ticket, None)
    # One at a time a tier: the next one must see who was just given a ticket.
    Tier.objects.select_for_update(no_key=True).get(pk=ticket.tier_id)
    member = _present(ticket.tier_id).order_by(*(F(name).asc(nulls_first=True) for name in order)).first()
    if member is None:
        raise Invalid(f"Nobody of tier {ticket.tier.level} is there to take ticket {number}.")
    Membership.objects.filter(pk=member.pk).update(last_assigned_at=timezone.now())
    return assign(number=number, by=by, to=member.user)


def _present(tier_id: int) -> models.QuerySet[Membership]:
    """Agents of a tier who are not away, with the open tickets that each has (`load`)."""
    now = timezone.now()
    here = Q(user__away_until=None) | Q(user__away_until__lte=now)
    agents = Membership.objects.filter(here, tier=tier_id, role=MembershipRole.AGENT, user__is_active=True)
    load = Count("user__tickets", filter=Q(user__tickets__status__in=OPEN_STATUSES, user__tickets__snoozed_until=None))
    return agents.select_related("user").annotate(load=load)


def set_away(*, user_id: int, by: User, until: datetime | None, reassign: str = "keep") -> int:
    """Say that somebody is away until then, or back (None). Returns how many of their open tickets moved.

    `reassign` is what becomes of those: `keep`, `pool` (nobody's) or `turn` (to others of each tier in turn;
    the pool's where nobody is there), each in a transaction of its own. Oneself, leads of one's tiers and
    administrators may.
    """
    if reassign not in {"keep", "pool", "turn"}:
        raise Invalid("Choose what becomes of the open tickets: keep, pool or turn.")
    person = _set_away(user_id, by, until)
    return _hand_on(person, by, reassign) if until is not None and reassign != "keep" else 0


@transaction.atomic
def _set_away(user_id: int, by: User, until: datetime | None) -> User:
    person = User.objects.filter(pk=user_id, is_active=True).first()
    if person is None:
        raise Invalid("That person is not on the desk any more.")
    _check_can_set_away(by, person)
    if until is not None and not timezone.now() < until < timezone.now() + LONGEST_ABSENCE:
        raise Invalid("Choose a time within the coming year.", fields={"until": ["Choose a time to come."]})
    before, person.away_until = person.away_until, until
    person.save(update_fields=["away_until"])
    shown = [at.isoformat() if at else None for at in (before, until)]
    staff.audit(by=by, action="user.away", thing=f"person {person}", before=shown[0], after=shown[1])
    return person


def _check_can_set_away(by: User, person: User) -> None:
    led = by.standing.lead_levels & (person.standing.agent_levels | person.standing.lead_levels)
    if by.pk != person.pk and not by.standing.is_administrator and not led:
        raise NotPermitted("Only leads of their tiers and administrators say that somebody else is away.")
    if by.standing.reads_only or by.standing.is_integration:
        raise NotPermitted("Only those who work tickets are away from them.")


def _hand_on(person: User, by: User, reassign: str) -> int:
    """Give the open tickets of somebody who is away to others; one that the giver may not assign stays."""
    numbers = Ticket.objects.visible_to(by).filter(assignee=person, status__in=OPEN_STATUSES).order_by("pk")
    moved = 0
    for number in list(numbers.values_list("number", flat=True)):
        try:
            with transaction.atomic():
                if reassign == "turn":
                    try:
                        assign_in_turn(number=number, by=by)
                    except Invalid:
                        assign(number=number, by=by, to=None)
                else:
                    assign(number=number, by=by, to=None)
                moved += 1
        except NotPermitted:
            continue
    return moved
