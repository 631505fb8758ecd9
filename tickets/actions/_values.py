"""Values of a ticket as they are kept: tags, addresses for copies, custom fields. Not actions themselves."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from supportdesk.errors import Invalid
from supportdesk.text import one_line
from tickets.models import Category, CustomField, Mailbox
from tickets.models.field import read_value
from tickets.sla import rules

MOST_TAGS, MOST_COPIES = 30, 20


def tags(texts: Iterable[str]) -> list[str]:
    """Tags in order, each once, or `Invalid`."""
    wanted = sorted({tag(text) for text in texts})
    if len(wanted) > MOST_TAGS:
        raise Invalid(f"A ticket has {MOST_TAGS} tags at most.", fields={"tags": [f"{MOST_TAGS} at most."]})
    return wanted


def is_address(text: str) -> bool:
    """Whether a text is an address that mail can be sent to."""
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def copies(addresses: Iterable[str], requester: str, *, most: bool = False) -> list[str]:
    """Addresses for copies as they are kept, or `Invalid`. Mail to the desk's own would come back as tickets.

    With `most`, as many as a ticket may have rather than `Invalid`.
    """
    wanted = {one_line(address, most=300).lower() for address in addresses} - {"", requester}
    if not wanted:
        return []
    wanted -= set(Mailbox.objects.filter(address__in=wanted).values_list("address", flat=True))
    for address in wanted:
        if not is_address(address):
            words = f"{address[:80]} is not an address."
            raise Invalid(words, fields={"cc": [words]})
    if len(wanted) > MOST_COPIES and not most:
        words = f"{MOST_COPIES} copies at most."
        raise Invalid(words, fields={"cc": [words]})
    return sorted(wanted)[:MOST_COPIES]


def tag(text: str) -> str:
    """One tag as it is kept: `VIP customer` becomes `vip-customer`. Raises `Invalid` for nothing or too much."""
    name = "-".join(one_line(text).lower().lstrip("#").replace(",", " ").replace('"', " ").split())
    if not name or len(name) > 40:
        raise Invalid("A tag has 1 to 40 characters.", fields={"tags": ["A tag has 1 to 40 characters."]})
    return name


def custom(category: Category | None, typed: Mapping[str, Any]) -> dict[str, Any]:
    """Values of custom fields for a new ticket of the category, or `Invalid`."""
    found = checked(category.pk if category else None, typed)
    return {field.slug: value for field, value in found.items() if value is not None}


def checked(category_id: int | None, typed: Mapping[str, Any]) -> dict[CustomField, Any]:
    """The values as they are kept. Raises `Invalid` that names each field that is wrong."""
    if not typed:
        return {}
    known = {field.slug: field for field in rules.current().fields if field.is_for(category_id)}
    found: dict[CustomField, Any] = {}
    wrong: dict[str, list[str]] = {}
    for slug, value in typed.items():
        if slug not in known:
            wrong[f"custom.{slug}"] = ["This ticket has no such field."]
            continue
        try:
            found[known[slug]] = read_value(known[slug], value)
        except Invalid as error:
            wrong[f"custom.{slug}"] = [str(error)]
    if wrong:
        raise Invalid("; ".join(f"{name}: {' '.join(said)}" for name, said in wrong.items()), fields=wrong)
    return found
