"""What workers say of themselves, and how queues stand."""

import logging
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from celery import signals
from django.db import DatabaseError, connection
from django.db.models.functions import Now
from django.utils import timezone

from runbooks.models import Execution, RunState, Worker
from supportdesk.doorbell import client, ring
from supportdesk.models import WorkerSeen

log = logging.getLogger(__name__)

RENEW_EVERY = 5.0  # seconds
_ended = threading.Event()


@signals.worker_ready.connect
def _ready(sender: Any = None, **kwargs: Any) -> None:
    """A worker began: keep its row fresh while it lives."""
    queues = sorted(str(name) for name in sender.app.amqp.queues)
    slots = getattr(sender.controller, "concurrency", None) or 1
    threading.Thread(target=_keep, args=(sender.hostname, queues, slots), name="fleet", daemon=True).start()


def _keep(name: str, queues: list[str], slots: int) -> None:
    begun = timezone.now()
    facts = {"queues": queues, "slots": slots, "started_at": begun, "draining_at": None, "stopped_at": None}
    known = False
    while not _ended.is_set():
        try:
            if not known:
                Worker.objects.update_or_create(name=name, defaults=facts)
                known = True
            Worker.objects.filter(name=name).update(seen_at=Now())
        except DatabaseError as error:
            log.warning("the worker %s could not say that it lives: %s", name, error)
            connection.close()
        _ended.wait(RENEW_EVERY)
    connection.close()


@signals.worker_shutting_down.connect
def _draining(sender: Any = None, **kwargs: Any) -> None:
    """Asked to end: its runs hand over at their next step."""
    drain(str(sender))


def drain(name: str) -> None:
    """Mark a worker as ending. In a thread: a signal may come in the middle of another statement."""

    def write() -> None:
        try:
            Worker.objects.filter(name=name).update(draining_at=Now())
        except DatabaseError as error:
            log.warning("the worker %s could not say that it ends: %s", name, error)
        finally:
            connection.close()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(timeout=5)


@signals.worker_shutdown.connect
def _stopped(sender: Any = None, **kwargs: Any) -> None:
    _ended.set()
    name = getattr(sender, "hostname", "")
    try:
        Worker.objects.filter(name=name).update(stopped_at=Now())
    except DatabaseError:
        connection.close()


def send_canaries() -> int:
    """A small task to every queue that a living worker says it takes: what comes back proves that it does."""
    queues = {queue for worker in Worker.objects.filter(stopped_at=None) if worker.is_alive for queue in worker.queues}
    return sum(ring("supportdesk.canary", queue, queue=queue, expires=30) for queue in sorted(queues))


@dataclass(frozen=True)
class QueueState:
    """One queue: how many messages wait in Redis (None: Redis is away), runs queued, workers, the last canary."""

    name: str
    depth: int | None
    queued: int
    running: int
    workers: int
    canary_at: datetime | None

    @property
    def is_healthy(self) -> bool:
        recent = self.canary_at is not None and (timezone.now() - self.canary_at).total_seconds() < 60
        return self.workers > 0 and recent


def queues() -> list[QueueState]:
    """Every queue that a worker takes or a run is in."""
    workers = [worker for worker in Worker.objects.filter(stopped_at=None) if worker.is_alive]
    active = Execution.objects.filter(state__in=[RunState.QUEUED, RunState.RUNNING, RunState.CANCELLING])
    runs = list(active.values_list("queue", "state"))
    seen = dict(WorkerSeen.objects.values_list("queue", "seen_at"))
    names = {queue for worker in workers for queue in worker.queues} | {queue for queue, _ in runs} | {"runbooks"}
    return [
        QueueState(
            name=name,
            depth=_depth(name),
            queued=sum(queue == name and state == RunState.QUEUED for queue, state in runs),
            running=sum(queue == name and state != RunState.QUEUED for queue, state in runs),
            workers=sum(name in worker.queues for worker in workers),
            canary_at=seen.get(name),
        )
        for name in sorted(names)
    ]


def _depth(queue: str) -> int | None:
    try:
        return int(client().llen(queue))
    except (redis.RedisError, OSError):
        return None
