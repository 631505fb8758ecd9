"""The catalogue, the launch form, and writing runbooks."""

import difflib
import hashlib
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runbooks import actions, choices, definition, forms, policies, queries
from runbooks.models import Execution, Purpose, Risk, Runbook, RunbookDraft, Trigger
from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from supportdesk.text import number_of

BLANK = """schema: 1
id: my-runbook
title: My runbook
description: What it does, in a sentence or two.
purpose: diagnostic
owner: Technical team
risk: read
target:
  needs: []
steps:
  - id: look
    title: Look at the load
    uses: shell
    with:
      script: uptime
    timeout: 30s
"""


@require_GET
def index(request: DeskRequest) -> HttpResponse:
    """The catalogue, searched and filtered, and the newest runs."""
    given = {name: request.GET.get(name, "") for name in ("q", "purpose", "risk")}
    context = {
        "runbooks": queries.runbooks_for(request.user, **given),
        "given": given,
        "purposes": Purpose.choices,
        "risks": Risk.choices,
        "runs": queries.executions(request.user)[:10],
        "drafts": queries.drafts_for(request.user)[:20],
        "can_write": policies.can_write(request.user),
    }
    return render(request, "runbooks/_catalogue.html" if request.htmx else "runbooks/index.html", context)


@require_http_methods(["GET", "POST"])
def launch(request: DeskRequest, slug: str) -> HttpResponse:
    """The launch form; sent with an error it comes back with everything in it."""
    runbook, parsed = queries.runbook(request.user, slug)
    given = request.POST if request.method == "POST" else request.GET
    errors: dict[str, list[str]] = {}
    summary = ""
    if request.method == "POST":
        policies.check_can_run(request.user, runbook)
        try:
            if request.POST.get("act") == "ahead":
                _ahead(request, slug, forms.params(parsed, request.POST))
                messages.success(request, "It is approved ahead.")
                return redirect("runbooks:approvals")
            runs = _start(request, slug, forms.params(parsed, request.POST), _targets(request, parsed))
        except Invalid as error:  # shown beside its field, in the form that it came from
            errors, summary = error.fields, str(error)
        else:
            return redirect("runbooks:run", runs[0].pk)
    chosen = given.getlist("target")
    context = {
        "runbook": runbook,
        "definition": parsed,
        "fields": forms.fields(parsed, given, errors, _choices(request, runbook, parsed, chosen[0] if chosen else "")),
        "targets": queries.targets_for(parsed),
        "chosen": chosen,
        "ticket": given.get("ticket", ""),
        "trigger": given.get("from", ""),
        "dry_run": bool(given.get("dry_run")),
        "errors": errors,
        "summary": summary,
        "given": given,
        "can_run": policies.can_run(request.user, runbook),
        "can_break_glass": policies.can_break_glass(request.user),
        "can_write": policies.can_write(request.user),
        "can_publish": policies.can_publish(request.user, 0),
        "can_schedule": policies.can_schedule(request.user),
        "favourite": runbook.favourite_of.filter(pk=request.user.pk).exists(),
        "runs": queries.executions(request.user).filter(version__runbook=runbook)[:5],
    }
    return render(request, "runbooks/launch.html", context, status=422 if summary else 200)


def _choices(request: DeskRequest, runbook: Runbook, parsed: definition.Definition, slug: str) -> dict[str, Any]:
    """Computed choices, for who may run it."""
    return choices.for_form(parsed, slug) if policies.can_run(request.user, runbook) else {}


def _targets(request: DeskRequest, parsed: definition.Definition) -> list[str]:
    """The targets chosen; the only one that fits where a button of a ticket, which has no choice of them, was used."""
    chosen = request.POST.getlist("target")
    if chosen or "at_once" not in request.POST:
        return chosen
    fitting = [target.slug for target, lacks in queries.targets_for(parsed) if not lacks]
    return fitting if len(fitting) == 1 else []


def _start(request: DeskRequest, slug: str, params: dict[str, Any], targets: list[str]) -> list[Execution]:
    typed = request.POST.get("ticket", "").strip().removeprefix("#")
    ticket = number_of(typed)
    if typed and ticket is None:
        raise Invalid("Write the ticket’s number.", fields={"ticket": ["Write the ticket’s number, for example 1042."]})
    sizes: dict[str, Any] = {}
    for name in ("size", "stop_after"):
        if text := request.POST.get(name, "").strip():
            if not 1 <= (number_of(text) or 0) <= 500:
                raise Invalid(
                    "Write a whole number from 1 to 500.", fields={name: ["Write a whole number from 1 to 500."]}
                )
            sizes[name] = int(text)
    article = request.POST.get("from") == "article"
    return actions.start_many(
        slug=slug,
        targets=targets,
        by=request.user,
        params=params,
        ticket=ticket,
        dry_run=request.POST.get("act") == "plan" or bool(request.POST.get("dry_run")),
        break_glass=request.POST.get("break_glass", "").strip(),
        trigger=Trigger.ARTICLE if article else Trigger.TICKET if ticket else Trigger.PERSON,
        **sizes,
    )


def _ahead(request: DeskRequest, slug: str, params: dict[str, Any]) -> None:
    times = []
    for name in ("starts_at", "ends_at"):
        try:
            found = parse_datetime(request.POST.get(name, ""))
        except ValueError:
            found = None
        if found is None:
            raise Invalid("Choose when it may run.", fields={name: ["Choose a day and time."]})
        times.append(timezone.make_aware(found) if timezone.is_naive(found) else found)
    actions.approve_ahead(
        slug=slug, target=request.POST.get("target", ""), by=request.user, params=params, starts_at=times[0], ends_at=times[1],
        comment=request.POST.get("comment", ""),
    )  # fmt: skip


@require_GET
def param_choices(request: DeskRequest, slug: str) -> HttpResponse:
    """The fields of a launch form anew, when another target was chosen: its choices may be others."""
    runbook, parsed = queries.runbook(request.user, slug)
    policies.check_can_run(request.user, runbook)
    fields = forms.fields(parsed, request.GET, {}, _choices(request, runbook, parsed, request.GET.get("target", "")))
    return render(request, "runbooks/_params.html", {"fields": fields})


@require_POST
def favourite(request: DeskRequest, slug: str) -> HttpResponse:
    wanted = request.POST.get("favourite") == "yes"
    actions.set_favourite(slug=slug, by=request.user, favourite=wanted)
    return redirect("runbooks:launch", slug) if request.POST.get("back") == "launch" else redirect("runbooks:index")


@require_POST
def retire(request: DeskRequest, slug: str) -> HttpResponse:
    actions.retire(slug=slug, by=request.user, retired=request.POST.get("retired") == "yes")
    return redirect("runbooks:launch", slug)


@require_GET
def versions(request: DeskRequest, slug: str) -> HttpResponse:
    """Every text that was ever current, with what changed."""
    runbook, _ = queries.runbook(request.user, slug)
    found = list(runbook.versions.order_by("-pk")[:50])
    older = [version.text for version in found[1:]] + [""]
    rows = [(version, diff(before, version.text)) for version, before in zip(found, older, strict=True)]
    return render(request, "runbooks/versions.html", {"runbook": runbook, "rows": rows})


def diff(before: str, after: str) -> list[tuple[str, str]]:
    """Lines of a unified diff: (added, removed, place or empty; the line)."""
    found = []
    for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3))[2:]:
        kind = {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "")
        found.append((kind, line))
    return found


@require_http_methods(["GET", "POST"])
def write(request: DeskRequest, slug: str = "", pk: int = 0) -> HttpResponse:
    """The editor: of a new runbook, of one that there is, or of a draft. It says what is wrong while one types."""
    policies.check_can_write(request.user)
    draft = queries.draft(request.user, pk) if pk else None
    runbook = queries.runbook(request.user, slug)[0] if slug else draft.runbook if draft else None
    base = runbook.current.text if runbook and runbook.current else ""
    summary = ""
    problems: list[str] = []
    if request.method == "POST":
        text, note = request.POST.get("text", "").replace("\r\n", "\n"), request.POST.get("note", "")
        draft = actions.save_draft(by=request.user, text=text, note=note, draft_id=pk or None, slug=slug)
        try:
            if request.POST.get("act") == "submit":
                actions.submit_draft(draft_id=draft.pk, by=request.user)
                messages.success(request, "Somebody else looks at it now.")
                return redirect("runbooks:draft", draft.pk)
        except definition.DefinitionError as error:
            problems, summary = error.problems, "It is kept, but it cannot be submitted yet."
        except Invalid as error:
            summary = str(error)
        if not summary:
            messages.success(request, "The draft is kept.")
            return redirect("runbooks:draft", draft.pk)
    text = draft.text if draft else base or BLANK
    problems = problems or problems_of(text)
    context: dict[str, Any] = {
        "draft": draft,
        "runbook": runbook,
        "text": text,
        "problems": problems,
        "summary": summary,
        **_may(request, draft),
    }
    context["sha256"] = hashlib.sha256(draft.text.encode()).hexdigest() if draft else ""
    context["diff"] = diff(base, text) if base != text else []
    return render(request, "runbooks/editor.html", context, status=422 if summary else 200)


def _may(request: DeskRequest, draft: RunbookDraft | None) -> dict[str, bool]:
    mine = draft is None or draft.author_id == request.user.pk
    in_review = draft is not None and draft.state == "in_review"
    return {
        "can_change": mine and (draft is None or draft.state != "published"),
        "can_publish": draft is not None and in_review and policies.can_publish(request.user, draft.author_id),
    }


def problems_of(text: str) -> list[str]:
    try:
        definition.parse(text, name="line")
    except definition.DefinitionError as error:
        return error.problems
    return []


@require_POST
def check(request: DeskRequest) -> HttpResponse:
    """What is wrong with a text, for the editor."""
    policies.check_can_write(request.user)
    text = request.POST.get("text", "").replace("\r\n", "\n")
    return render(request, "runbooks/_problems.html", {"problems": problems_of(text), "text": text})


@require_POST
def review(request: DeskRequest, pk: int) -> HttpResponse:
    """Publish a draft of somebody else, or send it back."""
    draft, note = queries.draft(request.user, pk), request.POST.get("note", "")
    try:
        if request.POST.get("answer") == "publish":
            seen = request.POST.get("sha256", "")
            done = actions.publish_draft(draft_id=draft.pk, by=request.user, note=note, sha256=seen or "none")
            messages.success(request, "It is published.")
            return redirect("runbooks:launch", done.runbook.slug if done.runbook else "")
        actions.reject_draft(draft_id=draft.pk, by=request.user, note=note)
        messages.success(request, "It went back to its author.")
    except Invalid as error:
        messages.error(request, str(error))
    return redirect("runbooks:draft", pk)
