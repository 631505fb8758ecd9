"""Reports that answer at once: found live where that is quick, else as counted ahead by a worker, with how old it is.

What takes longer than a reader should wait is counted in the background, kept for the reader who asked, and counted
anew every ten minutes while somebody asks. One at a time is counted, so that clocks and mail never wait for figures. Sums of hidden tickets never leave: each reader has their own.
"""

import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from supportdesk import doorbell
from supportdesk.errors import DeskError, Invalid
from workspace import reports
from workspace.models import CountedReport
from workspace.scope import Scope
from workspace.tables import Row, Table

PATIENCE_MS = 200  # what takes longer is left to a worker
FRESH = timedelta(minutes=10)
WANTED_FOR = timedelta(hours=2)  # after the last question
KEEP = timedelta(days=14)
CLAIM = timedelta(minutes=6)
LONGEST_MS = 60_000
SWEEP_SECONDS = 20.0
_ONE_AT_A_TIME = 7_301_544_210  # the key of the lock that whoever counts holds
_CANCELED = "57014"  # query_canceled, of PostgreSQL's error codes
_LIMIT = "SELECT set_config('statement_timeout', %s, true)"


@dataclass(frozen=True)
class Found:
    """A table and when it was counted; no table while it is being counted for the first time."""

    table: Table | None
    counted_at: datetime | None
    live: bool
    problem: str = ""


def find(key: str, scope: Scope) -> Found:
    """A report for a reader, within some 200 ms whatever it costs. Raises `QueryError` for a query that cannot be read."""
    row = CountedReport.objects.filter(user=scope.user, asked=_asked(key, scope)).first()
    now = timezone.now()
    if row is None or (row.counted_at is not None and row.counted_at < now - FRESH and row.took_ms < PATIENCE_MS):
        try:
            table = _live(key, scope)
        except OperationalError:
            row, _ = CountedReport.objects.get_or_create(user=scope.user, asked=_asked(key, scope))
        else:
            CountedReport.objects.filter(user=scope.user, asked=_asked(key, scope)).delete()
            return Found(table, now, live=True)
    CountedReport.objects.filter(pk=row.pk).update(asked_at=now)
    free = row.claimed_at is None or row.claimed_at < now - CLAIM
    if free and (row.counted_at is None or row.counted_at < now - FRESH):
        transaction.on_commit(lambda: doorbell.ring("workspace.count_report", row.pk))
    return Found(_read(row.found) if row.found else None, row.counted_at, live=False, problem=row.problem)


def _asked(key: str, scope: Scope) -> str:
    return f"{key}|{scope.first_day}|{scope.last_day}|{scope.zone.key}|{scope.query}"


def _live(key: str, scope: Scope) -> Table:
    """Found now, all its statements within the patience. Raises `OperationalError` beyond it."""
    until = time.monotonic() + PATIENCE_MS / 1000

    def within(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        rest = max(1, round(1000 * (until - time.monotonic())))
        context["cursor"].cursor.execute(_LIMIT, [str(rest)])
        return execute(sql, params, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(within):
            table = reports.report(key).find(scope)
        _limit(0)
    return table


def _limit(milliseconds: int) -> None:
    """Let no statement of the open transaction take longer; 0 lifts it."""
    with connection.cursor() as cursor:
        cursor.execute(_LIMIT, [str(milliseconds)])


def patiently(key: str, scope: Scope) -> Table:
    """Find a report however long it takes, up to a minute a statement. Raises `Invalid` beyond it, and for its query."""
    try:
        with transaction.atomic():
            _limit(LONGEST_MS)
            table = reports.report(key).find(scope)
            _limit(0)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != _CANCELED:
            raise
        raise Invalid("It takes more than a minute to count.") from None
    return table


def count(pk: int) -> bool:
    """Count one that takes long, unless any is being counted. Returns whether this call did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ONE_AT_A_TIME])
        if not cursor.fetchone()[0]:
            return False
    try:
        return _count(pk)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ONE_AT_A_TIME])


def _count(pk: int) -> bool:
    now = timezone.now()
    free = CountedReport.objects.filter(pk=pk).filter(Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM))
    if not free.update(claimed_at=now):
        return False
    row = CountedReport.objects.select_related("user").get(pk=pk)
    begun = time.monotonic()
    try:
        found: dict[str, Any] | None = asdict(patiently(*_scope(row)))
        problem = ""
    except DeskError as error:
        found, problem = row.found, str(error)[:300]
    took = round(1000 * (time.monotonic() - begun))
    CountedReport.objects.filter(pk=pk).update(
        found=found, problem=problem, counted_at=timezone.now(), took_ms=took, claimed_at=None
    )
    return True


def _scope(row: CountedReport) -> tuple[str, Scope]:
    key, first, last, zone, query = row.asked.split("|", 4)
    return key, Scope.read(row.user, {"from": first, "to": last, "zone": zone, "q": query})


def sweep() -> int:
    """Count anew what somebody asked for of late and has grown old, and let go what nobody asks for. Returns how many were counted."""
    now = timezone.now()
    CountedReport.objects.filter(asked_at__lt=now - KEEP).delete()
    old = CountedReport.objects.filter(asked_at__gte=now - WANTED_FOR, user__is_active=True)
    old = old.filter(Q(counted_at=None) | Q(counted_at__lt=now - FRESH)).order_by(F("counted_at").asc(nulls_first=True))
    until = time.monotonic() + SWEEP_SECONDS
    return sum(count(pk) for pk in list(old.values_list("pk", flat=True)[:200]) if time.monotonic() < until)


def _read(found: dict[str, Any]) -> Table:
    return Table(**{**found, "rows": [Row(**row) for row in found["rows"]]})
