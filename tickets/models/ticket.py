"""The ticket, its requester, and its history."""

from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Upper
from django.utils import timezone

from staff.models import Role, Tier, User
from supportdesk.errors import Conflict, InvalidTransition, NotFound


class Status(models.TextChoices):
    NEW = "new", "New"
    OPEN = "open", "Open"
    WAITING = "waiting_on_requester", "Waiting on requester"
    ON_HOLD = "on_hold", "On hold"
    RESOLVED = "resolved", "Resolved"
    CLOSED = "closed", "Closed"


OPEN_STATUSES = (Status.NEW, Status.OPEN, Status.WAITING, Status.ON_HOLD)

# A ticket's moves. The reasons that a move to closed needs (merge, spam) are the actions' business.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.NEW: frozenset({Status.OPEN, Status.WAITING, Status.ON_HOLD, Status.RESOLVED, Status.CLOSED}),
    Status.OPEN: frozenset({Status.WAITING, Status.ON_HOLD, Status.RESOLVED, Status.CLOSED}),
    Status.WAITING: frozenset({Status.OPEN, Status.ON_HOLD, Status.RESOLVED}),
    Status.ON_HOLD: frozenset({Status.OPEN, Status.WAITING, Status.RESOLVED}),
    Status.RESOLVED: frozenset({Status.OPEN, Status.CLOSED}),
    Status.CLOSED: frozenset({Status.OPEN}),
}


class Priority(models.TextChoices):
    URGENT = "urgent", "Urgent"
    HIGH = "high", "High"
    NORMAL = "normal", "Normal"
    LOW = "low", "Low"


class Channel(models.TextChoices):
    EMAIL = "email", "email"
    WEB = "web", "web"
    PHONE = "phone", "phone"
    CHAT = "chat", "chat"
    API = "api", "API"
    ALERT = "alert", "alert"
    RUNBOOK = "runbook", "runbook"


class Organization(models.Model):
    """A company or department that requesters belong to, by the domains of their addresses."""

    name = models.CharField(max_length=120, unique=True)
    domains = ArrayField(models.CharField(max_length=253), default=list, blank=True)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        # The organisation of a new requester, by domain.
        indexes = [GinIndex(fields=["domains"], name="organization_domains")]

    def __str__(self) -> str:
        return self.name


class RequesterQuerySet(models.QuerySet["Requester"]):
    def of_address(self, email: str) -> Self:
        """The requester of an address, by the index of the constraint that there is one only."""
        return self.alias(address=Lower("email")).filter(address=email.strip().lower())


class Requester(models.Model):
    """Someone who asks for help: known by address, never signs in."""

    organization = models.ForeignKey(
        Organization, on_delete=models.SET_NULL, null=True, blank=True, related_name="requesters"
    )
    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=200, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RequesterQuerySet.as_manager()

    class Meta:
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="requester_email_once"),
            models.CheckConstraint(condition=Q(email=Lower(F("email"))), name="requester_email_lower"),
        ]
        indexes = [
            # The queue's search box looks for part of a name or address.
            GinIndex(OpClass(Upper("email"), name="gin_trgm_ops"), name="requester_email_part"),
            GinIndex(OpClass(Upper("name"), name="gin_trgm_ops"), name="requester_name_part"),
        ]

    def __str__(self) -> str:
        return self.name or self.email


class Category(models.Model):
    """What a ticket or an article is about; the guide's headings of common issues are the first."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class TicketQuerySet(models.QuerySet["Ticket"]):
    def visible_to(self, user: User) -> Self:
        """All tickets, but restricted ones only for assignee, watchers, leads of the tier, administrators, auditors."""
        standing = user.standing
        if standing.is_administrator or standing.reads_only:
            return self
        if standing.role == Role.INTEGRATION:
            return self.filter(restricted=False)
        if not standing.level:
            return self.none()
        mine = Q(restricted=False) | Q(assignee=user) | Q(pk__in=Watcher.objects.filter(user=user).values("ticket"))
        if standing.lead_levels:
            mine |= Q(tier__in=Tier.objects.filter(level__in=standing.lead_levels).values("pk"))
        return self.filter(mine)

    def hidden_from(self, user: User) -> Self:
        """The complement of `visible_to`: for who sees tickets at all, some of the restricted ones."""
        seen = Ticket.objects.visible_to(user)
        standing = user.standing
        if standing.is_administrator or standing.reads_only:
            return self.none()
        if standing.is_integration or standing.level:
            return self.filter(restricted=True).exclude(pk__in=seen.filter(restricted=True).values("pk"))
        return self

    def halves_visible_to(self, user: User) -> tuple[Self, Self]:
        """What the user may see in two sets without overlap: all that is not restricted, and the restricted rest.

        For counting: the first is answered from an index alone, the second is small.
        """
        standing = user.standing
        reaches = standing.is_administrator or standing.reads_only or standing.is_integration or standing.level
        return self.filter(restricted=False) if reaches else self.none(), self.visible_to(user).filter(restricted=True)

    def open(self) -> Self:
        return self.filter(status__in=OPEN_STATUSES)

    def lock(self, number: int, version: int | None = None) -> "Ticket":
        """Lock one ticket of this set by number; `Conflict` when its version is not the given one.

        Two statements: PostgreSQL gives a row that it waited for in its newest form, but joins it
        with what it had read before, so that a ticket escalated meanwhile would seem to be gone.
        The lock is the one of an update (FOR NO KEY UPDATE): a row elsewhere that refers to the ticket
        does not wait for it, so that locks taken in the order of keys cannot meet in a circle with it.
        """
        locked = (
            Ticket.objects.select_for_update(no_key=True).filter(number=number).values_list("pk", flat=True).first()
        )
        related = ("tier", "assignee", "requester", "category", "merged_into")
        ticket = self.filter(pk=locked).select_related(*related).first() if locked else None
        if ticket is None:
            raise NotFound(f"There is no ticket {number}.")
        if version is not None and version != ticket.version:
            from tickets.models.compared import compared

            changes = [event.sentence for event in ticket.events.filter(version__gt=version).select_related("actor")]
            raise Conflict(
                f"Ticket {number} was changed by somebody else while you worked on it; nothing of yours was saved.",
                changes=changes,
                version=ticket.version,
                compare=lambda posted: compared(ticket, posted),
            )
        return ticket


NUMBERS = "tickets_ticket_number"  # the sequence that numbers come from


class Ticket(models.Model):
    """One request for help. `version` grows with every change of a property, never with a message."""

    number = models.BigIntegerField(unique=True, db_default=models.Func(models.Value(NUMBERS), function="nextval"))
    subject = models.CharField(max_length=300)
    status = models.CharField(max_length=24, choices=Status.choices, default=Status.NEW)
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.NORMAL)
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="tickets")
    assignee = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="tickets")
    requester = models.ForeignKey(Requester, on_delete=models.PROTECT, related_name="tickets")
    category = models.ForeignKey(Category, on_delete=models.SET_NULL, null=True, blank=True, related_name="tickets")
    channel = models.CharField(max_length=10, choices=Channel.choices)
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    restricted = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)
    snippet = models.CharField(max_length=200, blank=True)
    # The earliest due time of the running clocks, kept by tickets.sla so that the queue can sort by it.
    due_at = models.DateTimeField(null=True, blank=True)
    # A date that somebody promised or needs, beside the clocks; told once, by the sweep over `ticket_deadline`.
    deadline_at = models.DateTimeField(null=True, blank=True)
    deadline_told_at = models.DateTimeField(null=True, blank=True)
    # Out of the queue's views until then; a sweep clears it, so that None alone means that it is there.
    snoozed_until = models.DateTimeField(null=True, blank=True)
    # Addresses that get a copy of every public reply.
    cc = ArrayField(models.EmailField(max_length=254), default=list, blank=True)
    # Values of custom fields by slug: texts, numbers, true or false, dates as YYYY-MM-DD.
    custom = models.JSONField(default=dict, blank=True)
    # When it was called spam; it is closed then and stands in a view of its own.
    spam_at = models.DateTimeField(null=True, blank=True)
    # When its personal data were erased.
    erased_at = models.DateTimeField(null=True, blank=True)
    merged_into = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="merged")
    # In memory only: the timers that a page shows, and where a search found its words.
    clocks: list[Any]
    marked_subject: str = ""
    found: str = ""

    objects = TicketQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(status=Status.RESOLVED) | Q(resolved_at__isnull=False), name="ticket_resolved_at"
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.CLOSED) | Q(closed_at__isnull=False), name="ticket_closed_at"
            ),
            models.CheckConstraint(condition=~Q(subject=""), name="ticket_has_subject"),
            models.CheckConstraint(
                condition=Q(merged_into=None) | (Q(status=Status.CLOSED) & ~Q(merged_into=F("pk"))),
                name="ticket_merged_is_closed",
            ),
        ]
        indexes = [
            # The queue's default order over open tickets; ties break by number.
            models.Index(
                F("due_at").asc(nulls_last=True),
                "number",
                name="ticket_queue_due",
                condition=Q(status__in=OPEN_STATUSES),
            ),
            # The same within a tier.
            models.Index(
                "tier",
                F("due_at").asc(nulls_last=True),
                "number",
                name="ticket_tier_due",
                condition=Q(status__in=OPEN_STATUSES),
            ),
            # The same within one person's tickets.
            models.Index(
                "assignee",
                F("due_at").asc(nulls_last=True),
                "number",
                name="ticket_assignee_due",
                condition=Q(status__in=OPEN_STATUSES),
            ),
            # Recently updated, recently resolved: the other orders of the queue.
            models.Index(fields=["-updated_at"], name="ticket_updated"),
            models.Index(fields=["status", "-updated_at"], name="ticket_status_updated"),
            # Counts of open tickets in the navigation and above the queue, from the index alone.
            models.Index(
                fields=["tier", "assignee", "status"],
                name="ticket_here_counts",
                condition=Q(status__in=OPEN_STATUSES, restricted=False, snoozed_until=None),
            ),
            # Read by actions.sweep_moments(): what wakes up, and whose deadline has come.
            models.Index(fields=["snoozed_until"], name="ticket_snoozed", condition=Q(snoozed_until__isnull=False)),
            models.Index(
                fields=["deadline_at"],
                name="ticket_deadline",
                condition=Q(deadline_at__isnull=False, deadline_told_at=None, status__in=OPEN_STATUSES),
            ),
            # The view of spam.
            models.Index(fields=["-id"], name="ticket_spam", condition=Q(spam_at__isnull=False)),
            # field.order:4711
            GinIndex(OpClass("custom", name="jsonb_path_ops"), name="ticket_custom"),
            models.Index(fields=["status", "id"], name="ticket_restricted", condition=Q(restricted=True)),
            # tag:vip
            GinIndex(fields=["tags"], name="ticket_tags"),
            # Reports: what was created in a period, by channel from the index alone.
            models.Index(fields=["created_at", "channel"], name="ticket_created"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.subject}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def is_overdue(self) -> bool:
        return self.is_open and self.deadline_at is not None and self.deadline_at <= timezone.now()

    @property
    def next_clock(self) -> Any:
        """Of `clocks`: the running one that is due first, else a paused one, else None."""
        running = [timer for timer in self.clocks if timer.due_at is not None and not timer.is_paused]
        return min(running, key=lambda timer: timer.due_at) if running else next(iter(self.clocks), None)

    @property
    def status_icon(self) -> str:
        return f"st-{self.status}"

    @property
    def priority_icon(self) -> str:
        return f"pr-{self.priority}"

    def can_move_to(self, status: Status) -> bool:
        return status in TRANSITIONS[Status(self.status)]

    def move_to(self, status: Status) -> None:
        """Change the status and end a snooze, or raise `InvalidTransition` naming both ends."""
        if not self.can_move_to(status):
            raise InvalidTransition(
                f"Ticket {self.number} is {Status(self.status).label.lower()}; it cannot become {status.label.lower()}."
            )
        self.status, self.snoozed_until = status, None

    def touch(self, *fields: str) -> None:
        """Save changed properties: the version grows, `updated_at` moves, and it is not an erased ticket any more."""
        self.version, self.erased_at = self.version + 1, None
        self.updated_at = timezone.now()
        self.save(update_fields=[*fields, "snoozed_until", "erased_at", "version", "updated_at"])


class Watcher(models.Model):
    """Someone who follows a ticket; a watcher sees a restricted one."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="watchers")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="watching")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ticket", "user"], name="watch_once")]

    def __str__(self) -> str:
        return f"{self.user} watches {self.ticket_id}"
