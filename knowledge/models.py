"""Articles: what is seen, how to find the cause, and what fixes it."""

from typing import Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from runbooks.models import Risk, Runbook
from staff.models import Role, User
from tickets.models import Category


class Kind(models.TextChoices):
    ISSUE = "issue", "Issue"
    HOW_TO = "how-to", "How-to"
    REFERENCE = "reference", "Reference"


class ArticleState(models.TextChoices):
    DRAFT = "draft", "Draft"
    IN_REVIEW = "in_review", "In review"
    PUBLISHED = "published", "Published"
    RETIRED = "retired", "Retired"


class ArticleQuerySet(models.QuerySet["Article"]):
    def visible_to(self, user: User) -> Self:
        """Published articles, for everybody at the desk."""
        standing = user.standing
        if standing.role == Role.STAFF and not standing.level:
            return self.none()
        return self.filter(state=ArticleState.PUBLISHED)


class Article(models.Model):
    """The current text of an article; `search_text` is what its diagnoses and fixes say, kept by the actions."""

    slug = models.SlugField(unique=True, max_length=100)
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.ISSUE)
    state = models.CharField(max_length=10, choices=ArticleState.choices, default=ArticleState.DRAFT)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="articles")
    tier_level = models.PositiveSmallIntegerField(default=1)
    summary = models.TextField()
    symptoms = models.TextField(blank=True)  # one a line
    search_text = models.TextField(blank=True)
    updated_at = models.DateTimeField(default=timezone.now)
    published_at = models.DateTimeField(null=True, blank=True)
    search = models.GeneratedField(
        expression=SearchVector("title", config="english", weight="A")
        + SearchVector("symptoms", config="english", weight="B")
        + SearchVector("summary", config="english", weight="C")
        + SearchVector("search_text", config="english", weight="D"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = ArticleQuerySet.as_manager()

    class Meta:
        ordering = ["title"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="published") | Q(published_at__isnull=False), name="article_published_at"
            ),
            models.CheckConstraint(condition=Q(tier_level__in=[1, 2, 3]), name="article_tier_1_to_3"),
        ]
        indexes = [
            # Full-text search and the suggestions of a ticket.
            GinIndex(fields=["search"], name="article_search"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def code(self) -> str:
        return f"KB-{self.pk}"

    @property
    def symptom_list(self) -> list[str]:
        return [line for line in self.symptoms.splitlines() if line.strip()]


class Revision(models.Model):
    """The text of an article as it was saved, immutable."""

    article = models.ForeignKey(Article, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    source = models.TextField()
    sha256 = models.CharField(max_length=64)
    author = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["article", "number"], name="revision_once")]

    def __str__(self) -> str:
        return f"{self.article_id} revision {self.number}"


class Diagnosis(models.Model):
    """A way to find out: a command to copy, or a runbook to run."""

    article = models.ForeignKey(Article, on_delete=models.CASCADE, related_name="diagnoses")
    position = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=200)
    language = models.CharField(max_length=20, default="bash")
    command = models.TextField()
    runbook = models.ForeignKey(Runbook, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["article", "position"], name="diagnosis_position")]

    def __str__(self) -> str:
        return self.title


class Fix(models.Model):
    """What to try, best first; `commands` is a list of {language, code}."""

    article = models.ForeignKey(Article, on_delete=models.CASCADE, related_name="fixes")
    position = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    commands = models.JSONField(default=list)
    risk = models.CharField(max_length=12, choices=Risk.choices, default=Risk.READ)
    runbook = models.ForeignKey(Runbook, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["article", "position"], name="fix_position")]

    def __str__(self) -> str:
        return self.title


class Word(models.Model):
    """Words that published articles use: what a mistyped word of a query is corrected to."""

    text = models.CharField(max_length=60, primary_key=True)

    class Meta:
        # Nearest word by trigrams.
        indexes = [GinIndex(OpClass("text", name="gin_trgm_ops"), name="word_trigrams")]

    def __str__(self) -> str:
        return self.text
