"""`sql`: one statement over the target's postgres connection, parameters bound, read-only unless it says otherwise."""

import itertools
import threading
import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from runbooks.models import StepState
from runbooks.steps import Context, Result

CONNECT_TIMEOUT = 10  # seconds


def run(context: Context) -> Result:
    """Run the statement; its rows become a table in the output and data for the page."""
    server = context.connections["postgres"]
    options = f"-c statement_timeout={max(1, int(context.seconds_left * 1000))} -c lock_timeout=10000"
    try:
        with psycopg.connect(
            host=server.get("host"),
            port=server.get("port"),
            dbname=server.get("dbname"),
            user=server.get("user"),
            password=server.get("password"),
            options=options,
            connect_timeout=CONNECT_TIMEOUT,
            application_name=f"supportdesk run {context.execution_id}",
            row_factory=dict_row,
        ) as connection:
            connection.read_only = context.with_.read_only
            with _CancelOnStop(connection, context):
                rows, affected = _rows(connection, context)
    except psycopg.errors.QueryCanceled as error:
        if context.stopped.is_set():
            return Result(StepState.CANCELLED, "Stopped; the statement was cancelled.")
        return Result(StepState.FAILED, f"Took longer than its timeout: {_words(error)}")
    except psycopg.Error as error:
        context.output.feed("err", f"{_words(error)}\n".encode())
        context.output.finish_step()
        return Result(StepState.FAILED, _words(error)[:500])
    return _judge(context, rows, affected)


def _rows(connection: psycopg.Connection[Any], context: Context) -> tuple[list[dict[str, Any]], int]:
    """The rows to show and how many there were; a large result does not pass through this process whole.

    A statement that changes things runs to its end, whatever is shown of it.
    """
    most = context.with_.most_rows + 1
    cursor = connection.cursor()
    if not context.with_.read_only:
        cursor.execute(context.with_.query, context.params)
        return (cursor.fetchmany(most) if cursor.description else []), cursor.rowcount
    rows = list(itertools.islice(cursor.stream(context.with_.query, context.params), most))
    return rows, len(rows)


def _judge(context: Context, rows: list[dict[str, Any]], affected: int) -> Result:
    more = len(rows) > context.with_.most_rows
    rows = rows[: context.with_.most_rows]
    context.output.feed("out", (table(rows) if rows else f"{max(affected, 0)} rows").encode() + b"\n")
    if more:
        context.output.feed("out", f"… more than {context.with_.most_rows} rows; the rest is not shown\n".encode())
    context.output.finish_step()
    data: dict[str, Any] = {
        "row_count": max(affected, len(rows)),
        "rows": [{k: _plain(v) for k, v in row.items()} for row in rows[:50]],
    }
    if context.with_.min_rows is not None and len(rows) < context.with_.min_rows:
        return Result(StepState.FAILED, f"{len(rows)} rows, at least {context.with_.min_rows} expected.", data)
    limits = context.with_.thresholds
    if limits is None:
        return Result(StepState.SUCCEEDED, _count(data["row_count"]), data)
    value = rows[0].get(limits.column) if rows else None
    if value is None:
        return Result(StepState.FAILED, f"The result has no {limits.column} to judge.", data)
    return judge_number(float(value), limits.warning, limits.critical, limits.column, limits.unit, data)


def judge_number(value: float, warning: float, critical: float, name: str, unit: str, data: dict[str, Any]) -> Result:
    """OK, over the warning threshold, or over the critical one (the guide's tables say *over*, not *at*)."""
    shown, name = f"{value:g}{unit}", name.replace("_", " ")
    if value > critical:
        return Result(
            StepState.WARNED,
            f"Critical: {name} is {shown}, over {critical:g}{unit}.",
            data | {"level": "critical"},
        )
    if value > warning:
        return Result(
            StepState.WARNED,
            f"Warning: {name} is {shown}, over {warning:g}{unit}.",
            data | {"level": "warning"},
        )
    return Result(StepState.SUCCEEDED, f"{name} is {shown}, within {warning:g}{unit}.", data | {"level": "ok"})


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned text, numbers to the right."""
    names = list(rows[0])
    cells = [[_shown(row[name]) for name in names] for row in rows]
    widths = [min(60, max(len(name), *(len(row[n]) for row in cells))) for n, name in enumerate(names)]
    numeric = [all(isinstance(row[name], int | float | Decimal) for row in rows) for name in names]

    def line(values: list[str]) -> str:
        fitted = [v if len(v) <= w else v[: w - 1] + "…" for v, w in zip(values, widths, strict=True)]
        return " | ".join(
            v.rjust(w) if n else v.ljust(w) for v, w, n in zip(fitted, widths, numeric, strict=True)
        ).rstrip()

    return "\n".join([line(names), "-+-".join("-" * width for width in widths), *map(line, cells)])


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return " ".join(str(value).split())


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | timedelta | UUID | date):
        return str(value)
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


def _count(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


def _words(error: psycopg.Error) -> str:
    return str(error.diag.message_primary or error).strip()


class _CancelOnStop:
    """Cancels the statement on the server when the run is stopped or its time is over."""

    def __init__(self, connection: psycopg.Connection[Any], context: Context) -> None:
        self._connection, self._context = connection, context
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            if self._context.stopped.is_set() or time.monotonic() > self._context.deadline:
                self._connection.cancel_safe(timeout=5)
                return
