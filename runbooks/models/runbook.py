"""Runbooks and their versions, from draft to published."""

from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from staff.models import User


class Risk(models.TextChoices):
    READ = "read", "Reads only"
    CHANGE = "change", "Changes things"
    DESTRUCTIVE = "destructive", "Destroys things"


class Purpose(models.TextChoices):
    DIAGNOSTIC = "diagnostic", "Diagnostic"
    MAINTENANCE = "maintenance", "Maintenance"
    BACKUP = "backup", "Backup"
    RECOVERY = "recovery", "Recovery"


class RunbookQuerySet(models.QuerySet["Runbook"]):
    def visible_to(self, user: User) -> Self:
        """All, but those that name a tier for their readers, to that tier and above."""
        return self.filter(view_level__lte=view_level_of(user))


def view_level_of(user: User) -> int:
    """Up to which level a person sees runbooks: leads, administrators, auditors and integrations see all."""
    standing = user.standing
    if standing.is_administrator or standing.reads_only or standing.is_integration:
        return 3
    return max(1, standing.run_level)


class Runbook(models.Model):
    """A procedure by name; what it does is in its newest version."""

    slug = models.SlugField(unique=True, max_length=80)
    title = models.CharField(max_length=160)
    description = models.TextField(blank=True)
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    owner = models.CharField(max_length=80, blank=True)
    risk = models.CharField(max_length=12, choices=Risk.choices)
    tier_level = models.PositiveSmallIntegerField()
    role = models.CharField(max_length=14, default="agent")
    view_level = models.PositiveSmallIntegerField(default=1)
    current = models.ForeignKey("RunbookVersion", on_delete=models.PROTECT, null=True, related_name="+")
    retired_at = models.DateTimeField(null=True, blank=True)
    favourite_of = models.ManyToManyField(User, related_name="favourite_runbooks", blank=True)

    last: Any = None  # its newest run, where a query has set it

    objects = RunbookQuerySet.as_manager()

    class Meta:
        ordering = ["title"]
        constraints = [models.CheckConstraint(condition=Q(tier_level__in=[1, 2, 3]), name="runbook_tier_1_to_3")]

    def __str__(self) -> str:
        return self.title


class RunbookVersion(models.Model):
    """The very text of a definition, by content hash. Rows are never changed; a trigger sees to it."""

    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="versions")
    sha256 = models.CharField(max_length=64)
    text = models.TextField()
    spec = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["runbook", "sha256"], name="version_once")]

    def __str__(self) -> str:
        return f"{self.runbook_id}@{self.sha256[:8]}"


class DraftState(models.TextChoices):
    DRAFT = "draft", "Draft"
    IN_REVIEW = "in_review", "In review"
    PUBLISHED = "published", "Published"
    REJECTED = "rejected", "Sent back"


class RunbookDraft(models.Model):
    """A text on its way to a version: one writes, another publishes."""

    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, null=True, blank=True, related_name="drafts")
    base = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="drafts")
    text = models.TextField()
    note = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=DraftState.choices, default=DraftState.DRAFT)
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    review_note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)
    reviewed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-changed_at"]
        constraints = [
            # Four eyes, whoever it is.
            models.CheckConstraint(condition=Q(reviewer=None) | ~Q(reviewer=F("author")), name="draft_four_eyes"),
            models.CheckConstraint(
                condition=~Q(state="published") | Q(reviewer__isnull=False, version__isnull=False),
                name="draft_published_by",
            ),
        ]
        indexes = [
            # The list of what waits for a review.
            models.Index(fields=["-changed_at"], name="draft_open", condition=Q(state__in=["draft", "in_review"]))
        ]

    def __str__(self) -> str:
        return f"draft {self.pk}"
