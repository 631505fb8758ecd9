"""Which promise holds for a ticket: policies, targets and pauses as one object, kept until somebody edits them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.db import connection
from django.utils import timezone

from staff.models import Tier
from tickets.models import Category, Clock, CustomField, SLAPause, SLAPolicy, SLARevision, SLATarget, Ticket

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Terms:
    """What a clock runs by."""

    policy_id: int
    calendar_version_id: int
    target_seconds: int

    @property
    def target(self) -> timedelta:
        return timedelta(seconds=self.target_seconds)


@dataclass(frozen=True)
class Rules:
    """All policies in order with their targets, and the pauses, in force since `edited_at`.

    Tiers, categories and custom fields come along: they change as rarely, and every page shows them.
    """

    policies: tuple[SLAPolicy, ...]
    targets: Mapping[tuple[int, int, str, str], int]
    pauses: frozenset[tuple[str, str]]
    edited_at: datetime
    tiers: tuple[Tier, ...]
    categories: tuple[Category, ...]
    fields: tuple[CustomField, ...]

    def policy_for(self, ticket: Ticket) -> SLAPolicy | None:
        """The first policy whose conditions the ticket meets; the fallback comes last."""
        return next((policy for policy in self.policies if _matches(policy, ticket)), None)

    def terms(self, ticket: Ticket, clock: str) -> Terms | None:
        """What a clock of the ticket runs by; None where nothing is promised."""
        policy = self.policy_for(ticket)
        if policy is None or policy.calendar.current_id is None:
            return None
        for source in (policy, self.policies[-1]):
            seconds = self.targets.get((source.pk, ticket.tier_id, ticket.priority, clock))
            if seconds is not None and (source is policy or source.is_fallback):
                return Terms(policy.pk, policy.calendar.current_id, seconds)
        return None

    def is_paused(self, ticket: Ticket, clock: str) -> bool:
        return (ticket.status, clock) in self.pauses

    def policy(self, policy_id: int | None) -> SLAPolicy | None:
        return next((policy for policy in self.policies if policy.pk == policy_id), None)


def _matches(policy: SLAPolicy, ticket: Ticket) -> bool:
    return (
        (policy.tier_id is None or policy.tier_id == ticket.tier_id)
        and (policy.category_id is None or policy.category_id == ticket.category_id)
        and (policy.organization_id is None or policy.organization_id == ticket.requester.organization_id)
        and (not policy.tag or policy.tag in ticket.tags)
        and (not policy.channel or policy.channel == ticket.channel)
    )


def current() -> Rules:
    """The rules in force: one statement, more only after an edit."""
    number, edited_at = SLARevision.objects.values_list("number", "edited_at").first() or (0, _NEVER)
    return of(number, edited_at)


@lru_cache(maxsize=4)
def of(number: int, edited_at: datetime) -> Rules:
    """The rules of a revision, for a reader that fetched its number along with something else."""
    policies = SLAPolicy.objects.filter(active=True).select_related("calendar")
    targets = SLATarget.objects.values_list("policy_id", "tier_id", "priority", "clock", "seconds")
    return Rules(
        policies=tuple(policies),
        targets={(policy, tier, priority, clock): seconds for policy, tier, priority, clock, seconds in targets},
        pauses=frozenset(SLAPause.objects.values_list("status", "clock")),
        edited_at=edited_at,
        tiers=tuple(Tier.objects.all()),
        categories=tuple(Category.objects.all()),
        fields=tuple(CustomField.objects.filter(active=True).prefetch_related("categories")),
    )


def bump() -> None:
    """After an edit: a number that was never there, also not in a transaction that was taken back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('tickets_sla_revision')")
        number = cursor.fetchone()[0]
    now = timezone.now()
    if not SLARevision.objects.update(number=number, edited_at=now):
        SLARevision.objects.create(number=number, edited_at=now)


RESPONSE_CLOCKS = (Clock.FIRST_RESPONSE, Clock.NEXT_RESPONSE)
