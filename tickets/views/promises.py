"""What is promised: policies, targets, pauses and calendars, and the progress of clocks that follow an edit."""

from datetime import date, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff import calendar_file, calendars
from staff.business_time import WEEKDAYS, instant, moment
from staff.policies import check_can_see_settings, check_is_administrator, is_administrator
from staff.requests import DeskRequest
from supportdesk.errors import Invalid, NotFound
from tickets import actions, forms, queries
from tickets.models import Clock, Priority, SLAPolicy, Status


@require_GET
def index(request: DeskRequest) -> HttpResponse:
    """Policies in order, pauses, calendars and the last recomputations."""
    check_can_see_settings(request.user)
    context = {
        **queries.promises(),
        "statuses": [(s, s.label) for s in (Status.NEW, Status.OPEN, Status.WAITING, Status.ON_HOLD)],
        "clocks": Clock.choices,
        "may_edit": is_administrator(request.user),
    }
    return render(request, "tickets/promises/index.html", context)


@require_POST
def pauses(request: DeskRequest) -> HttpResponse:
    pairs = [(status, clock) for status in Status for clock in Clock if request.POST.get(f"{status}-{clock}")]
    actions.save_pauses(by=request.user, pauses=pairs)
    messages.success(request, "Saved. Running clocks follow in the background.")
    return redirect("tickets:promises")


@require_http_methods(["GET", "POST"])
def policy(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """One policy with its grid of targets; *Preview* says what saving would change."""
    check_can_see_settings(request.user)
    found = SLAPolicy.objects.filter(pk=pk).first() if pk else None
    if pk and found is None:
        raise NotFound("There is no such policy.")
    form = forms.PolicyForm(
        request.POST or None,
        fallback=bool(found and found.is_fallback),
        initial=queries.policy_initial(found) if found else None,
    )
    preview, error = None, ""
    if request.method == "POST":
        check_is_administrator(request.user)
        if form.is_valid():
            try:
                arguments: dict[str, Any] = {
                    **form.cleaned_data,
                    "targets": forms.targets(request.POST),
                    "by": request.user,
                    "pk": pk,
                }
                if "preview" not in request.POST:
                    actions.save_policy(**arguments)
                    messages.success(request, "Saved. Running clocks follow in the background.")
                    return redirect("tickets:promises")
                preview = actions.preview_policy(**arguments)
            except Invalid as refused:
                error = str(refused)
    context = {
        "form": form, "policy": found, "preview": preview, "error": error, "may_edit": is_administrator(request.user),
        "grid": queries.target_grid(found, request.POST if request.method == "POST" else None), "clocks": Clock.choices, "priorities": Priority.choices,
    }  # fmt: skip
    status = 422 if error or (form.is_bound and not form.is_valid()) else 200
    return render(request, "tickets/promises/policy.html", context, status=status)


@require_POST
def delete_policy(request: DeskRequest, pk: int) -> HttpResponse:
    actions.delete_policy(by=request.user, pk=pk)
    messages.success(request, "The policy is gone; its tickets have the next one that matches.")
    return redirect("tickets:promises")


@require_http_methods(["GET", "POST"])
def calendar(request: DeskRequest, slug: str = "") -> HttpResponse:
    """One calendar: its hours and holidays as a form, and a place to try it out before or after saving."""
    check_can_see_settings(request.user)
    existing = calendars.spec_of(calendars.find(slug)) if slug else None
    fields, error, trial, spec = _calendar_fields(existing), "", None, existing
    if request.method == "POST":
        check_is_administrator(request.user)
        fields = {name: request.POST.get(name, "") for name in fields}
        try:
            spec = calendar_file.check(_calendar_data(fields, slug))
            if "try" not in request.POST:
                actions.save_calendar(spec=spec, by=request.user)
                messages.success(request, "Saved. Clocks that run by it follow in the background.")
                return redirect("tickets:promises")
        except Invalid as refused:
            error, spec = str(refused), None
    given = request.POST if request.method == "POST" else request.GET
    start, minutes = given.get("start", ""), given.get("minutes", "60")
    if spec is not None:
        try:
            trial = _try_out(spec, start, minutes)
        except Invalid as refused:
            error = str(refused)
    context = {
        "fields": fields, "slug": slug, "error": error, "trial": trial, "start": start, "minutes": minutes, "weekdays": [(d, d.capitalize(), fields[d]) for d in WEEKDAYS],
        "may_edit": is_administrator(request.user),
    }  # fmt: skip
    return render(request, "tickets/promises/calendar.html", context, status=422 if error else 200)


def _calendar_fields(spec: calendar_file.CalendarFile | None) -> dict[str, str]:
    """A calendar as the texts of its form."""
    names = ("slug", "name", "zone", "always", *WEEKDAYS, "country", "subdivision", "extra", "except")
    if spec is None:
        return dict.fromkeys(names, "") | {"zone": "UTC"} | dict.fromkeys(WEEKDAYS[:5], "09:00-17:00")
    hours = spec.hours or {}
    return {
        "slug": spec.slug, "name": spec.name, "zone": spec.zone, "always": "yes" if spec.hours is None else "",
        **{day: ", ".join(hours.get(day, [])) for day in WEEKDAYS},  # type: ignore[call-overload]
        "country": spec.holidays.country, "subdivision": spec.holidays.subdivision,
        "extra": "\n".join(map(str, spec.holidays.extra)), "except": "\n".join(map(str, spec.holidays.open_anyway)),
    }  # fmt: skip


def _calendar_data(fields: dict[str, str], slug: str) -> dict[str, Any]:
    def several(text: str) -> list[str]:
        return text.replace(",", " ").replace(";", " ").split()

    data: dict[str, Any] = {
        "slug": slug or fields["slug"].strip(),
        "name": fields["name"].strip(),
        "zone": fields["zone"].strip(),
    }
    if not fields["always"]:
        data["hours"] = {day: several(fields[day]) for day in WEEKDAYS}
    data["holidays"] = {
        "country": fields["country"].strip().upper(), "subdivision": fields["subdivision"].strip().upper(),
        "extra": several(fields["extra"]), "except": several(fields["except"]),
    }  # fmt: skip
    return data


def _try_out(spec: calendar_file.CalendarFile, start: str, minutes: str) -> dict[str, Any]:
    """When so many minutes from a wall-clock time are used, and the open hours of the week around it."""
    clock = calendar_file.business_time(spec)
    try:
        wall = (
            datetime.fromisoformat(start).replace(tzinfo=None)
            if start
            else datetime.now(clock.zone).replace(tzinfo=None, second=0, microsecond=0)
        )
        amount = timedelta(minutes=float(minutes))
        begins = moment(instant(clock.zone, wall))
        due = clock.add(begins, amount)
    except (ValueError, OverflowError):
        raise Invalid("To try it out, write a time such as 2026-03-02T09:00 and minutes, 0 or more.") from None
    week: list[tuple[date, list[tuple[datetime, datetime]]]] = []
    for day in (wall.date() + timedelta(days=n) for n in range(7)):
        week.append(
            (day, [(moment(a).astimezone(clock.zone), moment(b).astimezone(clock.zone)) for a, b in clock.day(day)])
        )
    return {
        "start": wall.isoformat(timespec="minutes"),
        "due": due.astimezone(clock.zone),
        "week": week,
        "minutes": minutes,
    }
