"""Runbooks, the systems they run on, and every run with its steps and output."""

from datetime import timedelta
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from staff.models import Role, User
from supportdesk import crypto
from supportdesk.errors import InvalidTransition, NotFound
from tickets.models import Ticket


class Risk(models.TextChoices):
    READ = "read", "Reads only"
    CHANGE = "change", "Changes things"
    DESTRUCTIVE = "destructive", "Destroys things"


class RunState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    CANCELLING = "cancelling", "Cancelling"
    LOST = "lost", "Lost its worker"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    CANCEL_FAILED = "cancel_failed", "Could not be cancelled"


FINAL_STATES = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.CANCEL_FAILED)

RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLING, RunState.LOST}),
    RunState.CANCELLING: frozenset({RunState.CANCELLED, RunState.CANCEL_FAILED, RunState.SUCCEEDED, RunState.FAILED}),
    RunState.LOST: frozenset({RunState.QUEUED, RunState.FAILED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
    RunState.CANCEL_FAILED: frozenset(),
}


class StepState(models.TextChoices):
    PENDING = "pending", "Waiting"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    WARNED = "warned", "Passed with warning"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"
    CANCELLED = "cancelled", "Cancelled"
    LOST = "lost", "Interrupted"


class Runbook(models.Model):
    """A procedure by name; what it does is in its newest version."""

    slug = models.SlugField(unique=True, max_length=80)
    title = models.CharField(max_length=160)
    description = models.TextField(blank=True)
    purpose = models.CharField(max_length=20)
    owner = models.CharField(max_length=80, blank=True)
    risk = models.CharField(max_length=12, choices=Risk.choices)
    tier_level = models.PositiveSmallIntegerField()
    current = models.ForeignKey("RunbookVersion", on_delete=models.PROTECT, null=True, related_name="+")

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


class Target(models.Model):
    """A system that runbooks run on, with named connections.

    `connections` holds any of: postgres {host, port, dbname, user, password: {secret: NAME}},
    http {base_url}, paths {name: folder}. Passwords are Secrets, never here.
    """

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    environment = models.CharField(max_length=40, default="production")
    connections = models.JSONField(default=dict)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Secret(models.Model):
    """A value encrypted at rest, read only by the worker that runs a step."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="secrets")
    name = models.SlugField()
    ciphertext = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target", "name"], name="secret_once")]

    def __str__(self) -> str:
        return self.name

    def reveal(self) -> str:
        return crypto.decrypt(bytes(self.ciphertext))


class ExecutionQuerySet(models.QuerySet["Execution"]):
    def visible_to(self, user: User) -> Self:
        """All runs, but those attached to a ticket that the user may not see."""
        standing = user.standing
        if standing.role == Role.STAFF and not standing.level:
            return self.none()
        return self.filter(Q(ticket=None) | Q(ticket__in=Ticket.objects.visible_to(user).values("pk")))

    def queued_too_long(self, seconds: int) -> Self:
        """Queued runs whose bell nobody heard."""
        return self.filter(state=RunState.QUEUED, queued_at__lt=timezone.now() - timedelta(seconds=seconds))

    def lock(self, pk: int) -> "Execution":
        locked = Execution.objects.select_for_update().filter(pk=pk).values_list("pk", flat=True).first()
        execution = self.filter(pk=locked).select_related("version__runbook", "target").first() if locked else None
        if execution is None:
            raise NotFound(f"There is no run {pk}.")
        return execution


class Execution(models.Model):
    """One run of one version on one target. `attempt` is the fencing token of the worker that holds the lease."""

    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, related_name="executions")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="executions")
    ticket = models.ForeignKey(Ticket, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    params = models.JSONField(default=dict)
    dry_run = models.BooleanField(default=False)
    state = models.CharField(max_length=16, choices=RunState.choices, default=RunState.QUEUED)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    fresh_from = models.PositiveIntegerField(default=1)  # steps done in an attempt before this one are run again
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    last_seq = models.PositiveBigIntegerField(default=0)
    output_bytes = models.PositiveBigIntegerField(default=0)
    summary = models.CharField(max_length=500, blank=True)

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state__in=["running", "cancelling"]) | Q(lease_expires_at__isnull=False),
                name="run_has_lease",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["succeeded", "failed", "cancelled", "cancel_failed"])
                | Q(finished_at__isnull=False),
                name="run_final_has_end",
            ),
            models.CheckConstraint(
                condition=Q(cancel_requested_at=None, cancel_requested_by=None)
                | Q(cancel_requested_at__isnull=False, cancel_requested_by__isnull=False),
                name="run_cancel_pair",
            ),
        ]
        indexes = [
            # The sweep: runs queued and not yet claimed.
            models.Index(fields=["queued_at"], name="run_queued", condition=Q(state="queued")),
            # The reaper: leases that ran out.
            models.Index(
                fields=["lease_expires_at"],
                name="run_lease",
                condition=Q(state__in=["running", "cancelling"]),
            ),
            # The runs panel of a ticket.
            models.Index(fields=["ticket", "-id"], name="run_of_ticket"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def spec(self) -> dict[str, Any]:
        """The spec of the very version that this run runs, as plain data."""
        return self.version.spec

    @property
    def duration(self) -> timedelta | None:
        return (self.finished_at or timezone.now()) - self.started_at if self.started_at else None

    def move_to(self, state: RunState) -> None:
        if state not in RUN_TRANSITIONS[RunState(self.state)]:
            raise InvalidTransition(
                f"Run {self.pk} is {RunState(self.state).label.lower()}; it cannot become {state.label.lower()}."
            )
        self.state = state


class StepRun(models.Model):
    """One step of one attempt."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="steps")
    attempt = models.PositiveIntegerField()
    index = models.PositiveSmallIntegerField()
    step_id = models.CharField(max_length=60)
    state = models.CharField(max_length=10, choices=StepState.choices, default=StepState.RUNNING)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    message = models.CharField(max_length=500, blank=True)
    result = models.JSONField(default=dict)

    class Meta:
        ordering = ["attempt", "index"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "attempt", "index"], name="step_once_an_attempt"),
            models.UniqueConstraint(fields=["execution"], name="step_running_one", condition=Q(state="running")),
            models.CheckConstraint(
                condition=Q(finished_at=None) | Q(finished_at__gte=F("started_at")),
                name="step_end_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step_id} of run {self.execution_id}"

    @property
    def duration(self) -> timedelta | None:
        return (self.finished_at or timezone.now()) - self.started_at if self.started_at else None


class OutputChunk(models.Model):
    """A piece of a run's output: whole lines where the program wrote whole lines; `seq` grows by one."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="chunks")
    seq = models.PositiveBigIntegerField()
    attempt = models.PositiveIntegerField()
    step_id = models.CharField(max_length=60, blank=True)
    stream = models.CharField(max_length=6)  # out, err, or desk for the engine's own words
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["execution", "seq"], name="chunk_seq_once")]

    def __str__(self) -> str:
        return f"{self.execution_id}:{self.seq}"
