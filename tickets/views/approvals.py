"""Approvals: what waits for the reader, and the page behind a signed link."""

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from tickets import actions
from tickets.actions import approvals


@require_GET
def waiting(request: DeskRequest) -> HttpResponse:
    """Questions that wait for the reader's answer."""
    return render(request, "tickets/approvals.html", {"waiting": approvals.waiting_for(request.user)})


@require_POST
def decide(request: DeskRequest, pk: int) -> HttpResponse:
    yes, comment = _answer(request)
    actions.decide_approval(approval_id=pk, by=request.user, yes=yes, comment=comment)
    messages.success(request, "Your answer is kept.")
    return redirect("tickets:approvals")


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def by_link(request: HttpRequest, pk: int, signature: str) -> HttpResponse:
    """The question of a signed link; looking answers nothing, so that a mail scanner that follows it does no harm."""
    asked, approver = approvals.by_link(pk, signature)
    if request.method == "POST":
        yes, comment = _answer(request)
        asked = actions.decide_by_link(approval_id=pk, signature=signature, yes=yes, comment=comment)
    context = {"asked": asked, "approver": approver, "decided": request.method == "POST"}
    response = render(request, "tickets/approve.html", context)
    response["X-Robots-Tag"] = "noindex"
    return response


def _answer(request: HttpRequest) -> tuple[bool, str]:
    answer = request.POST.get("answer")
    if answer not in {"yes", "no"}:
        raise Invalid("Say yes or no.")
    return answer == "yes", request.POST.get("comment", "")
