"""Forms of the settings of mail."""

from typing import Any

from django import forms

from staff.models import Tier
from tickets.forms import RecipeForm, style
from tickets.mail import sorting, wording
from tickets.models import ImapLogin, ImapSecurity, Mailbox, Priority


class MailboxForm(forms.Form):
    """An address that becomes tickets."""

    name = forms.SlugField(max_length=50, help_text="As commands call it; it stays.")
    address = forms.EmailField(max_length=254)
    display_name = forms.CharField(
        max_length=80, label="Name of the desk", help_text="The sender's name of what leaves."
    )
    tier = forms.ModelChoiceField(Tier.objects.all(), empty_label=None)
    priority = forms.ChoiceField(choices=Priority.choices, initial=Priority.NORMAL)
    language = forms.ChoiceField(choices=wording.LANGUAGES)
    reopen_days = forms.IntegerField(
        min_value=0, max_value=365, initial=0, label="Days in which mail opens a closed ticket again",
        help_text="After that, and with 0 always, a linked follow-up opens.",
    )  # fmt: skip
    keeps_copies = forms.BooleanField(
        required=False, initial=True, label="Who else a mail went to gets copies of replies"
    )
    quotes_history = forms.BooleanField(required=False, label="Quote the message before in replies")
    trusts_organization = forms.BooleanField(
        required=False, label="A number in the subject counts from anybody of the requester's organisation"
    )
    active = forms.BooleanField(required=False, initial=True, label="Take mail for it")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)


class ImapForm(forms.Form):
    """Where a mailbox is fetched from. Secrets are written and never shown."""

    host = forms.CharField(
        max_length=253, label="Server", help_text="outlook.office365.com, imap.gmail.com, or your own."
    )
    port = forms.IntegerField(min_value=1, max_value=65_535, initial=993)
    security = forms.ChoiceField(choices=ImapSecurity.choices)
    user = forms.CharField(max_length=254)
    login = forms.ChoiceField(choices=ImapLogin.choices, label="Signs in by")
    secret = forms.CharField(
        required=False, max_length=4000, label="Password", strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), help_text="Left empty, the stored one stays. With OAuth 2 one signs in at the provider instead, once this is saved.",
    )  # fmt: skip
    client_id = forms.CharField(required=False, max_length=200, label="Client id (OAuth 2)")
    client_secret = forms.CharField(
        required=False, max_length=1000, label="Client secret (OAuth 2)", strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip
    tenant = forms.CharField(required=False, max_length=100, label="Tenant (Microsoft 365)", help_text="Empty: common.")
    folder = forms.CharField(max_length=200, initial="INBOX")
    done_folder = forms.CharField(
        required=False, max_length=200, label="Move to this folder once stored", help_text="Empty: it stays and is marked as read."
    )  # fmt: skip
    active = forms.BooleanField(required=False, initial=True, label="Fetch it")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)


class TemplateForm(forms.Form):
    """The words of a kind of mail."""

    subject = forms.CharField(max_length=300)
    text = forms.CharField(max_length=20_000, widget=forms.Textarea(attrs={"rows": 12}), help_text="Markdown.")
    active = forms.BooleanField(required=False, initial=True, label="Send it")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)
        self.fields["text"].widget.attrs["rows"] = 12


class MailRuleForm(RecipeForm):
    """A rule on mail: which, and what is done with it."""

    name = forms.CharField(max_length=80)
    position = forms.IntegerField(min_value=0, max_value=32_000, initial=0, help_text="Small ones are asked first.")
    mailbox = forms.ModelChoiceField(Mailbox.objects.all(), required=False, empty_label="Every mailbox")
    conditions = forms.CharField(
        max_length=20_000, widget=forms.Textarea, label="If all of these hold",
        help_text=f"One a line: a field ({', '.join(sorting.FIELDS)}), how ({', '.join(sorting.OPS)}) and a value. For example: subject contains newsletter",
    )  # fmt: skip
    spam = forms.BooleanField(required=False, label="It is spam")
    tier = forms.ModelChoiceField(
        Tier.objects.all(), required=False, empty_label="As its mailbox says", label="Goes to"
    )
    stops = forms.BooleanField(required=False, initial=True, label="No rule after it is asked")
    active = forms.BooleanField(required=False, initial=True, label="In use")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("status", "escalate_to", "merge_into", "reply", "snooze", "deadline", "remove_tags"):
            del self.fields[name]
        style(self)
        self.fields["conditions"].widget.attrs["rows"] = 5
        self.fields["note"].widget.attrs["rows"] = 3


class UploadForm(forms.Form):
    """A mail from a file."""

    mailbox = forms.ModelChoiceField(Mailbox.objects.filter(active=True), empty_label=None)
    file = forms.FileField(label="The mail", help_text="A file that ends with .eml, as mail programs save it.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)
