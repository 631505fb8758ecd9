"""One's own sign-in: second factors, sessions, who came in one's name."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from staff import actions, queries
from staff.requests import DeskRequest
from supportdesk.text import number_of


@require_GET
def index(request: DeskRequest) -> HttpResponse:
    """What guards the reader's account, where they are signed in, and who tried to."""
    return render(request, "mfa/index.html", queries.security_of(request.user, request.session.session_key))


@require_POST
def end(request: DeskRequest) -> HttpResponse:
    """End one session (`pk`), or all but this one."""
    if "pk" in request.POST:
        actions.end_session(by=request.user, pk=number_of(request.POST["pk"]) or 0)
        messages.success(request, "That session has ended.")
    else:
        ended = actions.end_sessions(of=request.user, by=request.user, but=request.session.session_key)
        messages.success(request, f"Signed out elsewhere: {ended} {'session' if ended == 1 else 'sessions'} ended.")
    return redirect("mfa_index")
