"""Settings of the desk as a whole: the index, people, tiers, contacts, teams, accounts, the first hour."""

from collections.abc import Callable
from typing import Any

from django import forms as django_forms
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff import actions as staff
from staff.models import AUTOMATION, Contact, DeskSettings, Role, Team, Tier, User
from staff.policies import check_can_see_settings, check_is_administrator, has_second_factor, is_administrator
from staff.requests import DeskRequest
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import number_of
from tickets import actions as tickets
from tickets.models import OPEN_STATUSES, Ticket
from workspace import forms
from workspace.actions import first_hour
from workspace.queries import settings as found


@require_GET
def index(request: DeskRequest) -> HttpResponse:
    """Every page of settings, or those that fit what was typed, with single settings by name."""
    check_can_see_settings(request.user)
    q = request.GET.get("q", "").strip()[:100]
    pages, things = found.found(q)
    return render(request, "workspace/settings/index.html", {"pages": pages, "things": things, "q": q})


# --------------------------------------------------------------------------------------------- people
@require_GET
def people(request: DeskRequest) -> HttpResponse:
    check_can_see_settings(request.user)
    q, gone = request.GET.get("q", "").strip()[:100], request.GET.get("gone") == "1"
    page = Paginator(found.people(q, gone=gone), 50).get_page(request.GET.get("page"))
    context = {"page": page, "q": q, "gone": gone, "may_edit": is_administrator(request.user)}
    return render(request, "workspace/settings/people.html", context)


def _person(pk: int) -> User:
    person = User.objects.filter(pk=pk).exclude(email=AUTOMATION).first()
    if person is None:
        raise NotFound("There is no such person.")
    return person


@require_http_methods(["GET", "POST"])
def person(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """Invite somebody, or change their place."""
    check_can_see_settings(request.user)
    known = _person(pk) if pk else None
    form = forms.PersonForm(request.POST or None, person=known)

    def save() -> None:
        staff.save_person(by=request.user, pk=pk, **form.wanted())

    more: dict[str, Any] = {"person": known}
    if known:
        more["open"] = Ticket.objects.filter(assignee=known, status__in=OPEN_STATUSES)[:1000].count()
        more["second_factor"] = has_second_factor(known)
    said = "They get a mail with a link that sets their password." if known is None else ""
    return _edit(
        request, form, save, title=known.name if known else "Invite somebody", back="workspace:people", said=said,
        done="Saved." if known or request.POST.get("role") == Role.INTEGRATION else "Invited: the mail is on its way.", template="workspace/settings/person.html", **more,
    )  # fmt: skip


@require_POST
def act_on_person(request: DeskRequest, pk: int, what: str) -> HttpResponse:
    """Invite again, sign out everywhere, or take away second factors that are lost."""
    check_is_administrator(request.user)
    known = _person(pk)
    if what == "invite":
        staff.invite_again(by=request.user, person=known)
        messages.success(request, "Invited again.")
    elif what == "sign-out":
        ended = staff.end_sessions(of=known, by=request.user)
        messages.success(request, f"Signed out: {ended} {'session' if ended == 1 else 'sessions'} ended.")
    else:
        staff.take_second_factor(of=known, by=request.user)
        messages.success(request, "Removed. They sign in by password and set up a new one.")
    return redirect("workspace:person", pk=pk)


# ---------------------------------------------------------------------------- tiers, contacts, teams
@require_GET
def tiers(request: DeskRequest) -> HttpResponse:
    check_can_see_settings(request.user)
    context = {
        "tiers": Tier.objects.select_related("contact"), "contacts": Contact.objects.select_related("calendar"),
        "teams": Team.objects.order_by("name"), "may_edit": is_administrator(request.user),
    }  # fmt: skip
    return render(request, "workspace/settings/tiers.html", context)


@require_http_methods(["GET", "POST"])
def tier(request: DeskRequest, level: int) -> HttpResponse:
    check_can_see_settings(request.user)
    known = _known(Tier.objects.filter(level=level))
    names = ("name", "scope", "handled_by", "response_min_minutes", "response_max_minutes", "contact")
    initial = {name: getattr(known, name) for name in names} | {"channels": "\n".join(known.channels)}
    form = forms.TierForm(request.POST or None, initial=initial)

    def save() -> None:
        tickets.save_tier(by=request.user, level=level, **form.wanted())

    said = "What it promises in words; its clocks run by the policies under Promises and calendars."
    return _edit(request, form, save, title=str(known), back="workspace:tiers", said=said)


@require_http_methods(["GET", "POST"])
def contact(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    check_can_see_settings(request.user)
    known = _known(Contact.objects.filter(pk=pk)) if pk else None
    names = ("role", "email", "phone", "hours", "calendar")
    form = forms.ContactForm(request.POST or None, initial=known and {name: getattr(known, name) for name in names})

    def save() -> None:
        staff.save_contact(by=request.user, pk=pk, **form.cleaned_data)

    return _edit(request, form, save, title=known.role if known else "New contact", back="workspace:tiers")


@require_http_methods(["GET", "POST"])
def team(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    check_can_see_settings(request.user)
    known = _known(Team.objects.filter(pk=pk)) if pk else None
    form = forms.TeamForm(request.POST or None, initial=known and {"name": known.name, "slug": known.slug})
    form.fields["slug"].disabled = known is not None

    def save() -> None:
        staff.save_team(by=request.user, pk=pk, **form.cleaned_data)

    return _edit(request, form, save, title=known.name if known else "New team", back="workspace:tiers")


def _known(rows: Any) -> Any:
    known = rows.first()
    if known is None:
        raise NotFound("There is no such thing.")
    return known


# ------------------------------------------------------------------------------------------ accounts
@require_http_methods(["GET", "POST"])
def accounts(request: DeskRequest) -> HttpResponse:
    """Who must have a second factor, and how single sign-on is set."""
    check_can_see_settings(request.user)
    now = DeskSettings.objects.filter(pk=1).first() or DeskSettings()
    form = forms.AccountsForm(request.POST or None, initial={"second_factor_of": now.second_factor_of})

    def save() -> None:
        staff.require_second_factor(by=request.user, of=form.cleaned_data["second_factor_of"])

    return _edit(
        request, form, save, title="Accounts", back="workspace:accounts", template="workspace/settings/accounts.html",
        provider=settings.OIDC_NAME if settings.OIDC_URL else "", provider_url=settings.OIDC_URL, base_url=settings.BASE_URL,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- first hour
@require_POST
def test_mail(request: DeskRequest) -> HttpResponse:
    """Send the mail that is to become a ticket."""
    pk = request.POST.get("mailbox", "")
    first_hour.send_test_mail(by=request.user, mailbox_id=number_of(pk) or 0)
    messages.success(request, "Sent. It becomes a ticket within seconds.")
    return redirect("workspace:home")


@require_POST
def close_checklist(request: DeskRequest) -> HttpResponse:
    """Put the checklist away, or show it again."""
    again = request.POST.get("again") == "yes"
    staff.close_checklist(by=request.user, closed=not again)
    messages.success(request, "The checklist is back." if again else "Put away. Settings shows it again.")
    return redirect("workspace:home")


def _edit(
    request: DeskRequest,
    form: django_forms.Form,
    save: Callable[[], None],
    *,
    title: str,
    back: str,
    done: str = "Saved.",
    template: str = "workspace/settings/edit.html",
    **more: Any,
) -> HttpResponse:
    """A settings form: shown to readers, saved by administrators."""
    if request.method == "POST":
        check_is_administrator(request.user)
        if form.is_valid():
            try:
                save()
                messages.success(request, done)
                return redirect(back)
            except Invalid as refused:
                forms.refuse(form, refused)
    context = {"form": form, "title": title, "back": reverse(back), "may_edit": is_administrator(request.user), **more}
    return render(request, template, context, status=422 if form.is_bound else 200)
