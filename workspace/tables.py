"""What a report found, for people and for programs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from supportdesk.templatetags.desk import in_words


@dataclass(frozen=True)
class Row:
    """A line of a report. `key` names the tickets behind it; `values` are what a chart draws.

    `plain` is `cells` for programs, where those are words for people: days by ISO 8601, shares in percent, times in hours.
    """

    key: str
    cells: list[Any]
    values: list[float] = field(default_factory=list)
    plain: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """What a report found: headings, lines, and how it is drawn (`lines`, `bars` or nothing).

    `kind` is what `total` counts: "count", "share" (in percent) or "hours"; `full` is what the longest bar could be.
    `plain` are the headings of the lines' `plain`, with their units.
    """

    headings: list[str]
    rows: list[Row]
    chart: str = "bars"
    series: list[str] = field(default_factory=list)
    total: float | None = None  # what is compared with the period before
    unit: str = ""
    kind: str = "count"
    full: float = 0.0
    plain: list[str] = field(default_factory=list)


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def share(part: float, whole: float) -> float | None:
    """A share in percent to one place, for programs."""
    return round(100 * part / whole, 1) if whole else None


def said(value: float, kind: str) -> str:
    """A total of a report in words."""
    if kind == "share":
        return f"{value:.1f} %"
    return hours_in_words(value) if kind == "hours" else f"{value:,.0f}"


def said_change(change: float, kind: str) -> str:
    """By how much a total differs from the one before, in words with a sign."""
    sign = "+" if change > 0 else "−"
    if kind == "share":
        return f"{sign}{abs(change):.1f} points"
    return sign + (hours_in_words(abs(change)) if kind == "hours" else f"{abs(change):,.0f}")


def places(hours: float | None) -> float | None:
    return round(hours, 4) if hours is not None else None


def hours_in_words(value: float | None) -> str:
    return in_words(timedelta(hours=value)) if value is not None else "–"


def csv_lines(table: Table) -> Iterator[list[Any]]:
    """The lines of a table for programs, headings first."""
    yield table.plain or table.headings
    for row in table.rows:
        yield ["" if cell is None else cell for cell in row.plain or row.cells]
