"""A run's output on its way into the database: whole lines, redacted, in small pieces, within a limit."""

import base64
import codecs
import json
import logging
import re
import threading
import time
import unicodedata
from urllib.parse import quote, quote_plus

from django.db import DatabaseError, connection, transaction
from django.db.models import F

from runbooks.models import Execution, OutputChunk
from supportdesk import events

log = logging.getLogger(__name__)

MOST_BYTES = 32 * 1024
FLUSH_EVERY = 0.25  # seconds
PARTIAL_AFTER = 1.0  # seconds until a line without an end is shown
MASK = "•••"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]")


class Redactor:
    """Replaces secrets, also in base64, URL and JSON form. Works on whole lines, so nothing hides in a seam."""

    def __init__(self, secrets: list[str]) -> None:
        forms: set[str] = set()
        for secret in filter(None, secrets):
            forms |= {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
            forms |= {line for line in secret.splitlines() if len(line) >= 8}
            encoded = base64.b64encode(secret.encode()).decode()
            forms |= {
                encoded,
                encoded.rstrip("="),
                base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
            }
        self._forms = sorted((form for form in forms if len(form) >= 4), key=len, reverse=True)
        self._longest = max(map(len, self._forms), default=0)

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def safe_cut(self, text: str, wanted: int) -> int:
        """Where a text may be cut without splitting a secret: `wanted` or a little before it."""
        for form in self._forms:
            start = text.find(form, max(0, wanted - len(form) + 1), wanted + len(form) - 1)
            if 0 <= start < wanted:
                wanted = start
        tail = text[max(0, wanted - self._longest) : wanted]
        for size in range(min(len(tail), self._longest - 1), 0, -1):
            if wanted == len(text) and any(form.startswith(tail[-size:]) for form in self._forms):
                return wanted - size
        return wanted


def printable(text: str) -> str:
    """Without colour codes and control characters, which neither PostgreSQL nor a page can show."""
    text = _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"})


class OutputWriter:
    """Collects bytes of one step and stores them as chunks of one attempt.

    A chunk is refused when the attempt is no longer this worker's. When the database is away it
    keeps what it has and tries again; `full` then asks the reader to wait.
    """

    def __init__(self, execution_id: int, attempt: int, *, limit: int, redact: Redactor) -> None:
        self.execution_id, self.attempt, self.limit = execution_id, attempt, limit
        self.redact = redact
        self.step_id = ""
        self.truncated = False
        self._lock = threading.RLock()
        self._waiting: list[tuple[str, str, str]] = []
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._partial: dict[str, str] = {}
        self._flushed = self._last_write = time.monotonic()
        row = Execution.objects.values_list("last_seq", "output_bytes").get(pk=execution_id)
        self._seq, self._bytes = row

    @property
    def full(self) -> bool:
        return sum(len(text) for _, _, text in self._waiting) > 4 * 1024**2

    def feed(self, stream: str, data: bytes) -> None:
        """Take bytes of a step; UTF-8 may be split anywhere, wrong bytes become a mark."""
        decoder = self._decoders.setdefault(stream, codecs.getincrementaldecoder("utf-8")("replace"))
        with self._lock:
            self._last_write = time.monotonic()
            text = self._partial.pop(stream, "") + decoder.decode(data)
            whole, newline, rest = text.rpartition("\n")
            if newline:
                self._add(stream, whole + newline)
            while len(rest) > MOST_BYTES:
                cut = self.redact.safe_cut(rest, MOST_BYTES) or MOST_BYTES
                self._add(stream, rest[:cut])
                rest = rest[cut:]
            if rest:
                self._partial[stream] = rest

    def say(self, text: str) -> None:
        """A line of the engine's own."""
        with self._lock:
            self._add("desk", text + "\n")
        self.flush()

    def _add(self, stream: str, text: str) -> None:
        if self.truncated:
            return
        text = self.redact(printable(text))
        self._bytes += len(text.encode())
        if self._bytes > self.limit:
            self.truncated = True
            text, stream = (
                f"The output limit of {self.limit // 1024} KB is reached; the rest is not kept.\n",
                "desk",
            )
        last = self._waiting[-1] if self._waiting else None
        if last and last[:2] == (self.step_id, stream) and len(last[2]) + len(text) <= MOST_BYTES:
            self._waiting[-1] = (*last[:2], last[2] + text)
            return
        for start in range(0, len(text), MOST_BYTES):
            self._waiting.append((self.step_id, stream, text[start : start + MOST_BYTES]))

    def tick(self) -> None:
        """Call often: stores what waited long enough."""
        now = time.monotonic()
        if now - self._last_write > PARTIAL_AFTER and self._partial:
            with self._lock:
                for stream in list(self._partial):
                    text = self._partial[stream]
                    cut = self.redact.safe_cut(text, len(text))
                    self._add(stream, text[:cut])
                    self._partial[stream] = text[cut:]
                    if not self._partial[stream]:
                        del self._partial[stream]
        if self._waiting and now - self._flushed >= FLUSH_EVERY:
            self.flush()

    def finish_step(self) -> None:
        """Store what is left of a step, also a last line without its end."""
        with self._lock:
            for stream, text in self._partial.items():
                self._add(stream, text)
            self._partial.clear()
            self._decoders.clear()
        self.flush()

    def flush(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            try:
                with transaction.atomic():
                    self._store()
            except DatabaseError as error:
                log.warning("run %s: output waits, the database is away: %s", self.execution_id, error)
                connection.close()
                return
            finally:
                self._flushed = time.monotonic()
            self._waiting.clear()

    def flush_or_raise(self) -> None:
        """Store what waits, or raise the database's error; for the end of a step, when nothing flushes after it."""
        with self._lock, transaction.atomic():
            if self._waiting:
                self._store()
        with self._lock:
            self._waiting.clear()

    def _store(self) -> None:
        seq = self._seq + len(self._waiting)
        mine = Execution.objects.filter(pk=self.execution_id, attempt=self.attempt, state__in=["running", "cancelling"])
        if not mine.update(
            last_seq=seq,
            output_bytes=F("output_bytes") + sum(len(text.encode()) for *_, text in self._waiting),
        ):
            return  # a newer attempt writes now
        OutputChunk.objects.bulk_create(
            OutputChunk(
                execution_id=self.execution_id,
                seq=self._seq + n,
                attempt=self.attempt,
                step_id=step_id,
                stream=stream,
                text=text,
            )
            for n, (step_id, stream, text) in enumerate(self._waiting, 1)
        )
        transaction.on_commit(lambda: setattr(self, "_seq", seq))
        events.publish(f"run.{self.execution_id}", "output")
