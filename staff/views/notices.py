"""What people are told: the centre, what is new for open browsers, muting, and how each kind reaches them."""

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core import signing
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django.views.decorators.vary import vary_on_headers

from staff import actions, notices, queries
from staff.forms import NoticesForm
from staff.models import User, thing_at
from staff.requests import DeskRequest
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import number_of


@require_GET
@vary_on_headers("HX-Request")
def notifications(request: DeskRequest) -> HttpResponse:
    """The reader's notifications, newest first: all, the unread, or one kind; as the bell's panel the newest few."""
    if request.htmx:
        return render(request, "staff/_bell.html", queries.newest_notices(request.user))
    kind, unread = request.GET.get("kind", ""), request.GET.get("unread") == "1"
    rows = queries.notices(request.user, kind=kind, unread=unread)
    page = Paginator(rows, 50).get_page(request.GET.get("page"))
    shown = {"page": page, "kinds": notices.KINDS, "kind": kind, "only_unread": unread}
    return render(
        request, "staff/notifications.html", {**shown, "muted": queries.muted_among(request.user, page.object_list)}
    )


@require_GET
def fresh(request: DeskRequest) -> HttpResponse:
    """For open browsers: how many wait, and what is to pop up of what came after `after`."""
    after = request.GET.get("after", "")
    waits, rows = queries.fresh_notices(request.user, number_of(after))
    popups = [{"id": row.pk, "text": row.text, "reason": row.reason} for row in rows]
    return JsonResponse({"unread": waits, "popups": popups})


@require_POST
def read(request: DeskRequest) -> HttpResponse:
    """Mark one (`pk`) or all as read."""
    pk = request.POST.get("pk", "")
    actions.mark_read(by=request.user, pk=number_of(pk))
    return _back(request, "" if pk else "All read.")


@require_http_methods(["GET", "POST"])
def go(request: DeskRequest, pk: int) -> HttpResponse:
    """Go where a notification leads; it is read then."""
    row = actions.open_notice(by=request.user, pk=pk)
    return redirect(row.url or "notifications")


@require_POST
def mute(request: DeskRequest) -> HttpResponse:
    """Be told no more, or again, about one thing."""
    about = request.POST.get("about", "")
    if request.POST.get("again"):
        actions.unmute(by=request.user, about=about)
        return _back(request, f"You are told about {thing_at(about)} again.")
    actions.mute(by=request.user, about=about)
    return _back(request, f"You hear no more about {thing_at(about)}, but for what is meant for you alone.")


def _back(request: DeskRequest, words: str) -> HttpResponse:
    """The page that one was on with a word, or the panel, which shows by itself what happened, for htmx."""
    if request.htmx:
        return render(request, "staff/_bell.html", queries.newest_notices(request.user) | {"oob": True})
    if words:
        messages.success(request, words)
    to = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(to, allowed_hosts={request.get_host()}) and to.startswith("/")
    return redirect(to if safe else "notifications")


@require_http_methods(["GET", "POST"])
def choose(request: DeskRequest) -> HttpResponse:
    """How each kind reaches the reader, when it is quiet, and what they muted."""
    form = NoticesForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            actions.save_notice_settings(by=request.user, **form.wanted())
            messages.success(request, "Saved.")
            return redirect("notice_settings")
        except Invalid as refused:
            for name, texts in refused.fields.items():
                form.add_error(name, texts)
    shown = {"form": form, "mutes": queries.mutes_of(request.user)}
    return render(request, "staff/notice_settings.html", shown, status=422 if form.errors else 200)


@require_POST
def try_out(request: DeskRequest) -> HttpResponse:
    """Send the reader a notification, the way they get that kind."""
    actions.notify_test(by=request.user)
    messages.success(request, "Sent: it comes as you set it for tests, once your quiet hours are over.")
    return redirect("notice_settings")


@csrf_exempt  # a mail program's one-click (RFC 8058) has no token; the signature is the permission
@login_not_required
@require_http_methods(["GET", "POST"])
def mute_by_mail(request: HttpRequest, token: str) -> HttpResponse:
    """Mute what a mail was about by its signed link, asked once more, without signing in."""
    try:
        user_id, about = notices.of_mute_link(token)
    except (signing.BadSignature, ValueError, TypeError):
        raise NotFound("This link is not whole; copy all of it.") from None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NotFound("Whom this mail was for is not here any more.")
    if request.method == "POST":
        actions.mute(by=user, about=about)
    shown = {"thing": thing_at(about), "done": request.method == "POST"}
    return render(request, "staff/mute_by_mail.html", shown)
