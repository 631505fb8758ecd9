"""Custom fields: their definitions, and their values on a ticket."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from staff import actions as staff
from staff.models import User
from staff.policies import check_is_administrator
from supportdesk.errors import Invalid
from supportdesk.text import one_line
from tickets import policies
from tickets.actions._values import checked
from tickets.models import Category, CustomField, FieldKind, Ticket, TicketEvent, TicketText
from tickets.models.field import SLUG
from tickets.sla import rules

MOST_FIELDS = 60


@transaction.atomic
def save_field(
    *,
    by: User,
    slug: str,
    label: str,
    kind: FieldKind,
    choices: Sequence[str] = (),
    help_text: str = "",
    categories: Sequence[Category] = (),
    position: int = 0,
    active: bool = True,
) -> CustomField:
    """Make or change the definition of a field. Its kind stays: values of another kind would make no sense."""
    check_is_administrator(by)
    if not re.fullmatch(SLUG, slug) or len(slug) > 40:
        words = "Write lower case letters, digits and single underscores, for example order_number."
        raise Invalid(words, fields={"slug": [words]})
    found = CustomField.objects.select_for_update().filter(slug=slug).first()
    if found is None and CustomField.objects.count() >= MOST_FIELDS:
        raise Invalid(f"There are {MOST_FIELDS} fields, the most that there may be.")
    if found is not None and found.kind != kind:
        words = f"{found} is a {found.get_kind_display().lower()} field and stays one; make another field."
        raise Invalid(words, fields={"kind": [words]})
    before = _shown(found) if found else None
    field = found or CustomField(slug=slug, kind=kind)
    field.label, field.help_text = one_line(label, most=80), one_line(help_text, most=200)
    field.choices = list(dict.fromkeys(filter(None, (one_line(choice, most=80) for choice in choices))))
    field.position, field.active = position, active
    if not field.label:
        raise Invalid("A field needs a label.", fields={"label": ["Write something here."]})
    if kind == FieldKind.CHOICE and not field.choices:
        raise Invalid("Write what can be chosen.", fields={"choices": ["Write one choice a line."]})
    field.save()
    field.categories.set(categories)
    staff.audit(by=by, action="field.saved", thing=f"field {slug}", before=before, after=_shown(field))
    rules.bump()
    return field


def _shown(field: CustomField) -> dict[str, Any]:
    return {
        "label": field.label, "kind": field.kind, "choices": field.choices, "active": field.active,
        "categories": sorted(category.slug for category in field.categories.all()),
    }  # fmt: skip


@transaction.atomic
def set_custom(*, number: int, by: User, values: Mapping[str, Any], version: int | None = None) -> Ticket:
    """Set values of custom fields by slug, as typed or as JSON; None or an empty text removes one."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    wanted = checked(ticket.category_id, values)
    changes = {field: value for field, value in wanted.items() if ticket.custom.get(field.slug) != value}
    if not changes:
        return ticket
    was = dict(ticket.custom)
    kept = {**was, **{field.slug: value for field, value in changes.items()}}
    ticket.custom = {slug: value for slug, value in kept.items() if value is not None}
    ticket.touch("custom")
    TicketText.rebuild(ticket)
    for field, value in changes.items():
        TicketEvent.record(ticket, by, "field", field=field.label, was=shown(was.get(field.slug)), to=shown(value))
    return ticket


def shown(value: Any) -> str:
    """A value in words, for the history."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "yes", False: "no"}[value]
    return str(value)
