"""Mail in and out, kept whole."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import Tier
from tickets.models.message import Message
from tickets.models.ticket import Priority, Ticket


class Mailbox(models.Model):
    """An address that becomes tickets of one tier."""

    name = models.SlugField(unique=True)
    address = models.EmailField(unique=True)
    display_name = models.CharField(max_length=80)
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="mailboxes")
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.NORMAL)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.address


class InboundState(models.TextChoices):
    STORED = "stored", "Stored, not yet applied"
    APPLIED = "applied", "Applied"
    DUPLICATE = "duplicate", "Seen before"
    FAILED = "failed", "Needs a look"


class InboundEmail(models.Model):
    """A message as it came, committed before anything is parsed."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="+")
    raw = models.BinaryField()
    content_hash = models.CharField(max_length=64)
    rfc_id = models.CharField(max_length=998, blank=True)
    state = models.CharField(max_length=10, choices=InboundState.choices, default=InboundState.STORED)
    outcome = models.CharField(max_length=12, blank=True)
    ticket = models.ForeignKey(Ticket, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    message = models.OneToOneField(Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="inbound")
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    received_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            # A second delivery of the same content is a duplicate, whatever process took it in.
            models.UniqueConstraint(fields=["content_hash"], name="inbound_once", condition=~Q(state="duplicate"))
        ]
        # The sweep over mail that was stored and not applied.
        indexes = [models.Index(fields=["received_at"], name="inbound_stored", condition=Q(state="stored"))]

    def __str__(self) -> str:
        return f"mail {self.pk} to {self.mailbox_id}"


class OutboundEmail(models.Model):
    """A mail to send: the payload of an outbox row. Its Message-ID is fixed before the first attempt."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="+")
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="outbound")
    sender = models.CharField(max_length=320)
    to = models.EmailField()
    cc = ArrayField(models.EmailField(max_length=254), default=list, blank=True)
    reply_to = models.EmailField()
    subject = models.CharField(max_length=320)
    rfc_id = models.CharField(max_length=255, unique=True)
    in_reply_to = models.CharField(max_length=998, blank=True)
    references = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    bounced_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.subject} to {self.to}"


class Letter(models.Model):
    """A mail of the desk itself that is no message of a conversation: the question of an approval, for example."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="+")
    to = models.EmailField(max_length=254)
    subject = models.CharField(max_length=320)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.subject} to {self.to}"
