"""Views of the queue that people keep, and what its query box completes."""

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff.requests import DeskRequest
from supportdesk.errors import Invalid, NotFound
from tickets import forms, queries
from tickets.actions import saved_views as acts
from tickets.forms.writing import ViewForm
from tickets.policies import can_make_rules, check_can_keep_views
from tickets.queries import views as found


@require_GET
def index(request: DeskRequest) -> HttpResponse:
    context = {"views": found.views_of(request.user), "for_all": can_make_rules(request.user)}
    return render(request, "tickets/views.html", context)


@require_GET
def counts(request: DeskRequest) -> HttpResponse:
    """The navigation's kept views with their live counts."""
    return render(request, "tickets/_view_counts.html", {"views": found.counts_of(request.user)})


@require_http_methods(["GET", "POST"])
def edit(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """Keep what the queue shows as a view, or change one."""
    check_can_keep_views(request.user)
    kept, for_all = found.view(request.user, pk) if pk else None, can_make_rules(request.user)
    if kept is not None and kept.owner_id is None and not for_all:
        raise NotFound("There is no such view of yours; leads and administrators change those of all.")
    initial = found.view_initial(kept, queries.Filters.read(request.GET, request.user))
    form = ViewForm(request.POST or None, initial=initial, for_all=for_all)
    if request.method == "POST" and form.is_valid():
        try:
            saved = acts.save_view(by=request.user, pk=pk, **form.values())
            return redirect(f"{reverse('tickets:queue')}?saved={saved.pk}")
        except Invalid as refused:
            forms.refuse(form, refused)
    return render(request, "tickets/view.html", {"form": form, "view": kept}, status=422 if form.errors else 200)


@require_POST
def delete(request: DeskRequest, pk: int) -> HttpResponse:
    gone = acts.delete_view(by=request.user, pk=pk)
    messages.success(request, f"The view “{gone.name}” is gone; its tickets are where they were.")
    return redirect("tickets:views")


@require_GET
def words(request: DeskRequest) -> HttpResponse:
    """What the query box completes, as JSON."""
    return JsonResponse(found.query_words(request.user))
