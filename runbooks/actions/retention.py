"""What old runs leave behind, and for how long."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from runbooks.models import FINAL_STATES, Execution, OutputChunk

MOST_AT_ONCE = 500


def forget() -> dict[str, int]:
    """Remove output older than `RUN_OUTPUT_DAYS`, and whole runs older than `RUN_DAYS` (0: never)."""
    now = timezone.now()
    ended = Execution.objects.filter(state__in=FINAL_STATES)
    outputs = runs = 0
    if settings.RUN_OUTPUT_DAYS:
        old = ended.filter(finished_at__lt=now - timedelta(days=settings.RUN_OUTPUT_DAYS), output_removed_at=None)
        for pk in list(old.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE]):
            with transaction.atomic():
                OutputChunk.objects.filter(execution=pk).delete()
                Execution.objects.filter(pk=pk).update(output_removed_at=now)
                outputs += 1
    if settings.RUN_DAYS:
        old = ended.filter(finished_at__lt=now - timedelta(days=settings.RUN_DAYS), children=None)
        for pk in list(old.order_by("-pk").values_list("pk", flat=True)[:MOST_AT_ONCE]):
            Execution.objects.filter(pk=pk).delete()
            runs += 1
    return {"outputs": outputs, "runs": runs}
