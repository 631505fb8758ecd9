"""Rules and recurring tickets: what the desk does by itself."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff.policies import check_can_see_settings
from staff.queries import people_of_tiers
from staff.requests import DeskRequest
from supportdesk.errors import Invalid, NotFound
from tickets import actions, forms, queries
from tickets.actions import recurrences
from tickets.actions import rules as acts
from tickets.models import Priority, Recurrence, Rule
from tickets.policies import can_make_rules, check_can_make_rules


@require_GET
def rules(request: DeskRequest) -> HttpResponse:
    check_can_see_settings(request.user)
    context = {"rules": queries.rules(), "may_edit": can_make_rules(request.user)}
    return render(request, "tickets/automation/rules.html", context)


@require_http_methods(["GET", "POST"])
def rule(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """One rule with its log; *Dry run* says what it would do, before or after saving."""
    check_can_see_settings(request.user)
    found = Rule.objects.filter(pk=pk).first() if pk else None
    if pk and found is None:
        raise NotFound("There is no such rule.")
    initial = {**queries.rule_initial(found), **forms.as_form(found.recipe)} if found else None
    form = forms.RuleForm(request.POST or None, initial=initial, people=people_of_tiers())
    trial = None
    if request.method == "POST":
        check_can_make_rules(request.user)
        if form.is_valid():
            try:
                given = {key: form.cleaned_data[key] for key in ("name", "events", "since", "after", "query")}
                if "dry-run" in request.POST:
                    trial = acts.dry_run(acts.fill(Rule(), recipe=form.recipe(found), **given), by=request.user)
                else:
                    more = {key: form.cleaned_data[key] for key in ("position", "stops", "active")}
                    actions.save_rule(by=request.user, pk=pk, recipe=form.recipe(found), **given, **more)
                    messages.success(request, "Saved.")
                    return redirect("tickets:rules")
            except Invalid as refused:
                forms.refuse(form, refused)
    log = Paginator(queries.rule_log(request.user, found), 25).get_page(request.GET.get("page")) if found else None
    context = {
        "form": form, "rule": found, "trial": trial, "log": log, "may_edit": can_make_rules(request.user),
    }  # fmt: skip
    status = 422 if form.errors else 200
    return render(request, "tickets/automation/rule.html", context, status=status)


@require_POST
def switch_rule(request: DeskRequest, pk: int) -> HttpResponse:
    active = request.POST.get("active") == "yes"
    changed = actions.switch_rule(pk=pk, by=request.user, active=active)
    messages.success(request, f"“{changed}” is {'on' if active else 'off'}.")
    return redirect("tickets:rules")


@require_POST
def delete_rule(request: DeskRequest, pk: int) -> HttpResponse:
    actions.delete_rule(pk=pk, by=request.user)
    messages.success(request, "The rule is gone.")
    return redirect("tickets:rules")


@require_GET
def recurring(request: DeskRequest) -> HttpResponse:
    check_can_see_settings(request.user)
    context = {"recurrences": queries.recurrences(), "may_edit": can_make_rules(request.user)}
    return render(request, "tickets/automation/recurring.html", context)


@require_http_methods(["GET", "POST"])
def recurrence(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """One recurring ticket; *Preview* shows when it comes next."""
    check_can_see_settings(request.user)
    found = queries.recurrences().filter(pk=pk).first() if pk else None
    if pk and found is None:
        raise NotFound("There is no such recurring ticket.")
    form = forms.RecurrenceForm(request.POST or None, initial=_initial(request, found), people=people_of_tiers())
    times: list[Any] = []
    if request.method == "POST":
        check_can_make_rules(request.user)
    try:
        if form.is_bound and form.is_valid():
            names = ("cron", "zone")
            times = recurrences.next_times(*(form.cleaned_data[n] for n in names), after=timezone.now(), count=5)
            if "preview" not in request.POST:
                _save(request, form, found)
                return redirect("tickets:recurring")
        elif found and not form.is_bound:
            times = recurrences.next_times(found.cron, found.zone, after=timezone.now(), count=5)
    except Invalid as refused:
        forms.refuse(form, refused)
    context = {
        "form": form,
        "found": found,
        "times": times,
        "zone": form["zone"].value(),
        "may_edit": can_make_rules(request.user),
    }
    status = 422 if form.errors else 200
    return render(request, "tickets/automation/recurrence.html", context, status=status)


def _initial(request: DeskRequest, found: Recurrence | None) -> dict[str, Any]:
    if found is None:
        return {"zone": request.user.time_zone, "active": True}
    names = ("name", "cron", "zone", "active", "requester_email", "requester_name", "subject", "text", "priority")
    values = {name: getattr(found, name) for name in names}
    return {**forms.as_form(found.recipe), **values, "tier": found.tier, "category": found.category}


def _save(request: DeskRequest, form: forms.RecurrenceForm, found: Recurrence | None) -> None:
    names = (
        "name", "cron", "zone", "active", "requester_email", "requester_name", "subject", "text", "tier", "category",
    )  # fmt: skip
    given = {name: form.cleaned_data[name] for name in names}
    priority = Priority(form.cleaned_data["priority"])
    pk = found.pk if found else None
    actions.save_recurrence(by=request.user, pk=pk, priority=priority, recipe=form.recipe(found), **given)
    messages.success(request, "Saved.")


@require_POST
def delete_recurrence(request: DeskRequest, pk: int) -> HttpResponse:
    actions.delete_recurrence(pk=pk, by=request.user)
    messages.success(request, "It does not come again; tickets that it opened stay.")
    return redirect("tickets:recurring")
