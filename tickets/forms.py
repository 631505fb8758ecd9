"""What people type about tickets, parsed."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from staff.models import Tier, User
from supportdesk.errors import Invalid
from tickets.actions._messages import NewFile
from tickets.models import Category, Channel, Priority

MOST_UPLOAD = 25 * 1024 * 1024


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            kinds: dict[type, str] = {forms.Textarea: "textarea", forms.Select: "select"}
            field.widget.attrs["class"] = kinds.get(type(field.widget), "input")


def version(data: Mapping[str, Any]) -> int | None:
    """The version that a page sent with a change."""
    value = str(data.get("version", ""))
    return int(value) if value.isdecimal() else None


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
    user = User.objects.filter(pk=value, is_active=True).first() if value.isdecimal() else None
    if user is None:
        raise Invalid("That person is not on the desk any more; choose another.")
    return user


def category(data: Mapping[str, Any], name: str) -> Category | None:
    value = str(data.get(name, ""))
    found = Category.objects.filter(slug=value).first() if value else None
    if value and found is None:
        raise Invalid("That category does not exist any more; choose another.")
    return found


def uploads(files: list[UploadedFile]) -> list[NewFile]:
    """Files of a form, 25 MB together at most."""
    if sum(file.size or 0 for file in files) > MOST_UPLOAD:
        raise Invalid("The files are larger than 25 MB together; send fewer or smaller ones.")
    return [
        NewFile(file.name or "attachment", file.content_type or "application/octet-stream", file.read())
        for file in files
    ]
