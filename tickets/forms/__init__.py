"""What people type about tickets, parsed."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone

from staff.models import Calendar, Tier, User
from supportdesk.errors import Invalid
from supportdesk.text import number_of, one_line
from tickets import recipe as recipes
from tickets.actions import _messages as messages
from tickets.actions._messages import NewFile
from tickets.actions._values import tag
from tickets.models import (
    Category,
    Channel,
    Clock,
    CustomField,
    FieldKind,
    Organization,
    Priority,
    Recurrence,
    Rule,
    RuleEvent,
    RuleSince,
    Status,
)
from tickets.recipe import Recipe
from tickets.sla import rules


def style(form: forms.Form) -> None:
    """Give each widget the design's class."""
    kinds: dict[type, str] = {
        forms.Textarea: "textarea",
        forms.Select: "select",
        forms.CheckboxInput: "switch",
        forms.CheckboxSelectMultiple: "",
    }
    for field in form.fields.values():
        field.widget.attrs["class"] = kinds.get(type(field.widget), "input")


def _custom_field(field: CustomField) -> forms.Field:
    """A custom field on a form; its value is read where it is kept, by `read_value`."""
    wanted = ", ".join(category.name for category in field.categories.all())
    hint = " ".join(filter(None, (field.help_text, f"For {wanted}." if wanted else "")))
    if field.kind == FieldKind.CHECKBOX:
        return forms.BooleanField(required=False, label=field.label, help_text=hint)
    if field.kind == FieldKind.CHOICE:
        choices = [("", "None yet"), *((choice, choice) for choice in field.choices)]
        return forms.ChoiceField(choices=choices, required=False, label=field.label, help_text=hint)
    widget = forms.DateInput(attrs={"type": "date"}) if field.kind == FieldKind.DATE else forms.TextInput
    return forms.CharField(required=False, max_length=500, label=field.label, help_text=hint, widget=widget)


class TicketForm(forms.Form):
    """A new ticket for somebody who called, wrote or came by."""

    requester_email = forms.EmailField(label="Requester’s email", max_length=254)
    requester_name = forms.CharField(label="Requester’s name", required=False, max_length=200)
    subject = forms.CharField(max_length=300)
    text = forms.CharField(label="What they said", widget=forms.Textarea)
    channel = forms.ChoiceField(
        choices=[(c.value, c.label.capitalize()) for c in (Channel.PHONE, Channel.CHAT, Channel.WEB, Channel.EMAIL)]
    )
    priority = forms.ChoiceField(choices=Priority.choices, initial=Priority.NORMAL)
    tier = forms.ModelChoiceField(Tier.objects.all(), empty_label=None, to_field_name="level")
    category = forms.ModelChoiceField(
        Category.objects.all(), required=False, empty_label="None yet", to_field_name="slug"
    )
    tags = forms.CharField(required=False, max_length=1300, help_text="Apart by spaces.")
    cc = forms.CharField(required=False, max_length=5000, label="Copies to", help_text="Addresses, apart by commas.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in rules.current().fields:
            self.fields[f"custom-{field.slug}"] = _custom_field(field)
        style(self)
        self.fields["subject"].widget.attrs["data-asks"] = ""  # what is typed there asks for earlier tickets

    def custom_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith("custom-")]

    def new_ticket(self) -> dict[str, Any]:
        """What `open_ticket` takes, from the filled-in form."""
        data = {name: value for name, value in self.cleaned_data.items() if not name.startswith("custom-")}
        typed = {name.removeprefix("custom-"): self.cleaned_data[name] for name in self.fields if "custom-" in name}
        data["custom"] = {slug: value for slug, value in typed.items() if value not in ("", None, False)}
        data["priority"] = Priority(data["priority"])
        data["tags"], data["cc"] = tags(data), addresses(data, "cc")
        return data


class ContactForm(TicketForm):
    """A call or a chat, written down while it happens: on an earlier ticket of the requester, or as a new one."""

    subject = forms.CharField(max_length=300, required=False, label="About")
    text = forms.CharField(label="What is said", widget=forms.Textarea, help_text="Typed, or the chat pasted.")
    channel = forms.ChoiceField(choices=[(Channel.PHONE.value, "Phone"), (Channel.CHAT.value, "Chat")])
    number = forms.IntegerField(required=False, widget=forms.HiddenInput)
    seconds = forms.IntegerField(required=False, min_value=0, max_value=86_400, label="Seconds it took")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not data.get("number") and not (data.get("subject") or "").strip():
            self.add_error("subject", "Write what it is about, or choose the ticket that it belongs to.")
        return data


def refuse(form: forms.Form, error: Invalid) -> None:
    """Mark what an action refused at its fields; what belongs to none stands at the top."""
    named = {name.replace("custom.", "custom-"): texts for name, texts in error.fields.items()}
    known = {name: texts for name, texts in named.items() if name in form.fields}
    for name, texts in known.items():
        form.add_error(name, texts)
    if len(known) < max(1, len(error.fields)):
        form.add_error(None, str(error))


def version(data: Mapping[str, Any]) -> int | None:
    """The version that a page sent with a change."""
    return number_of(str(data.get("version", "")))


def choice(data: Mapping[str, Any], name: str, choices: Any) -> Any:
    """One of a TextChoices by its value, or `Invalid`."""
    try:
        return choices(data.get(name, ""))
    except ValueError:
        raise Invalid(f"{name}: choose one of {', '.join(choices.values)}.") from None


def person(data: Mapping[str, Any], name: str) -> User | None:
    """A user by id; empty is nobody."""
    value = str(data.get(name, ""))
    if not value:
        return None
    user = User.objects.filter(pk=number_of(value) or 0, is_active=True).first()
    if user is None:
        raise Invalid("That person is not on the desk any more; choose another.")
    return user


def category(data: Mapping[str, Any], name: str) -> Category | None:
    value = str(data.get(name, ""))
    found = Category.objects.filter(slug=value).first() if value else None
    if value and found is None:
        raise Invalid("That category does not exist any more; choose another.")
    return found


def tags(data: Mapping[str, Any]) -> list[str]:
    """Tags of a text field, apart by commas or spaces."""
    return str(data.get("tags", "")).replace(",", " ").split()


def wall_clock(data: Mapping[str, Any], name: str) -> datetime | None:
    """A date and time as the reader's browser sends it, in their zone; empty is None."""
    text = str(data.get(name, "")).strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else timezone.make_aware(at)
    except (ValueError, OverflowError):
        words = "Write a date and time such as 2026-01-31 09:00."
        raise Invalid(words, fields={name: [words]}) from None


def snooze_until(data: Mapping[str, Any]) -> datetime | None:
    """`1h`, `3h`, `tomorrow`, `monday` (at nine, the reader's time), a time of `at`, or None to bring it back."""
    choice, now = str(data.get("until", "")), timezone.localtime()
    nine = now.replace(hour=9, minute=0, second=0, microsecond=0, tzinfo=None)
    moments = {
        "1h": lambda: timezone.now() + timedelta(hours=1),
        "3h": lambda: timezone.now() + timedelta(hours=3),
        "tomorrow": lambda: timezone.make_aware(nine + timedelta(days=1)),
        "monday": lambda: timezone.make_aware(nine + timedelta(days=7 - now.weekday())),
        "now": lambda: None,
    }
    if choice in moments:
        return moments[choice]()
    at = wall_clock(data, "at")
    if at is None:
        raise Invalid("Choose until when.", fields={"at": ["Choose until when."]})
    return at


def addresses(data: Mapping[str, Any], name: str) -> list[str]:
    """Addresses of a text field, apart by commas, semicolons or spaces."""
    return str(data.get(name, "")).replace(",", " ").replace(";", " ").split()


def custom(data: Any) -> dict[str, str]:
    """Values of custom fields, `custom-<slug>`; of a checkbox and the hidden `no` before it the last one counts."""
    return {name.removeprefix("custom-"): data[name] for name in data if name.startswith("custom-")}


class RecipeForm(forms.Form):
    """What is to be done to many tickets; what is left empty stays as it is."""

    status = forms.ChoiceField(required=False)
    priority = forms.ChoiceField(choices=[("", "As it is"), *Priority.choices], required=False)
    assignee = forms.ChoiceField(required=False)
    category = forms.ChoiceField(required=False)
    add_tags = forms.CharField(required=False, label="Add tags", help_text="Apart by spaces.")
    remove_tags = forms.CharField(required=False, label="Remove tags")
    escalate_to = forms.ChoiceField(
        choices=[("", "As it is"), ("1", "Tier 1"), ("2", "Tier 2"), ("3", "Tier 3")],
        required=False,
        label="Hand over to",
        help_text="The internal note says why.",
    )
    snooze = forms.CharField(required=False, label="Snooze for", help_text="30m, 4h, 2d or 1w.")
    deadline = forms.CharField(required=False, label="Deadline in", help_text="30m, 4h, 2d or 1w from now.")
    merge_into = forms.CharField(required=False, label="Merge into ticket", help_text="Goes alone.")
    note = forms.CharField(required=False, label="Internal note", widget=forms.Textarea)
    reply = forms.CharField(
        required=False, label="Reply to each requester", widget=forms.Textarea, help_text="Leaves by mail, at once."
    )

    def __init__(self, *args: Any, people: list[User], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        statuses = [(s.value, s.label) for s in Status if s != Status.NEW]
        self._choices("status", [("", "As it is"), *statuses])
        kinds = [("nobody", "Nobody"), ("round_robin", "In turn, within the tier"), ("least_loaded", "Who has least")]
        self._choices("assignee", [("", "As it is"), *kinds, *((user.email, user.name) for user in people)])
        categories = Category.objects.values_list("slug", "name")
        self._choices("category", [("", "As it is"), ("-", "None"), *categories])
        style(self)
        for name in {"note", "reply"} & self.fields.keys():
            self.fields[name].widget.attrs["rows"] = 3

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        cast(forms.ChoiceField, self.fields[name]).choices = choices

    def recipe(self) -> Recipe:
        """The filled-in form as a recipe, or `Invalid`."""
        return self.read(self.cleaned_data)

    @staticmethod
    def read(typed: Mapping[str, Any]) -> Recipe:
        data: dict[str, Any] = {name: value for name, value in typed.items() if value}
        if data.get("category") == "-":
            data["category"] = ""
        for name in ("add_tags", "remove_tags"):
            if name in data:
                data[name] = [tag(text) for text in data[name].replace(",", " ").split()]
        if "merge_into" in data:
            data["merge_into"] = ticket_number(data, "merge_into")
        return recipes.read(data)


def as_form(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A kept recipe as the first values of its form."""
    values = dict(recipe)
    for name in ("add_tags", "remove_tags", "watchers", "notify"):
        if name in values:
            values[name] = " ".join(values[name])
    if "checklist" in values:
        values["checklist"] = "\n".join(values["checklist"])
    if values.get("category") == "":
        values["category"] = "-"
    return values


class MoreRecipeForm(RecipeForm):
    """A recipe with what only rules and recurring tickets ask for."""

    raise_priority = forms.BooleanField(required=False, label="Raise the priority by one step")
    checklist = forms.CharField(required=False, label="Add to the checklist", widget=forms.Textarea)
    watchers = forms.CharField(required=False, help_text="Addresses of staff, apart by spaces.")
    notify = forms.CharField(
        required=False, help_text="assignee, watchers, tier, leads, or addresses of staff, apart by spaces."
    )
    notify_text = forms.CharField(required=False, max_length=200, label="What the notification says")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["checklist"].widget.attrs["rows"] = 3

    def recipe(self, found: Rule | Recurrence | None = None) -> Recipe:
        """The form as a recipe; what only the API sets on the one that is edited stays."""
        kept = {name: value for name, value in found.recipe.items() if name not in self.fields} if found else {}
        data = kept | {name: value for name, value in self.cleaned_data.items() if name in Recipe.model_fields}
        for name in ("watchers", "notify"):
            data[name] = data[name].replace(",", " ").split()
        data["checklist"] = [line for line in data["checklist"].splitlines() if line.strip()]
        return self.read(data)


class RuleForm(MoreRecipeForm):
    """A rule: when, for which tickets, and what."""

    name = forms.CharField(max_length=80)
    position = forms.IntegerField(min_value=0, max_value=1000, initial=0, help_text="Lower is looked at first.")
    events = forms.MultipleChoiceField(
        choices=RuleEvent.choices, required=False, label="When", widget=forms.CheckboxSelectMultiple
    )
    since = forms.ChoiceField(
        choices=[("", "At once"), *((s.value, f"After {s.label}") for s in RuleSince)],
        required=False,
        label="Or a time",
    )
    after = forms.CharField(required=False, label="So long after it", help_text="30m, 4h, 2d or 1w.")
    query = forms.CharField(
        required=False, max_length=500, label="For tickets that match", help_text="As in the search box; empty is all."
    )
    merge_into = None  # type: ignore[assignment]

    stops = forms.BooleanField(required=False, label="No rule after this one looks at the same event")
    active = forms.BooleanField(required=False, label="Switched on")


class RecurrenceForm(MoreRecipeForm):
    """A ticket that is opened again and again."""

    name = forms.CharField(max_length=80)
    cron = forms.CharField(max_length=100, label="When", help_text="Minute, hour, day, month, weekday: 0 9 * * mon")
    zone = forms.CharField(max_length=64, label="In the time of", help_text="Such as Europe/Berlin.")
    active = forms.BooleanField(required=False, initial=True, label="Switched on")
    requester_email = forms.EmailField(label="Requester’s email", max_length=254)
    requester_name = forms.CharField(label="Requester’s name", required=False, max_length=200)
    subject = forms.CharField(max_length=300)
    text = forms.CharField(widget=forms.Textarea)
    tier = forms.ModelChoiceField(Tier.objects.all(), empty_label=None, to_field_name="level")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("status", "snooze", "merge_into", "reply", "escalate_to", "remove_tags", "raise_priority"):
            del self.fields[name]
        self.fields["priority"] = forms.ChoiceField(choices=Priority.choices, initial=Priority.NORMAL)
        self.fields["category"] = forms.ModelChoiceField(
            Category.objects.all(), required=False, empty_label="None", to_field_name="slug"
        )
        style(self)

    def recipe(self, found: Rule | Recurrence | None = None) -> Recipe:
        typed, own = self.cleaned_data, ("priority", "category")  # of the ticket itself
        self.cleaned_data = {name: value for name, value in typed.items() if name not in own}
        try:
            return super().recipe(found)
        finally:
            self.cleaned_data = typed


def numbers(data: Any) -> list[int]:
    """Numbers of chosen tickets, from checkboxes or apart by commas."""
    texts = ",".join(data.getlist("numbers")).split(",")
    return [number for text in texts if (number := number_of(text)) is not None][:1000]


def runs(data: Any) -> list[dict[str, Any]]:
    """Runs that the handover form attaches: each is a JSON object made by the picker of `runbooks`."""
    found: list[dict[str, Any]] = []
    for text in data.getlist("runs")[:20]:
        try:
            row = json.loads(text)
            found.append(
                {"run": int(row["run"]), **{name: one_line(str(row[name])) for name in ("title", "url", "state")}}
            )
        except (ValueError, KeyError, TypeError):
            raise Invalid("A run to attach was not understood; choose it again.") from None
        if not found[-1]["url"].startswith("/runs/"):
            raise Invalid("A run to attach was not understood; choose it again.")
    return found


def ticket_number(data: Mapping[str, Any], name: str) -> int:
    """A number that somebody typed, with or without #."""
    number = number_of(str(data.get(name, "")).strip().removeprefix("#"))
    if number is None:
        raise Invalid("Write a number, for example 1042.", fields={name: ["Write a number, for example 1042."]})
    return number


def ticket_number_or_none(data: Mapping[str, Any], name: str) -> int | None:
    """A number of a hidden field; None where it says nothing."""
    return number_of(str(data.get(name, "")))


class PolicyForm(forms.Form):
    """A policy without its targets."""

    name = forms.CharField(max_length=80)
    calendar = forms.ModelChoiceField(Calendar.objects.all(), empty_label=None)
    active = forms.BooleanField(required=False, initial=True)
    position = forms.IntegerField(min_value=0, max_value=1000, required=False, help_text="Lower is looked at first.")
    tier = forms.ModelChoiceField(Tier.objects.all(), required=False, empty_label="Any")
    category = forms.ModelChoiceField(Category.objects.all(), required=False, empty_label="Any")
    organization = forms.ModelChoiceField(Organization.objects.all(), required=False, empty_label="Any")
    tag = forms.CharField(max_length=40, required=False)
    channel = forms.ChoiceField(choices=[("", "Any"), *Channel.choices], required=False)
    milestones = forms.CharField(
        label="Milestones in percent",
        initial="75, 90, 100, 150",
        help_text="People are told when so much of a target is used.",
    )
    breach_raises_priority = forms.BooleanField(required=False, label="On a breach raise the priority by one step")
    breach_escalates = forms.BooleanField(required=False, label="On a breach escalate to the next tier")

    def __init__(self, *args: Any, fallback: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if fallback:
            for name in ("active", "position", "tier", "category", "organization", "tag", "channel"):
                del self.fields[name]
        style(self)

    def clean_milestones(self) -> list[int]:
        texts = self.cleaned_data["milestones"].replace(",", " ").replace("%", " ").split()
        if not texts or not all(1 <= (number_of(text) or 0) <= 1000 for text in texts):
            raise forms.ValidationError("Write percents from 1 to 1000, for example 75, 90, 100, 150.")
        return sorted({int(text) for text in texts})

    def clean_tag(self) -> str:
        return tag(self.cleaned_data["tag"]) if self.cleaned_data["tag"].strip() else ""


class OrganizationForm(forms.Form):
    name = forms.CharField(max_length=120)
    domains = forms.CharField(
        required=False,
        widget=forms.Textarea,
        help_text="Requesters with addresses of these domains join by themselves.",
    )
    notes = forms.CharField(required=False, widget=forms.Textarea)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)
        self.fields["domains"].widget.attrs["rows"] = 3

    def clean_domains(self) -> list[str]:
        return str(self.cleaned_data["domains"]).replace(",", " ").split()


class CategoryForm(forms.Form):
    slug = forms.CharField(max_length=50, help_text="Such as lost-parcels; it stays.")
    name = forms.CharField(max_length=80)
    position = forms.IntegerField(min_value=0, max_value=1000, initial=0)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)


class FieldForm(forms.Form):
    slug = forms.CharField(max_length=40, help_text="Such as order_number; searched for as field.order_number.")
    label = forms.CharField(max_length=80)
    kind = forms.ChoiceField(choices=FieldKind.choices)
    choices = forms.CharField(required=False, widget=forms.Textarea, help_text="Of a choice: one a line.")
    help_text = forms.CharField(required=False, max_length=200, label="Hint")
    categories = forms.ModelMultipleChoiceField(
        Category.objects.all(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="For tickets of",
        help_text="None: of every category.",
    )
    position = forms.IntegerField(min_value=0, max_value=1000, initial=0)
    active = forms.BooleanField(required=False, initial=True, label="In use")

    def __init__(self, *args: Any, existing: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)
        self.fields["choices"].widget.attrs["rows"] = 3
        for name in ("slug", "kind") if existing else ():
            self.fields[name].disabled = True

    def clean_choices(self) -> list[str]:
        return [line for line in str(self.cleaned_data["choices"]).splitlines() if line.strip()]


class RetentionForm(forms.Form):
    name = forms.CharField(max_length=80)
    days = forms.IntegerField(min_value=1, max_value=36_500, label="Days after a ticket was closed")
    query = forms.CharField(required=False, max_length=500, label="For tickets that match", help_text="Empty is all.")
    active = forms.BooleanField(required=False, label="Switched on: erases for good")
    sure = forms.BooleanField(required=False, label="Yes, erase what it picks")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)


def targets(data: Mapping[str, Any]) -> dict[tuple[int, str, str], int | None]:
    """The grid of targets, `target-<level>-<priority>-<clock>` in minutes, as seconds; empty is None."""
    found: dict[tuple[int, str, str], int | None] = {}
    wrong: list[str] = []
    for level in (1, 2, 3):
        for priority in Priority:
            for clock in Clock:
                text = str(data.get(f"target-{level}-{priority}-{clock}", "")).strip()
                try:
                    found[level, priority.value, clock.value] = _seconds(text) if text else None
                except (ValueError, OverflowError):
                    wrong.append(f"tier {level}, {priority.label.lower()}, {clock.label.lower()}: {text[:20]!r}")
    if wrong:
        words = f"Write minutes from 1 to 1,000,000; not understood: {'; '.join(wrong[:5])}."
        raise Invalid(words, fields={"targets": [words]})
    return found


def _seconds(text: str) -> int:
    seconds = round(float(text) * 60)
    if not 1 <= seconds <= 60_000_000:
        raise ValueError(text)
    return seconds


def uploads(files: list[UploadedFile]) -> list[NewFile]:
    """Files of a form, within the limits of the settings."""
    messages.check_sizes([file.size or 0 for file in files])
    return [
        NewFile(file.name or "attachment", file.content_type or "application/octet-stream", file.read())
        for file in files
    ]
