"""What people are told, and what is kept of what they did."""

import re

from django.db import models
from django.utils import timezone

from staff.models.people import User

_PLACE = re.compile(r"^/(ticket|run|schedule)s/(\d+)/$")


def place_of(url: str) -> str:
    """The thing that an address belongs to: the address without what comes after the path."""
    return url.partition("#")[0].partition("?")[0]


def thing_at(place: str) -> str:
    """A thing in words: `ticket 1042` for `/tickets/1042/`."""
    found = _PLACE.match(place)
    return f"{found[1]} {found[2]}" if found else place


class Mailing(models.TextChoices):
    """Whether a notification leaves by mail too."""

    NEVER = "never", "No"
    DIGEST = "digest", "Once a day"
    AT_ONCE = "at_once", "At once"


class NoticeChoice(models.Model):
    """How somebody wants one kind of notification, where it differs from `staff.notices.KINDS`."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notice_choices")
    kind = models.CharField(max_length=40)
    centre = models.BooleanField()
    popup = models.BooleanField()
    mail = models.CharField(max_length=10, choices=Mailing.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "kind"], name="notice_choice_once")]

    def __str__(self) -> str:
        return f"{self.user}: {self.kind}"


class Mute(models.Model):
    """A ticket, a run or the like of which somebody wants to hear no more, but for what is meant for them alone."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="mutes")
    about = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["user", "about"], name="mute_once")]

    def __str__(self) -> str:
        return f"{self.user}: not {self.about}"

    @property
    def thing(self) -> str:
        return thing_at(self.about)


class Notification(models.Model):
    """Something that a person should know, with the reason why it is they. `key` makes it once only for them."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=40)
    text = models.CharField(max_length=300)
    reason = models.CharField(max_length=200)
    url = models.CharField(max_length=200, blank=True)
    key = models.CharField(max_length=120)
    # The address of the thing that it is about, without the place on it: what a mute names.
    about = models.CharField(max_length=200, blank=True, default="", db_default="")
    # Whether the desk lists it; who wants a kind only by mail has it read from the start.
    shown = models.BooleanField(default=True, db_default=True)
    # Whether open browsers pop it up; when it is to leave by mail, and when it did.
    popup = models.BooleanField(default=False, db_default=False)
    mail_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="notification_once")]
        indexes = [
            # The unread count of the navigation, and the newest first of one person.
            models.Index(fields=["user", "-id"], name="notification_unread", condition=models.Q(read_at=None)),
            models.Index(fields=["user", "-id"], name="notification_of_user"),
            # What is to leave by mail to one person.
            models.Index(
                fields=["user", "mail_at"], name="notification_to_mail", condition=models.Q(mail_at__isnull=False)
            ),
            # What a person has seen by looking at the thing itself.
            models.Index(fields=["user", "about"], name="notification_about", condition=models.Q(read_at=None)),
        ]

    def __str__(self) -> str:
        return self.text

    @property
    def thing(self) -> str:
        return thing_at(self.about)


class AuditEntry(models.Model):
    """Append-only: who did what to which thing, what it was before and after. Tickets have their own history."""

    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=200)
    action = models.CharField(max_length=60)
    thing = models.CharField(max_length=200)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        # The audit page narrowed to one kind of act.
        indexes = [models.Index(fields=["action", "-id"], name="audit_by_action")]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.thing}"
