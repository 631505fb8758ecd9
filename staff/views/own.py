"""What somebody sets for themselves, and what was done."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from staff import actions, queries
from staff.forms import OwnForm
from staff.policies import check_can_see_settings
from staff.requests import DeskRequest
from supportdesk.errors import Invalid


@require_http_methods(["GET", "POST"])
def me(request: DeskRequest) -> HttpResponse:
    """What somebody sets for themselves."""
    own = {name: getattr(request.user, name) for name in ("name", "time_zone", "signature", "undo_seconds")}
    form = OwnForm(request.POST or None, initial=own)
    if request.method == "POST" and form.is_valid():
        try:
            actions.save_own_settings(by=request.user, **form.cleaned_data)
            messages.success(request, "Saved.")
            return redirect("me")
        except Invalid as refused:
            for name, texts in refused.fields.items():
                form.add_error(name, texts)
    return render(request, "staff/me.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
def audit(request: DeskRequest) -> HttpResponse:
    """What was changed in settings, for administrators, leads and auditors."""
    check_can_see_settings(request.user)
    page = Paginator(queries.audit_entries(request.GET.get("action", "")[:60]), 50).get_page(request.GET.get("page"))
    return render(request, "staff/audit.html", {"page": page})
