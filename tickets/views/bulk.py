"""Changes to many tickets, and the progress of background work."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff.queries import people_of_tiers
from staff.requests import DeskRequest
from supportdesk.errors import Invalid, NotFound
from tickets import actions, forms, queries
from tickets.actions import bulk
from tickets.models import RowOutcome
from tickets.policies import check_can_bulk
from tickets.queries.queue import BULK_FILTERS


@require_http_methods(["GET", "POST"])
def change(request: DeskRequest) -> HttpResponse:
    """What is to be done to the chosen tickets, or to all that match; then it begins."""
    check_can_bulk(request.user)
    asked = request.POST if request.method == "POST" else request.GET
    picked, kept = _picked(request, asked)
    form = forms.RecipeForm(request.POST or None, people=people_of_tiers())
    if request.method == "POST" and form.is_valid():
        try:
            job = actions.start_bulk(by=request.user, tickets=picked, recipe=form.recipe())
            return redirect("tickets:job", job.pk)
        except Invalid as refused:
            forms.refuse(form, refused)
    context = {
        "form": form,
        "kept": kept,
        "count": picked.order_by()[: bulk.MOST + 1].count(),
        "shown": picked.order_by("number")[:10],
    }
    return render(request, "tickets/bulk.html", context, status=422 if form.is_bound else 200)


def _picked(request: DeskRequest, asked: QueryDict) -> tuple[Any, list[tuple[str, str]]]:
    """The tickets that are meant, and the hidden fields that name them again."""
    if asked.get("all") == "1":
        # What the search box does not say goes under names of their own: the form has a status and a priority too.
        filters = {name: asked.get(f"in-{name}", "") for name in BULK_FILTERS}
        found = queries.matching(request.user, queries.Filters.read(filters, request.user))
        return found, [("all", "1"), *((f"in-{name}", value) for name, value in filters.items() if value)]
    numbers = forms.numbers(asked)
    if not numbers:
        raise Invalid("Choose some tickets in the queue first.")
    found = queries.chosen(request.user, numbers)
    if not found.exists():
        raise NotFound("None of these tickets is there.")
    return found, [("numbers", ",".join(map(str, numbers)))]


@require_GET
def job(request: DeskRequest, pk: int) -> HttpResponse:
    """The progress of background work, and of a bulk change what became of each ticket; htmx asks until it ends."""
    found = bulk.find(pk, request.user)
    outcome = request.GET.get("outcome", "")
    rows = Paginator(queries.job_rows(request.user, found, outcome), 50) if found.is_bulk else None
    context = {
        "job": found,
        "outcome": outcome,
        "outcomes": RowOutcome.choices,
        "page": rows.get_page(request.GET.get("page")) if rows else None,
        "can_undo": bulk.can_undo(found),
        "oob": bool(request.htmx),
    }
    fragment = "tickets/_job_live.html" if found.is_bulk else "tickets/_job.html"
    return render(request, fragment if request.htmx else "tickets/job.html", context)


@require_POST
def stop(request: DeskRequest, pk: int) -> HttpResponse:
    actions.stop_bulk(job_id=pk, by=request.user)
    messages.success(request, "It stops after the ticket that it is at.")
    return redirect("tickets:job", pk)


@require_POST
def undo(request: DeskRequest, pk: int) -> HttpResponse:
    return redirect("tickets:job", actions.undo_bulk(job_id=pk, by=request.user).pk)
