"""Work that beat asks for again and again."""

from django.db import transaction
from django.utils import timezone

from staff.actions import automation
from staff.models import Tier
from supportdesk.errors import DeskError
from tickets.actions.properties import hand_over, raise_priority
from tickets.models import Clock, Priority
from tickets.sla import sweep


def sweep_sla() -> int:
    """Act on every clock whose moment has come, a batch a transaction. Returns how many breached."""
    total = 0
    while True:
        with transaction.atomic():
            swept = sweep.batch(now=timezone.now())
            for row in swept.consequences:
                _follow_policy(row)
        total += swept.breached
        if swept.looked_at == 0:
            return total


def _follow_policy(row: sweep.Reached) -> None:
    """What a policy does on a breach: raise the priority, escalate to the next tier with a written reason."""
    number, clock = row.ticket.number, Clock(row.timer.clock).label.lower()
    policy = row.timer.policy
    if policy is None:
        return
    by = automation()
    try:
        with transaction.atomic():
            if policy.breach_raises_priority and row.ticket.priority != Priority.URGENT:
                raise_priority(number=number, by=by, clock=clock)
            following = Tier.objects.filter(level__gt=row.ticket.tier.level).first()
            if policy.breach_escalates and following is not None:
                reason = f"The promise of the {clock} was broken, and the policy “{policy}” escalates then."
                hand_over(number=number, by=by, to=following, tried=reason, because=clock)
    except DeskError:
        # The ticket was closed or changed meanwhile; the breach stands all the same.
        return
