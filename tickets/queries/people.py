"""Who works the tiers, who is there, and how much each has."""

from dataclasses import dataclass

from django.db.models import Count, Q

from staff.models import Membership, Tier, User
from supportdesk.text import number_of
from tickets.models import OPEN_STATUSES, Ticket


@dataclass(frozen=True)
class Colleague:
    """A member of a tier with their open tickets as the reader may see them; snoozed ones are counted apart."""

    user: User
    role: str
    here: int
    snoozed: int
    can_set_away: bool


def person(text: str) -> User | None:
    """The person of a filter by id; nothing is asked for other filters."""
    key = number_of(text)
    return User.objects.filter(pk=key).first() if key is not None else None


def team(user: User) -> list[tuple[Tier, list[Colleague]]]:
    """Every tier with its members: three statements, however many they are."""
    open_ones = Ticket.objects.visible_to(user).filter(status__in=OPEN_STATUSES, assignee__isnull=False).order_by()
    counts = {
        row["assignee"]: (row["here"], row["snoozed"])
        for row in open_ones.values("assignee").annotate(
            here=Count("pk", filter=Q(snoozed_until=None)), snoozed=Count("pk", filter=Q(snoozed_until__isnull=False))
        )
    }
    members = Membership.objects.filter(tier__isnull=False, user__is_active=True).select_related("user", "tier")
    tiers: dict[Tier, list[Colleague]] = {tier: [] for tier in Tier.objects.all()}
    for member in members.order_by("user__name", "pk"):
        assert member.tier is not None  # noqa: S101 - filtered
        mine = member.user_id == user.pk and not user.standing.reads_only
        leads = user.standing.is_administrator or member.tier.level in user.standing.lead_levels
        here, snoozed = counts.get(member.user_id, (0, 0))
        tiers[member.tier].append(Colleague(member.user, member.get_role_display(), here, snoozed, mine or leads))
    return list(tiers.items())
