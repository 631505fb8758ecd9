"""`sql`: one statement over a postgres connection: values bound, names from lists, read-only unless it says otherwise."""

import itertools
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from pydantic import Field, model_validator

from runbooks import thresholds
from runbooks.definition.scalars import Connection, Name, Seconds, Strict
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result, StepError

CONNECT_TIMEOUT = 10  # seconds
_BOUND = re.compile(r"%\((\w+)\)s")
_NAMED = re.compile(r"\{(\w+)\}")


class Thresholds(Strict):
    """A number in the first row of a result, judged: over `warning` or `critical` the step passes with a warning."""

    column: str
    warning: float | None = None
    critical: float | None = None
    unit: str = ""
    metric: str | None = Field(
        default=None, description="A threshold of this desk by its short name, instead of numbers."
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Thresholds":
        if self.metric is not None:
            if self.warning is not None or self.critical is not None:
                raise ValueError("give metric, or warning and critical")
            return self
        if self.warning is None or self.critical is None:
            raise ValueError("give metric, or warning and critical")
        if self.critical < self.warning:
            raise ValueError("critical must not be below warning")
        return self


class SqlWith(Strict):
    """One statement. `%(name)s` binds a parameter or a value of `bind`; `{name}` is an identifier of `identifiers`."""

    connection: Connection = "postgres"
    query: str = Field(min_length=1)
    bind: dict[Name, str | int | float | bool | None] = {}
    identifiers: dict[Name, list[Annotated[str, Field(max_length=63)]]] = Field(
        default={}, description="A parameter's name with the identifiers that it may name."
    )
    read_only: bool = True
    transaction: bool = Field(default=True, description="False for VACUUM and the like, which allow none.")
    min_rows: int | None = None
    thresholds: Thresholds | None = None
    most_rows: int = Field(default=200, ge=1, le=10_000)
    lock_timeout: Seconds = 10

    @model_validator(mode="after")
    def _whole(self) -> "SqlWith":
        if self.read_only and not self.transaction:
            raise ValueError("transaction: false is for what changes something; say read_only: false")
        return self


class Sql(Kind):
    name = "sql"
    With = SqlWith
    templated = frozenset({"bind"})
    only_reads = True

    def acts(self, with_: SqlWith) -> bool:
        return not with_.read_only

    def acts_because(self, with_: SqlWith) -> str:
        return "may write (read_only: false)"

    def needs(self, with_: SqlWith) -> set[str]:
        return {with_.connection}

    def problems(self, with_: SqlWith, params: set[str]) -> list[str]:
        found = []
        if unknown := set(_BOUND.findall(with_.query)) - params - set(with_.bind):
            found.append(f"binds {', '.join(sorted(unknown))}, which is no parameter")
        if unknown := set(with_.identifiers) - params:
            found.append(f"takes an identifier from {', '.join(sorted(unknown))}, which is no parameter")
        if unused := set(with_.identifiers) - set(_NAMED.findall(with_.query)):
            found.append(f"names identifiers {', '.join(sorted(unused))}, which the query does not hold")
        return found

    def run(self, context: Context) -> Result:
        """Run the statement; its rows become a table in the output and data for the page."""
        try:
            with connected(context, context.with_.connection) as connection:
                connection.read_only = context.with_.read_only
                connection.autocommit = not context.with_.transaction
                connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{context.with_.lock_timeout}s"])
                with _CancelOnStop(connection, context):
                    rows, affected = _rows(connection, context)
        except psycopg.errors.QueryCanceled as error:
            if context.stopped.is_set():
                return Result(StepState.CANCELLED, "Stopped; the statement was cancelled.")
            return Result(StepState.FAILED, f"Took longer than its timeout: {_words(error)}")
        except psycopg.Error as error:
            if context.stopped.is_set():
                return Result(StepState.CANCELLED, "Stopped; the session has ended.")
            context.output.feed("err", f"{_words(error)}\n".encode())
            context.output.finish_step()
            return Result(StepState.FAILED, _words(error)[:500])
        return _judge(context, rows, affected)

    def preview(self, context: Context) -> Result | None:
        """The plan of the statement, where PostgreSQL can give one; nothing is executed."""
        query = statement(context)
        if not re.match(r"\s*(select|insert|update|delete|merge|with|values)\b", context.with_.query, re.IGNORECASE):
            return None
        try:
            with connected(context, context.with_.connection) as connection:
                connection.read_only = True
                found = connection.execute(sql.SQL("EXPLAIN ") + query, values(context), binary=True).fetchall()
        except psycopg.Error as error:
            return Result(StepState.FAILED, f"It would fail: {_words(error)}"[:500])
        lines = [str(next(iter(row.values()))) for row in found]
        context.output.feed("out", ("\n".join(lines) + "\n").encode())
        context.output.finish_step()
        return Result(StepState.SKIPPED, f"It would run: {lines[0].strip()}"[:500], {"plan": lines})


@contextmanager
def connected(context: Context, name: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the target, with the time limit of the step. Raises psycopg.Error."""
    server = context.connection(name, "postgres")
    with psycopg.connect(
        host=server.get("host"),
        port=server.get("port"),
        dbname=server.get("dbname"),
        user=server.get("user"),
        password=server.get("password"),
        sslmode=server.get("sslmode", "prefer"),
        options=f"-c statement_timeout={max(1, int(context.seconds_left * 1000))}",
        connect_timeout=CONNECT_TIMEOUT,
        application_name=f"supportdesk run {context.execution_id}",
        keepalives=1,
        keepalives_idle=15,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=45_000,
        row_factory=dict_row,
    ) as connection:
        yield connection


def values(context: Context) -> dict[str, Any]:
    """What may be bound: parameters, and what `bind` computes."""
    found = {**context.params, **context.with_.bind}
    for name, value in found.items():
        if isinstance(value, str) and "\0" in value:
            raise StepError(f"{name} holds a NUL character, which PostgreSQL cannot store.")
    return found


def statement(context: Context) -> sql.SQL | sql.Composed:
    """The query with its identifiers, each out of the list that the definition gives for it."""
    allowed: Mapping[str, list[str]] = context.with_.identifiers
    if not allowed:
        return sql.SQL(context.with_.query)
    pieces: list[sql.Composable] = []
    at = 0
    for match in _NAMED.finditer(context.with_.query):
        if match[1] not in allowed:
            continue
        value = context.params.get(match[1])
        if value not in allowed[match[1]]:
            raise StepError(f"{match[1]} must be one of {', '.join(allowed[match[1]])}.")
        pieces += [sql.SQL(context.with_.query[at : match.start()]), sql.Identifier(*str(value).split("."))]
        at = match.end()
    return sql.Composed([*pieces, sql.SQL(context.with_.query[at:])])


def _rows(connection: psycopg.Connection[Any], context: Context) -> tuple[list[dict[str, Any]], int]:
    """The rows to show and how many there were; a large result does not pass through this process whole.

    A statement that changes things runs to its end, whatever is shown of it.
    """
    most = context.with_.most_rows + 1
    cursor = connection.cursor()
    query, bound = statement(context), values(context)
    if not context.with_.read_only:
        cursor.execute(query, bound, binary=True)  # the extended protocol: one statement, whatever the text holds
        return (cursor.fetchmany(most) if cursor.description else []), cursor.rowcount
    rows = list(itertools.islice(cursor.stream(query, bound), most))
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
    if not isinstance(value, int | float | Decimal):
        return Result(StepState.FAILED, f"{limits.column} is no number but {value}."[:500], data)
    judged = thresholds.of_step(limits.metric, limits.warning, limits.critical, limits.unit)
    return thresholds.judge(float(value), limits.column, judged, data)


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
                self._connection.cancel_safe(timeout=5)  # again, where the statement had not begun yet


KIND = Sql
