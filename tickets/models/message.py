"""What was said on a ticket."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import User
from tickets.models.ticket import Requester, Ticket


class MessageKind(models.TextChoices):
    REPLY = "reply", "Public reply"
    NOTE = "note", "Internal note"
    REQUESTER = "requester", "From requester"


class Message(models.Model):
    """A public reply, an internal note, or words of the requester; `html` is sanitised."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="messages")
    kind = models.CharField(max_length=10, choices=MessageKind.choices)
    author = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    requester = models.ForeignKey(Requester, on_delete=models.PROTECT, null=True, blank=True, related_name="messages")
    text = models.TextField()
    quoted = models.TextField(blank=True)
    html = models.TextField(blank=True)
    automatic = models.BooleanField(default=False)
    # The RFC 5322 Message-ID without angle brackets, for threading; ours is fixed before sending.
    rfc_id = models.CharField(max_length=998, blank=True)
    # The merged ticket that it was meant for, so that it goes there when the merge is taken back.
    addressed_to = models.ForeignKey(Ticket, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    # Time spent on it, where its writer said so.
    minutes = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="requester", author=None) | ~Q(kind="requester"), name="message_author"
            )
        ]
        indexes = [
            # The conversation of one ticket.
            models.Index(fields=["ticket", "id"], name="message_conversation"),
            # Threading: In-Reply-To and References of mail that comes in.
            models.Index(fields=["rfc_id"], name="message_by_id", condition=~Q(rfc_id="")),
            # Reports: what people wrote in a period.
            models.Index(fields=["created_at", "author"], name="message_written", condition=Q(author__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} on {self.ticket_id}"

    @property
    def who(self) -> str:
        return str(self.author or self.requester or "Somebody")


class Attachment(models.Model):
    """A file of a message, in Django's storage. `danger` says why it deserves care (tickets.files)."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=120)
    size = models.PositiveBigIntegerField()
    file = models.FileField(upload_to="attachments/%Y/%m/", max_length=300)
    sha256 = models.CharField(max_length=64, blank=True)
    danger = models.CharField(max_length=60, blank=True)
    # By which the HTML of the mail calls a picture that stands in it.
    content_id = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def is_image(self) -> bool:
        return self.content_type.startswith("image/")


class RemovedFile(models.Model):
    """A file of an erased message that an outbox row removes from the storage."""

    name = models.CharField(max_length=300)

    def __str__(self) -> str:
        return self.name
