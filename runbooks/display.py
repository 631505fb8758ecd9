"""A run's bytes as a page can show them: any encoding, colours as classes, progress bars at their last state."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from runbooks.models import OutputChunk

_ESCAPES = re.compile(r"\x1b(?:\[([0-9;]*)m|\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_]|)")
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
MOST_LINE = 8_000  # characters of a line that a page shows


@dataclass(frozen=True)
class Line:
    """One line: its number from 1 (None: the engine's own words have none), stream, time and safe HTML."""

    number: int
    stream: str
    step_id: str
    at: datetime
    html: SafeString
    text: str


def decoded(data: bytes) -> str:
    """UTF-8, or UTF-16 where it says so; wrong bytes become a mark."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8", errors="replace")


def last_state(line: str) -> str:
    """What a terminal would show of a line that was written over again and again."""
    line = line.rstrip("\r")
    if "\r" not in line:
        return line
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown


def plain(text: str) -> str:
    """Without colours and control characters; NUL and the like become visible marks."""
    text = _ESCAPES.sub("", text)
    return "".join(
        c if c == "\t" or (c >= " " and not "\x7f" <= c <= "\x9f") else chr(0x2400 + ord(c)) if c < " " else "\ufffd"
        for c in text
    )


def html(text: str) -> SafeString:
    """With colours as spans; nothing else of the text becomes markup."""
    pieces: list[tuple[str, str]] = []
    classes: list[str] = []
    at = 0
    for match in _ESCAPES.finditer(text):
        if match.start() > at:
            pieces.append((" ".join(classes), plain(text[at : match.start()])))
        if match[1] is not None:
            classes = _after(classes, match[1])
        at = match.end()
    pieces.append((" ".join(classes), plain(text[at:])))
    return format_html_join("", "{}", ((_span(style, piece),) for style, piece in pieces if piece)) or mark_safe("")


def _span(classes: str, text: str) -> SafeString:
    return format_html('<span class="{}">{}</span>', classes, text) if classes else format_html("{}", text)


def _after(classes: list[str], codes: str) -> list[str]:
    """The classes that hold after a sequence of codes such as `1;31`."""
    found = list(classes)
    for code in (int(part or 0) for part in codes.split(";")[:16]):
        if code == 0:
            found = []
        elif code == 1:
            found = [*found, "ansi-bold"]
        elif 30 <= code <= 37 or 90 <= code <= 97:
            found = [one for one in found if not one.startswith("ansi-fg-")] + [f"ansi-fg-{_COLOURS[code % 10]}"]
        elif code == 39:
            found = [one for one in found if not one.startswith("ansi-fg-")]
        elif code == 22:
            found = [one for one in found if one != "ansi-bold"]
    return found


def lines(chunks: Iterable[OutputChunk]) -> Iterator[Line]:
    """The lines of some chunks in order."""
    for chunk in chunks:
        number = chunk.line
        text = decoded(bytes(chunk.data))
        parts = text.split("\n")
        if parts and parts[-1] == "":
            parts.pop()
        for part in parts:
            number += 1
            shown = last_state(part)[:MOST_LINE]
            yield Line(number, chunk.stream, chunk.step_id, chunk.at, html(shown), plain(shown))
