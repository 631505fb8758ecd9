"""Reads mail in a process of its own: what takes too long or too much there is set aside, and nothing else waits."""

import atexit
import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from tickets.mail import parsing, quotes, returned
from tickets.mail.body import File

SECONDS = 30.0
MEMORY = 256 * 1024 * 1024  # bytes beyond what the process takes when it has nothing to do
MOST_MAILS = 2000  # then a new process takes over, so that none grows for ever


READY_SECONDS = 60.0  # that the process may take to start
OUT_OF_MEMORY = (3, -signal.SIGABRT, -signal.SIGSEGV)  # how the process ends of a message that is too much for it


class TooMuch(Exception):
    """A message that takes more time or memory than one may."""


class NotReady(Exception):
    """The process that reads does not start, or was ended from outside: no fault of the message."""


class Reader:
    """A child process that parses one message at a time."""

    def __init__(self) -> None:
        self.pid, self.count = os.getpid(), 0
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def read(
        self,
        raw: bytes,
        trusted: Sequence[str] = (),
        *,
        envelope_from: str | None = None,
        remote: bool = False,
        seconds: float = SECONDS,
    ) -> parsing.Mail:
        """Parse it. Raises TooMuch, NotReady, and ValueError with the parser's words where it broke."""
        with self._lock:
            child = self._ready()
            deadline = time.monotonic() + seconds
            try:
                head = {"trusted": list(trusted), "envelope_from": envelope_from, "remote": remote}
                _send(child.stdin, head, [raw], deadline)  # type: ignore[arg-type]
                answer, parts = _receive(child.stdout, deadline)  # type: ignore[arg-type]
            except TimeoutError:
                self.end()
                raise TooMuch(f"It took longer than {seconds:.0f} s to read.") from None
            except (OSError, EOFError):
                code = self.end()
                if code in OUT_OF_MEMORY:
                    raise TooMuch(f"It took more than {MEMORY // 2**20} MB to read.") from None
                raise NotReady(f"The process that reads mail ended with {code}.") from None
            self.count += 1
        if "error" in answer:
            raise ValueError(answer["error"])
        return _mail(answer, parts)

    def _ready(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None or self.count >= MOST_MAILS:
            self.end()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tickets.mail.reader"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(sys.path), "DJANGO_SETTINGS_MODULE": ""},
            )  # fmt: skip
            self.count = 0
            try:
                _receive(self._child.stdout, time.monotonic() + READY_SECONDS)  # type: ignore[arg-type]
            except (OSError, EOFError, ValueError, struct.error):
                raise NotReady(f"The process that reads mail does not start: it ended with {self.end()}.") from None
        return self._child

    def end(self) -> int | None:
        """End the process, if it has not ended; its exit code."""
        child, self._child = self._child, None
        if child is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.2)  # one that is ending keeps its own code
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        return child.wait()


_reader: Reader | None = None


@atexit.register
def _end() -> None:
    if _reader is not None and _reader.pid == os.getpid():
        _reader.end()


def read(
    raw: bytes,
    trusted: Sequence[str] = (),
    *,
    envelope_from: str | None = None,
    remote: bool = False,
    seconds: float = SECONDS,
) -> parsing.Mail:
    """Parse a message in this process's reader, which is started when it is first needed. Raises as `Reader.read`."""
    global _reader
    if _reader is None or _reader.pid != os.getpid():  # a fork has its own
        _reader = Reader()
    return _reader.read(raw, trusted, envelope_from=envelope_from, remote=remote, seconds=seconds)


def _send(pipe: IO[bytes], head: dict[str, Any], parts: Sequence[bytes], deadline: float | None = None) -> None:
    text = json.dumps({**head, "sizes": [len(part) for part in parts]}).encode()
    for piece in (struct.pack(">Q", len(text)), text, *parts):
        view = memoryview(piece)
        while view:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([], [pipe], [], left)[1]:
                    raise TimeoutError
            view = view[os.write(pipe.fileno(), view[: 1 << 16]) :]


def _receive(pipe: IO[bytes], deadline: float | None = None) -> tuple[dict[str, Any], list[bytes]]:
    (size,) = struct.unpack(">Q", _exactly(pipe, 8, deadline))
    head = json.loads(_exactly(pipe, size, deadline))
    return head, [_exactly(pipe, one, deadline) for one in head.pop("sizes")]


def _exactly(pipe: IO[bytes], size: int, deadline: float | None) -> bytes:
    pieces, got = [], 0
    while got < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise TimeoutError
        piece = os.read(pipe.fileno(), min(size - got, 1 << 20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        got += len(piece)
    return b"".join(pieces)


def _mail(facts: dict[str, Any], contents: list[bytes]) -> parsing.Mail:
    files = [File(content=content, **file) for file, content in zip(facts.pop("files"), contents, strict=True)]
    bounce, forwarded = facts.pop("bounce"), facts.pop("forwarded")
    return parsing.Mail(
        files=files, bounce=returned.Bounce(**bounce) if bounce else None,
        forwarded=quotes.Forwarded(**forwarded) if forwarded else None, **facts,
    )  # fmt: skip


def main() -> None:
    """The child: read, parse, answer, until the parent closes the pipe or is gone."""
    parsing.parse(b"From: a@b.example\n\nWarm.")  # what is loaded late is loaded before the limit
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    stdin, stdout = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a stray print goes to the log
    _send(stdout, {"ready": True}, [])
    while True:
        try:
            head, (raw,) = _receive(stdin)
            mail = asdict(parsing.parse(raw, head.pop("trusted"), **head))
            contents = [file.pop("content") for file in mail["files"]]
            _send(stdout, mail, contents)
        except EOFError:
            return
        except MemoryError:
            os._exit(3)
        except RecursionError:
            _send(stdout, {"error": "Its parts lie too deep in one another to be read."}, [])
        except Exception as error:
            _send(stdout, {"error": f"{type(error).__name__}: {error}"[:500]}, [])


if __name__ == "__main__":
    main()
