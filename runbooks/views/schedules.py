"""Schedules as a list and as a calendar."""

from datetime import date, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runbooks import actions, calendar, cron, forms, policies, queries
from runbooks.models import Fold, Gap, Missed, Overlap, Runbook, Schedule
from staff.models import check_time_zone
from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from supportdesk.text import number_of

CHOICES = {"missed": Missed.choices, "gap": Gap.choices, "fold": Fold.choices, "overlap": Overlap.choices}


@require_GET
def index(request: DeskRequest) -> HttpResponse:
    context = {"schedules": queries.schedules(request.user), "can_schedule": policies.can_schedule(request.user)}
    return render(request, "runbooks/schedules.html", context)


@require_GET
def week(request: DeskRequest) -> HttpResponse:
    """The week of a day, or with `view=month` its month, in the reader's zone."""
    try:
        day = date.fromisoformat(request.GET.get("day", ""))
    except ValueError:
        day = timezone.localdate()
    day = min(max(day, date(2000, 1, 1)), date(2200, 1, 1))
    month = request.GET.get("view") == "month"
    first = calendar.first_of(day, month=month)
    days = calendar.days(first, 42 if month else 7)
    step = timedelta(days=28 if month else 7)
    context = {
        "days": days,
        "month": month,
        "day": day,
        "first": first,
        "last": days[-1].day,
        "before": (first - timedelta(days=1)) if month else day - step,
        "after": (calendar.first_of(day, month=True) + timedelta(days=38)) if month else day + step,
        "hours": [f"{hour:02}:00" for hour in range(24)],
    }
    return render(request, "runbooks/calendar.html", context)


@require_http_methods(["GET", "POST"])
def edit(request: DeskRequest, pk: int = 0) -> HttpResponse:
    """Make or change a schedule; the runbook comes first, since its parameters make the form."""
    policies.check_can_schedule(request.user)
    found = queries.schedule(request.user, pk) if pk else None
    given = request.POST if request.method == "POST" else request.GET
    slug = found.runbook.slug if found else given.get("runbook", "")
    if not slug:
        return render(
            request,
            "runbooks/schedule_runbook.html",
            {"runbooks": Runbook.objects.visible_to(request.user).filter(current__isnull=False, retired_at=None)},
        )
    runbook, parsed = queries.runbook(request.user, slug)
    errors: dict[str, list[str]] = {}
    summary = ""
    values = _values(found, request)
    if request.method == "POST" and request.POST.get("act") != "preview":
        try:
            saved = actions.save_schedule(
                slug=slug,
                by=request.user,
                schedule_id=pk or None,
                params=forms.params(parsed, request.POST),
                **_read(request),
            )
        except Invalid as error:
            errors, summary = error.fields, str(error)
        else:
            messages.success(request, f"The schedule {saved.name} is saved.")
            return redirect("runbooks:schedules")
    shown = _with_params(given, found)
    context: dict[str, Any] = {
        "schedule": found,
        "runbook": runbook,
        "given": values,
        "fields": forms.fields(parsed, shown, errors),
        "targets": queries.targets_for(parsed),
        "errors": errors,
        "summary": summary,
        "choices": CHOICES,
        "moments": _preview(values),
        "fires": found.fires.select_related("target", "execution")[:20] if found else [],
    }
    return render(request, "runbooks/schedule.html", context, status=422 if summary else 200)


@require_GET
def preview(request: DeskRequest) -> HttpResponse:
    """The next ten moments of what is typed, before it is saved."""
    policies.check_can_schedule(request.user)
    return render(request, "runbooks/_moments.html", {"moments": _preview(_values(None, request, request.GET))})


def _values(found: Schedule | None, request: DeskRequest, given: Any = None) -> dict[str, Any]:
    if given is not None or request.method == "POST":
        source = given if given is not None else request.POST
        names = ("name", "cron", "zone", "missed", "grace", "gap", "fold", "overlap", "jitter")
        return {name: source.get(name, "") for name in names} | {"targets": source.getlist("targets")}
    if found is None:
        zone = str(timezone.get_current_timezone())
        return {
            "name": "", "cron": "30 2 * * *", "zone": zone, "missed": "once", "grace": "60", "gap": "forward", "fold": "first", "overlap": "skip",
            "jitter": "0", "targets": [],
        }  # fmt: skip
    return {
        "name": found.name, "cron": found.cron, "zone": found.zone, "missed": found.missed, "grace": str(found.grace_seconds // 60), "gap": found.gap,
        "fold": found.fold, "overlap": found.overlap, "jitter": str(found.jitter_seconds), "targets": [target.slug for target in found.targets.all()],
    }  # fmt: skip


def _with_params(given: Any, found: Schedule | None) -> Any:
    """What the launch fields show: what was sent, or what is stored."""
    shown = given.copy()
    if found is not None and "sent" not in given:
        for name, value in found.params.items():
            shown[f"param_{name}"] = "" if value is None else value
    return shown


def _read(request: DeskRequest) -> dict[str, Any]:
    given = request.POST
    grace, jitter = number_of(given.get("grace", "60")), number_of(given.get("jitter", "0"))
    for name, number, unit in (("grace", grace, "minutes"), ("jitter", jitter, "seconds")):
        if number is None:
            raise Invalid(f"Write {unit} as a whole number.", fields={name: [f"Write {unit} as a whole number."]})
    return {
        "name": given.get("name", ""), "targets": given.getlist("targets"), "cron_rule": given.get("cron", ""), "zone": given.get("zone", ""),
        "missed": given.get("missed", ""), "grace_seconds": (grace or 0) * 60, "gap": given.get("gap", ""),
        "fold": given.get("fold", ""), "overlap": given.get("overlap", ""), "jitter_seconds": jitter or 0,
    }  # fmt: skip


def _preview(values: dict[str, Any]) -> tuple[list[datetime], str]:
    """The next ten moments, or what is wrong."""
    try:
        cron.check(values["cron"])
        check_time_zone(values["zone"])
        gap = values["gap"] if values["gap"] in Gap.values else Gap.FORWARD
        fold = values["fold"] if values["fold"] in Fold.values else Fold.FIRST
        return cron.some(values["cron"], values["zone"], timezone.now(), 10, gap=gap, fold=fold), ""
    except Invalid as error:
        return [], str(error)
    except ValidationError as error:
        return [], " ".join(error.messages)


@require_POST
def act(request: DeskRequest, pk: int, what: str) -> HttpResponse:
    """Pause, go on, run now, delete."""
    if what == "run-now":
        runs = actions.run_now(schedule_id=pk, by=request.user)
        return redirect("runbooks:run", runs[0].pk)
    if what == "delete":
        actions.delete_schedule(schedule_id=pk, by=request.user)
        messages.success(request, "The schedule is gone; its runs stay.")
    else:
        actions.pause_schedule(schedule_id=pk, by=request.user, paused=what == "pause")
    return redirect("runbooks:schedules")
