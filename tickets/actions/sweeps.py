"""Work that beat asks for again and again."""

from django.db import transaction

from tickets.sla import clocks


def sweep_sla() -> int:
    """Breach every clock that is due, a batch a transaction. Returns how many."""
    total = 0
    while True:
        with transaction.atomic():
            count = clocks.sweep()
        total += count
        if count == 0:
            return total
