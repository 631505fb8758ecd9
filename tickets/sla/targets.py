"""How long a promise is. Pure."""

from datetime import timedelta

from staff.models import Tier
from tickets.models import Priority

# The guide gives a range per tier; urgent gets its short end, low its long end, the others thirds between.
_THIRDS = {Priority.URGENT: 0, Priority.HIGH: 1, Priority.NORMAL: 2, Priority.LOW: 3}


def response_target(tier: Tier, priority: Priority) -> timedelta:
    """The time to the first response, to the second.

    Tier 1 answers in 1-4 hours, so: urgent 60 min, high 120 min, normal 180 min, low 240 min.
    """
    low, high = tier.response_min_minutes * 60, tier.response_max_minutes * 60
    return timedelta(seconds=low + (high - low) * _THIRDS[Priority(priority)] // 3)
