"""What must happen outside: a row in the transaction that decides it, delivered by a task, swept while pending.

Delivery is at least once. A handler is told the row's object id and must make a second call
harmless: it locks its own object and looks whether the work is done.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone

from supportdesk.doorbell import ring_on_commit

log = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(hours=1)
CLAIM = timedelta(minutes=2)
SOON = timedelta(seconds=2)
RUNG_FOR = timedelta(minutes=1)  # a bell for later stays in a worker's memory until then
SWEEP_SECONDS = 10.0  # a sweep leaves the rest to the next one, so that nothing else waits for it
_handlers: dict[str, Callable[[int], None]] = {}


class GiveUp(Exception):
    """A handler's word that trying again is useless."""


class Later(Exception):
    """A handler's word that it is not its turn: ask again soon, nothing failed."""


class OutboxItem(models.Model):
    """One thing to be done outside; `key` makes it once only."""

    handler = models.CharField(max_length=60)
    object_id = models.BigIntegerField()
    key = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    gave_up_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "supportdesk"
        indexes = [
            # Read by sweep(): what is pending and due.
            models.Index(fields=["next_attempt_at"], name="outbox_pending", condition=Q(done_at=None, gave_up_at=None))
        ]


def handler(name: str) -> Callable[[Callable[[int], None]], Callable[[int], None]]:
    """Register the function that delivers rows of this name."""

    def register(function: Callable[[int], None]) -> Callable[[int], None]:
        _handlers[name] = function
        return function

    return register


def put(name: str, object_id: int, *, key: str, at_once: bool = True, not_before: datetime | None = None) -> OutboxItem:
    """Add a row to the open transaction; a key already there is the same row, not a second delivery.

    What need not be `at_once` is left to the next sweep, some seconds later: ringing costs as much as a statement.
    What must not happen before a moment is rung for then, if that is near, else left to the first sweep after it.
    """
    now = timezone.now()
    item = OutboxItem(handler=name, object_id=object_id, key=key, created_at=now, next_attempt_at=not_before or now)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO supportdesk_outboxitem (handler, object_id, key, created_at, next_attempt_at, attempts, last_error)"
            " VALUES (%s, %s, %s, %s, %s, 0, '') ON CONFLICT (key) DO NOTHING RETURNING id",
            [name, object_id, key, item.created_at, item.next_attempt_at],
        )
        made = cursor.fetchone()
    if made is None:
        return OutboxItem.objects.get(key=key)
    item.pk = made[0]
    wait = (item.next_attempt_at - now).total_seconds()
    if at_once and wait < RUNG_FOR.total_seconds():
        ring_on_commit("supportdesk.deliver", item.pk, after=wait + 0.05 if wait > 0 else None)
    return item


def deliver(item_id: int) -> bool:
    """Claim a due row, call its handler, note the end. Returns whether this call delivered it."""
    now = timezone.now()
    due = OutboxItem.objects.filter(pk=item_id, done_at=None, gave_up_at=None, next_attempt_at__lte=now)
    if not due.update(next_attempt_at=now + CLAIM, attempts=models.F("attempts") + 1):
        return False
    item = OutboxItem.objects.get(pk=item_id)
    row = OutboxItem.objects.filter(pk=item_id)
    try:
        _handlers[item.handler](item.object_id)
    except Later:
        row.update(next_attempt_at=timezone.now() + SOON, attempts=item.attempts - 1)
        return False
    except GiveUp as error:
        row.update(gave_up_at=timezone.now(), last_error=str(error))
        return False
    except Exception as error:
        wait = min(timedelta(seconds=5 * 2 ** min(item.attempts, 12)), LONGEST_WAIT)
        row.update(next_attempt_at=timezone.now() + wait, last_error=f"{type(error).__name__}: {error}"[:2000])
        log.warning("outbox %s %s failed, again in %s: %s", item.handler, item.object_id, wait, error)
        return False
    row.update(done_at=timezone.now(), last_error="")
    return True


def sweep(*, limit: int = 200) -> int:
    """Deliver what is due and was not rung for; several sweeps at once share the work."""
    with transaction.atomic():
        due = OutboxItem.objects.filter(done_at=None, gave_up_at=None, next_attempt_at__lte=timezone.now())
        ids = list(
            due.select_for_update(skip_locked=True).order_by("next_attempt_at").values_list("pk", flat=True)[:limit]
        )
    until = time.monotonic() + SWEEP_SECONDS
    return sum(deliver(item_id) for item_id in ids if time.monotonic() < until)
