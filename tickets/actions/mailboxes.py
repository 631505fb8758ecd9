"""Settings of mail: mailboxes, where they are fetched from, templates, rules; and what requesters think of us."""

import re
from typing import Any

import httpx
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from staff import actions as staff
from staff.models import Tier, User
from staff.policies import check_is_administrator
from supportdesk import crypto
from supportdesk.errors import Conflict, Invalid, NotFound
from supportdesk.text import clean, one_line
from tickets import policies
from tickets.mail import imap, oauth, outgoing, sorting, wording
from tickets.models import (
    ImapAccount,
    ImapLogin,
    ImapSecurity,
    Mailbox,
    MailRule,
    MailTemplate,
    OutboundEmail,
    Rating,
    RatingScore,
    Ticket,
    TicketEvent,
)
from tickets.recipe import Recipe

_LOCAL = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)", re.IGNORECASE)
_PLAIN = ("name", "address", "display_name", "priority", "language", "active", "keeps_copies", "quotes_history", "reopen_days", "trusts_organization")  # fmt: skip


def _shown(mailbox: Mailbox) -> dict[str, Any]:
    return {name: getattr(mailbox, name) for name in _PLAIN} | {"tier": mailbox.tier.level}


@transaction.atomic
def save_mailbox(*, by: User, pk: int | None = None, tier: Tier, **values: Any) -> Mailbox:
    """Make or change a mailbox; `values` are its fields. Its name stays: commands name it."""
    check_is_administrator(by)
    found = Mailbox.objects.select_for_update().filter(pk=pk).first() if pk else Mailbox()
    if found is None:
        raise NotFound("There is no such mailbox.")
    before = _shown(found) if pk else None
    for name, value in values.items():
        if name in _PLAIN and not (name == "name" and pk):
            setattr(found, name, value)
    found.tier, found.address = tier, one_line(found.address, most=254).lower()
    found.display_name = one_line(found.display_name, most=80)
    wrong: dict[str, list[str]] = {}
    try:
        validate_email(found.address)
    except ValidationError:
        wrong["address"] = ["Write an address such as support@example.com."]
    if "+" in found.address.partition("@")[0]:
        wrong["address"] = ["Without +: the desk adds the ticket there."]
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,49}", found.name):
        wrong["name"] = ["Write lower case letters, digits and hyphens."]
    others = Mailbox.objects.exclude(pk=found.pk)
    if others.filter(name=found.name).exists():
        wrong["name"] = ["There is a mailbox of that name."]
    if others.filter(address__iexact=found.address).exists():
        wrong["address"] = ["Another mailbox has that address."]
    if wrong:
        raise Invalid("Some fields need another value.", fields=wrong)
    found.save()
    staff.audit(by=by, action="mailbox.saved", thing=f"mailbox {found.name}", before=before, after=_shown(found))
    return found


@transaction.atomic
def save_imap(
    *, by: User, mailbox: Mailbox, host: str, port: int, security: str, user: str, login: str, secret: str, client_id: str = "",
    client_secret: str = "", tenant: str = "", folder: str = "INBOX", done_folder: str = "", active: bool = True,
) -> ImapAccount:  # fmt: skip
    """Say where a mailbox is fetched from. An empty secret keeps the one that is stored; none is ever given out."""
    check_is_administrator(by)
    found = ImapAccount.objects.select_for_update().filter(mailbox=mailbox).first() or ImapAccount(mailbox=mailbox)
    wrong: dict[str, list[str]] = {}
    if security == ImapSecurity.NONE and not _LOCAL.fullmatch(host.strip()):
        wrong["security"] = [
            "Without TLS everybody on the way reads the password; only a server on this machine may do without."
        ]
    if login != ImapLogin.PASSWORD and not client_id.strip():
        wrong["client_id"] = ["OAuth 2 needs the id of the app that is registered with the provider."]
    if not secret and not found.secret and login == ImapLogin.PASSWORD:
        wrong["secret"] = ["Write the password."]
    before = (found.host, found.port, found.security, found.user, found.login, found.tenant)
    if before != (host.strip(), port, security, user.strip(), login, tenant) and found.secret and not secret:
        if login == ImapLogin.PASSWORD:
            wrong["secret"] = ["Another server, port, way or user: write the secret again."]  # it goes nowhere else
        else:
            found.secret = b""  # another user's, or for another server: one signs in anew
    if not re.fullmatch(r"[A-Za-z0-9.-]{0,100}", tenant):
        wrong["tenant"] = ["Write the tenant's id or domain."]
    if wrong:
        raise Invalid("Some fields need another value.", fields=wrong)
    if (found.host, found.user, found.folder) != (host.strip(), user.strip(), folder.strip() or "INBOX"):
        found.uid_validity, found.last_uid = None, 0  # another folder's numbers mean other messages
    found.host, found.port, found.security, found.user, found.login = host.strip(), port, security, user.strip(), login
    found.client_id, found.tenant, found.folder, found.done_folder = (
        client_id.strip(),
        tenant,
        folder.strip() or "INBOX",
        done_folder.strip(),
    )
    found.active, found.error, found.error_at, found.contact_at = active, "", None, None
    if secret:
        found.secret = crypto.encrypt(secret)
    if client_secret:
        found.client_secret = crypto.encrypt(client_secret)
    try:
        found.clean_fields(exclude=["mailbox", "secret", "client_secret"])
    except ValidationError as error:
        raise Invalid("Some fields need another value.", fields=error.message_dict) from None
    found.save()
    shown = {"host": found.host, "user": found.user, "login": login, "folder": found.folder, "active": active}
    staff.audit(by=by, action="mailbox.imap", thing=f"mailbox {mailbox.name}", after=shown)
    return found


def try_imap(*, by: User, mailbox: Mailbox) -> str:
    """Sign in to a mailbox and look, changing nothing. Raises Conflict with the server's words."""
    check_is_administrator(by)
    account = ImapAccount.objects.select_related("mailbox").filter(mailbox=mailbox).first()
    if account is None:
        raise NotFound(f"{mailbox} is not fetched from anywhere yet.")
    try:
        return imap.try_out(account)
    except Exception as error:  # whatever a server says is shown
        raise Conflict(imap.words_of(error, account)) from None


def begin_sign_in(*, by: User, mailbox: Mailbox) -> oauth.SignIn:
    """Where an administrator signs in at the provider of a mailbox. Raises `Conflict` where it has none."""
    check_is_administrator(by)
    account = ImapAccount.objects.filter(mailbox=mailbox).exclude(login=ImapLogin.PASSWORD).first()
    if account is None:
        raise Conflict(f"{mailbox} does not sign in at a provider; save that first.")
    return oauth.begin(account, comes_back_to())


def finish_sign_in(*, by: User, mailbox: Mailbox, code: str, verifier: str) -> None:
    """Keep what the provider gives for the code of a sign-in. Raises `Conflict` with the provider's words."""
    check_is_administrator(by)
    account = ImapAccount.objects.filter(mailbox=mailbox).exclude(login=ImapLogin.PASSWORD).first()
    if account is None:
        raise Conflict(f"{mailbox} does not sign in at a provider any more.")
    try:
        token = oauth.finish(account, code=code, verifier=verifier, redirect_uri=comes_back_to())
    except (Invalid, httpx.HTTPError, ValueError) as error:
        raise Conflict(imap.words_of(error, account)) from None
    with transaction.atomic():
        ImapAccount.objects.filter(pk=account.pk).update(secret=crypto.encrypt(token), error="", error_at=None)
        staff.audit(by=by, action="mailbox.signed_in", thing=f"mailbox {mailbox.name}", after={"user": account.user})


def comes_back_to() -> str:
    """The redirect address that an app at a provider is registered with."""
    return f"{settings.BASE_URL}{reverse('tickets:imap_signed_in')}"


@transaction.atomic
def remove_imap(*, by: User, mailbox: Mailbox) -> None:
    """Fetch it no more, and forget the secret."""
    check_is_administrator(by)
    if ImapAccount.objects.filter(mailbox=mailbox).delete()[0]:
        staff.audit(by=by, action="mailbox.imap_removed", thing=f"mailbox {mailbox.name}")


# ----------------------------------------------------------------------------------------- templates
@transaction.atomic
def save_template(
    *, by: User, kind: str, language: str, subject: str, text: str, mailbox: Mailbox | None = None, active: bool = True
) -> MailTemplate:  # fmt: skip
    """Keep the words of a kind of mail, for one mailbox or all."""
    policies.check_can_make_rules(by)
    _check_kind(kind, language)
    subject, text = one_line(subject, most=300), clean(text).strip()
    wording.check(kind, subject, text)
    row, _ = MailTemplate.objects.update_or_create(
        kind=kind, language=language, mailbox=mailbox,
        defaults={"subject": subject, "text": text, "active": active, "changed_at": timezone.now(), "changed_by": by},
    )  # fmt: skip
    staff.audit(
        by=by, action="template.saved", thing=f"template {kind} {language}", after={"text": text, "active": active}
    )
    return row


@transaction.atomic
def reset_template(*, by: User, kind: str, language: str, mailbox: Mailbox | None = None) -> None:
    """Go back to the words that the desk comes with."""
    policies.check_can_make_rules(by)
    if MailTemplate.objects.filter(kind=kind, language=language, mailbox=mailbox).delete()[0]:
        staff.audit(by=by, action="template.reset", thing=f"template {kind} {language}")


def _check_kind(kind: str, language: str) -> None:
    if kind not in [one.value for one in wording.KINDS]:
        raise NotFound("There is no such template.")
    if language not in dict(wording.LANGUAGES):
        raise Invalid("Choose a language.", fields={"language": ["Choose a language."]})


# --------------------------------------------------------------------------------------------- rules
def fill_rule(rule: MailRule, *, name: str, conditions: str, recipe: Recipe, **values: Any) -> MailRule:
    """A rule with these values, not stored. Raises `Invalid` that names each field that is wrong."""
    rule.name, rule.conditions, rule.recipe = one_line(name, most=80), sorting.read(conditions), recipe.as_data()
    for field in ("position", "active", "mailbox", "spam", "tier", "stops"):
        if field in values:
            setattr(rule, field, values[field])
    if not rule.name or MailRule.objects.exclude(pk=rule.pk).filter(name=rule.name).exists():
        words = "There is a rule of this name." if rule.name else "Give it a name."
        raise Invalid(words, fields={"name": [words]})
    return rule


@transaction.atomic
def save_mail_rule(*, by: User, pk: int | None = None, recipe: Recipe, **values: Any) -> MailRule:
    """Make or change a rule on mail."""
    policies.check_can_make_rules(by)
    found = MailRule.objects.select_for_update(of=("self",)).filter(pk=pk).first() if pk else MailRule()
    if found is None:
        raise NotFound("There is no such rule.")
    fill_rule(found, recipe=recipe, **values)
    if not (found.spam or found.tier or found.recipe):
        raise Invalid("Say what it does: spam, a tier, or a change.", fields={"spam": ["Choose what it does."]})
    found.changed_at, found.changed_by = timezone.now(), by
    found.save()
    staff.audit(
        by=by,
        action="mail_rule.saved",
        thing=f"mail rule {found.name}",
        after={"if": sorting.written(found.conditions), "does": str(recipe), "spam": found.spam},
    )
    return found


@transaction.atomic
def delete_mail_rule(*, by: User, pk: int) -> None:
    """Delete a rule on mail; what it did stays."""
    policies.check_can_make_rules(by)
    found = MailRule.objects.filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such rule.")
    found.delete()
    staff.audit(by=by, action="mail_rule.deleted", thing=f"mail rule {found.name}")


# ------------------------------------------------------------------------------------- what was sent
@transaction.atomic
def send_again(*, number: int, by: User, message: int) -> OutboundEmail:
    """Send a reply's mail once more that did not arrive."""
    ticket = Ticket.objects.visible_to(by).lock(number)
    policies.check_can_reply(by, ticket)
    mail = outgoing.send_again(message_id=message, ticket=ticket)
    TicketEvent.record(ticket, by, "sent_again", to=mail.to, message=message)
    return mail


@transaction.atomic
def rate(*, number: int, signature: str, score: str, comment: str = "") -> Rating:
    """Keep what a requester thinks of how their ticket was handled; by the link that was sent to them."""
    if score not in RatingScore.values:
        raise Invalid("Choose how it was.", fields={"score": ["Choose one."]})
    ticket = Ticket.objects.lock(rated_ticket(number=number, signature=signature).number)
    if ticket.erased_at is not None:
        raise NotFound("This link leads nowhere (any more).")
    comment = clean(comment).strip()[:2000]
    before = Rating.objects.filter(ticket=ticket).values_list("score", "comment").first()
    rating, _ = Rating.objects.update_or_create(
        ticket=ticket, defaults={"score": score, "comment": comment, "at": timezone.now()}
    )
    if before != (score, comment):
        TicketEvent.record(ticket, ticket.requester, "rated", score=RatingScore(score).label, comment=comment[:300])
    return rating


def rated_ticket(*, number: int, signature: str) -> Ticket:
    """The ticket of a rating's link, or the one that it was merged into; or NotFound."""
    found = Ticket.objects.select_related("requester", "merged_into", "rating")
    ticket = found.filter(number=number).first() if crypto.verify(signature, "rate", number) else None
    while ticket is not None and ticket.merged_into_id is not None:
        ticket = found.filter(pk=ticket.merged_into_id).first()
    if ticket is None or ticket.erased_at is not None:
        raise NotFound("This link leads nowhere (any more).")
    return ticket
