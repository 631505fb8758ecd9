"""Mail in and out, kept whole."""

from datetime import timedelta
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import Tier, User
from supportdesk import crypto
from tickets.models.message import Message
from tickets.models.ticket import Priority, Ticket


class Mailbox(models.Model):
    """An address that becomes tickets of one tier."""

    name = models.SlugField(unique=True)
    address = models.EmailField(unique=True)
    display_name = models.CharField(max_length=80)
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="mailboxes")
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.NORMAL)
    language = models.CharField(max_length=5, default="en")
    active = models.BooleanField(default=True)
    # Who else a mail went to gets a copy of every reply.
    keeps_copies = models.BooleanField(default=True)
    quotes_history = models.BooleanField(default=False)
    # A message to a ticket that was closed no longer ago than this opens it again; later it opens a follow-up.
    reopen_days = models.PositiveSmallIntegerField(default=0)
    # A [#1042] in the subject counts from anybody of the requester's organisation, not from participants only.
    trusts_organization = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.address


class ImapSecurity(models.TextChoices):
    TLS = "tls", "TLS (993)"
    STARTTLS = "starttls", "STARTTLS (143)"
    NONE = "none", "None: only on this machine"


class ImapLogin(models.TextChoices):
    PASSWORD = "password", "Password"
    MICROSOFT = "microsoft", "OAuth 2, Microsoft 365"
    GOOGLE = "google", "OAuth 2, Google"


class ImapQuerySet(models.QuerySet["ImapAccount"]):
    def ready(self) -> Self:
        """Those that are to be fetched: switched on, and somebody has signed in for them."""
        return self.filter(active=True, mailbox__active=True).exclude(secret=b"")


class ImapAccount(models.Model):
    """Where the mail of a mailbox is fetched from, and how that goes. Secrets are encrypted and never shown."""

    mailbox = models.OneToOneField(Mailbox, on_delete=models.CASCADE, related_name="imap")
    active = models.BooleanField(default=True)
    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField(default=993)
    security = models.CharField(max_length=8, choices=ImapSecurity.choices, default=ImapSecurity.TLS)
    user = models.CharField(max_length=254)
    login = models.CharField(max_length=10, choices=ImapLogin.choices, default=ImapLogin.PASSWORD)
    # The password, or the refresh token of OAuth 2.
    secret = models.BinaryField()
    client_id = models.CharField(max_length=200, blank=True)
    client_secret = models.BinaryField(default=bytes, blank=True)
    tenant = models.CharField(max_length=100, blank=True)
    folder = models.CharField(max_length=200, default="INBOX")
    # Where a mail is moved once it is stored; empty: it stays and is marked as read.
    done_folder = models.CharField(max_length=200, blank=True)
    # Up to where it was taken, where messages stay in the folder (RFC 3501, 2.3.1.1).
    uid_validity = models.BigIntegerField(null=True, blank=True)
    last_uid = models.BigIntegerField(default=0)
    # How it goes, written by the fetcher.
    contact_at = models.DateTimeField(null=True, blank=True)
    message_at = models.DateTimeField(null=True, blank=True)
    taken = models.PositiveBigIntegerField(default=0)
    idles = models.BooleanField(default=False)
    error = models.CharField(max_length=500, blank=True)
    error_at = models.DateTimeField(null=True, blank=True)

    objects = ImapQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.user} at {self.host}"

    @property
    def signs_in_elsewhere(self) -> bool:
        """Whether somebody signs in for it at a provider (OAuth 2)."""
        return self.login != ImapLogin.PASSWORD

    @property
    def is_well(self) -> bool:
        """In contact within the last five minutes, without an error since."""
        recent = self.contact_at is not None and self.contact_at > timezone.now() - timedelta(minutes=5)
        return recent and not self.error

    def reveal(self) -> tuple[str, str]:
        """(secret, client secret), for signing in."""
        secret, client_secret = bytes(self.secret), bytes(self.client_secret)
        return crypto.decrypt(secret) if secret else "", crypto.decrypt(client_secret) if client_secret else ""


class InboundState(models.TextChoices):
    STORED = "stored", "Stored, not yet applied"
    APPLIED = "applied", "Applied"
    DUPLICATE = "duplicate", "Seen before"
    FAILED = "failed", "Needs a look"


class Via(models.TextChoices):
    PIPE = "pipe", "pipe"
    SMTP = "smtp", "SMTP"
    LMTP = "lmtp", "LMTP"
    IMAP = "imap", "IMAP"
    WEBHOOK = "webhook", "webhook"
    UPLOAD = "upload", "upload"


class InboundQuerySet(models.QuerySet["InboundEmail"]):
    def needing_a_look(self) -> Self:
        """Mail that could not be read, and mail that waits for longer than it should."""
        stuck = Q(state=InboundState.STORED, received_at__lt=timezone.now() - timedelta(minutes=5))
        return self.filter(Q(state=InboundState.FAILED) | stuck)

    def visible_to(self, user: User) -> Self:
        """Mail of tickets that the user may see, and of none."""
        return self.filter(Q(ticket=None) | Q(ticket__in=Ticket.objects.visible_to(user).values("pk")))


class InboundEmail(models.Model):
    """A message as it came with its envelope, committed before anything is parsed. A second copy is a row of its own."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="+")
    raw = models.BinaryField()
    content_hash = models.CharField(max_length=64)
    rfc_id = models.CharField(max_length=998, blank=True)
    via = models.CharField(max_length=8, choices=Via.choices, default=Via.PIPE)
    envelope_from = models.CharField(max_length=320, blank=True)
    envelope_to = ArrayField(models.CharField(max_length=320), default=list, blank=True)
    remote = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, choices=InboundState.choices, default=InboundState.STORED)
    outcome = models.CharField(max_length=12, blank=True)
    ticket = models.ForeignKey(Ticket, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    message = models.OneToOneField(Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="inbound")
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    received_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)
    # What was read of it.
    sender = models.CharField(max_length=254, blank=True)
    subject = models.CharField(max_length=300, blank=True)
    checks = models.JSONField(default=dict, blank=True)  # of the trusted relay: {"spf": "pass", "dkim": …, "dmarc": …}
    doubt = models.CharField(
        max_length=10, blank=True, db_default=""
    )  # why its sender may be another, of `parsing.Doubt`
    reply_to = models.CharField(max_length=254, blank=True, db_default="")  # where else they want answers to go
    protection = models.CharField(max_length=10, blank=True)
    language = models.CharField(max_length=5, blank=True)
    # It names a member of staff as its sender, and nothing proves it.
    unverified = models.BooleanField(default=False)
    # No automatic answer may go to its sender: a machine, a list, ourselves, or whoever it pretends to be.
    unanswerable = models.BooleanField(default=False, db_default=False)
    spam = models.CharField(max_length=200, blank=True)  # why it was taken for spam
    perhaps = models.ForeignKey(Ticket, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # Alike: of the same sender with the same subject but for numbers.
    likeness = models.CharField(max_length=40, blank=True)
    rules = ArrayField(models.BigIntegerField(), default=list, blank=True)

    objects = InboundQuerySet.as_manager()

    class Meta:
        constraints = [
            # A second delivery of the same content is a duplicate, whatever process took it in.
            models.UniqueConstraint(fields=["content_hash"], name="inbound_once", condition=~Q(state="duplicate"))
        ]
        indexes = [
            # The sweep over mail that was stored and not applied.
            models.Index(fields=["received_at"], name="inbound_stored", condition=Q(state="stored")),
            # Mail that needs a look.
            models.Index(fields=["-id"], name="inbound_failed", condition=Q(state="failed")),
            # Storms: how many alike came lately.
            models.Index(fields=["likeness", "-id"], name="inbound_alike", condition=~Q(likeness="")),
            # What a mailbox took last, on its page.
            models.Index(fields=["mailbox", "-id"], name="inbound_of_mailbox"),
            # The copies of a message.
            models.Index(fields=["content_hash"], name="inbound_copies", condition=Q(state="duplicate")),
            # How much came in within a day, on the page of mailboxes. Rows lie in the order of time.
            BrinIndex(fields=["received_at"], name="inbound_by_day", pages_per_range=16),
        ]

    def __str__(self) -> str:
        return f"mail {self.pk} to {self.mailbox_id}"

    @property
    def return_path(self) -> str | None:
        """The sender of its envelope, empty for a report; None where its way tells none."""
        return self.envelope_from if self.envelope_from or self.via in {Via.SMTP, Via.LMTP} else None


class OutboundEmail(models.Model):
    """A mail to send: the payload of an outbox row. Its Message-ID is fixed before the first attempt."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="+")
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="outbound")
    mailbox = models.ForeignKey(Mailbox, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=12, default="replied")  # which template it is written by
    language = models.CharField(max_length=5, default="en")
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
    # It came back, or was refused for good; `error` says why.
    bounced_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    sent_again = models.PositiveSmallIntegerField(default=0)
    # The server refused it for `to` and took it for `cc`, who get no second one.
    copies_have_it = models.BooleanField(default=False, db_default=False)

    class Meta:
        ordering = ["-id"]
        indexes = [
            # The page of outgoing mail, narrowed to what waits or came back.
            models.Index(fields=["-id"], name="outbound_queued", condition=Q(sent_at=None)),
            models.Index(fields=["-id"], name="outbound_bounced", condition=Q(bounced_at__isnull=False)),
            # How many automatic mails an address got lately.
            models.Index(fields=["to", "-created_at"], name="outbound_to"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} to {self.to}"

    @property
    def state(self) -> str:
        """queued, sent or bounced."""
        return "bounced" if self.bounced_at else "sent" if self.sent_at else "queued"


class LetterKind(models.TextChoices):
    """What a mail of the desk is for; those of templates are written by `MailTemplate`."""

    REPLIED = "replied", "A reply"
    NEEDS_ANSWER = "needs_answer", "A reply that needs an answer"
    RESOLVED = "resolved", "Resolved, with a rating"
    RECEIVED = "received", "Your message has arrived"
    NOTICE = "notice", "To staff: somebody wrote"
    PLAIN = "plain", "Of the desk"


class Letter(models.Model):
    """A mail of the desk itself that is no message of a conversation: an answer that a message has arrived, for example."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=12, choices=LetterKind.choices, default=LetterKind.PLAIN)
    sender = models.CharField(max_length=320, blank=True)
    to = models.EmailField(max_length=254)
    reply_to = models.EmailField(max_length=320, blank=True)
    subject = models.CharField(max_length=320)
    text = models.TextField()
    rfc_id = models.CharField(max_length=255, blank=True)
    in_reply_to = models.CharField(max_length=998, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            # How many automatic mails an address got lately, and a ticket sent.
            models.Index(fields=["to", "-created_at"], name="letter_to"),
            models.Index(fields=["ticket", "-created_at"], name="letter_of_ticket"),
            # Whose letter bounced.
            models.Index(fields=["rfc_id"], name="letter_by_id", condition=~Q(rfc_id="")),
        ]

    def __str__(self) -> str:
        return f"{self.subject} to {self.to}"


class MailTemplate(models.Model):
    """The words of a kind of mail, for one mailbox or all, in one language. `{{name}}`s are filled in when it is written."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, null=True, blank=True, related_name="templates")
    language = models.CharField(max_length=5, default="en")
    kind = models.CharField(max_length=12, choices=LetterKind.choices)
    subject = models.CharField(max_length=300, blank=True)
    text = models.TextField()
    active = models.BooleanField(default=True)
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["kind", "language", "mailbox"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "language", "kind"], name="mail_template_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.language}"


class MailRule(models.Model):
    """What is to happen to mail of a kind when it comes in: `conditions` all hold, then route it, set things, or call it spam.

    A condition is `{"field": "from" | "to" | "subject" | "text" | "header", "name": …, "op": "is" | "contains" | …, "value": …}`.
    """

    name = models.CharField(max_length=80, unique=True)
    position = models.PositiveSmallIntegerField(default=0)
    active = models.BooleanField(default=True)
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    conditions = models.JSONField(default=list)
    spam = models.BooleanField(default=False)
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    recipe = models.JSONField(default=dict, blank=True)
    stops = models.BooleanField(default=True)
    matched = models.PositiveBigIntegerField(default=0)
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name


class MailAddress(models.Model):
    """What is known of an address from what came back: whether mail reaches it."""

    address = models.EmailField(max_length=254)
    bounced_at = models.DateTimeField(null=True, blank=True)
    permanent = models.BooleanField(default=False)
    reason = models.CharField(max_length=300, blank=True)
    bounces = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["address"], name="mail_address_once")]

    def __str__(self) -> str:
        return self.address


class RatingScore(models.TextChoices):
    GOOD = "good", "Good"
    FAIR = "fair", "It will do"
    BAD = "bad", "Bad"


class Rating(models.Model):
    """What a requester thought of how their ticket was handled; they may change their mind."""

    ticket = models.OneToOneField(Ticket, on_delete=models.CASCADE, related_name="rating")
    score = models.CharField(max_length=4, choices=RatingScore.choices)
    comment = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.score} for {self.ticket_id}"
