"""The team: who is there, and how much each has."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from staff.requests import DeskRequest
from tickets import actions, forms, queries


@require_GET
def team(request: DeskRequest) -> HttpResponse:
    return render(request, "tickets/team.html", {"team": queries.team(request.user)})


@require_POST
def away(request: DeskRequest) -> HttpResponse:
    """Say that somebody is away until a time, or back; and what becomes of their open tickets."""
    moved = actions.set_away(
        user_id=forms.ticket_number(request.POST, "person"),
        by=request.user,
        until=forms.wall_clock(request.POST, "until"),
        reassign=request.POST.get("reassign", "keep"),
    )
    messages.success(request, f"Saved; {moved} tickets moved." if moved else "Saved.")
    return redirect("tickets:team")
