"""Properties that a company adds to its tickets."""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from supportdesk.errors import Invalid
from supportdesk.text import one_line
from tickets.models.ticket import Category

SLUG = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
MOST_TEXT = 500


class FieldKind(models.TextChoices):
    TEXT = "text", "Text"
    NUMBER = "number", "Number"
    CHOICE = "choice", "Choice"
    DATE = "date", "Date"
    CHECKBOX = "checkbox", "Checkbox"


class CustomField(models.Model):
    """The definition of a field; its values are kept in `Ticket.custom` under the slug. No category means all."""

    slug = models.CharField(
        max_length=40,
        unique=True,
        validators=[RegexValidator(rf"^{SLUG}$", "Write lower case letters, digits and single underscores.")],
    )
    label = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=FieldKind.choices)
    choices = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    help_text = models.CharField(max_length=200, blank=True)
    categories = models.ManyToManyField(Category, blank=True, related_name="fields")
    position = models.PositiveSmallIntegerField(default=0)
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["position", "label"]
        constraints = [
            models.CheckConstraint(condition=~Q(kind="choice") | ~Q(choices=[]), name="field_choice_has_choices")
        ]

    def __str__(self) -> str:
        return self.label

    def is_for(self, category_id: int | None) -> bool:
        """Whether the field belongs on a ticket of the category."""
        wanted = {category.pk for category in self.categories.all()}
        return self.active and (not wanted or category_id in wanted)


def read_value(field: CustomField, value: Any) -> Any:
    """One value as it is kept, or `Invalid`."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = one_line(str(value), most=MOST_TEXT)
    if field.kind == FieldKind.CHECKBOX:
        if text.lower() not in {"true", "false", "yes", "no", "on", "1", "0"}:
            raise Invalid("Write yes or no.")
        return text.lower() in {"true", "yes", "on", "1"}
    if field.kind == FieldKind.NUMBER:
        return _number(text)
    if field.kind == FieldKind.DATE:
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise Invalid("Write a date such as 2026-01-31.") from None
    if field.kind == FieldKind.CHOICE and text not in field.choices:
        raise Invalid(f"Choose one of {', '.join(field.choices)}.")
    return text


def _number(text: str) -> int | float:
    try:
        number = Decimal(text)
        if not number.is_finite() or abs(number) >= 10**15:
            raise Invalid("Write a number below 1,000,000,000,000,000.")
    except InvalidOperation:
        raise Invalid("Write a number, for example 12.5.") from None
    return int(number) if number == number.to_integral_value() else float(number)
