"""Pages and fragments of runs: history, one run, its output, approvals, comparing two."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET, require_POST

from runbooks import actions, display, queries
from runbooks import fleet as workers
from runbooks.models import Runbook, RunState, Target, Trigger, Worker
from runbooks.queries.output import MOST_OUTPUT
from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from supportdesk.text import number_of
from tickets.queries import ticket_for

# What a row of the history shows: a run has many more columns.
SHOWN = (
    "state", "dry_run", "break_glass_reason", "created_at", "started_at", "finished_at", "version__runbook__title", "target__slug",
    "requested_by__name", "requested_by__email",
)  # fmt: skip
FILTERS = ("runbook", "target", "state", "trigger", "by", "days")


@require_GET
def history(request: DeskRequest) -> HttpResponse:
    """Every run, filtered."""
    found = queries.history(request.user, request.GET)
    page = Paginator(found.only(*SHOWN), 50).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "given": {name: request.GET.get(name, "") for name in FILTERS},
        "runbooks": Runbook.objects.visible_to(request.user).filter(current__isnull=False).only("slug", "title"),
        "targets": Target.objects.only("slug", "name"),
        "states": [("open", "Not ended"), *RunState.choices],
        "triggers": Trigger.choices,
        "day_choices": [("1", "Last 24 hours"), ("7", "Last 7 days"), ("30", "Last 30 days"), ("90", "Last 90 days")],
    }
    return render(request, "runbooks/runs.html", context)


@require_GET
def charts(request: DeskRequest) -> HttpResponse:
    """Charts of the last thirty days of the filtered history, which the page fetches when it is there."""
    context = {"statistics": queries.statistics(queries.history(request.user, request.GET))}
    return render(request, "runbooks/_charts.html", context)


@require_GET
def export(request: DeskRequest) -> StreamingHttpResponse:
    """Who ran what where with which values, who approved, what came out: the filtered history as CSV, however long."""
    pieces = queries.as_csv(queries.history(request.user, request.GET))
    headers = {"Content-Disposition": 'attachment; filename="runs.csv"'}
    return StreamingHttpResponse(pieces, content_type="text/csv; charset=utf-8", headers=headers)


@require_GET
def approvals(request: DeskRequest) -> HttpResponse:
    """What waits for a person: approvals, manual steps, lost runs."""
    context = {
        "waiting": queries.waiting_for_approval(request.user),
        "asked": queries.waiting_for_people(request.user),
        "ahead": queries.given_ahead(),
        "drafts": queries.drafts_for(request.user).filter(state="in_review"),
    }
    return render(request, "runbooks/approvals.html", context)


@require_GET
def run(request: DeskRequest, pk: int) -> HttpResponse:
    """The run page. htmx gets its head and steps alone, to swap in place."""
    if request.htmx:
        response = _state(request, pk)
    else:
        cursor = queries.run_cursor(request.user, str(pk))  # read first: what comes between shows twice, not never
        detail = queries.run_detail(request.user, pk)
        found = detail.execution
        # Long output begins at its end, as one would want to see it; what came before is a scroll away.
        long = found.output_bytes > MOST_OUTPUT
        part = queries.output_window(found, line=-400) if long else queries.output(found, after=0)
        context = {
            "cursor": cursor,
            "detail": detail,
            "run": found,
            "output": part,
            "lines": display.lines(part.chunks),
            "long": long,
        }
        response = render(request, "runbooks/run.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _state(
    request: DeskRequest, pk: int, errors: dict[str, list[str]] | None = None, summary: str = ""
) -> HttpResponse:
    detail = queries.run_detail(request.user, pk)
    context = {"detail": detail, "run": detail.execution, "errors": errors or {}, "summary": summary}
    return render(request, "runbooks/_state.html", context)


@require_GET
def output(request: DeskRequest, pk: int) -> HttpResponse:
    """Output after a sequence number, or with `line` from that line. Desk-After holds the next number, Desk-More says that there is more."""
    found = queries.execution(request.user, pk)
    if "line" in request.GET:
        part = queries.output_window(found, line=queries.line_of(request.GET["line"]))
    else:
        part = queries.output(found, after=number_of(request.GET.get("after", "0")) or 0)
    response = render(request, "runbooks/_lines.html", {"lines": display.lines(part.chunks)})
    response["Desk-After"], response["Desk-More"] = str(part.after), "1" if part.more else "0"
    return response


@require_GET
def find(request: DeskRequest, pk: int) -> HttpResponse:
    """Lines of the whole output that hold a text, each a link to its place."""
    found = queries.execution(request.user, pk)
    wanted = request.GET.get("q", "")[:200]
    hits, more = queries.search_output(found, wanted) if wanted else ([], False)
    shown = [(number + 1, display.plain(text)) for number, text in hits]
    return render(request, "runbooks/_hits.html", {"hits": shown, "more": more, "wanted": wanted})


@require_GET
def output_text(request: DeskRequest, pk: int) -> StreamingHttpResponse:
    """All of the output, byte for byte, however long."""
    found = queries.execution(request.user, pk)
    headers = {"Content-Disposition": f'attachment; filename="run-{pk}.txt"'}
    return StreamingHttpResponse(queries.raw_output(found), content_type="text/plain; charset=utf-8", headers=headers)


@require_GET
def compare(request: DeskRequest, pk: int, other: int) -> HttpResponse:
    compared = queries.compare(request.user, pk, other)
    return render(request, "runbooks/compare.html", {"compared": compared, "runs": [compared.one, compared.other]})


@require_GET
def compare_with(request: DeskRequest, pk: int) -> HttpResponse:
    """From a number in a form to the address of the comparison."""
    queries.execution(request.user, pk)
    other = number_of(request.GET.get("other", "").strip().removeprefix("#"))
    if other is None:
        messages.error(request, "Write the number of another run.")
        return redirect("runbooks:run", pk)
    return redirect("runbooks:compare", pk, other)


@require_POST
def act(request: DeskRequest, pk: int, what: str) -> HttpResponse:
    """An act on a run that takes nothing but its name."""
    call, said = _ACTS[what]
    found = call(execution_id=pk, by=request.user)
    return _after(request, found.pk, said)


_ACTS: dict[str, tuple[Any, str]] = {
    "cancel": (actions.cancel, "The run is being stopped."),
    "pause": (actions.pause, "It pauses after the step that runs."),
    "go-on": (actions.go_on, "The run goes on."),
    "give-up": (actions.give_up, "The run is called failed."),
    "retry": (actions.retry, "A new run goes on at the step that failed."),
    "stop-batch": (actions.stop_batch, "No more runs of the batch begin."),
}


@require_POST
def resume(request: DeskRequest, pk: int) -> HttpResponse:
    actions.resume(execution_id=pk, by=request.user, from_start=request.POST.get("from") == "start")
    return _after(request, pk, "The run is queued again.")


@require_POST
def decide(request: DeskRequest, pk: int) -> HttpResponse:
    """Yes or no to a run that waits for approval."""
    approved = request.POST.get("answer") == "yes"
    comment, plan = request.POST.get("comment", ""), request.POST.get("plan", "")
    try:
        actions.approve(execution_id=pk, by=request.user, approved=approved, comment=comment, plan=plan)
    except Invalid as error:
        return _refused(request, pk, error)
    return _after(request, pk, "You said yes." if approved else "You said no; the run will not begin.")


@require_POST
def answer(request: DeskRequest, pk: int) -> HttpResponse:
    """What a person did and saw in a manual step."""
    fields = {
        name.removeprefix("field_"): str(value) for name, value in request.POST.items() if name.startswith("field_")
    }
    step, done, note = request.POST.get("step", ""), request.POST.get("answer") == "done", request.POST.get("note", "")
    try:
        actions.answer(execution_id=pk, step_id=step, by=request.user, done=done, note=note, fields=fields)
    except Invalid as error:
        return _refused(request, pk, error)
    return _after(request, pk, "Thank you; the run goes on.")


def _refused(request: DeskRequest, pk: int, error: Invalid) -> HttpResponse:
    """What was sent is wrong: said where it was typed, which stays as it is."""
    if request.htmx:
        response = render(
            request, "runbooks/_refused.html", {"summary": str(error), "errors": error.fields}, status=200
        )
        response["HX-Retarget"], response["HX-Reswap"] = "#act-error", "innerHTML"
        return response
    messages.error(request, str(error))
    return redirect("runbooks:run", pk)


def _after(request: DeskRequest, pk: int, said: str) -> HttpResponse:
    if request.htmx and str(pk) in request.path:
        return _state(request, pk)
    messages.success(request, said)
    if request.htmx:
        response = HttpResponse(status=204)
        response["HX-Redirect"] = f"/runs/{pk}/"
        return response
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


@require_GET
def fleet(request: DeskRequest) -> HttpResponse:
    """Workers, queues, locks."""
    context = {
        "workers": Worker.objects.order_by("-seen_at")[:200],
        "queues": workers.queues(),
        "locks": queries.held_locks(request.user),
    }
    return render(request, "runbooks/_fleet.html" if request.htmx else "runbooks/fleet.html", context)
