"""The composer: drafts, files, what waits to be sent, words kept ready, people to name."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff import actions as staff
from staff.queries import people_of_tiers
from staff.requests import DeskRequest
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import markdown
from tickets import forms, queries
from tickets import presence as present
from tickets.actions import drafts, macros
from tickets.forms import writing as writing_forms
from tickets.models import Draft, DraftState, MessageKind, Status
from tickets.policies import can_bulk, can_make_rules, check_can_bulk
from tickets.queries import writing as found
from tickets.views.tickets import done, fragment, go


@require_POST
def say(request: DeskRequest, number: int) -> HttpResponse:
    """Send what the composer holds: a note, or a reply with what is to happen after."""
    typed = writing_forms.written(request.POST, request.FILES.getlist("files"))
    try:
        sent = drafts.send(number=number, by=request.user, base=writing_forms.base(request.POST), **typed)
    except drafts.Unseen as unseen:
        return _unseen(request, number, unseen)
    said = _said(sent, typed["then"])
    if request.POST.get("go") == "next":
        after = forms.ticket_number_or_none(request.POST, "next")
        undo = reverse("tickets:take_back", args=[number, sent.pk]) if isinstance(sent, Draft) else ""
        messages.success(request, said, extra_tags=undo)
        return go(request, after) if after else _to_queue(request)
    return done(request, number, said)


def _said(sent: Any, then: Status | None) -> str:
    if isinstance(sent, Draft):
        if sent.scheduled:
            return f"It is sent on {timezone.localtime(sent.send_at):%d %b at %H:%M}."
        return f"It is sent in {sent.user.undo_seconds} s."
    if sent.kind == MessageKind.NOTE:
        return "Note added."
    return "Reply sent." if not then else f"Reply sent; the ticket is {Status(then).label.lower()}."


def _unseen(request: DeskRequest, number: int, unseen: drafts.Unseen) -> HttpResponse:
    """What the requester wrote meanwhile, above the text that was to be sent."""
    context = {"message": unseen.message, "unseen": unseen}
    if not request.htmx:
        return render(
            request, "tickets/unseen.html", context | {"number": number, "posted": _posted(request)}, status=409
        )
    response = fragment(request, number, **context)
    response.status_code = 409
    response["HX-Reswap"] = "none"
    return response


def _posted(request: DeskRequest) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in request.POST.items() if name not in {"csrfmiddlewaretoken", "seen"}]


def _to_queue(request: DeskRequest) -> HttpResponse:
    url = reverse("tickets:queue")
    return HttpResponse(headers={"HX-Redirect": url}) if request.htmx else redirect(url)


# --------------------------------------------------------------------------------------------- drafts
@require_POST
def draft(request: DeskRequest, number: int) -> HttpResponse:
    """Keep what is written so far; JSON with the moment it was kept, empty where nothing is left to keep."""
    typed = writing_forms.written(request.POST, [])
    kept = drafts.keep(
        number=number, by=request.user, base=writing_forms.base(request.POST), **{name: typed[name] for name in ("text", "kind", "macros", "minutes")}
    )  # fmt: skip
    return JsonResponse({"kept_at": kept.updated_at.isoformat() if kept.pk else ""})


@require_GET
def newest_draft(request: DeskRequest, number: int) -> HttpResponse:
    """The draft as it is kept now, for a page that shows an older one."""
    ticket = queries.ticket_for(request.user, number)
    kept = found.draft_of(ticket, request.user)
    answer = {"text": kept.text, "kind": kept.kind, "kept_at": kept.updated_at.isoformat()} if kept else {"text": "", "kind": "reply", "kept_at": ""}  # fmt: skip
    return JsonResponse(answer)


@require_POST
def attach(request: DeskRequest, number: int) -> HttpResponse:
    """Keep files with the draft; answers with their chips."""
    kept = drafts.attach(number=number, by=request.user, files=request.FILES.getlist("files"))
    return render(request, "tickets/_draft_files.html", {"files": kept, "number": number})


@require_POST
def detach(request: DeskRequest, number: int, pk: int) -> HttpResponse:
    drafts.detach(number=number, by=request.user, file_id=pk)
    return HttpResponse()


@require_POST
def discard(request: DeskRequest, number: int) -> HttpResponse:
    """Throw away the draft, or what waits to be sent."""
    chosen = forms.ticket_number_or_none(request.POST, "draft")
    drafts.discard(number=number, by=request.user, draft_id=chosen)
    return _again(request, number, "Thrown away.")


@require_POST
def take_back(request: DeskRequest, number: int, pk: int) -> HttpResponse:
    """Undo a sending: it is a draft again, and in the composer."""
    back = drafts.take_back(number=number, by=request.user, draft_id=pk)
    held = back.state == DraftState.HELD
    return _again(
        request,
        number,
        "It is not sent, and waits beside what you write." if held else "Taken back: it is a draft again.",
    )


@require_POST
def send_now(request: DeskRequest, number: int, pk: int) -> HttpResponse:
    drafts.send_now(number=number, by=request.user, draft_id=pk)
    return done(request, number, "Sent.")


def _again(request: DeskRequest, number: int, said: str) -> HttpResponse:
    messages.success(request, said)
    return go(request, number)


@require_POST
def preview(request: DeskRequest) -> HttpResponse:
    """The text as its reader will see it."""
    html = markdown(request.POST.get("text", "")[: drafts.MOST_TEXT])
    return render(request, "tickets/_preview.html", {"html": html})


@require_http_methods(["GET", "POST"])
def presence(request: DeskRequest, number: int) -> HttpResponse:
    """Who else is on the ticket; a POST says that the reader is, or leaves."""
    ticket = queries.ticket_for(request.user, number)
    if request.method == "POST":
        if "leaves" not in request.POST:
            staff.mark_about_read(by=request.user, about=f"/tickets/{ticket.number}/")
        present.note(
            number=ticket.number, user=request.user, writes=request.POST.get("writes") == "yes", leaves="leaves" in request.POST
        )  # fmt: skip
    return render(request, "tickets/_presence.html", {"present": present.on(ticket.number, but=request.user)})


# --------------------------------------------------------------------------------------- completion
@require_GET
def macro_options(request: DeskRequest, number: int) -> HttpResponse:
    """Words kept ready, filled in for a ticket, as options of the composer's list."""
    ticket = queries.ticket_for(request.user, number)
    return render(request, "tickets/_macro_options.html", {"options": found.macro_options(ticket, request.user)})


@require_GET
def people(request: DeskRequest, number: int) -> HttpResponse:
    """Whom a note on a ticket may name."""
    ticket = queries.ticket_for(request.user, number)
    return render(request, "tickets/_people_options.html", {"people": found.people_for(ticket)})


@require_POST
def apply_macro(request: DeskRequest, number: int) -> HttpResponse:
    """Make the changes of a macro without words."""
    done_ = macros.apply_macro(
        number=number, by=request.user, pk=forms.ticket_number(request.POST, "macro"), version=forms.version(request.POST)
    )  # fmt: skip
    return done(request, number, "; ".join(done_) or "Nothing had to be changed.")


# -------------------------------------------------------------------------------------------- macros
@require_GET
def macro_list(request: DeskRequest) -> HttpResponse:
    context = {"macros": found.macros(request.user), "may_edit": can_bulk(request.user), "for_all": can_make_rules(request.user)}  # fmt: skip
    return render(request, "tickets/macros.html", context)


@require_http_methods(["GET", "POST"])
def macro(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """One macro: its words, and the changes that go along."""
    check_can_bulk(request.user)
    kept = found.macro(request.user, pk) if pk else None
    for_all = can_make_rules(request.user)
    if kept is not None and kept.owner_id is None and not for_all:
        raise NotFound("There is no such macro of yours; leads and administrators change those of all.")
    initial = found.macro_initial(kept)
    form = writing_forms.MacroForm(request.POST or None, initial=initial, people=people_of_tiers(), for_all=for_all)
    if request.method == "POST" and form.is_valid():
        try:
            saved = macros.save_macro(by=request.user, pk=pk, recipe=form.recipe(), **form.own())
            messages.success(request, f"“{saved.name}” is saved.")
            return redirect("tickets:macros")
        except Invalid as refused:
            forms.refuse(form, refused)
    context = {"form": form, "macro": kept, "names": macros.MACRO_NAMES}
    return render(request, "tickets/macro.html", context, status=422 if form.errors else 200)


@require_POST
def delete_macro(request: DeskRequest, pk: int) -> HttpResponse:
    gone = macros.delete_macro(by=request.user, pk=pk)
    messages.success(request, f"“{gone.name}” is gone.")
    return redirect("tickets:macros")
