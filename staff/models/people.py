"""People, tiers, teams, and what they may reach."""

from dataclasses import dataclass
from datetime import time
from functools import cached_property
from typing import Any
from zoneinfo import available_timezones

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from knox.models import AbstractAuthToken, AuthTokenManager


class Role(models.TextChoices):
    """What a person is to the desk as a whole; agents and leads get their reach from memberships."""

    STAFF = "staff", "Staff"
    ADMINISTRATOR = "administrator", "Administrator"
    AUDITOR = "auditor", "Auditor (reads only)"
    INTEGRATION = "integration", "Integration (API only)"


@dataclass(frozen=True)
class Standing:
    """A user's reach in numbers: tier levels as agent and as lead, 0 where none."""

    role: Role
    agent_levels: frozenset[int]
    lead_levels: frozenset[int]

    @property
    def is_administrator(self) -> bool:
        return self.role == Role.ADMINISTRATOR

    @property
    def is_lead(self) -> bool:
        return bool(self.lead_levels)

    @property
    def is_integration(self) -> bool:
        return self.role == Role.INTEGRATION

    @property
    def reads_only(self) -> bool:
        return self.role == Role.AUDITOR

    @property
    def level(self) -> int:
        """The highest tier whose tickets this person works: 3 for administrators, 0 for outsiders."""
        if self.is_administrator:
            return 3
        return max(self.agent_levels | self.lead_levels, default=0) if self.role == Role.STAFF else 0

    @property
    def run_level(self) -> int:
        """The tier that counts for runbooks: a lead runs as tier 3."""
        return 3 if self.role == Role.STAFF and self.is_lead else self.level


AUTOMATION = "automation@invalid"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


def check_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(f"{name} is not a time zone; write one such as Europe/Berlin.")


class User(AbstractBaseUser):
    """Someone who signs in, or an integration that holds tokens. The email is the login."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.STAFF)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[check_time_zone])
    signature = models.TextField(blank=True)
    # Whether they get what requesters write on their tickets by mail, to answer it by mail.
    mails_wanted = models.BooleanField(default=False)
    # No browser pop-ups and no mail between these times of their day, nor on Saturdays and Sundays where they say so.
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    quiet_weekends = models.BooleanField(default=False, db_default=False)
    # When the mail leaves that sums a day up.
    digest_at = models.TimeField(default=time(8), db_default=time(8))
    # How long a reply waits so that it can be taken back; 0 sends at once.
    undo_seconds = models.PositiveSmallIntegerField(default=10, db_default=10, validators=[MaxValueValidator(120)])
    is_active = models.BooleanField(default=True)
    # Given no tickets until then; past or None is there.
    away_until = models.DateTimeField(null=True, blank=True)
    # When they looked at their home last, and when they had left before that: what is news to them came after it.
    home_seen_at = models.DateTimeField(null=True, blank=True)
    home_left_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = UserManager()
    USERNAME_FIELD = EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_once"),
            models.CheckConstraint(condition=Q(email=Lower(F("email"))), name="user_email_lower"),
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None) | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="user_quiet_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    @cached_property
    def standing(self) -> Standing:
        """The reach of this user, read once an instance: one query, none when memberships are prefetched."""
        rows: list[tuple[int, str]] = []
        if self.role == Role.STAFF:
            if "memberships" in getattr(self, "_prefetched_objects_cache", {}):
                rows = [(each.tier.level, each.role) for each in self.memberships.all() if each.tier]
            else:
                rows = list(self.memberships.filter(tier__isnull=False).values_list("tier__level", "role"))
        return Standing(
            role=Role(self.role),
            agent_levels=frozenset(level for level, role in rows if role == MembershipRole.AGENT),
            lead_levels=frozenset(level for level, role in rows if role == MembershipRole.LEAD),
        )

    @property
    def is_automation(self) -> bool:
        """Whether this is the user in whose name rules and policies act."""
        return self.email == AUTOMATION

    @property
    def is_away(self) -> bool:
        return self.away_until is not None and self.away_until > timezone.now()

    @property
    def title(self) -> str:
        """The person's place at the desk in words."""
        standing = self.standing
        if standing.role != Role.STAFF:
            return standing.role.label
        if standing.is_lead:
            return "Lead, " + _tiers(standing.lead_levels)
        return _tiers(standing.agent_levels) or "No tier yet"


def _tiers(levels: frozenset[int]) -> str:
    return ("Tier " + ", ".join(map(str, sorted(levels)))) if levels else ""


class Contact(models.Model):
    """A row of the guide's contact table."""

    role = models.CharField(max_length=80, unique=True)
    email = models.EmailField()
    phone = models.CharField(max_length=40, blank=True)
    hours = models.CharField(max_length=80)
    calendar = models.ForeignKey("staff.Calendar", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.role


class Tier(models.Model):
    """A support tier. The response range is in minutes; priorities spread over it."""

    level = models.PositiveSmallIntegerField(unique=True, validators=[MinValueValidator(1), MaxValueValidator(3)])
    name = models.CharField(max_length=80)
    scope = models.CharField(max_length=300)
    channels = ArrayField(models.CharField(max_length=40), default=list)
    handled_by = models.CharField(max_length=80)
    response_min_minutes = models.PositiveIntegerField()
    response_max_minutes = models.PositiveIntegerField()
    contact = models.ForeignKey(Contact, on_delete=models.SET_NULL, null=True, blank=True)

    class Meta:
        ordering = ["level"]
        constraints = [
            models.CheckConstraint(condition=Q(level__in=[1, 2, 3]), name="tier_level_1_to_3"),
            models.CheckConstraint(
                condition=Q(response_min_minutes__gt=0, response_max_minutes__gte=F("response_min_minutes")),
                name="tier_response_range",
            ),
        ]

    def __str__(self) -> str:
        return f"Tier {self.level}"


class Team(models.Model):
    """Owners of schedules and incidents, apart from the tiers."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.name


class MembershipRole(models.TextChoices):
    AGENT = "agent", "Agent"
    LEAD = "lead", "Lead"


class Membership(models.Model):
    """A person in a tier or in a team, as agent or lead."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships")
    role = models.CharField(max_length=10, choices=MembershipRole.choices, default=MembershipRole.AGENT)
    # When the desk last gave this person a ticket of the tier by itself: whose turn it is.
    last_assigned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(tier__isnull=False, team__isnull=True) | Q(tier__isnull=True, team__isnull=False),
                name="membership_tier_or_team",
            ),
            models.UniqueConstraint(fields=["user", "tier"], name="membership_tier_once"),
            models.UniqueConstraint(fields=["user", "team"], name="membership_team_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tier or self.team}"


class TokenScope(models.TextChoices):
    """What a token may be used for; each includes nothing of the others."""

    READ = "read", "Read tickets, articles and runs"
    TICKETS = "tickets", "Open tickets, reply and note; people's tokens also change them"
    RUN_READ = "runs:read", "Start runbooks that only read"
    RUN_CHANGE = "runs:change", "Start runbooks that change things"
    RUN_DESTRUCTIVE = "runs:destructive", "Start runbooks that destroy things"


class ApiToken(AbstractAuthToken):
    """A hashed token of the API: no expiry by default, limited to its scopes."""

    name = models.CharField(max_length=80, blank=True)
    scopes = ArrayField(models.CharField(max_length=20, choices=TokenScope.choices), default=list)

    objects = AuthTokenManager()

    def allows(self, scope: str) -> bool:
        return scope in self.scopes
