"""What administrators type about the desk."""

from typing import Any

from django import forms

from staff.forms import zone_choices
from staff.models import Calendar, Contact, MembershipRole, Place, Role, Team, Tier, User
from staff.requests import DeskRequest
from supportdesk.errors import Invalid
from workspace import reports
from workspace.models import Every, KeptReport
from workspace.scope import PRESETS

NO_TIER = ""


def style(form: forms.Form) -> None:
    """Give each widget the design's class."""
    kinds: dict[type, str] = {
        forms.Textarea: "textarea", forms.Select: "select", forms.CheckboxInput: "switch", forms.CheckboxSelectMultiple: "",
    }  # fmt: skip
    for field in form.fields.values():
        field.widget.attrs["class"] = kinds.get(type(field.widget), "input")


def refuse(form: forms.Form, error: Invalid) -> None:
    """Put what an action refused beside the fields that it names."""
    for name, texts in error.fields.items():
        form.add_error(name if name in form.fields else None, texts)
    if not error.fields:
        form.add_error(None, str(error))


class PersonForm(forms.Form):
    """Somebody at the desk: who they are, and their place in tiers and teams."""

    name = forms.CharField(max_length=120)
    email = forms.EmailField(label="Email", help_text="They sign in with it.")
    role = forms.ChoiceField(choices=Role.choices, help_text="Staff are what their tiers make them.")
    time_zone = forms.ChoiceField(label="Time zone", initial="UTC")
    teams = forms.ModelMultipleChoiceField(
        Team.objects.order_by("name"), required=False, widget=forms.CheckboxSelectMultiple
    )
    active = forms.BooleanField(
        required=False, initial=True, label="May sign in", help_text="Switched off, they are signed out everywhere and given no more tickets."
    )  # fmt: skip

    def __init__(self, data: Any = None, *, person: User | None = None) -> None:
        super().__init__(data, initial=_of_person(person) if person else None)
        self.fields["time_zone"].choices = zone_choices(person and person.time_zone)  # type: ignore[attr-defined]
        places = [(NO_TIER, "Not in it"), *MembershipRole.choices]
        held = (
            {row.tier.level: row.role for row in person.memberships.select_related("tier") if row.tier}
            if person
            else {}
        )
        for tier in Tier.objects.all():
            self.fields[f"tier{tier.level}"] = forms.ChoiceField(
                choices=places, required=False, label=f"{tier}, {tier.name}", initial=held.get(tier.level, NO_TIER)
            )
        if person is None:
            del self.fields["active"]
        self.order_fields(
            ["name", "email", "role", *[n for n in self.fields if n.startswith("tier")], "teams", "time_zone", "active"]
        )
        style(self)

    def wanted(self) -> dict[str, Any]:
        """The arguments of `staff.actions.save_person`."""
        data = dict(self.cleaned_data)
        tiers = {int(name.removeprefix("tier")): data.pop(name) for name in list(data) if name.startswith("tier")}
        data["teams"] = [team.pk for team in data["teams"]]
        return {**data, "tiers": {level: role for level, role in tiers.items() if role}}


def _of_person(person: User) -> dict[str, Any]:
    teams = [row.team_id for row in person.memberships.all() if row.team_id]
    return {
        "name": person.name, "email": person.email, "role": person.role, "time_zone": person.time_zone, "active": person.is_active,
        "teams": teams,
    }  # fmt: skip


class TierForm(forms.Form):
    """A tier in words and its promise; `channels` one a line."""

    name = forms.CharField(max_length=80)
    scope = forms.CharField(max_length=300, widget=forms.Textarea(attrs={"rows": 2}), help_text="What it takes.")
    channels = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="One a line.")
    handled_by = forms.CharField(max_length=80, required=False, label="Handled by")
    response_min_minutes = forms.IntegerField(min_value=1, label="Answers within, shortest (minutes)")
    response_max_minutes = forms.IntegerField(min_value=1, label="Answers within, longest (minutes)")
    contact = forms.ModelChoiceField(Contact.objects.all(), required=False, empty_label="Nobody")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)

    def wanted(self) -> dict[str, Any]:
        return {**self.cleaned_data, "channels": self.cleaned_data["channels"].splitlines()}


class ContactForm(forms.Form):
    """A row of the contact table."""

    role = forms.CharField(max_length=80, label="What for")
    email = forms.EmailField(label="Email")
    phone = forms.CharField(max_length=40, required=False)
    hours = forms.CharField(max_length=80, required=False, help_text="As people read them: Monday to Friday, 9 to 18.")
    calendar = forms.ModelChoiceField(
        Calendar.objects.order_by("name"), required=False, empty_label="None", help_text="The same hours as a calendar."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)


class TeamForm(forms.Form):
    """A team; its slug is chosen once."""

    name = forms.CharField(max_length=80)
    slug = forms.CharField(
        max_length=50, required=False, help_text="Schedules name it by this, for example night-shift."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)


class AccountsForm(forms.Form):
    """Who must have a second factor."""

    second_factor_of = forms.MultipleChoiceField(
        choices=Place.choices, required=False, widget=forms.CheckboxSelectMultiple, label="Must have a second factor or a passkey"
    )  # fmt: skip


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class KeptForm(forms.Form):
    """A report under a name: what it counts, who gets it, and when."""

    name = forms.CharField(max_length=80)
    report = forms.ChoiceField(choices=[(one.key, one.title) for one in reports.REPORTS.values()])
    period = forms.ChoiceField(
        choices=list(PRESETS.items()), help_text="It goes along with the day on which it is counted."
    )
    query = forms.CharField(
        max_length=500,
        required=False,
        label="Only tickets that match",
        help_text="As in the search box: tier:2 tag:vip",
    )
    zone = forms.CharField(max_length=64, label="Time zone")
    every = forms.ChoiceField(choices=Every.choices, label="Mailed")
    weekday = forms.TypedChoiceField(coerce=int, choices=list(enumerate(WEEKDAYS)), label="On (where it is every week)")
    at = forms.TimeField(label="At", widget=forms.TimeInput(attrs={"type": "time"}))
    readers = forms.ModelMultipleChoiceField(
        User.objects.filter(is_active=True).exclude(role=Role.INTEGRATION).order_by("name", "pk"), required=False,
        widget=forms.CheckboxSelectMultiple, label="To",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)

    def wanted(self) -> dict[str, Any]:
        """The arguments of `workspace.actions.kept.save`."""
        return {**self.cleaned_data, "readers": list(self.cleaned_data["readers"])}


def of_kept(kept: KeptReport) -> dict[str, Any]:
    names = ("name", "report", "period", "query", "zone", "every", "weekday", "at")
    return {name: getattr(kept, name) for name in names} | {
        "readers": list(kept.readers.values_list("user", flat=True))
    }


def new_kept(request: DeskRequest) -> dict[str, Any]:
    """What a report's page was showing, for its own reader."""
    given = request.GET
    period = given.get("period") or "30d"
    return {
        "report": given.get("report", ""), "period": period, "query": given.get("q", ""), "zone": given.get("zone") or request.user.time_zone,
        "every": Every.NEVER, "weekday": 0, "at": "08:00", "readers": [request.user.pk],
    }  # fmt: skip
