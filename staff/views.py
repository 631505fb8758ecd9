"""What people were told, and what was done."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from staff import actions, queries
from staff.policies import check_can_see_settings
from staff.requests import DeskRequest


@require_GET
def notifications(request: DeskRequest) -> HttpResponse:
    """The reader's notifications, newest first."""
    page = Paginator(queries.notifications_for(request.user), 50).get_page(request.GET.get("page"))
    return render(request, "staff/notifications.html", {"page": page, "unread": queries.unread_count(request.user)})


@require_POST
def read_all(request: DeskRequest) -> HttpResponse:
    actions.mark_read(by=request.user)
    messages.success(request, "All read.")
    return redirect("notifications")


@require_POST
def mails_wanted(request: DeskRequest) -> HttpResponse:
    """Whether what requesters write comes by mail too."""
    wanted = request.POST.get("wanted") == "yes"
    actions.set_mails_wanted(by=request.user, wanted=wanted)
    messages.success(request, "You get it by mail too." if wanted else "You get no more mail.")
    return redirect("notifications")


@require_GET
def audit(request: DeskRequest) -> HttpResponse:
    """What was changed in settings, for administrators, leads and auditors."""
    check_can_see_settings(request.user)
    page = Paginator(queries.audit_entries(request.GET.get("action", "")[:60]), 50).get_page(request.GET.get("page"))
    return render(request, "staff/audit.html", {"page": page})
