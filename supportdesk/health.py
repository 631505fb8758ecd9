"""Is it alive, can it serve, and how is it doing."""

import ipaddress
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runbooks.models import Execution, RunState
from supportdesk.models import OutboxItem, WorkerSeen
from tickets.models import InboundEmail, SLATimer, Status, Ticket

SEEN_WITHIN = timedelta(seconds=60)
QUEUES = ("default", "mail", "runbooks")


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when everything that serving needs is there, else 503; the body names each part."""
    parts = {"database": _database(), "redis": _redis()}
    if parts["database"] == "ok":
        parts |= {"migrations": _migrations()} | _workers()
    ready = all(state == "ok" for state in parts.values())
    return JsonResponse({"ready": ready, **parts}, status=200 if ready else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "does not answer"
    return "ok"


def _redis() -> str:
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1).ping()
    except (redis.RedisError, OSError, ValueError):
        return "does not answer"
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(waiting)} to apply: run manage.py migrate" if waiting else "ok"


def _workers() -> dict[str, str]:
    seen = dict(WorkerSeen.objects.values_list("queue", "seen_at"))
    limit = timezone.now() - SEEN_WITHIN
    busy = Execution.objects.filter(state__in=["running", "cancelling"], lease_expires_at__gt=timezone.now())
    if busy.exists():  # its slots may all be taken: a lease that is renewed is as good as a canary
        seen["runbooks"] = timezone.now()
    return {
        f"worker {queue}": "ok" if queue in seen and seen[queue] > limit else "not seen for a minute"
        for queue in QUEUES
    }


class _Desk(Collector):
    """Numbers counted when somebody asks."""

    def collect(self) -> Iterator[Metric]:
        yield self._by(
            "supportdesk_tickets",
            "Tickets by status",
            "status",
            Ticket.objects.values_list("status").annotate(Count("pk")),
            Status.values,
        )
        yield self._by(
            "supportdesk_runs",
            "Runs by state",
            "state",
            Execution.objects.values_list("state").annotate(Count("pk")),
            RunState.values,
        )
        now = timezone.now()
        overdue = (
            SLATimer.objects.acting(now).order_by("next_action_at").values_list("next_action_at", flat=True).first()
        )
        yield GaugeMetricFamily(
            "supportdesk_sla_lag_seconds",
            "Age of the oldest clock that is due and not swept",
            value=_age(overdue, now),
        )
        pending = OutboxItem.objects.filter(done_at=None, gave_up_at=None)
        yield GaugeMetricFamily("supportdesk_outbox_pending", "Outbox rows not delivered", value=pending.count())
        yield GaugeMetricFamily(
            "supportdesk_outbox_given_up",
            "Outbox rows given up",
            value=OutboxItem.objects.exclude(gave_up_at=None).count(),
        )
        yield GaugeMetricFamily(
            "supportdesk_mail_stored",
            "Mail stored and not applied",
            value=InboundEmail.objects.filter(state="stored").count(),
        )
        seen = GaugeMetricFamily(
            "supportdesk_worker_seen_seconds", "Seconds since a canary came through a queue", labels=["queue"]
        )
        for queue, at in WorkerSeen.objects.values_list("queue", "seen_at"):
            seen.add_metric([queue], _age(at, now))
        yield seen

    def _by(self, name: str, text: str, label: str, rows: Any, labels: list[str]) -> GaugeMetricFamily:
        counts = dict(rows)
        family = GaugeMetricFamily(name, text, labels=[label])
        for value in labels:
            family.add_metric([value], counts.get(value, 0))
        return family


def _age(moment: Any, now: Any) -> float:
    return (now - moment).total_seconds() if moment else 0.0


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text, for a bearer of DESK_METRICS_TOKEN, or without one for this machine only."""
    if not _may_scrape(request):
        return HttpResponse(
            "Set DESK_METRICS_TOKEN and send it as a bearer token.\n", status=403, content_type="text/plain"
        )
    registry = CollectorRegistry()
    registry.register(_Desk())
    return HttpResponse(generate_latest(registry), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_scrape(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        return secrets.compare_digest(given, settings.METRICS_TOKEN)
    peer = request.META.get("REMOTE_ADDR", "")
    try:
        return ipaddress.ip_address(peer).is_loopback and "X-Forwarded-For" not in request.headers
    except ValueError:
        return False
