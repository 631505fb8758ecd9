"""Every run with its steps, output, approvals and locks."""

from datetime import timedelta
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from runbooks.models.runbook import RunbookVersion, view_level_of
from runbooks.models.schedule import Schedule
from runbooks.models.target import Target
from staff.models import Role, User
from supportdesk.errors import InvalidTransition, NotFound
from tickets.models import Ticket


class RunState(models.TextChoices):
    PLANNED = "planned", "Planned"
    AWAITING_APPROVAL = "awaiting_approval", "Awaiting approval"
    QUEUED = "queued", "Queued"
    WAITING_LOCK = "waiting_lock", "Waiting for a lock"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    CANCELLING = "cancelling", "Cancelling"
    LOST = "lost", "Lost its worker"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    CANCEL_FAILED = "cancel_failed", "Could not be cancelled"
    SKIPPED = "skipped", "Skipped"


S = RunState
FINAL_STATES = (S.SUCCEEDED, S.FAILED, S.CANCELLED, S.CANCEL_FAILED, S.SKIPPED)

RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    S.PLANNED: frozenset({S.QUEUED, S.AWAITING_APPROVAL, S.CANCELLED, S.SKIPPED}),
    S.AWAITING_APPROVAL: frozenset({S.QUEUED, S.PLANNED, S.CANCELLED, S.FAILED}),
    S.QUEUED: frozenset({S.RUNNING, S.CANCELLED, S.FAILED, S.SKIPPED}),
    S.WAITING_LOCK: frozenset({S.QUEUED, S.CANCELLED, S.FAILED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLING, S.CANCELLED, S.LOST, S.PAUSED, S.QUEUED, S.WAITING_LOCK, S.SKIPPED, S.CANCEL_FAILED}),
    S.PAUSED: frozenset({S.QUEUED, S.CANCELLED}),
    S.CANCELLING: frozenset({S.CANCELLED, S.CANCEL_FAILED, S.SUCCEEDED, S.FAILED, S.QUEUED}),
    S.LOST: frozenset({S.QUEUED, S.FAILED}),
    **{state: frozenset() for state in FINAL_STATES},
}  # fmt: skip


class Trigger(models.TextChoices):
    PERSON = "person", "By hand"
    TICKET = "ticket", "From a ticket"
    ARTICLE = "article", "From an article"
    API = "api", "Over the API"
    COMMAND = "command", "By the command line"
    SCHEDULE = "schedule", "By a schedule"
    RUNBOOK = "runbook", "By another run"
    RERUN = "rerun", "Run again"


class StepState(models.TextChoices):
    PENDING = "pending", "Waiting"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    WARNED = "warned", "Passed with warning"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"
    CANCELLED = "cancelled", "Cancelled"
    LOST = "lost", "Interrupted"
    WAITING = "waiting", "Waiting for somebody"


class ExecutionQuerySet(models.QuerySet["Execution"]):
    def visible_to(self, user: User) -> Self:
        """All runs, but those attached to a ticket or of a runbook that the user may not see."""
        standing = user.standing
        if standing.role == Role.STAFF and not standing.level:
            return self.none()
        seen = self.filter(Q(ticket=None) | Q(ticket__in=Ticket.objects.visible_to(user).values("pk")))
        level = view_level_of(user)
        return seen if level == 3 else seen.filter(version__runbook__view_level__lte=level)

    def queued_too_long(self, seconds: int) -> Self:
        """Queued runs whose bell nobody heard, by the database's clock."""
        return self.filter(state=RunState.QUEUED, queued_at__lt=Now() - timedelta(seconds=seconds))

    def lock(self, pk: int) -> "Execution":
        locked = Execution.objects.select_for_update().filter(pk=pk).values_list("pk", flat=True).first()
        execution = self.filter(pk=locked).select_related("version__runbook", "target").first() if locked else None
        if execution is None:
            raise NotFound(f"There is no run {pk}.")
        return execution


class Batch(models.Model):
    """One launch over several targets: `size` at a time, until `stop_after` have failed."""

    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, related_name="+")
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    size = models.PositiveSmallIntegerField(default=1)
    stop_after = models.PositiveSmallIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)
    stopped_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"batch {self.pk}"


class Execution(models.Model):
    """One run of one version on one target. `attempt` is the fencing token of the worker that holds the lease."""

    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, related_name="executions")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="executions")
    ticket = models.ForeignKey(Ticket, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    params = models.JSONField(default=dict)
    secret_params = models.BinaryField(null=True, blank=True)  # encrypted JSON; in `params` they are masked
    dry_run = models.BooleanField(default=False)
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.PERSON)
    queue = models.CharField(max_length=80, default="runbooks")
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, null=True, blank=True, related_name="executions")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    parent_step = models.CharField(max_length=100, blank=True)  # the step, its first attempt that counts, the try
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="retries")
    schedule = models.ForeignKey(Schedule, on_delete=models.SET_NULL, null=True, blank=True, related_name="executions")
    scheduled_for = models.DateTimeField(null=True, blank=True)
    # What was approved: version, target and parameters as one hash, and by how many it must be.
    plan_hash = models.CharField(max_length=64, blank=True)
    approvals_needed = models.PositiveSmallIntegerField(default=0)
    approval_tier = models.PositiveSmallIntegerField(default=1)
    approval_expires_at = models.DateTimeField(null=True, blank=True)
    break_glass_reason = models.TextField(blank=True)
    state = models.CharField(max_length=20, choices=RunState.choices, default=RunState.QUEUED)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    fresh_from = models.PositiveIntegerField(default=1)  # steps done in an attempt before this one are run again
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    pause_requested_at = models.DateTimeField(null=True, blank=True)
    wake_at = models.DateTimeField(null=True, blank=True)
    lock_deadline = models.DateTimeField(null=True, blank=True)
    waiting_for = models.CharField(max_length=500, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    last_seq = models.PositiveBigIntegerField(default=0)
    output_bytes = models.PositiveBigIntegerField(default=0)
    output_lines = models.PositiveBigIntegerField(default=0)
    output_cut = models.PositiveBigIntegerField(default=0)
    output_removed_at = models.DateTimeField(null=True, blank=True)
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
                condition=~Q(state__in=["succeeded", "failed", "cancelled", "cancel_failed", "skipped"])
                | Q(finished_at__isnull=False),
                name="run_final_has_end",
            ),
            models.CheckConstraint(
                condition=Q(cancel_requested_at=None, cancel_requested_by=None)
                | Q(cancel_requested_at__isnull=False, cancel_requested_by__isnull=False),
                name="run_cancel_pair",
            ),
            models.UniqueConstraint(
                fields=["parent", "parent_step"], name="run_called_once", condition=Q(parent__isnull=False)
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
            # The sweep: runs that wait for a lock, for a moment, for approval.
            models.Index(fields=["lock_deadline"], name="run_waits_lock", condition=Q(state="waiting_lock")),
            models.Index(fields=["wake_at"], name="run_wakes", condition=Q(state="paused")),
            models.Index(
                fields=["approval_expires_at"], name="run_waits_approval", condition=Q(state="awaiting_approval")
            ),
            # The history, filtered by state or target; its pages run by id.
            models.Index(fields=["state", "-id"], name="run_by_state"),
            models.Index(fields=["target", "-id"], name="run_by_target"),
            models.Index(fields=["-created_at"], name="run_by_day"),
            # The catalogue: the newest run of each version.
            models.Index(fields=["version", "-id"], name="run_by_version"),
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
    """One step of one attempt; `phase` says whether it is a step, the undo of one, or of `finally`."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="steps")
    attempt = models.PositiveIntegerField()
    index = models.PositiveSmallIntegerField()
    step_id = models.CharField(max_length=60)
    phase = models.CharField(max_length=8, default="step")  # step, undo, finally
    tries = models.PositiveSmallIntegerField(default=1)
    captured = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=StepState.choices, default=StepState.RUNNING)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    message = models.CharField(max_length=500, blank=True)
    result = models.JSONField(default=dict)

    class Meta:
        ordering = ["attempt", "index"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "attempt", "phase", "index"], name="step_once_an_attempt"),
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
    """A piece of a run's output as it came; `seq` grows by one. A joined piece stands for first_seq to seq.

    `offset` and `line` count the bytes and line ends before it; `cut_bytes` those that it stands for and are gone.
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="chunks")
    first_seq = models.PositiveBigIntegerField(default=0)
    seq = models.PositiveBigIntegerField()
    attempt = models.PositiveIntegerField()
    step_id = models.CharField(max_length=60, blank=True)
    stream = models.CharField(max_length=6)  # out, err, or desk for the engine's own words
    data = models.BinaryField(default=b"")
    offset = models.PositiveBigIntegerField(default=0)
    line = models.PositiveBigIntegerField(default=0)
    cut_bytes = models.PositiveBigIntegerField(default=0)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["execution", "seq"], name="chunk_seq_once")]
        indexes = [
            # The viewer: the piece that holds a line.
            models.Index(fields=["execution", "line"], name="chunk_line")
        ]

    def __str__(self) -> str:
        return f"{self.execution_id}:{self.seq}"


class RunApproval(models.Model):
    """Somebody's yes or no to a run as it was planned; never the one who asked."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="approvals")
    plan_hash = models.CharField(max_length=64)
    approver = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    approved = models.BooleanField()
    comment = models.CharField(max_length=500, blank=True)
    ahead = models.ForeignKey("AdvanceApproval", on_delete=models.PROTECT, null=True, blank=True, related_name="used")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=~Q(approver=F("requester")), name="run_approval_four_eyes"),
            models.UniqueConstraint(fields=["execution", "approver"], name="run_approval_once"),
        ]

    def __str__(self) -> str:
        return f"{self.approver_id} on run {self.execution_id}"


class AdvanceApproval(models.Model):
    """Somebody's yes, given ahead, to one plan during a window."""

    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, related_name="+")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="+")
    params = models.JSONField(default=dict)
    plan_hash = models.CharField(max_length=64)
    approver = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    comment = models.CharField(max_length=500, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="advance_ends_after_start")]
        indexes = [
            # A launch that looks for a yes given ahead.
            models.Index(fields=["plan_hash"], name="advance_by_plan", condition=Q(revoked_at=None))
        ]

    def __str__(self) -> str:
        return f"ahead {self.pk}"


class RunLock(models.Model):
    """A resource that a run holds until it ends; while it waits for it, `held_since` is empty."""

    key = models.CharField(max_length=240)
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="run_locks")
    exclusive = models.BooleanField()
    waits_since = models.DateTimeField(default=timezone.now)
    held_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "execution"], name="run_lock_once"),
            models.UniqueConstraint(
                fields=["key"], name="run_lock_exclusive", condition=Q(exclusive=True, held_since__isnull=False)
            ),
        ]
        indexes = [
            # Who holds a key, and who waits for it.
            models.Index(fields=["key", "waits_since"], name="run_lock_key")
        ]

    def __str__(self) -> str:
        return f"{self.key} by run {self.execution_id}"


class RunTicket(models.Model):
    """The ticket that failing runs of a runbook on a target opened; one at a time, until a success resolves it."""

    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, related_name="+")
    slug = models.SlugField(max_length=80)
    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="+")
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["slug", "target"], name="run_ticket_open_once", condition=Q(resolved_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"ticket {self.ticket_id} of {self.slug}"
