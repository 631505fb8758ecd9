"""A run's output on its way into the database: bytes as they came, redacted, in order, in pieces, within limits."""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Sum
from django.db.models.functions import Length
from django.utils import timezone

from runbooks.engine.redaction import Redactor
from runbooks.models import Execution, OutputChunk
from supportdesk import events

log = logging.getLogger(__name__)

MOST_BYTES = 32 * 1024
FLUSH_EVERY = 0.25  # seconds
PARTIAL_AFTER = 0.4  # seconds until a line without an end is shown
MOST_WAITING = 1024**2  # bytes that wait for a flush; then the reader stores them itself
MOST_KEPT = 4 * MOST_WAITING  # bytes kept while the database is away; then the reader waits


@dataclass
class _Piece:
    step_id: str
    stream: str
    data: bytes
    at: datetime


class OutputWriter:
    """Collects what the steps of an attempt write and stores it in chunks, in one order for the whole run.

    A chunk is refused when the attempt is no longer this worker's. When the database is away it
    keeps what it has and tries again; `full` then asks the reader to wait.
    """

    def __init__(self, execution_id: int, attempt: int, *, limit: int, on_output: str, redact: Redactor) -> None:
        self.execution_id, self.attempt = execution_id, attempt
        self.limit, self.on_output, self.redact = limit, on_output, redact
        self.over = threading.Event()  # more than the limit came, and that ends the run
        self._closing = False
        self._lock = threading.RLock()
        self._waiting: list[_Piece] = []
        self._size = 0  # bytes that wait
        self._flushed = 0.0
        row = Execution.objects.values_list("last_seq", "output_bytes", "output_lines").get(pk=execution_id)
        self._seq, self._bytes, self._lines = row
        self._kept = self._bytes - (Execution.objects.values_list("output_cut", flat=True).get(pk=execution_id))
        self._own = StepOutput(self, "")

    @property
    def full(self) -> bool:
        return self._size > MOST_KEPT

    def step(self, step_id: str, *, limit: int | None = None) -> "StepOutput":
        return StepOutput(self, step_id, limit=limit)

    def say(self, text: str, step_id: str = "") -> None:
        """A line of the engine's own."""
        self.add(step_id, "desk", self.redact.data(text.encode(errors="replace")) + b"\n")
        self.flush()

    def add(self, step_id: str, stream: str, data: bytes) -> None:
        """Take redacted bytes."""
        if not data or (self.over.is_set() and stream != "desk" and not self._closing):
            return
        with self._lock:
            last = self._waiting[-1] if self._waiting else None
            if last and (last.step_id, last.stream) == (step_id, stream) and len(last.data) + len(data) <= MOST_BYTES:
                last.data += data
                self._size += len(data)
            else:
                now = timezone.now()
                for start in range(0, len(data), MOST_BYTES):
                    piece = data[start : start + MOST_BYTES]
                    self._waiting.append(_Piece(step_id, stream, piece, now))
                    self._size += len(piece)
            if (
                self.on_output == "stop"
                and stream != "desk"
                and not self._closing
                and self._kept + self._size > self.limit
            ):
                words = f"The output limit of {self.limit // 1024} KB is reached; the run stops.\n"
                self._waiting.append(_Piece(step_id, "desk", words.encode(), timezone.now()))
                self.over.set()

    def close_limit(self) -> None:
        """What cleans up after the run may speak, though the run spoke too much."""
        self._closing = True

    def tick(self) -> None:
        """Call often: stores what waited long enough."""
        if self._waiting and (time.monotonic() - self._flushed >= FLUSH_EVERY or self._size > MOST_WAITING):
            self.flush()

    def flush(self) -> None:
        """Store what waits; when the database is away it goes on waiting."""
        with self._lock:
            try:
                self.flush_or_raise()
            except DatabaseError as error:
                log.warning("run %s: output waits, the database is away: %s", self.execution_id, error)
                connection.close()
            finally:
                self._flushed = time.monotonic()

    def flush_or_raise(self) -> None:
        """Store what waits, or raise the database's error; for the end of a step, when nothing flushes after it."""
        with self._lock:
            if not self._waiting:
                return
            with transaction.atomic():
                stored = self._store()
            if stored is not None:
                self._seq, self._bytes, self._lines = stored
            self._waiting.clear()
            self._size = 0
            if self._kept > self.limit and self.on_output == "truncate":
                with transaction.atomic():
                    self._cut_the_middle()

    def _store(self) -> tuple[int, int, int] | None:
        rows, seq, offset, line = [], self._seq, self._bytes, self._lines
        for piece in self._waiting:
            seq += 1
            rows.append(
                OutputChunk(
                    execution_id=self.execution_id,
                    first_seq=seq,
                    seq=seq,
                    attempt=self.attempt,
                    step_id=piece.step_id,
                    stream=piece.stream,
                    data=piece.data,
                    offset=offset,
                    line=line,
                    at=piece.at,
                )
            )
            offset += len(piece.data)
            line += piece.data.count(b"\n")
        mine = Execution.objects.filter(pk=self.execution_id, attempt=self.attempt, state__in=["running", "cancelling"])
        if not mine.update(last_seq=seq, output_bytes=offset, output_lines=line):
            return None  # a newer attempt writes now
        OutputChunk.objects.bulk_create(rows)
        self._kept += offset - self._bytes
        events.publish(f"run.{self.execution_id}", "output")
        return seq, offset, line

    def _cut_the_middle(self) -> None:
        """Keep the first half of the limit and the newest; one row says how much between them is gone."""
        chunks = OutputChunk.objects.filter(execution=self.execution_id)
        head = self.limit // 2
        middle = chunks.filter(offset__gte=head, cut_bytes=0).order_by("seq")
        size, gone = 0, []
        for row in middle.annotate(size=Length("data")).values_list("pk", "size", "seq").iterator(chunk_size=200):
            if self._kept - size <= self.limit:
                break
            size += row[1]
            gone.append(row)
        if not gone:
            return
        mark = chunks.filter(cut_bytes__gt=0).first()
        first = chunks.filter(pk=gone[0][0]).values("first_seq", "offset", "line", "step_id").get()
        chunks.filter(pk__in=[pk for pk, _, _ in gone]).delete()
        if mark is None:
            mark = OutputChunk(execution_id=self.execution_id, attempt=self.attempt, stream="desk", **first)
        mark.seq, mark.cut_bytes = gone[-1][2], mark.cut_bytes + size
        mark.data = (
            f"… {mark.cut_bytes / 1024**2:.1f} MB are left out here: the limit is {self.limit // 1024} KB …\n".encode()
        )
        mark.save()
        self._kept -= size
        Execution.objects.filter(pk=self.execution_id).update(output_cut=F("output_cut") + size)


class StepOutput:
    """What one step writes; several steps may write at the same time."""

    def __init__(self, writer: OutputWriter, step_id: str, *, limit: int | None = None) -> None:
        self.writer, self.step_id, self._limit = writer, step_id, limit
        self.taken = 0
        self.cut = False
        self._lock = threading.RLock()
        self._pending: dict[str, bytes] = {}
        self._last_write = time.monotonic()

    @property
    def full(self) -> bool:
        return self.writer.full

    @property
    def is_over(self) -> bool:
        """Whether the run must stop because it wrote too much."""
        return self.writer.over.is_set() and not self.writer._closing

    @property
    def redact(self) -> Redactor:
        return self.writer.redact

    def feed(self, stream: str, data: bytes) -> None:
        """Take bytes; what may be the beginning of a secret, or of a line, waits for the rest."""
        with self._lock:
            self._last_write = time.monotonic()
            data = self._within(data)
            data = self._pending.pop(stream, b"") + data
            ready = data.rfind(b"\n") + 1
            if len(data) - ready > MOST_BYTES:
                ready = _whole_characters(data, len(data))
            ready = min(ready, len(data) - self.redact.held(data))
            self.writer.add(self.step_id, stream, self.redact.data(data[:ready]))
            if data[ready:]:
                self._pending[stream] = data[ready:]
        if self.writer._size > MOST_WAITING:
            self.writer.flush()

    def _within(self, data: bytes) -> bytes:
        """As much of the data as the step's own limit leaves."""
        if self._limit is None or self.cut:
            return b"" if self.cut else data
        left = self._limit - self.taken
        self.taken += len(data)
        if len(data) > left:
            self.cut = True
            words = f"The step's output limit of {self._limit // 1024} KB is reached; the rest of it is not kept.\n"
            return data[: max(0, left)] + b"\n" + words.encode()
        return data

    def say(self, text: str) -> None:
        self.writer.say(text, self.step_id)

    def tick(self) -> None:
        """Call often: shows a line that has no end yet, and stores what waited long enough."""
        with self._lock:
            if self._pending and time.monotonic() - self._last_write > PARTIAL_AFTER:
                for stream, data in list(self._pending.items()):
                    ready = _whole_characters(data, len(data) - self.redact.held(data))
                    self.writer.add(self.step_id, stream, self.redact.data(data[:ready]))
                    self._pending[stream] = data[ready:]
                    if not self._pending[stream]:
                        del self._pending[stream]
        self.writer.tick()

    def finish_step(self) -> None:
        """Store what is left of the step, also a last line without its end."""
        with self._lock:
            for stream, data in self._pending.items():
                self.writer.add(self.step_id, stream, self.redact.data(data))
            self._pending.clear()
        self.writer.flush()


def _whole_characters(data: bytes, end: int) -> int:
    """`end`, or a little before it where it would split a character of UTF-8."""
    for back in range(1, min(4, end) + 1):
        byte = data[end - back]
        if byte < 0x80:
            return end
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return end if back >= length else end - back
    return end


def compact(execution_id: int) -> int:
    """Join the small chunks of a finished run; the numbers that a joined one stands for stay known. Returns how many went."""
    merged = 0
    with transaction.atomic():
        chunks = OutputChunk.objects.filter(execution=execution_id).order_by("seq")
        total = chunks.aggregate(size=Sum(Length("data")))["size"] or 0
        if chunks.count() <= total // MOST_BYTES + 1:
            return 0
        kept: OutputChunk | None = None
        changed, gone = False, []

        def put_away() -> None:
            if kept is not None and changed:
                OutputChunk.objects.filter(pk=kept.pk).update(seq=kept.seq, data=kept.data)

        for chunk in chunks.iterator(chunk_size=100):
            data = bytes(chunk.data)
            fits = kept is not None and (kept.step_id, kept.stream, kept.attempt) == (
                chunk.step_id, chunk.stream, chunk.attempt,
            )  # fmt: skip
            close = kept is not None and (chunk.at - kept.at).total_seconds() < 1.0  # lines keep the time they came
            if (
                kept is not None
                and fits
                and close
                and not chunk.cut_bytes
                and not kept.cut_bytes
                and len(kept.data) + len(data) <= MOST_BYTES
            ):
                gone.append(chunk.pk)
                kept.data, kept.seq, changed = bytes(kept.data) + data, chunk.seq, True
                merged += 1
                continue
            if len(gone) and changed:
                OutputChunk.objects.filter(pk__in=gone).delete()
                gone.clear()
            put_away()
            kept, changed = chunk, False
            kept.data = data
        OutputChunk.objects.filter(pk__in=gone).delete()
        put_away()
    return merged
