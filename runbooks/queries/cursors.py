"""Where a browser's topic of runs stands in the database."""

from runbooks.models import (
    Execution,
    RunState,
)
from staff.models import User
from supportdesk.text import number_of


def run_cursor(user: User, key: str) -> int | None:
    """Output and state of one run as one growing number."""
    row = (
        Execution.objects.visible_to(user)
        .filter(pk=number_of(key) or 0)
        .values_list("last_seq", "state", "attempt")
        .first()
    )
    if row is None:
        return None
    return int(row[0] * 1000 + row[2] * 20 + list(RunState).index(RunState(row[1])))


def runs_cursor(user: User, key: str) -> int | None:
    if key or not user.is_authenticated:
        return None
    return Execution.objects.order_by("-id").values_list("id", flat=True).first() or 0
