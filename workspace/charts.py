"""Charts as plain geometry, which a template draws as SVG in the colours of the theme. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 656, 240, 44, 8, 24, 12


@dataclass(frozen=True)
class Bar:
    """One of horizontal bars; its width is in percent of the longest that there could be."""

    label: str
    value: str
    key: str
    width: float


def bars(rows: Sequence[tuple[str, str, float, str]], full: float = 0.0) -> list[Bar]:
    """(label, value as text, value, key) each; `full`, or else the longest bar, takes the width."""
    most = full or max((value for _, _, value, _ in rows), default=0) or 1
    return [Bar(label, text, key, round(100 * min(1.0, max(0.0, value) / most), 2)) for label, text, value, key in rows]


@dataclass(frozen=True)
class Line:
    name: str
    points: str  # of a polyline
    style: int
    area: str = ""  # of a polygon down to 0, for a level rather than a flow


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

    def line(name: str, index: int) -> Line:
        points = " ".join(f"{x(n)},{y(row[2][index])}" for n, row in enumerate(rows))
        area = f"{x(0)},{y(0)} {points} {x(len(rows) - 1)},{y(0)}" if index == 0 and rows else ""
        return Line(name, points, index + 1, area)

    made = [line(name, index) for index, name in enumerate(names)]
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
    """A round distance of grid lines, 1, 2 or 5 times a power of ten, such that eight of them at most reach `most`."""
    base = 10 ** max(0, floor(log10(most)) - 1) if most >= 1 else 1
    return next(step * base for step in (1, 2, 5, 10, 20, 50, 100) if most / (step * base) <= 8)
