"""What is being written: drafts and their files, what waits to be sent, and words that are kept ready."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import User
from tickets.models.message import Message, MessageKind
from tickets.models.ticket import Status, Ticket


class DraftState(models.TextChoices):
    DRAFT = "draft", "Draft"
    SENDING = "sending", "Waits to be sent"
    HELD = "held", "Held back"


class Draft(models.Model):
    """What somebody writes on a ticket, kept as they type; one a person and ticket, beside what waits to be sent.

    SENDING leaves at `send_at` unless it is taken back before; HELD could not leave, `problem` says why.
    """

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="drafts")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="drafts")
    kind = models.CharField(max_length=10, choices=MessageKind.choices, default=MessageKind.REPLY)
    text = models.TextField(blank=True)
    macros = ArrayField(models.BigIntegerField(), default=list, blank=True)  # whose changes go along
    minutes = models.PositiveSmallIntegerField(null=True, blank=True)  # time spent
    updated_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=8, choices=DraftState.choices, default=DraftState.DRAFT)
    then = models.CharField(max_length=24, choices=Status.choices, blank=True)
    send_at = models.DateTimeField(null=True, blank=True)
    # Chosen for later, not only delayed so that it can be taken back: held when the requester writes meanwhile.
    scheduled = models.BooleanField(default=False)
    seen = models.ForeignKey(Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ticket", "user"], condition=Q(state="draft"), name="draft_once"),
            models.CheckConstraint(
                condition=~Q(state="sending") | Q(send_at__isnull=False), name="draft_sending_has_moment"
            ),
        ]
        indexes = [
            # What one person has begun or scheduled, on their home.
            models.Index(fields=["user", "-updated_at"], name="draft_of_user")
        ]

    def __str__(self) -> str:
        return f"{self.get_state_display()} on {self.ticket_id}"


class DraftFile(models.Model):
    """A file of a draft, in Django's storage until it is sent or removed."""

    draft = models.ForeignKey(Draft, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=120)
    size = models.PositiveBigIntegerField()
    file = models.FileField(upload_to="drafts/%Y/%m/", max_length=300)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name


class MacroQuerySet(models.QuerySet["Macro"]):
    def visible_to(self, user: User) -> Self:
        """Everybody's and one's own."""
        return self.filter(Q(owner=None) | Q(owner=user))


class Macro(models.Model):
    """Words kept ready, with `{{name}}`s, and changes that go along (`tickets.recipe`). Without an owner it is everybody's."""

    name = models.CharField(max_length=80)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="macros")
    kind = models.CharField(max_length=10, choices=MessageKind.choices, default=MessageKind.REPLY)
    text = models.TextField(blank=True)
    recipe = models.JSONField(default=dict, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    used = models.PositiveBigIntegerField(default=0)
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    objects = MacroQuerySet.as_manager()

    class Meta:
        ordering = ["position", "name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="macro_name_once", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return self.name
