"""The settings of the desk: where each is, what is found in them, and how far an administrator's first hour has come."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.urls import reverse

from staff.models import AUTOMATION, AuditEntry, Contact, DeskSettings, Role, Team, Tier, User
from staff.policies import has_second_factor
from supportdesk.text import one_line
from tickets.models import (
    Category,
    CustomField,
    ImapAccount,
    Macro,
    Mailbox,
    MailRule,
    Message,
    RetentionPolicy,
    Rule,
    SavedView,
    SLAPolicy,
)

MOST_FOUND = 8


@dataclass(frozen=True)
class Section:
    """A page of settings, in words that people look for it by."""

    title: str
    url: str
    icon: str
    words: str
    heading: str


def sections() -> list[Section]:
    """Every page of settings, in the order of the index."""
    return [
        Section(title, reverse(name), icon, words, heading)
        for heading, title, name, icon, words in (
            ("People", "People", "workspace:people", "user", "Invite, change places in tiers and teams, sign out, switch off"),
            ("People", "Tiers, contacts and teams", "workspace:tiers", "filter", "What each tier takes and promises, whom to call"),
            ("People", "Accounts", "workspace:accounts", "key", "Second factor by role (2FA, MFA), passkeys, single sign-on (SSO), OpenID Connect"),
            ("Tickets", "Promises and calendars", "tickets:promises", "clock", "SLA policies, targets, pauses, business hours, holidays"),
            ("Tickets", "Rules", "tickets:rules", "bolt", "What happens by itself when a ticket changes or time passes"),
            ("Tickets", "Recurring tickets", "tickets:recurring", "calendar", "Tickets that open by a timetable"),
            ("Tickets", "Categories, fields and retention", "tickets:directory", "edit", "Custom fields, tags, how long closed tickets are kept"),
            ("Tickets", "Macros", "tickets:macros", "bolt", "Words kept ready, canned responses, several changes at once"),
            ("Tickets", "Views", "tickets:views", "filter", "Kept queries, one’s own and everybody’s"),
            ("Mail", "Mailboxes", "tickets:mailboxes", "mail", "Addresses, signature, IMAP, health, test"),
            ("Mail", "Templates", "tickets:mail_templates", "mail", "What the desk writes by itself, by language"),
            ("Mail", "Rules on mail", "tickets:mail_rules", "mail", "Route, set, drop into spam"),
            ("Operation", "Targets and secrets", "runbooks:targets", "bolt", "The systems that runbooks work on, and their keys"),
            ("Operation", "Thresholds", "runbooks:thresholds", "chart", "From when a figure is a warning"),
            ("Operation", "Audit", "audit", "history", "Who changed what, and what it was before"),
        )
    ]  # fmt: skip


def found(text: str) -> tuple[list[Section], list[tuple[str, str, str]]]:
    """Pages whose words hold all that was typed, and single settings by name: (what, name, address)."""
    words = one_line(text, most=100).lower().split()
    pages = [
        one for one in sections() if all(word in f"{one.title} {one.words} {one.heading}".lower() for word in words)
    ]
    return pages, _things(words) if words else []


def _things(words: list[str]) -> list[tuple[str, str, str]]:
    rows = []
    for what, model, fields, name, key in (
        ("Person", User, ("name", "email"), "workspace:person", "pk"), ("Tier", Tier, ("name", "scope"), "workspace:tier", "level"),
        ("Contact", Contact, ("role", "email"), "workspace:contact", "pk"), ("Team", Team, ("name", "slug"), "workspace:team", "pk"),
        ("Policy", SLAPolicy, ("name",), "tickets:policy", "pk"), ("Rule", Rule, ("name",), "tickets:rule", "pk"),
        ("Category", Category, ("name", "slug"), "tickets:edit_category", "pk"), ("Field", CustomField, ("label", "slug"), "tickets:edit_field", "slug"),
        ("Macro", Macro, ("name",), "tickets:macro", "pk"), ("View", SavedView, ("name",), "tickets:view", "pk"),
        ("Mailbox", Mailbox, ("name", "address"), "tickets:mailbox", "pk"), ("Rule on mail", MailRule, ("name",), "tickets:mail_rule", "pk"),
        ("Retention", RetentionPolicy, ("name",), "tickets:retention", "pk"),
    ):  # fmt: skip
        wanted = Q()
        for word in words:
            each = Q()
            for field in fields:
                each |= Q(**{f"{field}__icontains": word})
            wanted &= each
        rows_of: Any = model.objects.filter(wanted)
        if model is User:
            rows_of = rows_of.exclude(email=AUTOMATION)
        if model in (Macro, SavedView):
            rows_of = rows_of.filter(owner=None)
        rows += [
            (what, str(getattr(row, fields[0])), reverse(name, args=[getattr(row, key)]))
            for row in rows_of.order_by("pk")[:MOST_FOUND]
        ]
    return rows


def people(text: str = "", *, gone: bool = False) -> Any:
    """People of the desk by name, with their memberships; those who may not sign in any more only when asked for."""
    rows = User.objects.exclude(email=AUTOMATION).filter(is_active=not gone)
    for word in one_line(text, most=100).split():
        rows = rows.filter(Q(name__icontains=word) | Q(email__icontains=word))
    return rows.prefetch_related("memberships__tier", "memberships__team").order_by("name", "pk")


# ----------------------------------------------------------------------------------- the first hour
@dataclass(frozen=True)
class Step:
    """One line of the checklist."""

    done: bool
    title: str
    words: str
    url: str


@dataclass(frozen=True)
class Checklist:
    """The first hour: its steps, and the test mail that ends it."""

    steps: list[Step]
    mailboxes: list[Mailbox]
    awaited: bool
    ticket: int | None

    @property
    def done(self) -> int:
        return sum(step.done for step in self.steps) + (self.ticket is not None)

    @property
    def total(self) -> int:
        return len(self.steps) + 1


_LOOKED = ("tier.saved", "calendar.saved", "policy.saved")


def checklist(user: User) -> Checklist | None:
    """How far it has come; None for others than administrators, and once it was put away."""
    if not user.standing.is_administrator:
        return None
    desk = DeskSettings.objects.filter(pk=1).first() or DeskSettings()
    if desk.checklist_closed_at:
        return None
    by_people = AuditEntry.objects.exclude(actor=None).exclude(actor__email=AUTOMATION)
    edited = set(
        by_people.filter(action__in=(*_LOOKED, "mailbox.saved", "mailbox.imap")).values_list("action", flat=True)
    )
    others = User.objects.filter(is_active=True, last_login__isnull=False).exclude(email=AUTOMATION).exclude(pk=user.pk)
    invited = by_people.filter(action="person.saved").exists() or others.exclude(role=Role.INTEGRATION).exists()
    sends = not settings.EMAIL_URL.startswith("file:")
    receives = bool(settings.SMTP_PORT or settings.LMTP_PORT or settings.MAIL_HOOKS) or ImapAccount.objects.exists()
    mail = Message.objects.filter(rfc_id=desk.test_mail_id) if desk.test_mail_id else Message.objects.none()
    ticket = mail.values_list("ticket__number", flat=True).first()
    steps = [
        Step(has_second_factor(user), "Guard your account", "An authenticator app or a passkey.", reverse("mfa_index")),
        Step(bool(edited & set(_LOOKED)), "Look over tiers, hours and promises", "They are the guide’s until you change them.", reverse("workspace:tiers")),
        Step(invited, "Invite your people", "Each gets a mail with a link.", reverse("workspace:invite")),
        Step(receives and bool(edited & {"mailbox.saved", "mailbox.imap"}), "Give the mailboxes your addresses", "And how their mail comes in: SMTP, IMAP or a provider.", reverse("tickets:mailboxes")),
        Step(sends, "Let mail out", "Set EMAIL_URL to your mail server; until then letters are files." , reverse("tickets:outgoing")),
    ]  # fmt: skip
    return Checklist(steps, list(Mailbox.objects.order_by("name")), bool(desk.test_mail_id), ticket)
