"""Who runs a run: claim, renew, notice. All times are the database's clock."""

import logging
import threading
import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from django.db import DatabaseError, connection
from django.db.models import Exists, F
from django.db.models.functions import Coalesce, Now

from runbooks.models import Execution, RunState, Worker

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
RENEW_EVERY = 15.0  # seconds
GIVE_UP_AFTER = 45.0  # seconds without a renewal: stop before the lease runs out
LOOK_EVERY = 0.5  # seconds between looks at the cancel flag


def claim(execution_id: int, worker: str) -> int | None:
    """Take a queued run by compare-and-swap; the new attempt number, or None when somebody else has it."""
    claimed = Execution.objects.filter(pk=execution_id, state=RunState.QUEUED).update(
        state=RunState.RUNNING,
        waiting_for="",
        wake_at=None,
        attempt=F("attempt") + 1,
        worker=worker[:200],
        started_at=Coalesce(F("started_at"), Now()),
        lease_expires_at=Now() + LEASE,
    )
    if not claimed:
        return None
    return Execution.objects.values_list("attempt", flat=True).get(pk=execution_id)


class Heartbeat(threading.Thread):
    """Renews the lease of one attempt and watches for a cancel. `stopped` is set when the step must end.

    `reason` is then "cancel" (somebody asked) or "lost" (the lease is another's, or was not renewed
    for 45 s). `pause` and `drain` (this worker is to end) are obeyed between steps only.
    """

    def __init__(self, execution_id: int, attempt: int, worker: str = "") -> None:
        super().__init__(name=f"lease of run {execution_id}", daemon=True)
        self.execution_id, self.attempt, self.worker = execution_id, attempt, worker
        self.stopped, self.lost = threading.Event(), threading.Event()
        self.pause = self.drain = False
        self.reason: str | None = None
        self._done = threading.Event()
        self._renewed = time.monotonic()
        # Apart from the thread that asks the database: one that hangs must not hide that time is up.
        self._watch = threading.Thread(target=self._watch_time, name=f"watch of run {execution_id}", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self.join(timeout=10)

    def run(self) -> None:
        try:
            while not self._done.wait(LOOK_EVERY):
                try:
                    self._look()
                except DatabaseError as error:
                    log.warning("run %s: the database is away: %s", self.execution_id, error)
                    connection.close()
        finally:
            connection.close()

    def _look(self) -> None:
        mine = Execution.objects.filter(
            pk=self.execution_id, attempt=self.attempt, state__in=[RunState.RUNNING, RunState.CANCELLING]
        )
        now = time.monotonic()
        if now - self._renewed >= RENEW_EVERY and mine.update(lease_expires_at=Now() + LEASE):
            self._renewed = now
        draining = Worker.objects.filter(name=self.worker, draining_at__isnull=False)
        row = mine.annotate(drains=Exists(draining)).values_list("state", "pause_requested_at", "drains").first()
        if row is None:
            self.lose()
            return
        self.pause, self.drain = row[1] is not None, row[2]
        if row[0] == RunState.CANCELLING:
            self._end("cancel")

    def look(self) -> None:
        """Look at once, in the caller's thread: between two steps nothing is to be half a second late."""
        try:
            self._look()
        except DatabaseError as error:
            log.warning("run %s: the database is away: %s", self.execution_id, error)
            connection.close()

    def _watch_time(self) -> None:
        while not self._done.wait(1.0):
            if time.monotonic() - self._renewed > GIVE_UP_AFTER:
                self.lose()

    def lose(self) -> None:
        """The lease is not this worker's any more."""
        self._end("lost")

    def _end(self, reason: str) -> None:
        self.reason = reason if reason == "lost" else self.reason or reason
        if reason == "lost":
            self.lost.set()
        self.stopped.set()
