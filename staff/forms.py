"""What people type about themselves."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from django import forms

from staff.actions import UNDO_CHOICES
from staff.models import Mailing, NoticeChoice, User
from staff.notices import KINDS


def zone_choices(now: Any = None) -> list[tuple[str, str]]:
    """IANA zones by place, with the one that is set even where it goes by another name."""
    names = {name for name in available_timezones() if "/" in name or name == "UTC"} | ({now} if now else set())
    return [(name, name) for name in sorted(names)]


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
        self.fields["time_zone"].choices = zone_choices(self.initial.get("time_zone"))  # type: ignore[attr-defined]
        for field in self.fields.values():
            kinds: dict[type, str] = {forms.Textarea: "textarea", forms.Select: "select"}
            field.widget.attrs["class"] = kinds.get(type(field.widget), "input")


@dataclass(frozen=True)
class KindRow:
    """One kind of notification with its three fields."""

    slug: str
    label: str
    words: str
    centre: forms.BoundField
    popup: forms.BoundField
    mail: forms.BoundField


class NoticesForm(forms.Form):
    """How each kind of notification reaches somebody, and when it is quiet."""

    quiet_from = forms.TimeField(required=False, label="Quiet from", widget=forms.TimeInput(attrs={"type": "time"}))
    quiet_until = forms.TimeField(required=False, label="until", widget=forms.TimeInput(attrs={"type": "time"}))
    quiet_weekends = forms.BooleanField(required=False, label="All of Saturday and Sunday")
    digest_at = forms.TimeField(label="The daily mail leaves at", widget=forms.TimeInput(attrs={"type": "time"}))

    def __init__(self, data: Any = None, *, user: User) -> None:
        initial = {name: getattr(user, name) for name in ("quiet_from", "quiet_until", "quiet_weekends", "digest_at")}
        super().__init__(data, initial=initial)
        chosen = {one.kind: one for one in NoticeChoice.objects.filter(user=user)}
        for kind in KINDS:
            one = chosen.get(kind.slug)
            mail = Mailing.AT_ONCE if kind.slug == "reply" and user.mails_wanted else one.mail if one else kind.mail
            named = {"aria-label": f"{kind.label}: in the desk"}
            self.fields[f"centre:{kind.slug}"] = forms.BooleanField(
                required=False, initial=one.centre if one else True, widget=forms.CheckboxInput(attrs=named)
            )
            named = {"aria-label": f"{kind.label}: in the browser"}
            self.fields[f"popup:{kind.slug}"] = forms.BooleanField(
                required=False, initial=one.popup if one else kind.popup, widget=forms.CheckboxInput(attrs=named)
            )
            named = {"aria-label": f"{kind.label}: by mail", "class": "select"}
            self.fields[f"mail:{kind.slug}"] = forms.ChoiceField(
                choices=Mailing.choices, initial=mail, widget=forms.Select(attrs=named)
            )
        for name in ("quiet_from", "quiet_until", "digest_at"):
            self.fields[name].widget.attrs["class"] = "input"

    def kinds(self) -> list[KindRow]:
        """The kinds with their fields, for the table."""
        return [
            KindRow(kind.slug, kind.label, kind.words, *(self[f"{part}:{kind.slug}"] for part in ("centre", "popup", "mail")))
            for kind in KINDS
        ]  # fmt: skip

    def wanted(self) -> dict[str, Any]:
        """The arguments of `actions.save_notice_settings`. What a requester wrote leaves at once as mail to be answered."""
        data = self.cleaned_data
        choices = {
            kind.slug: (data[f"centre:{kind.slug}"], data[f"popup:{kind.slug}"], Mailing(data[f"mail:{kind.slug}"]))
            for kind in KINDS
        }
        *shown, mail = choices["reply"]
        answered = mail == Mailing.AT_ONCE
        choices["reply"] = (shown[0], shown[1], Mailing.NEVER if answered else mail)
        times = {name: data[name] for name in ("quiet_from", "quiet_until", "quiet_weekends", "digest_at")}
        return {"choices": choices, "mails_wanted": answered, **times}
