"""Home and the palette."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from staff import actions as staff
from staff.requests import DeskRequest
from workspace.queries import home as homes
from workspace.queries import palette as palettes
from workspace.queries.settings import checklist


@require_GET
def home(request: DeskRequest) -> HttpResponse:
    """What waits for the reader; htmx gets its parts alone."""
    staff.saw_home(by=request.user, absence=homes.ABSENCE)
    found = homes.home(request.user)
    return render(
        request,
        "workspace/_home.html" if request.htmx else "workspace/home.html",
        {"home": found, "checklist": checklist(request.user)},
    )


@require_GET
def palette(request: DeskRequest) -> HttpResponse:
    """What fits what was typed, as options of the palette; as a page of its own without JavaScript."""
    text = request.GET.get("q", "")
    context = {"groups": palettes.palette(request.user, text), "q": text}
    return render(request, "workspace/_palette.html" if request.htmx else "workspace/palette.html", context)
