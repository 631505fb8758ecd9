"""The output of a run, in pieces, by line, and searched."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import QuerySet

from runbooks.models import (
    Execution,
    OutputChunk,
)
from supportdesk.text import number_of

MOST_OUTPUT = 256 * 1024  # bytes of output in one answer


MOST_HITS = 500


@dataclass(frozen=True)
class Output:
    """Chunks after a sequence number; `more` says that another call gets more at once."""

    chunks: list[OutputChunk]
    after: int
    more: bool


def output(found: Execution, *, after: int, most: int = MOST_OUTPUT) -> Output:
    """Output after a sequence number, some `most` bytes of it."""
    return _pieces(found.chunks.filter(seq__gt=after).order_by("seq"), after, found.last_seq, most)


def _pieces(rows: QuerySet[OutputChunk], after: int, last_seq: int, most: int) -> Output:
    chunks: list[OutputChunk] = []
    size, more = 0, False
    for chunk in rows[:2000].iterator(chunk_size=50):
        if chunks and size + len(chunk.data) > most:
            more = True
            break
        chunks.append(chunk)
        size += len(chunk.data)
    last = chunks[-1].seq if chunks else after
    return Output(chunks, last, more or (last < last_seq and len(chunks) == 2000))


def line_of(text: str) -> int:
    """The number of a line that a client wrote, negative from the end; the first for anything else."""
    number = number_of(text.removeprefix("-")) or 0
    return -number if text.startswith("-") else number


def output_window(found: Execution, *, line: int, most: int = MOST_OUTPUT) -> Output:
    """Output from the piece that holds a line (counted from 0); a negative line counts from the end."""
    if line < 0:
        line = max(0, found.output_lines + line)
    start = found.chunks.filter(line__lte=line).order_by("-seq").values_list("seq", flat=True).first() or 1
    # Pieces of one line longer than a piece have the same count: begin with the first of them.
    return _pieces(found.chunks.filter(seq__gte=start).order_by("seq"), start - 1, found.last_seq, most)


def search_output(found: Execution, text: str, *, most: int = MOST_HITS) -> tuple[list[tuple[int, str]], bool]:
    """Lines that hold a text, whatever its case: (number from 0, the line); and whether there are more."""
    wanted = re.compile(re.escape(text.encode()), re.IGNORECASE)
    hits: list[tuple[int, str]] = []
    for number, line in lines_of(found):
        if wanted.search(line):
            if len(hits) == most:
                return hits, True
            hits.append((number, line[:400].decode(errors="replace")))
    return hits, False


def lines_of(found: Execution) -> Iterator[tuple[int, bytes]]:
    """Every line of the output with its number, read piece by piece."""
    rest, number = b"", 0
    for data, first in found.chunks.order_by("seq").values_list("data", "line").iterator(chunk_size=20):
        if not rest:
            number = first
        *whole, rest = (rest + bytes(data)).split(b"\n")
        for line in whole:
            yield number, line
            number += 1
    if rest:
        yield number, rest


def raw_output(found: Execution) -> Iterator[bytes]:
    """All of the output as it came."""
    for data in found.chunks.order_by("seq").values_list("data", flat=True).iterator(chunk_size=20):
        yield bytes(data)
