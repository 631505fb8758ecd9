"""Pages and fragments of runbooks and runs."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runbooks import actions, forms, policies, queries
from runbooks.models import Execution
from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from tickets.queries import ticket_for


@require_GET
def index(request: DeskRequest) -> HttpResponse:
    """The runbooks, and the newest runs."""
    context = {"runbooks": queries.runbooks_for(request.user), "runs": queries.executions(request.user)[:10]}
    return render(request, "runbooks/index.html", context)


@require_GET
def runs(request: DeskRequest) -> HttpResponse:
    page = Paginator(queries.executions(request.user), 50).get_page(request.GET.get("page"))
    return render(request, "runbooks/runs.html", {"page": page})


@require_http_methods(["GET", "POST"])
def launch(request: DeskRequest, slug: str) -> HttpResponse:
    """The launch form; sent with an error it comes back with everything in it."""
    runbook, parsed = queries.runbook(slug)
    given = request.POST if request.method == "POST" else request.GET
    errors: dict[str, list[str]] = {}
    summary = ""
    if request.method == "POST":
        policies.check_can_run(request.user, runbook)
        try:
            execution = _start(request, slug, forms.params(parsed, request.POST))
        except Invalid as error:  # shown beside its field, in the form that it came from
            errors, summary = error.fields, str(error)
        else:
            return redirect("runbooks:run", execution.pk)
    context = {
        "runbook": runbook,
        "definition": parsed,
        "fields": forms.fields(parsed, given, errors),
        "targets": queries.targets_for(parsed),
        "chosen": given.get("target", ""),
        "ticket": given.get("ticket", ""),
        "dry_run": bool(given.get("dry_run")),
        "errors": errors,
        "summary": summary,
        "can_run": policies.can_run(request.user, runbook),
        "runs": queries.executions(request.user).filter(version__runbook=runbook)[:5],
    }
    return render(request, "runbooks/launch.html", context, status=422 if summary else 200)


def _start(request: DeskRequest, slug: str, params: dict[str, Any]) -> Execution:
    ticket = request.POST.get("ticket", "").strip().removeprefix("#")
    if ticket and not ticket.isdecimal():
        raise Invalid("Write the ticket’s number.", fields={"ticket": ["Write the ticket’s number, for example 1042."]})
    return actions.start(
        slug=slug,
        target=request.POST.get("target", ""),
        by=request.user,
        params=params,
        ticket=int(ticket) if ticket else None,
        dry_run=bool(request.POST.get("dry_run")),
    )


@require_GET
def run(request: DeskRequest, pk: int) -> HttpResponse:
    """The run page. htmx gets its head and steps alone, to swap in place."""
    if request.htmx:
        response = _state(request, pk)
    else:
        cursor = queries.run_cursor(request.user, str(pk))  # read first: what comes between shows twice, not never
        detail = queries.run_detail(request.user, pk)
        context = {
            "cursor": cursor,
            "detail": detail,
            "run": detail.execution,
            "output": queries.output(detail.execution, after=0),
        }
        response = render(request, "runbooks/run.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _state(request: DeskRequest, pk: int) -> HttpResponse:
    detail = queries.run_detail(request.user, pk)
    return render(request, "runbooks/_state.html", {"detail": detail, "run": detail.execution})


@require_GET
def output(request: DeskRequest, pk: int) -> HttpResponse:
    """Output lines after a sequence number. The header Desk-After holds the next one, Desk-More says that there is more."""
    after = request.GET.get("after", "0")
    found = queries.execution(request.user, pk)
    part = queries.output(found, after=int(after) if after.isdecimal() else 0)
    response = render(request, "runbooks/_lines.html", {"output": part})
    response["Desk-After"], response["Desk-More"] = str(part.after), "1" if part.more else "0"
    return response


@require_GET
def output_text(request: DeskRequest, pk: int) -> StreamingHttpResponse:
    """All of the output as plain text, however long."""
    found = queries.execution(request.user, pk)

    def pieces() -> Iterator[str]:
        yield from found.chunks.order_by("seq").values_list("text", flat=True).iterator(chunk_size=200)

    headers = {"Content-Disposition": f'attachment; filename="run-{pk}.txt"'}
    return StreamingHttpResponse(pieces(), content_type="text/plain; charset=utf-8", headers=headers)


@require_POST
def cancel(request: DeskRequest, pk: int) -> HttpResponse:
    actions.cancel(execution_id=pk, by=request.user)
    return _after(request, pk, "The run is being stopped.")


@require_POST
def resume(request: DeskRequest, pk: int) -> HttpResponse:
    actions.resume(execution_id=pk, by=request.user, from_start=request.POST.get("from") == "start")
    return _after(request, pk, "The run is queued again.")


@require_POST
def give_up(request: DeskRequest, pk: int) -> HttpResponse:
    actions.give_up(execution_id=pk, by=request.user)
    return _after(request, pk, "The run is called failed.")


def _after(request: DeskRequest, pk: int, said: str) -> HttpResponse:
    if request.htmx:
        return _state(request, pk)
    messages.success(request, said)
    return redirect("runbooks:run", pk)


@require_GET
def for_ticket(request: DeskRequest, number: int) -> HttpResponse:
    """The runs panel of a ticket; as a page of its own without JavaScript."""
    context = {
        "ticket": ticket_for(request.user, number),
        "runs": queries.runs_of_ticket(request.user, number),
        "runbooks": [runbook for runbook, may in queries.runbooks_for(request.user) if may],
    }
    return render(request, "runbooks/_for_ticket.html" if request.htmx else "runbooks/for_ticket.html", context)


@require_GET
def pick(request: DeskRequest, number: int) -> HttpResponse:
    """The runs of a ticket to choose from, for its handover form; what is chosen is an opaque reference there."""
    ticket_for(request.user, number)
    return render(request, "runbooks/_pick.html", {"runs": queries.references(request.user, number)})
