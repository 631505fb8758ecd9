"""Calls and chats, written down while they happen, with the requester's earlier tickets beside."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from tickets import actions, forms, queries
from tickets.models import Channel
from tickets.policies import check_can_open


@require_http_methods(["GET", "POST"])
def intake(request: DeskRequest) -> HttpResponse:
    """The form; afterwards the ticket."""
    check_can_open(request.user)
    form = forms.ContactForm(request.POST or None, initial={"channel": request.GET.get("channel", Channel.PHONE)})
    if request.method == "POST" and form.is_valid() and _is_theirs(request, form):
        data = form.new_ticket()
        own = {name: data.pop(name) for name in ("channel", "text", "seconds", "number")}
        own |= {"channel": Channel(own["channel"]), "seconds": own["seconds"] or 0}
        try:
            ticket = actions.log_contact(by=request.user, **own, **{} if own["number"] else data)
            messages.success(request, f"Kept on ticket {ticket.number}.")
            return redirect("tickets:detail", ticket.number)
        except Invalid as refused:
            forms.refuse(form, refused)
    context = {"form": form, **_beside(request)}
    return render(request, "tickets/intake.html", context, status=422 if form.is_bound else 200)


def _is_theirs(request: DeskRequest, form: forms.ContactForm) -> bool:
    """Whether the chosen ticket is of the requester whose address stands in the form."""
    number, email = form.cleaned_data["number"], form.cleaned_data["requester_email"].lower()
    if number and queries.ticket_for(request.user, number).requester.email != email:
        form.add_error("requester_email", f"Ticket {number} is of somebody else; choose again where this belongs.")
        return False
    return True


@require_GET
def requester(request: DeskRequest) -> HttpResponse:
    """Who that may be, and what they had before; the fragment beside a form that opens a ticket."""
    check_can_open(request.user)
    return render(request, "tickets/_earlier.html", {"form": forms.ContactForm(), **_beside(request)})


def _beside(request: DeskRequest) -> dict[str, object]:
    typed = request.POST if request.method == "POST" else request.GET
    who, words = typed.get("requester_email", "").strip()[:254], typed.get("subject", "")[:300]
    found = queries.earlier(request.user, who, words=words)
    like = queries.people_like(request.user, who) if found.requester is None and len(who) > 2 else ()
    return {
        "earlier": found,
        "people": like,
        "who": who,
        "chosen": typed.get("number", ""),
        "may_choose": "seconds" in typed or "choose" in typed,
        "fill": "fill" in typed,
    }
