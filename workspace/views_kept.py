"""Reports that somebody keeps."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from staff.requests import DeskRequest
from supportdesk.errors import DeskError, Invalid, NotFound
from workspace import forms
from workspace.actions import kept
from workspace.models import KeptReport
from workspace.scope import check_can_see_reports


@require_http_methods(["GET", "POST"])
def edit(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """Keep a report under a name, and say who gets it when."""
    check_can_see_reports(request.user)
    found = KeptReport.objects.filter(pk=pk, owner=request.user).first() if pk else None
    if pk and found is None:
        raise NotFound("There is no such report of yours.")
    form = forms.KeptForm(request.POST or None, initial=forms.of_kept(found) if found else forms.new_kept(request))
    if request.method == "POST" and form.is_valid():
        try:
            kept.save(by=request.user, pk=pk, **form.wanted())
            messages.success(request, "Kept.")
            return redirect("workspace:reports")
        except DeskError as refused:
            forms.refuse(form, refused if isinstance(refused, Invalid) else Invalid(str(refused)))
    context = {"form": form, "kept": found, "title": found.name if found else "Keep this report"}
    return render(request, "workspace/kept.html", context, status=422 if form.is_bound else 200)


@require_POST
def delete(request: DeskRequest, pk: int) -> HttpResponse:
    kept.delete(by=request.user, pk=pk)
    messages.success(request, "Let go.")
    return redirect("workspace:reports")


@require_POST
def send(request: DeskRequest, pk: int) -> HttpResponse:
    """Mail it now."""
    mails = kept.send_now(by=request.user, pk=pk)
    messages.success(request, f"On its way to {mails} {'person' if mails == 1 else 'people'}.")
    return redirect("workspace:reports")
