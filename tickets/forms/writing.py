"""What people type into the composer and the form of a macro, parsed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict

from staff.models import User
from supportdesk.errors import Invalid
from supportdesk.text import number_of
from tickets.forms import RecipeForm, style, ticket_number_or_none, uploads, version, wall_clock
from tickets.models import MessageKind, Status
from tickets.queries.queue import COLUMNS, GROUPS


def written(data: QueryDict, files: Sequence[UploadedFile]) -> dict[str, Any]:
    """What the composer holds, as arguments of `drafts.send`. Raises `Invalid`."""
    then = data.get("then", "")
    if then not in {"", Status.RESOLVED, Status.WAITING}:
        raise Invalid("After a reply a ticket is resolved, waits, or stays as it is.")
    minutes = data.get("minutes", "").strip()
    if minutes and not (minutes.isdecimal() and int(minutes[:9]) <= 1440):
        raise Invalid("Write minutes from 0 to 1440.", fields={"minutes": ["Write minutes from 0 to 1440."]})
    kind = MessageKind.NOTE if data.get("kind") == "note" else MessageKind.REPLY
    chosen = data.get("send_at", "").strip()
    later = kind == MessageKind.REPLY and bool(chosen or data.get("when") == "later")
    if later and not chosen:
        raise Invalid("Choose when it is to be sent.", fields={"send_at": ["Choose when it is to be sent."]})
    return {
        "text": data.get("text", ""), "kind": kind, "version": version(data), "files": uploads(list(files)),
        "then": Status(then) if then and kind == MessageKind.REPLY else None,
        "macros": [key for one in data.getlist("macros") if (key := number_of(one)) is not None][:10],
        "minutes": int(minutes) if minutes else None, "seen": ticket_number_or_none(data, "seen"),
        "at": wall_clock(data, "send_at") if later else None,
    }  # fmt: skip


def base(data: QueryDict) -> datetime | None:
    """When the page's draft was kept last, an ISO 8601 moment; None where the page says nothing. Raises `Invalid`."""
    text = data.get("base", "")
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise Invalid("base is when the draft was kept last, such as 2026-11-30T08:00:00+00:00.") from None
    return found.replace(tzinfo=found.tzinfo or UTC) if found else None


class MacroForm(RecipeForm):
    """Words kept ready and the changes that go along."""

    name = forms.CharField(max_length=80)
    kind = forms.ChoiceField(
        choices=[(MessageKind.REPLY.value, "A reply"), (MessageKind.NOTE.value, "An internal note")], label="Begins"
    )
    text = forms.CharField(required=False, widget=forms.Textarea, help_text="Markdown. Empty: changes only.")
    position = forms.IntegerField(
        min_value=0, max_value=1000, initial=0, required=False, help_text="Lower comes first."
    )
    for_all = forms.BooleanField(required=False, label="For everybody")
    merge_into = None  # type: ignore[assignment]
    note = None  # type: ignore[assignment]
    reply = None  # type: ignore[assignment]
    escalate_to = None  # type: ignore[assignment]

    field_order = ("name", "kind", "text")

    def __init__(self, *args: Any, people: list[User], for_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, people=people, **kwargs)
        self.fields["text"].widget.attrs["rows"] = 6
        if not for_all:
            del self.fields["for_all"]

    def own(self) -> dict[str, Any]:
        """What is the macro's own, beside its changes."""
        data = self.cleaned_data
        return {
            "name": data["name"], "kind": data["kind"], "text": data["text"], "position": data["position"] or 0,
            "for_all": data.get("for_all", False),
        }  # fmt: skip

    def recipe(self) -> Any:
        own = ("name", "kind", "text", "position", "for_all")
        return self.read({name: value for name, value in self.cleaned_data.items() if name not in own})


SORTS = {
    "": "As usual", "due": "Due first", "-updated": "Newest change first", "updated": "Oldest change first", "priority": "Most urgent first",
    "-number": "Newest first", "number": "Oldest first",
}  # fmt: skip


class ViewForm(forms.Form):
    """A view of the queue that is kept."""

    name = forms.CharField(max_length=60)
    query = forms.CharField(
        required=False, max_length=500, label="Which tickets", help_text="As in the search box; empty is all that you may see."
    )  # fmt: skip
    sort = forms.ChoiceField(choices=SORTS.items(), required=False, label="Order")
    group = forms.ChoiceField(choices=GROUPS.items(), required=False, label="Grouped by", help_text="Within each page.")
    columns = forms.MultipleChoiceField(
        choices=COLUMNS.items(), required=False, widget=forms.CheckboxSelectMultiple, label="Columns beside number and subject"
    )  # fmt: skip
    position = forms.IntegerField(
        min_value=0, max_value=1000, initial=0, required=False, help_text="Lower comes first."
    )
    for_all = forms.BooleanField(required=False, label="For everybody")

    def __init__(self, *args: Any, for_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)
        if not for_all:
            del self.fields["for_all"]

    def values(self) -> dict[str, Any]:
        return self.cleaned_data | {
            "position": self.cleaned_data["position"] or 0,
            "for_all": self.cleaned_data.get("for_all", False),
        }
