"""The queue and the ticket page."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import FileResponse, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff.models import Tier
from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from supportdesk.text import number_of
from tickets import actions, forms, queries
from tickets.downloads import attachment_of, picture_of
from tickets.models import Priority, Status
from tickets.policies import can_keep_views, can_read_notes, check_can_open
from tickets.queries.queue import BULK_FILTERS, COLUMNS, GROUPS, SIZES, USUAL, VIEWS


@require_GET
def queue(request: DeskRequest) -> HttpResponse:
    """The queue; htmx gets its table alone."""
    filters = queries.Filters.read(request.GET, request.user)
    if filters.number is not None and not request.htmx:  # a bare number jumps; htmx asks while it is being typed
        return redirect("tickets:detail", queries.ticket_for(request.user, filters.number).number)
    context = {
        "cursor": queries.queue_cursor(
            request.user, ""
        ),  # read before the rows: what comes between shows twice, not never
        "queue": queries.queue(request.user, filters, page=request.GET.get("page", "1")),
        "filters": filters,
        "title": filters.saved.name if filters.saved else VIEWS[filters.view],
        "columns": filters.columns,
        "more_columns": [(name, COLUMNS[name]) for name in filters.columns if name not in USUAL],
        "groups": GROUPS.items(),
        "can_keep": can_keep_views(request.user),
        "bulk_filters": [(name, getattr(filters, name)) for name in BULK_FILTERS if getattr(filters, name)],
        "assignee": queries.person(filters.assignee),
        "statuses": Status.choices,
        "priorities": Priority.choices,
        "sizes": SIZES,
    }
    fragment = request.htmx and not request.htmx.history_restore_request
    response = render(request, "tickets/_queue.html" if fragment else "tickets/queue.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_GET
def rows(request: DeskRequest) -> HttpResponse:
    """Rows of the queue that are on somebody's screen, and the navigation's counts, to swap in place."""
    numbers = forms.numbers(request.GET)
    columns = queries.Filters.read(request.GET, request.user).columns
    context = {"tickets": queries.queue_rows(request.user, numbers), "columns": columns}
    return render(request, "tickets/_rows.html", context)


def fragment(request: DeskRequest, number: int, **context: Any) -> HttpResponse:
    detail = queries.ticket_detail(request.user, number)
    return render(request, "tickets/_changes.html", {"detail": detail, "ticket": detail.ticket, **context})


@require_GET
def detail(request: DeskRequest, number: int) -> HttpResponse:
    found = queries.ticket_detail(request.user, number)
    return render(
        request,
        "tickets/detail.html",
        {"detail": found, "ticket": found.ticket, "written": request.GET.get("text", "")},
    )


@require_GET
def clocks(request: DeskRequest, number: int) -> HttpResponse:
    """What each clock runs by and what happened to it; as a page of its own without JavaScript."""
    ticket = queries.ticket_for(request.user, number)
    context = {"ticket": ticket, "clocks": queries.explained(ticket)}
    return render(request, "tickets/_explained.html" if request.htmx else "tickets/explained.html", context)


@require_GET
def changes(request: DeskRequest, number: int) -> HttpResponse:
    """All parts of the ticket page that may have changed, to swap in place."""
    return fragment(request, number)


@require_http_methods(["GET", "POST"])
def new(request: DeskRequest) -> HttpResponse:
    check_can_open(request.user)
    form = forms.TicketForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            ticket, _ = actions.open_ticket(by=request.user, **form.new_ticket())
            messages.success(request, f"Ticket {ticket.number} is open.")
            return redirect("tickets:detail", ticket.number)
        except Invalid as refused:
            forms.refuse(form, refused)
    return render(request, "tickets/new.html", {"form": form}, status=422 if form.is_bound else 200)


def done(request: DeskRequest, number: int, said: str) -> HttpResponse:
    """After an action: the changed fragments for htmx, the page again for a plain form."""
    if request.htmx:
        # A list that changes a ticket shows it by itself.
        return HttpResponse(status=204) if "quiet" in request.POST else fragment(request, number, said=said)
    messages.success(request, said)
    return redirect("tickets:detail", number)


def _change(said: str, arguments: Callable[[DeskRequest], dict[str, Any]], action: Callable[..., Any]) -> Any:
    """A view that changes one ticket: parse, act, show."""

    @require_POST
    def view(request: DeskRequest, number: int) -> HttpResponse:
        action(number=number, by=request.user, version=forms.version(request.POST), **arguments(request))
        return done(request, number, said)

    return view


def _next_or_chosen_tier(request: DeskRequest) -> Tier | None:
    return Tier.objects.filter(level=number_of(request.POST.get("tier", "")) or 0).first()


take = _change("It is yours.", lambda request: {}, actions.take)
assign = _change("Assignee changed.", lambda r: {"to": forms.person(r.POST, "assignee")}, actions.assign)
priority = _change(
    "Priority changed.",
    lambda r: {"priority": forms.choice(r.POST, "priority", Priority)},
    actions.set_priority,
)
status = _change("Status changed.", lambda r: {"status": forms.choice(r.POST, "status", Status)}, actions.set_status)
category = _change(
    "Category changed.", lambda r: {"category": forms.category(r.POST, "category")}, actions.set_category
)
subject = _change("Subject changed.", lambda r: {"subject": r.POST.get("subject", "")}, actions.set_subject)
restrict = _change(
    "Visibility changed.", lambda r: {"restricted": r.POST.get("restricted") == "yes"}, actions.set_restricted
)
tags = _change("Tags changed.", lambda r: {"tags": forms.tags(r.POST)}, actions.set_tags)
cc = _change("Copies changed.", lambda r: {"addresses": forms.addresses(r.POST, "cc")}, actions.set_cc)
custom = _change("Saved.", lambda r: {"values": forms.custom(r.POST)}, actions.set_custom)
deadline = _change("Deadline changed.", lambda r: {"at": forms.wall_clock(r.POST, "deadline_at")}, actions.set_deadline)
snooze = _change("Done.", lambda r: {"until": forms.snooze_until(r.POST)}, actions.snooze)
link = _change(
    "Linked.",
    lambda r: {"to": forms.ticket_number(r.POST, "to"), "relation": r.POST.get("relation", "")},
    actions.link,
)
unlink = _change("The link is gone.", lambda r: {"link_id": forms.ticket_number(r.POST, "link")}, actions.unlink)


@require_POST
def ask(request: DeskRequest, number: int) -> HttpResponse:
    """Ask a role or one person for approval."""
    role = request.POST.get("role", "")
    actions.ask_approval(
        number=number,
        by=request.user,
        question=request.POST.get("question", ""),
        address="" if role else request.POST.get("address", ""),
        level=int(role) if role in {"0", "1", "2", "3"} else None,
    )
    return done(request, number, "Asked.")


@require_POST
def withdraw(request: DeskRequest, number: int) -> HttpResponse:
    actions.withdraw_approval(approval_id=forms.ticket_number(request.POST, "approval"), by=request.user)
    return done(request, number, "Withdrawn.")


@require_POST
def checklist(request: DeskRequest, number: int) -> HttpResponse:
    """Add a step, tick one off or open it again, or remove it."""
    if "text" in request.POST:
        actions.add_step(number=number, by=request.user, text=request.POST["text"])
        return done(request, number, "Added.")
    step = forms.ticket_number(request.POST, "step")
    if "remove" in request.POST:
        actions.remove_step(number=number, by=request.user, step=step)
        return done(request, number, "Removed.")
    actions.tick_step(number=number, by=request.user, step=step, done=request.POST.get("done") == "yes")
    return done(request, number, "Saved.")


@require_POST
def escalate(request: DeskRequest, number: int) -> HttpResponse:
    """The handover form: to a higher tier, or back to a lower one."""
    arguments: dict[str, Any] = {"number": number, "by": request.user, "version": forms.version(request.POST)}
    arguments |= {"found": request.POST.get("found", ""), "runs": forms.runs(request.POST)}
    tried, to = request.POST.get("handover", ""), _next_or_chosen_tier(request)
    if to is None:
        actions.escalate(handover=tried, **arguments)
    else:
        actions.hand_over(to=to, tried=tried, **arguments)
    return done(request, number, "Handed over.")


@require_POST
def take_next(request: DeskRequest) -> HttpResponse:
    """Take the most urgent ticket that nobody has, and go there."""
    ticket = actions.take_next(by=request.user)
    messages.success(request, "It is yours.")
    return go(request, ticket.number)


@require_POST
def merge(request: DeskRequest, number: int) -> HttpResponse:
    """Merge into the ticket whose number was typed; the reader goes on there."""
    into = forms.ticket_number(request.POST, "into")
    actions.merge(number=number, into=into, by=request.user, version=forms.version(request.POST))
    messages.success(request, f"Merged {number} into {into}. Its page can take that back.")
    return go(request, into)


@require_POST
def unmerge(request: DeskRequest, number: int) -> HttpResponse:
    actions.unmerge(number=number, by=request.user)
    messages.success(request, "The merge is taken back.")
    return go(request, number)


@require_POST
def split(request: DeskRequest, number: int) -> HttpResponse:
    """Make a ticket of its own of one message; the reader goes on there."""
    message, version = forms.ticket_number(request.POST, "message"), forms.version(request.POST)
    made = actions.split(number=number, by=request.user, message=message, version=version)
    messages.success(request, f"Ticket {made.number} was split off {number}.")
    return go(request, made.number)


def go(request: DeskRequest, number: int) -> HttpResponse:
    """To a ticket's page, also from htmx."""
    url = reverse("tickets:detail", args=[number])
    return HttpResponse(headers={"HX-Redirect": url}) if request.htmx else redirect(url)


@require_POST
def watch(request: DeskRequest, number: int) -> HttpResponse:
    wanted = request.POST.get("watch") == "yes"
    (actions.watch if wanted else actions.unwatch)(number=number, by=request.user)
    return done(request, number, "You watch this ticket." if wanted else "You no longer watch this ticket.")


@require_GET
def attachment(request: DeskRequest, number: int, pk: int) -> FileResponse:
    """Download a file of a ticket that the reader may see; a browser never renders it here."""
    ticket = queries.ticket_for(request.user, number)
    return attachment_of(ticket, pk, notes=can_read_notes(request.user))


@require_GET
def inline(request: DeskRequest, number: int, pk: int) -> HttpResponse:
    """A picture that stands in the text of a mail; only what is a picture by its own bytes is shown."""
    ticket = queries.ticket_for(request.user, number)
    return picture_of(ticket, pk, notes=can_read_notes(request.user))


@require_POST
def spam(request: DeskRequest, number: int) -> HttpResponse:
    """Call it spam, or take that back."""
    wanted = request.POST.get("spam") == "yes"
    act = actions.mark_spam if wanted else actions.mark_not_spam
    act(number=number, by=request.user, version=forms.version(request.POST))
    return done(request, number, "It is in the spam view now." if wanted else "It is no spam, and open again.")
