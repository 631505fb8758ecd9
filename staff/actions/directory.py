"""Writes of administrators about who works at the desk: people and their invitations, tiers, teams, contacts."""

from collections.abc import Mapping, Sequence
from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from staff.actions.accounts import end_sessions
from staff.actions.records import audit
from staff.models import AUTOMATION, AuditEntry, Calendar, Contact, Membership, MembershipRole, Role, Team, Tier, User
from staff.models.people import check_time_zone
from staff.policies import check_is_administrator
from supportdesk import outbox
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import clean, one_line

MOST_MINUTES = 60 * 24 * 30


def refuse(wrong: Mapping[str, str]) -> None:
    """Raise `Invalid` that names each field that is wrong, if any is."""
    if wrong:
        raise Invalid(" ".join(wrong.values()), fields={name: [words] for name, words in wrong.items()})


# --------------------------------------------------------------------------------------------- people
@transaction.atomic
def save_person(
    *,
    by: User,
    email: str,
    name: str,
    role: str,
    time_zone: str,
    tiers: Mapping[int, str],
    teams: Sequence[int] = (),
    active: bool = True,
    pk: int | None = None,
) -> User:
    """Invite somebody, or change their place at the desk. `tiers` gives level → agent or lead, `teams` their keys.

    Who is new gets a mail with a link that sets their password. Raises `Invalid` that names the fields.
    """
    check_is_administrator(by)
    # In one order: two administrators who switch each other off must not both find the other still there.
    others = list(User.objects.select_for_update().filter(role=Role.ADMINISTRATOR, is_active=True).order_by("pk"))
    person = User.objects.select_for_update().filter(pk=pk).exclude(email=AUTOMATION).first() if pk else User()
    if person is None:
        raise NotFound("There is no such person.")
    before = _shown(person) if pk else None
    email, name = email.strip().lower(), one_line(name, most=120)
    refuse(_wrong(person, email, name, role, time_zone, tiers))
    _check_administrators_remain(person, by, role, active, others)
    person.email, person.name, person.time_zone = email, name, time_zone
    person.role, person.is_active = role, active
    if pk is None:
        person.set_unusable_password()
    person.save()
    _place(person, tiers if role == Role.STAFF else {}, teams)
    person = User.objects.get(pk=person.pk)
    audit(by=by, action="person.saved", thing=f"person {email}", before=before, after=_shown(person))
    if pk is None and role != Role.INTEGRATION:
        invite(person=person)
    if not active or role == Role.INTEGRATION:
        end_sessions(of=person, by=by)
    return person


def _wrong(person: User, email: str, name: str, role: str, time_zone: str, tiers: Mapping[int, str]) -> dict[str, str]:
    wrong = {}
    try:
        validate_email(email)
        if User.objects.filter(email=email).exclude(pk=person.pk).exists():
            wrong["email"] = "Somebody has this address already."
    except ValidationError:
        wrong["email"] = "Write an address such as amina@example.com."
    if not name:
        wrong["name"] = "Write a name."
    if role not in Role.values:
        wrong["role"] = "Choose one of the list."
    if set(tiers.values()) - set(MembershipRole.values):
        wrong["role"] = "In a tier one is agent or lead."
    try:
        check_time_zone(time_zone)
    except ValidationError as error:
        wrong["time_zone"] = error.messages[0]
    return wrong


def _check_administrators_remain(person: User, by: User, role: str, active: bool, now: list[User]) -> None:
    """Nobody shuts themselves out, and who does it to another is still one."""
    if role == Role.ADMINISTRATOR and active:
        return
    if person.pk == by.pk or (person.pk and by.pk not in {one.pk for one in now}):
        raise Invalid("Another administrator has to do this to you, so that one always remains.")


def _place(person: User, tiers: Mapping[int, str], teams: Sequence[int]) -> None:
    person.memberships.exclude(tier=None).exclude(tier__level__in=tiers).delete()
    person.memberships.exclude(team=None).exclude(team__in=teams).delete()
    for tier in Tier.objects.filter(level__in=tiers):
        Membership.objects.update_or_create(user=person, tier=tier, defaults={"role": tiers[tier.level]})
    for team in Team.objects.filter(pk__in=teams):
        Membership.objects.get_or_create(user=person, team=team)


def _shown(person: User) -> dict[str, Any]:
    of = person.memberships.select_related("tier", "team")
    return {
        "email": person.email, "name": person.name, "role": person.role, "time zone": person.time_zone, "active": person.is_active,
        "places": sorted(f"{row.tier or row.team} {row.role}" for row in of),
    }  # fmt: skip


def invite(*, person: User) -> None:
    """Mail somebody the link that sets their password, in the open transaction."""
    outbox.put("staff.invitation", person.pk, key=f"invitation:{person.pk}:{timezone.now().timestamp()}")


@transaction.atomic
def invite_again(*, by: User, person: User) -> None:
    """Send the invitation once more to who has not come yet."""
    check_is_administrator(by)
    if person.last_login is not None or not person.is_active or person.role == Role.INTEGRATION:
        raise Invalid("Only who was invited and has not signed in yet is invited again.")
    invite(person=person)
    audit(by=by, action="person.invited", thing=f"person {person.email}")


@transaction.atomic
def add_administrator(*, email: str, name: str = "") -> tuple[User, str]:
    """Whoever has the machine lets an administrator in, the first or one who cannot get in any more.

    Returns the person and the link at which they choose their password. Raises `Invalid` for somebody of another place.
    """
    email = email.strip().lower()
    person = User.objects.filter(email=email).exclude(email=AUTOMATION).first()
    if person is None:
        person = User(email=email, name=one_line(name, most=120) or email.partition("@")[0], role=Role.ADMINISTRATOR)
        refuse(_wrong(person, email, person.name, person.role, person.time_zone, {}))
        person.set_unusable_password()
        person.save()
        audit(by=None, action="person.saved", thing=f"person {email}", after=_shown(person))
    elif person.role != Role.ADMINISTRATOR or not person.is_active:
        raise Invalid(
            f"{email} is {person.get_role_display().lower()} and no active administrator; another administrator changes that."
        )
    else:
        audit(by=None, action="person.let_in", thing=f"person {email}")
    return person, password_link(person)


def password_link(person: User) -> str:
    """The address at which somebody chooses their password, once, within PASSWORD_RESET_TIMEOUT."""
    kwargs = {"uidb36": user_pk_to_url_str(person), "key": default_token_generator.make_token(person)}
    return f"{settings.BASE_URL}{reverse('account_reset_password_from_key', kwargs=kwargs)}"


@outbox.handler("staff.invitation")
def send_invitation(user_id: int) -> None:
    """Write and send it; who has signed in meanwhile, or left, gets none."""
    person = User.objects.filter(pk=user_id, is_active=True, last_login=None).first()
    if person is None:
        return
    audited = AuditEntry.objects.filter(thing=f"person {person.email}", action__in=["person.saved", "person.invited"])
    entry = audited.exclude(actor=None).order_by("-id").first()
    words = {
        "person": person, "by": entry.actor_name if entry else "", "url": password_link(person), "days": settings.PASSWORD_RESET_TIMEOUT // 86_400,
        "sign_in": f"{settings.BASE_URL}{reverse('account_login')}", "provider": settings.OIDC_NAME if settings.OIDC_URL else "",
    }  # fmt: skip
    body = render_to_string("staff/mail/invitation.txt", words)
    headers = {"Auto-Submitted": "auto-generated"}
    EmailMessage(subject="You are invited to the support desk", body=body, to=[person.email], headers=headers).send()


# ------------------------------------------------------------------------------------ tiers and teams
@transaction.atomic
def save_tier(
    *,
    by: User,
    level: int,
    name: str,
    scope: str,
    channels: Sequence[str],
    handled_by: str,
    response_min_minutes: int,
    response_max_minutes: int,
    contact: Contact | None,
) -> Tier:
    """Change what a tier is called, takes and promises in words; its clocks run by the policies."""
    check_is_administrator(by)
    tier = Tier.objects.select_for_update(of=("self",)).filter(level=level).first()
    if tier is None:
        raise NotFound("There is no such tier.")
    wrong = {field: "Write something here." for field, text in (("name", name), ("scope", scope)) if not text.strip()}
    if not 0 < response_min_minutes <= response_max_minutes <= MOST_MINUTES:
        wrong["response_max_minutes"] = "The longest is no shorter than the shortest, and both within 30 days."
    refuse(wrong)
    before = _tier_shown(tier)
    tier.name, tier.scope, tier.handled_by = (
        one_line(name, most=80),
        one_line(scope, most=300),
        one_line(handled_by, most=80),
    )
    tier.channels = [one_line(one, most=40) for one in channels if one.strip()]
    tier.response_min_minutes, tier.response_max_minutes = response_min_minutes, response_max_minutes
    tier.contact = contact
    tier.save()
    audit(by=by, action="tier.saved", thing=str(tier), before=before, after=_tier_shown(tier))
    return tier


def _tier_shown(tier: Tier) -> dict[str, Any]:
    return {
        "name": tier.name, "scope": tier.scope, "channels": tier.channels, "handled by": tier.handled_by,
        "minutes": [tier.response_min_minutes, tier.response_max_minutes], "contact": str(tier.contact or ""),
    }  # fmt: skip


@transaction.atomic
def save_contact(
    *, by: User, role: str, email: str, phone: str, hours: str, calendar: Calendar | None, pk: int | None = None
) -> Contact:
    """Add a contact of the desk, or change one."""
    check_is_administrator(by)
    found = Contact.objects.select_for_update(of=("self",)).filter(pk=pk).first() if pk else Contact()
    if found is None:
        raise NotFound("There is no such contact.")
    before = {"role": found.role, "email": found.email, "phone": found.phone, "hours": found.hours} if pk else None
    role, email = one_line(role, most=80), email.strip().lower()
    wrong = {} if role else {"role": "Write what it is for."}
    if role and Contact.objects.filter(role=role).exclude(pk=found.pk).exists():
        wrong["role"] = "There is a contact of that name."
    try:
        validate_email(email)
    except ValidationError:
        wrong["email"] = "Write an address such as support@example.com."
    refuse(wrong)
    found.role, found.email, found.calendar = role, email, calendar
    found.phone, found.hours = one_line(phone, most=40), one_line(hours, most=80)
    found.save()
    after = {"role": role, "email": email, "phone": found.phone, "hours": found.hours}
    audit(by=by, action="contact.saved", thing=f"contact {role}", before=before, after=after)
    return found


@transaction.atomic
def save_team(*, by: User, name: str, slug: str = "", pk: int | None = None) -> Team:
    """Add a team, or rename one; its slug stays, schedules name it."""
    check_is_administrator(by)
    found = Team.objects.select_for_update().filter(pk=pk).first() if pk else Team(slug=slug.strip().lower())
    if found is None:
        raise NotFound("There is no such team.")
    before, name = found.name or None, one_line(clean(name), most=80)
    wrong = {} if name else {"name": "Write a name."}
    if pk is None:
        if not found.slug or not all(part.isalnum() and part.isascii() for part in found.slug.split("-")):
            wrong["slug"] = "Write lower case letters, digits and hyphens, for example night-shift."
        elif Team.objects.filter(slug=found.slug).exists():
            wrong["slug"] = "There is a team of that slug."
    refuse(wrong)
    found.name = name
    found.save()
    audit(by=by, action="team.saved", thing=f"team {found.slug}", before=before, after=name)
    return found
