"""Requesters, organisations, categories, tags, custom fields and retention."""

from collections.abc import Callable
from typing import Any

from django import forms as django_forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import FileResponse, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff.policies import check_can_see_settings, check_is_administrator, is_administrator
from staff.requests import DeskRequest
from supportdesk.errors import Invalid, NotFound
from tickets import actions, forms, queries
from tickets.actions import erasure
from tickets.models import Category, CustomField, FieldKind, RetentionPolicy

MOST_COUNTED = 100_000


@require_GET
def requesters(request: DeskRequest) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:200]
    page = Paginator(queries.requesters_found(request.user, q), 50).get_page(request.GET.get("page"))
    return render(request, "tickets/directory/requesters.html", {"page": page, "q": q})


@require_GET
def requester(request: DeskRequest, pk: int) -> HttpResponse:
    context = {"person": queries.requester_page(request.user, pk), "may_erase": is_administrator(request.user)}
    return render(request, "tickets/directory/requester.html", context)


@require_POST
def export(request: DeskRequest, pk: int) -> FileResponse:
    """All that is kept of a requester, as a ZIP file."""
    file = actions.export_requester(requester_id=pk, by=request.user, notes=request.POST.get("notes") == "yes")
    return FileResponse(file, as_attachment=True, filename=f"requester-{pk}.zip")


@require_http_methods(["GET", "POST"])
def erase(request: DeskRequest, pk: int) -> HttpResponse:
    """What would go; then it goes, once the address was typed."""
    goes = erasure.preview(requester_id=pk, by=request.user)
    found, error = erasure.find_known(pk), ""
    if request.method == "POST":
        if request.POST.get("address", "").strip().lower() == found.email:
            actions.erase_requester(requester_id=pk, by=request.user)
            messages.success(request, "Erased.")
            return redirect("tickets:requesters")
        error = "Type the address as it stands above."
    context = {"found": found, "goes": goes, "error": error}
    return render(request, "tickets/directory/erase.html", context, status=422 if error else 200)


@require_GET
def organizations(request: DeskRequest) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:200]
    page = Paginator(queries.organizations_found(request.user, q), 50).get_page(request.GET.get("page"))
    context = {"page": page, "q": q, "may_edit": is_administrator(request.user)}
    return render(request, "tickets/directory/organizations.html", context)


@require_http_methods(["GET", "POST"])
def organization(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    found, people = queries.organization_page(request.user, pk) if pk else (None, [])
    initial = found and {"name": found.name, "domains": "\n".join(found.domains), "notes": found.notes}
    form = forms.OrganizationForm(request.POST or None, initial=initial)

    def save() -> None:
        actions.save_organization(by=request.user, pk=pk, **form.cleaned_data)

    title = found.name if found else "New organisation"
    return _edit(request, form, save, title=title, back="tickets:organizations", people=people)


@require_GET
def settings(request: DeskRequest) -> HttpResponse:
    """Categories, custom fields, tags and retention."""
    check_can_see_settings(request.user)
    context = {
        "categories": queries.categories(request.user),
        "fields": queries.fields(),
        "tags": queries.tags_in_use(request.user),
        "retention": queries.retention(),
        "may_edit": is_administrator(request.user),
    }
    return render(request, "tickets/directory/settings.html", context)


@require_http_methods(["GET", "POST"])
def category(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    check_can_see_settings(request.user)
    found = _one(Category, pk)
    initial = found and {"slug": found.slug, "name": found.name, "position": found.position}
    form = forms.CategoryForm(request.POST or None, initial=initial)
    form.fields["slug"].disabled = found is not None

    def save() -> None:
        actions.save_category(by=request.user, pk=pk, **form.cleaned_data)

    return _edit(request, form, save, title=found.name if found else "New category")


@require_http_methods(["GET", "POST"])
def field(request: DeskRequest, slug: str = "") -> HttpResponse:
    check_can_see_settings(request.user)
    found = CustomField.objects.filter(slug=slug).first() if slug else None
    if slug and found is None:
        raise NotFound("There is no such field.")
    initial = queries.field_initial(found) if found else None
    form = forms.FieldForm(request.POST or None, initial=initial, existing=found is not None)

    def save() -> None:
        if found is None and CustomField.objects.filter(slug=form.cleaned_data["slug"]).exists():
            raise Invalid("There is a field of that slug.")
        kind = FieldKind(form.cleaned_data["kind"])
        actions.save_field(by=request.user, **form.cleaned_data | {"kind": kind})

    return _edit(request, form, save, title=found.label if found else "New field")


@require_http_methods(["GET", "POST"])
def retention(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """A policy of retention, with how many tickets it would erase now."""
    check_can_see_settings(request.user)
    found = _one(RetentionPolicy, pk)
    names = ("name", "days", "query", "active")
    form = forms.RetentionForm(request.POST or None, initial=found and {name: getattr(found, name) for name in names})

    def save() -> None:
        typed = {name: form.cleaned_data[name] for name in names}
        would = erasure.due(RetentionPolicy(**typed))[:MOST_COUNTED].count()
        if typed["active"] and not form.cleaned_data["sure"]:
            words = f"Switched on it erases {would:,} closed tickets within minutes, for good. Tick to go on."
            raise Invalid(words, fields={"sure": [words]})
        actions.save_retention(by=request.user, pk=pk, **typed)

    try:
        said = f"It picks {erasure.due(found)[:MOST_COUNTED].count():,} closed tickets now." if found else ""
    except Invalid as error:
        said = f"It does not act: {error}"
    return _edit(request, form, save, title=found.name if found else "New retention policy", said=said)


def _one(model: Any, pk: int | None) -> Any:
    found = model.objects.filter(pk=pk).first() if pk else None
    if pk and found is None:
        raise NotFound("There is no such thing.")
    return found


def _edit(
    request: DeskRequest,
    form: django_forms.Form,
    save: Callable[[], None],
    *,
    title: str,
    back: str = "tickets:directory",
    **more: Any,
) -> HttpResponse:
    """A settings form: shown to readers, saved by administrators."""
    if request.method == "POST":
        check_is_administrator(request.user)
        if form.is_valid():
            try:
                save()
                messages.success(request, "Saved.")
                return redirect(back)
            except Invalid as refused:
                forms.refuse(form, refused)
    context = {
        "form": form, "title": title, "back": reverse(back), "may_edit": is_administrator(request.user), **more,
    }  # fmt: skip
    return render(request, "tickets/directory/edit.html", context, status=422 if form.is_bound else 200)
