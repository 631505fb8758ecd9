"""Charts as plain geometry, which a template draws as SVG in the colours of the theme. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 656, 240, 44, 8, 24, 12
BARS_WIDTH, GAP, LABEL = 480, 26, 170  # of horizontal bars


@dataclass(frozen=True)
class Bar:
    label: str
    value: str
    key: str
    y: int
    width: float


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, one a row."""

    bars: list[Bar]
    height: int
    width: int = BARS_WIDTH
    left: int = LABEL


def bars(rows: Sequence[tuple[str, str, float, str]]) -> Bars:
    """(label, value as text, value, key) each; the longest bar takes the width."""
    most = max((value for _, _, value, _ in rows), default=0) or 1
    room = BARS_WIDTH - LABEL - 60
    made = [
        Bar(label, text, key, 4 + n * GAP, round(room * max(0.0, value) / most, 1))
        for n, (label, text, value, key) in enumerate(rows)
    ]
    return Bars(made, max(GAP, len(made) * GAP) + 4)


@dataclass(frozen=True)
class Line:
    name: str
    points: str  # of a polyline
    style: int


@dataclass(frozen=True)
class Lines:
    """Series over steps, with a grid of round numbers; `hits` are the invisible columns that tell their values."""

    lines: list[Line]
    grid: list[tuple[float, str]]
    labels: list[tuple[float, str]]
    hits: list[tuple[float, float, str, str]]  # x, width, words, key
    width: int = WIDTH
    height: int = HEIGHT
    bottom: int = HEIGHT - BOTTOM
    left: int = LEFT


def lines(names: Sequence[str], rows: Sequence[tuple[str, str, Sequence[float]]]) -> Lines:
    """(label, key, values) each; the scale begins at 0 and ends at a round number."""
    values = [value for _, _, found in rows for value in found]
    step = round_step(max(values, default=0))
    top = step * max(1, ceil(max(values, default=0) / step))
    low = min(0, floor(min(values, default=0) / step) * step)
    room, high = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP
    apart = room / max(1, len(rows) - 1)

    def x(n: int) -> float:
        return round(LEFT + (apart * n if len(rows) > 1 else room / 2), 1)

    def y(value: float) -> float:
        return round(TOP + high * (top - value) / (top - low), 1)

    made = [
        Line(name, " ".join(f"{x(n)},{y(row[2][index])}" for n, row in enumerate(rows)), index + 1)
        for index, name in enumerate(names)
    ]
    ticks = [low + step * n for n in range(int((top - low) / step) + 1)]
    every = max(1, ceil(len(rows) / 7))
    hits = [
        (
            round(max(LEFT, x(n) - apart / 2), 1),
            round(apart, 1),
            f"{label}: " + ", ".join(f"{name} {value:g}" for name, value in zip(names, found, strict=True)),
            key,
        )
        for n, (label, key, found) in enumerate(rows)
    ]
    return Lines(
        made,
        [(y(tick), f"{tick:g}") for tick in ticks],
        [(x(n), rows[n][0].rpartition(" ")[0] or rows[n][0]) for n in range(0, len(rows), every)],
        hits,
    )


def round_step(most: float) -> float:
    """A round distance of grid lines, such that four to ten of them reach `most`."""
    if most <= 4:
        return 1
    base = 10 ** floor(log10(most))
    return next(step for step in (base / 4, base / 2, base, 2 * base) if most / step <= 8 and step >= 1)
