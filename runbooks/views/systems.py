"""Targets with their connections and secrets, thresholds."""

from typing import Any

import yaml
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runbooks import actions, policies, queries, windows
from runbooks.models import Target
from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from supportdesk.text import number_of

BLANK = """host:
  via: local
postgres:
  host: db.example.com
  dbname: app
  user: desk_runner
  password: {secret: database-password}
"""
BLANK_RULES = """# windows: [{days: [sat, sun], from: "22:00", to: "04:00"}]
# freezes: [{from: "2026-12-20T00:00:00Z", to: "2027-01-03T00:00:00Z", reason: Christmas}]
"""


@require_GET
def targets(request: DeskRequest) -> HttpResponse:
    rows = [(target, windows.closed_because(target)) for target in queries.targets()]
    return render(
        request, "runbooks/targets.html", {"rows": rows, "can_manage": policies.can_manage_targets(request.user)}
    )


@require_http_methods(["GET", "POST"])
def target(request: DeskRequest, slug: str = "") -> HttpResponse:
    """One target: how it is reached, when it may be touched, how it answered; a form for administrators."""
    found = queries.target(slug) if slug else None
    can_manage = policies.can_manage_targets(request.user)
    if found is None:
        policies.check_can_manage_targets(request.user)
    given = _given(found)
    errors: dict[str, list[str]] = {}
    summary = ""
    if request.method == "POST":
        policies.check_can_manage_targets(request.user)
        given = {name: request.POST.get(name, "") for name in given}
        try:
            saved = actions.save_target(slug=slug or given["slug"].strip(), by=request.user, **_read(given))
        except Invalid as error:
            errors, summary = error.fields, str(error)
        else:
            messages.success(request, f"{saved} is saved.")
            return redirect("runbooks:target", saved.slug)
    context: dict[str, Any] = {
        "target": found,
        "given": given,
        "errors": errors,
        "summary": summary,
        "can_manage": can_manage,
        "can_see": policies.can_see_targets(request.user),
        "closed": windows.closed_because(found) if found else None,
    }
    if found:
        checks = {check.connection: check for check in found.checks.all()}
        context["connections"] = [(name, values, checks.get(name)) for name, values in found.connections.items()]
        context["secrets"] = [
            (secret, secret.uses.select_related("execution").first()) for secret in found.secrets.order_by("name")
        ]
        context["runs"] = queries.executions(request.user).filter(target=found)[:8]
        context["locks"] = queries.held_locks(request.user).filter(execution__target=found)
    return render(request, "runbooks/target.html", context, status=422 if summary else 200)


def _given(found: Target | None) -> dict[str, str]:
    """The fields of the form as text."""
    if found is None:
        empty = {"slug": "", "name": "", "environment": "production", "site": "", "zone": "UTC", "run_level": "1"}
        return {**empty, "labels": "", "approvals": "destructive: 1", "connections": BLANK, "rules": BLANK_RULES}
    rules = {"windows": found.windows, "freezes": found.freezes}
    return {
        "slug": found.slug, "name": found.name, "environment": found.environment, "site": found.site, "zone": found.zone,
        "run_level": str(found.run_level), "labels": _text(found.labels), "approvals": _text(found.approvals),
        "connections": _text(found.connections), "rules": _text(rules) if found.windows or found.freezes else BLANK_RULES,
    }  # fmt: skip


def _text(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True) if data else ""


def _read(given: dict[str, str]) -> dict[str, Any]:
    """Typed values of the form; `Invalid` names the field whose YAML is none."""
    parsed: dict[str, Any] = {}
    for name in ("labels", "approvals", "connections", "rules"):
        try:
            parsed[name] = yaml.safe_load(given[name]) or {}
        except (yaml.YAMLError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            words = f"Line {mark.line + 1 if mark else 1} is not valid YAML: {getattr(error, 'problem', error)}."
            raise Invalid(f"{name.capitalize()}: {words}", fields={name: [words]}) from None
        if not isinstance(parsed[name], dict):
            raise Invalid(
                f"{name.capitalize()} are written as name: value.", fields={name: ["Write name: value, a line each."]}
            )
    if (level := number_of(given["run_level"])) is None:
        raise Invalid("Choose a tier.", fields={"run_level": ["Choose a tier."]})
    rules = parsed.pop("rules")
    more = {"windows": rules.get("windows") or [], "freezes": rules.get("freezes") or []}
    return {
        "name": given["name"], "environment": given["environment"], "site": given["site"].strip(), "zone": given["zone"].strip(),
        "run_level": level, **parsed, **more,
    }  # fmt: skip


@require_POST
def secret(request: DeskRequest, slug: str) -> HttpResponse:
    """Write or remove a secret."""
    found, name = queries.target(slug), request.POST.get("name", "").strip()
    policies.check_can_manage_targets(request.user)
    try:
        if request.POST.get("act") == "remove":
            actions.remove_secret(target=found, name=name, by=request.user)
            messages.success(request, f"The secret {name} is gone.")
        else:
            actions.set_secret(target=found, name=name, value=request.POST.get("value", ""), by=request.user)
            messages.success(request, f"The secret {name} is kept; nobody reads it again.")
    except Invalid as error:
        messages.error(request, str(error))
    return redirect("runbooks:target", slug)


@require_POST
def test(request: DeskRequest, slug: str, name: str) -> HttpResponse:
    """Try one connection; the answer takes the place of the button's row."""
    found = queries.target(slug)
    checked = actions.test_connection(target=found, name=name, by=request.user)
    if request.htmx:
        context = {
            "target": found,
            "name": name,
            "values": found.connections[name],
            "check": checked,
            "can_manage": True,
            "can_see": True,
        }
        return render(request, "runbooks/_connection.html", context)
    (messages.success if checked.ok else messages.error)(request, f"{name}: {checked.message}")
    return redirect("runbooks:target", slug)


@require_POST
def retire(request: DeskRequest, slug: str) -> HttpResponse:
    actions.retire_target(slug=slug, by=request.user, retired=request.POST.get("retired") == "yes")
    return redirect("runbooks:target", slug)


@require_GET
def thresholds(request: DeskRequest) -> HttpResponse:
    return render(request, "runbooks/thresholds.html", {"thresholds": queries.thresholds()})
