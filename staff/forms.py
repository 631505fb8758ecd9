"""What people type about themselves."""

from typing import Any
from zoneinfo import available_timezones

from django import forms

from staff.actions import UNDO_CHOICES


class OwnForm(forms.Form):
    """One's own settings."""

    name = forms.CharField(max_length=120)
    time_zone = forms.ChoiceField(label="Time zone", help_text="Times are shown in it.")
    signature = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="Below your replies, in markdown."
    )
    undo_seconds = forms.TypedChoiceField(
        coerce=int, choices=[(n, f"{n} seconds" if n else "Not: it leaves at once") for n in UNDO_CHOICES],
        label="How long a reply can be taken back",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(name for name in available_timezones() if "/" in name or name == "UTC")
        self.fields["time_zone"].choices = [(name, name) for name in zones]  # type: ignore[attr-defined]
        for field in self.fields.values():
            kinds: dict[type, str] = {forms.Textarea: "textarea", forms.Select: "select"}
            field.widget.attrs["class"] = kinds.get(type(field.widget), "input")
