"""What is set once for the whole desk, and who signed in."""

import time

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models.people import User

_CURRENT_LASTS = 5.0
_current: "tuple[float, DeskSettings] | None" = None


class Place(models.TextChoices):
    """Whom a rule of accounts can be for."""

    ADMINISTRATOR = "administrator", "Administrators"
    LEAD = "lead", "Leads"
    AGENT = "agent", "Agents"
    AUDITOR = "auditor", "Auditors"


class DeskSettings(models.Model):
    """The one row of settings that belong to no app alone."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    # Who must have a second factor, or a passkey, to do anything but set one up.
    second_factor_of = ArrayField(models.CharField(max_length=20, choices=Place.choices), default=list, blank=True)
    # When an administrator put the checklist of the first hour away.
    checklist_closed_at = models.DateTimeField(null=True, blank=True)
    # The Message-ID of the newest test mail that the checklist waits for.
    test_mail_id = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="desk_settings_one_row")]

    def __str__(self) -> str:
        return "Settings of the desk"

    @classmethod
    def current(cls) -> "DeskSettings":
        """The row, at most some seconds old, because every request asks; never to write to."""
        global _current
        now = time.monotonic()
        if _current is None or now - _current[0] > _CURRENT_LASTS:
            _current = (now, cls.objects.filter(pk=1).first() or cls())
        return _current[1]


def forget_settings() -> None:
    """Read the row anew at the next question."""
    global _current
    _current = None


class SignIn(models.Model):
    """Somebody signed in, or somebody tried to in their name."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    at = models.DateTimeField(default=timezone.now)
    succeeded = models.BooleanField()
    how = models.CharField(max_length=40, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    agent = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        # The newest ones of a person.
        indexes = [models.Index(fields=["user", "-id"], name="sign_in_of_user")]

    def __str__(self) -> str:
        return f"{self.user} {'signed in' if self.succeeded else 'failed to sign in'}"
