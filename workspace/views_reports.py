"""Reports: all at a glance, one with its table and the tickets behind a line, and as CSV."""

import csv
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from tickets.queries import with_rows
from tickets.queries.queue import CappedPaginator
from workspace import charts, counting, reports
from workspace.actions.kept import plain
from workspace.models import KeptReport
from workspace.scope import PRESETS, Scope, check_can_see_reports
from workspace.tables import Row, Table, csv_lines, said, said_change

View = Callable[..., HttpResponseBase]


def _with_scope(view: View) -> View:
    """Give a view who asks for which time and tickets; a question that cannot be read is asked again, nothing typed is lost."""

    @wraps(view)
    def scoped(request: DeskRequest, **arguments: Any) -> HttpResponseBase:
        check_can_see_reports(request.user)
        try:
            scope = Scope.read(request.user, request.GET)
            scope.tickets()  # the words of its query
        except Invalid as refused:
            if request.htmx or request.path.endswith(".csv"):
                raise
            typed = {name: request.GET.get(name, "") for name in ("from", "to", "zone", "q")}
            words = " ".join(word for words in refused.fields.values() for word in words)
            context = {
                "typed": typed,
                "refused": str(refused),
                "words": words,
                "presets": PRESETS.items(),
                "row": request.GET.get("row", ""),
            }
            return render(request, "workspace/refused.html", context, status=422)
        return view(request, scope, **arguments)

    return scoped


def _context(request: DeskRequest, scope: Scope) -> dict[str, Any]:
    asked = request.GET.copy()
    for name in ("row", "page"):
        asked.pop(name, None)
    period = "" if request.GET.get("from") or request.GET.get("to") else request.GET.get("period") or "30d"
    typed = {"from": str(scope.first_day), "to": str(scope.last_day), "zone": scope.zone.key, "q": scope.query}
    return {"scope": scope, "typed": typed, "presets": PRESETS.items(), "period": period, "asked": asked.urlencode(), "reports": reports.REPORTS.values()}  # fmt: skip


@require_GET
@_with_scope
def index(request: DeskRequest, scope: Scope) -> HttpResponse:
    """Every report at a glance; each comes by itself."""
    kept = KeptReport.objects.filter(owner=request.user).prefetch_related("readers__user")
    return render(request, "workspace/reports.html", _context(request, scope) | {"kept": kept})


@require_GET
@_with_scope
def report(request: DeskRequest, scope: Scope, key: str) -> HttpResponse:
    """One report with its chart and table, compared with the period before; htmx gets the chart alone."""
    found = reports.report(key)
    counted = counting.find(key, scope)
    table = counted.table
    context = _context(request, scope) | {"report": found, "counted": counted, "table": table}
    context["chart"] = _drawn(table) if table else None
    if request.htmx:
        return render(request, "workspace/_report.html", context)
    before = counting.find(key, scope.before).table
    context["change"] = _change(table, before) if table and before else ""
    context["total"] = said(table.total, table.kind) if table and table.total is not None else ""
    response = render(request, "workspace/report.html", context)
    if table is None and not counted.problem:
        response["Refresh"] = "2"
    return response


def _drawn(table: Table) -> Any:
    if table.chart == "lines":
        return charts.lines(table.series, [(str(row.cells[0]), row.key, row.values) for row in table.rows])
    kind = "share" if table.full else "count"
    return charts.bars(
        [(_label(row), said(row.values[0], kind), row.values[0], row.key) for row in table.rows], table.full
    )


def _label(row: Row) -> str:
    """What a bar is called: its cells up to the first number."""
    words = []
    for cell in row.cells:
        if not isinstance(cell, str):
            break
        words.append(cell)
    return ", ".join(words)


def _change(table: Table, before: Table) -> str:
    if table.total is None or before.total is None:
        return ""
    change = table.total - before.total
    if said(table.total, table.kind) == said(before.total, table.kind):
        return "as in the period before"
    return f"{said_change(change, table.kind)} against the period before"


@require_GET
@_with_scope
def behind(request: DeskRequest, scope: Scope, key: str) -> HttpResponse:
    """The tickets behind a line of a report."""
    found = reports.report(key)
    row = request.GET.get("row", "")
    tickets = found.behind(scope, row).select_related("tier", "assignee", "requester").order_by("-number")
    page = CappedPaginator(tickets, 50).get_page(request.GET.get("page"))
    context = _context(request, scope) | {"report": found, "row": row, "page": page}
    return render(request, "workspace/behind.html", context)


class _Echo:
    """What csv writes to: it hands each line on."""

    def write(self, line: str) -> str:
        return line


def _csv(name: str, lines: Iterable[Iterable[Any]]) -> StreamingHttpResponse:
    writer = csv.writer(_Echo())
    stream = (writer.writerow([plain(cell) for cell in line]) for line in lines)
    return StreamingHttpResponse(stream, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}.csv"'})  # fmt: skip


@require_GET
@_with_scope
def as_csv(request: DeskRequest, scope: Scope, key: str) -> StreamingHttpResponse:
    """A report's table, or with `row` the tickets behind that line, however many."""
    found = reports.report(key)
    if "row" in request.GET:
        return _csv(f"{key}-tickets", _ticket_lines(found.behind(scope, request.GET["row"])))
    return _csv(key, csv_lines(found.find(scope)))


def _ticket_lines(tickets: Any) -> Iterator[list[Any]]:
    yield ["Number", "Subject", "Status", "Priority", "Tier", "Assignee", "Requester", "Channel", "Created", "Resolved"]
    for ticket in with_rows(tickets).order_by("number").iterator(chunk_size=500):
        yield [
            ticket.number, ticket.subject, ticket.get_status_display(), ticket.get_priority_display(), str(ticket.tier), str(ticket.assignee or ""),
            ticket.requester.email, ticket.get_channel_display(), ticket.created_at.isoformat(), ticket.resolved_at.isoformat() if ticket.resolved_at else "",
        ]  # fmt: skip
