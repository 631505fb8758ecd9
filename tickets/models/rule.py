"""What the desk does by itself: rules, what each did, and tickets that come again and again."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import Tier, User
from tickets.models.ticket import Category, Priority, Ticket


class RuleEvent(models.TextChoices):
    """What a rule may listen to: kinds of `TicketEvent`."""

    OPENED = "opened", "a ticket is opened"
    RECEIVED = "received", "the requester writes"
    REPLIED = "replied", "somebody replies"
    NOTED = "noted", "somebody notes"
    ASSIGNED = "assigned", "it is assigned"
    TAKEN = "taken", "somebody takes it"
    ESCALATED = "escalated", "it is escalated"
    HANDED_BACK = "handed_back", "it is handed back"
    PRIORITY = "priority", "its priority changes"
    CATEGORY = "category", "its category changes"
    TAGGED = "tagged", "its tags change"
    FIELD = "field", "a custom field changes"
    STATUS = "status", "its status changes"
    WAITING = "waiting", "it waits on the requester"
    HELD = "held", "it is put on hold"
    RESOLVED = "resolved", "it is resolved"
    REOPENED = "reopened", "it is reopened"
    CLOSED = "closed", "it is closed"
    BREACHED = "breached", "a clock is breached"
    DEADLINE = "deadline_passed", "its deadline passes"
    WOKE = "woke", "it comes back from a snooze"
    APPROVED = "approved", "it is approved"
    REFUSED = "refused", "it is refused"
    RUN_FINISHED = "run_finished", "a run of a runbook ends"


class RuleSince(models.TextChoices):
    """From when the time of a rule counts."""

    CREATED = "created", "it was opened"
    UPDATED = "updated", "anything happened on it"
    RESOLVED = "resolved", "it was resolved"
    DEADLINE = "deadline", "its deadline"


class Rule(models.Model):
    """When one of `events` happens, or so many minutes after a moment, and `query` picks the ticket: do `recipe`.

    Rules are looked at in the order of `position`; each sees what those before it did.
    """

    name = models.CharField(max_length=80, unique=True)
    position = models.PositiveSmallIntegerField(default=0)
    active = models.BooleanField(default=False)
    events = ArrayField(models.CharField(max_length=24, choices=RuleEvent.choices), default=list, blank=True)
    since = models.CharField(max_length=10, choices=RuleSince.choices, blank=True)
    after_minutes = models.PositiveIntegerField(null=True, blank=True)
    query = models.CharField(max_length=500, blank=True)
    recipe = models.JSONField(default=dict)
    stops = models.BooleanField(default=False)  # no rule after it looks at the same event
    built_in = models.SlugField(max_length=40, null=True, blank=True, unique=True)
    changed_at = models.DateTimeField(default=timezone.now)
    # Whoever changed it or switched it last: it acts on what they may see.
    changed_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    error = models.CharField(max_length=500, blank=True)  # why it does not act: its query is not understood any more

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=(Q(since="", after_minutes=None) & ~Q(events=[]))
                | (~Q(since="") & Q(after_minutes__gt=0, events=[])),
                name="rule_event_or_time",
            )
        ]
        indexes = [
            # Asked once an event: whether any rule listens.
            GinIndex(fields=["events"], name="rule_events", condition=Q(active=True))
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_timed(self) -> bool:
        return self.since != ""

    @property
    def when(self) -> str:
        """The condition in words."""
        if not self.is_timed:
            return "when " + " or ".join(RuleEvent(event).label for event in self.events)
        minutes = self.after_minutes or 0
        units = ((10080, "week"), (1440, "day"), (60, "hour"), (1, "minute"))
        size, unit = next((size, unit) for size, unit in units if minutes % size == 0)
        amount = minutes // size
        return f"{amount} {unit}{'s' * (amount > 1)} after {RuleSince(self.since).label}"


class RuleOutcome(models.TextChoices):
    DONE = "done", "Done"
    UNCHANGED = "unchanged", "Nothing to change"
    REFUSED = "refused", "Refused"


class RuleRun(models.Model):
    """What a rule did to a ticket, kept. `event` is what it heard; of a timed rule the newest one after it acted.

    A timed rule acts once on a ticket until a person does something there: a later event of theirs.
    """

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="runs")
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="rule_runs")
    event = models.BigIntegerField()
    outcome = models.CharField(max_length=10, choices=RuleOutcome.choices)
    said = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["rule", "ticket", "event"], name="rule_once_an_event")]
        # The log of one rule. Whether a timed rule was at a ticket already, the constraint's own index answers.
        indexes = [models.Index(fields=["rule", "-id"], name="rule_log")]

    def __str__(self) -> str:
        return f"{self.rule_id} on {self.ticket_id}: {self.outcome}"


class Recurrence(models.Model):
    """A ticket that is opened again and again, by a cron rule in a zone."""

    name = models.CharField(max_length=80, unique=True)
    cron = models.CharField(max_length=100)
    zone = models.CharField(max_length=64, default="UTC")
    active = models.BooleanField(default=True)
    requester_email = models.EmailField(max_length=254)
    requester_name = models.CharField(max_length=200, blank=True)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+")
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.NORMAL)
    category = models.ForeignKey(Category, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    recipe = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    next_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)
    last_ticket = models.ForeignKey(Ticket, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["name"]
        indexes = [
            # Read by actions.sweep_recurrences().
            models.Index(fields=["next_at"], name="recurrence_due", condition=Q(active=True))
        ]

    def __str__(self) -> str:
        return self.name
