"""What ties tickets to each other, and to the tiers that they went through."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from staff.models import Tier, User
from tickets.models.ticket import Ticket


class LinkKind(models.TextChoices):
    RELATED = "related", "Related to"
    BLOCKS = "blocks", "Blocks"
    DUPLICATE = "duplicate", "Duplicate of"
    CHILD = "child", "Child of"
    FOLLOW_UP = "follow_up", "Follow-up of"
    SPLIT = "split", "Split off"


# What a link is when it is read from its target.
SEEN_FROM_TARGET: dict[str, str] = {
    LinkKind.RELATED: "Related to",
    LinkKind.BLOCKS: "Blocked by",
    LinkKind.DUPLICATE: "Duplicated by",
    LinkKind.CHILD: "Parent of",
    LinkKind.FOLLOW_UP: "Followed up by",
    LinkKind.SPLIT: "Split into",
}


class TicketLink(models.Model):
    """`source` is to `target` what the kind says: it blocks it, is its child, was split off it."""

    source = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="links")
    target = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="linked_from")
    kind = models.CharField(max_length=20, choices=LinkKind.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "target", "kind"], name="link_once"),
            models.CheckConstraint(condition=~Q(source=F("target")), name="link_not_itself"),
            models.UniqueConstraint(fields=["source"], name="link_one_parent", condition=Q(kind="child")),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} {self.kind} {self.target_id}"


class MergeRecord(models.Model):
    """A merge and all that it moved (`kept`: keys of messages, watchers, clocks, and what the source was), to undo it."""

    source = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="merges")
    target = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="merges_in")
    by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    kept = models.JSONField()
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["source"], name="merge_in_force_once", condition=Q(undone_at=None)),
            models.CheckConstraint(condition=~Q(source=F("target")), name="merge_not_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} into {self.target_id}"


class Handover(models.Model):
    """A ticket passed on to another tier, upwards or back, with what those who take over need to know.

    `runs` are opaque references to runs of runbooks: `{"run": 12, "title": …, "url": …, "state": …}`.
    """

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="handovers")
    from_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+")
    to_tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="+")
    by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    tried = models.TextField()
    found = models.TextField(blank=True)
    runs = models.JSONField(default=list, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(from_tier=F("to_tier")), name="handover_moves"),
            models.CheckConstraint(condition=~Q(tried=""), name="handover_says_what_was_tried"),
        ]
        # The newest handover of a ticket, and how often it moved.
        indexes = [models.Index(fields=["ticket", "-id"], name="handover_of_ticket")]

    def __str__(self) -> str:
        return f"{self.from_tier} to {self.to_tier}"

    @property
    def is_escalation(self) -> bool:
        return self.to_tier.level > self.from_tier.level


class ChecklistItem(models.Model):
    """A step of the work on a ticket that somebody ticks off."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="checklist")
    text = models.CharField(max_length=300)
    position = models.PositiveIntegerField(default=0)
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="checklist_says_something")]

    def __str__(self) -> str:
        return self.text
