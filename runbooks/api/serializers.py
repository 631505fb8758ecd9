"""What runbooks, targets, schedules and runs are over REST."""

from typing import Any

from rest_framework import serializers

from runbooks import display
from runbooks.models import (
    AdvanceApproval,
    Execution,
    Fold,
    Gap,
    Missed,
    OutputChunk,
    Overlap,
    RunApproval,
    Runbook,
    RunbookDraft,
    RunbookVersion,
    RunLock,
    Schedule,
    ScheduleFire,
    Secret,
    StepState,
    Target,
    TargetCheck,
    Threshold,
    Worker,
)


class RunbookSerializer(serializers.ModelSerializer):
    params = serializers.SerializerMethodField(help_text="The typed parameters of a launch, by name.")
    version = serializers.CharField(source="current.sha256", read_only=True, help_text="The hash of the current text.")

    class Meta:
        model = Runbook
        fields = [
            "slug",
            "title",
            "description",
            "purpose",
            "owner",
            "risk",
            "tier_level",
            "role",
            "version",
            "retired_at",
            "params",
        ]

    def get_params(self, runbook: Runbook) -> dict[str, Any]:
        return dict(runbook.current.spec.get("params", {})) if runbook.current else {}


class RunbookVersionSerializer(serializers.ModelSerializer):
    class Meta:
        model = RunbookVersion
        fields = ["sha256", "text", "created_at"]


class RunbookDraftSerializer(serializers.ModelSerializer):
    runbook = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    author = serializers.SlugRelatedField(slug_field="email", read_only=True)
    reviewer = serializers.SlugRelatedField(slug_field="email", read_only=True)
    state = serializers.CharField(read_only=True)

    class Meta:
        model = RunbookDraft
        fields = [
            "id",
            "runbook",
            "text",
            "note",
            "state",
            "author",
            "reviewer",
            "review_note",
            "created_at",
            "changed_at",
        ]


class DraftWriteSerializer(serializers.Serializer):
    runbook = serializers.SlugField(required=False, default="", allow_blank=True, help_text="Empty for a new one.")
    text = serializers.CharField(max_length=200_000, trim_whitespace=False)
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class ReviewSerializer(serializers.Serializer):
    sha256 = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Of the text that you have seen; another answers 409."
    )
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class FavouriteSerializer(serializers.Serializer):
    favourite = serializers.BooleanField(default=True)


class RetiredSerializer(serializers.Serializer):
    retired = serializers.BooleanField(default=True)


class ProblemSerializer(serializers.Serializer):
    valid = serializers.BooleanField()
    problems = serializers.ListField(child=serializers.CharField())


class ValidateSerializer(serializers.Serializer):
    text = serializers.CharField(max_length=400_000, trim_whitespace=False, allow_blank=True)


class SecretSerializer(serializers.ModelSerializer):
    """A secret by name; its value is never given out."""

    class Meta:
        model = Secret
        fields = ["name", "changed_at"]


class SecretWriteSerializer(serializers.Serializer):
    value = serializers.CharField(max_length=64 * 1024, trim_whitespace=False, write_only=True)


class ConnectionCheckSerializer(serializers.ModelSerializer):
    class Meta:
        model = TargetCheck
        fields = ["connection", "ok", "message", "milliseconds", "at"]


class TargetSerializer(serializers.ModelSerializer):
    """A target by name. How it is reached is shown to leads, administrators and auditors; secrets to nobody."""

    connections = serializers.SerializerMethodField()

    class Meta:
        model = Target
        fields = [
            "slug",
            "name",
            "environment",
            "site",
            "labels",
            "zone",
            "windows",
            "freezes",
            "approvals",
            "run_level",
            "retired_at",
            "connections",
        ]

    def get_connections(self, target: Target) -> list[str]:
        return sorted(target.connections)


class TargetWriteSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    environment = serializers.CharField(max_length=40, default="production")
    connections = serializers.DictField(child=serializers.DictField())
    site = serializers.SlugField(required=False, allow_blank=True)
    labels = serializers.DictField(child=serializers.CharField(), required=False)
    zone = serializers.CharField(required=False)
    windows = serializers.ListField(child=serializers.DictField(), required=False)
    freezes = serializers.ListField(child=serializers.DictField(), required=False)
    approvals = serializers.DictField(child=serializers.IntegerField(), required=False)
    run_level = serializers.IntegerField(required=False, min_value=1, max_value=3)


class NewTargetSerializer(TargetWriteSerializer):
    slug = serializers.SlugField(max_length=50)


class StepSerializer(serializers.Serializer):
    id = serializers.CharField()
    title = serializers.CharField()
    uses = serializers.CharField()
    effect = serializers.CharField()
    phase = serializers.CharField()
    state = serializers.ChoiceField(StepState.choices)
    message = serializers.CharField(source="run.message", default="")
    tries = serializers.IntegerField(source="run.tries", default=0)
    started_at = serializers.DateTimeField(source="run.started_at", default=None, allow_null=True)
    finished_at = serializers.DateTimeField(source="run.finished_at", default=None, allow_null=True)
    captured = serializers.JSONField(source="run.captured", default=dict)
    result = serializers.JSONField(source="run.result", default=dict)


class ExecutionSerializer(serializers.ModelSerializer):
    runbook = serializers.CharField(source="version.runbook.slug")
    version = serializers.CharField(source="version.sha256")
    target = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    ticket = serializers.SlugRelatedField(slug_field="number", read_only=True)
    requested_by = serializers.SlugRelatedField(slug_field="email", read_only=True)
    batch = serializers.PrimaryKeyRelatedField(read_only=True)
    parent: Any = serializers.PrimaryKeyRelatedField(read_only=True)

    class Meta:
        model = Execution
        fields = [
            "id", "runbook", "version", "target", "ticket", "params", "dry_run", "trigger", "state", "requested_by", "created_at",
            "started_at", "finished_at", "attempt", "summary", "waiting_for", "wake_at", "plan_hash", "approvals_needed",
            "approval_expires_at", "break_glass_reason", "batch", "parent", "scheduled_for", "last_seq", "output_bytes",
            "output_lines",
        ]  # fmt: skip


class RunApprovalSerializer(serializers.ModelSerializer):
    approver = serializers.SlugRelatedField(slug_field="email", read_only=True)

    class Meta:
        model = RunApproval
        fields = ["approver", "approved", "comment", "at"]


class ExecutionDetailSerializer(ExecutionSerializer):
    steps = StepSerializer(many=True)
    approvals = RunApprovalSerializer(many=True)

    class Meta(ExecutionSerializer.Meta):
        fields = [*ExecutionSerializer.Meta.fields, "approvals", "steps"]


class StartSerializer(serializers.Serializer):
    target = serializers.CharField(required=False, default="")
    targets = serializers.ListField(child=serializers.CharField(), required=False, default=list, max_length=500)
    params = serializers.DictField(required=False, default=dict)
    ticket = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1, max_value=2**62)
    dry_run = serializers.BooleanField(required=False, default=False)
    break_glass = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)
    size = serializers.IntegerField(
        required=False, min_value=1, max_value=100, help_text="Of several targets: so many at a time."
    )
    stop_after = serializers.IntegerField(
        required=False, min_value=1, max_value=500, help_text="Stop when so many have failed."
    )


class StartedSerializer(ExecutionDetailSerializer):
    """The run; of several targets the first, with the ids of all in `runs`."""

    runs = serializers.ListField(child=serializers.IntegerField())

    class Meta(ExecutionDetailSerializer.Meta):
        fields = [*ExecutionDetailSerializer.Meta.fields, "runs"]


class ChunkSerializer(serializers.ModelSerializer):
    """A piece of output. Joined pieces stand for `first_seq` to `seq`; `text` marks bytes that are no UTF-8."""

    step = serializers.CharField(source="step_id")
    text = serializers.SerializerMethodField()

    class Meta:
        model = OutputChunk
        fields = ["first_seq", "seq", "attempt", "step", "stream", "text", "line", "at"]

    def get_text(self, chunk: OutputChunk) -> str:
        return display.decoded(bytes(chunk.data))


class OutputSerializer(serializers.Serializer):
    """`after` is what to ask for next; `more` says that there is more already; `final` that nothing will come."""

    state = serializers.CharField()
    final = serializers.BooleanField()
    after = serializers.IntegerField()
    more = serializers.BooleanField()
    chunks = ChunkSerializer(many=True)


class HitSerializer(serializers.Serializer):
    line = serializers.IntegerField(help_text="Counted from 1.")
    text = serializers.CharField()


class HitsSerializer(serializers.Serializer):
    hits = HitSerializer(many=True)
    more = serializers.BooleanField()


class ResumeSerializer(serializers.Serializer):
    from_start = serializers.BooleanField(required=False, default=False)


class ComparedParamSerializer(serializers.Serializer):
    name = serializers.CharField()
    one = serializers.JSONField(allow_null=True)
    other = serializers.JSONField(allow_null=True)
    differs = serializers.BooleanField()


class ComparedStepSerializer(serializers.Serializer):
    title = serializers.CharField()
    one = serializers.CharField(allow_null=True)
    other = serializers.CharField(allow_null=True)
    differs = serializers.BooleanField()


class ComparisonSerializer(serializers.Serializer):
    same_version = serializers.BooleanField()
    params = ComparedParamSerializer(many=True)
    steps = ComparedStepSerializer(many=True)


class DecisionSerializer(serializers.Serializer):
    approved = serializers.BooleanField()
    comment = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)
    plan_hash = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="What you have seen; another plan answers 409."
    )


class StepAnswerSerializer(serializers.Serializer):
    step = serializers.CharField()
    done = serializers.BooleanField()
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)
    fields_ = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False, default=dict)

    def get_fields(self) -> Any:
        found = super().get_fields()
        found["fields"] = found.pop("fields_")
        return found


class AheadSerializer(serializers.ModelSerializer):
    runbook = serializers.CharField(source="version.runbook.slug", read_only=True)
    target = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    approver = serializers.SlugRelatedField(slug_field="email", read_only=True)

    class Meta:
        model = AdvanceApproval
        fields = [
            "id",
            "runbook",
            "target",
            "params",
            "plan_hash",
            "approver",
            "starts_at",
            "ends_at",
            "comment",
            "revoked_at",
        ]


class AheadWriteSerializer(serializers.Serializer):
    runbook = serializers.SlugField()
    target = serializers.CharField()
    params = serializers.DictField(required=False, default=dict)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    comment = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class FireSerializer(serializers.ModelSerializer):
    target = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = ScheduleFire
        fields = ["moment", "target", "outcome", "execution", "note", "at"]


class ScheduleSerializer(serializers.ModelSerializer):
    runbook = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    targets = serializers.SlugRelatedField(slug_field="slug", many=True, read_only=True)
    owner = serializers.SlugRelatedField(slug_field="email", read_only=True)
    missed, gap, fold, overlap = (serializers.CharField(read_only=True) for _ in range(4))

    class Meta:
        model = Schedule
        fields = [
            "id", "name", "runbook", "targets", "params", "cron", "zone", "missed", "grace_seconds", "gap", "fold", "overlap",
            "jitter_seconds", "owner", "paused_at", "next_at",
        ]  # fmt: skip


class ScheduleWriteSerializer(serializers.Serializer):
    name = serializers.SlugField(max_length=80)
    runbook = serializers.SlugField()
    targets = serializers.ListField(child=serializers.CharField(), max_length=100)
    params = serializers.DictField(required=False, default=dict)
    cron = serializers.CharField(max_length=120)
    zone = serializers.CharField(max_length=64, default="UTC")
    missed = serializers.ChoiceField(Missed.choices, default=Missed.ONCE)
    grace_seconds = serializers.IntegerField(min_value=60, max_value=604_800, default=3600)
    gap = serializers.ChoiceField(Gap.choices, default=Gap.FORWARD)
    fold = serializers.ChoiceField(Fold.choices, default=Fold.FIRST)
    overlap = serializers.ChoiceField(Overlap.choices, default=Overlap.SKIP)
    jitter_seconds = serializers.IntegerField(min_value=0, max_value=3600, default=0)


class WorkerSerializer(serializers.ModelSerializer):
    alive = serializers.BooleanField(source="is_alive")

    class Meta:
        model = Worker
        fields = ["name", "queues", "slots", "version", "started_at", "seen_at", "draining_at", "stopped_at", "alive"]


class QueueStateSerializer(serializers.Serializer):
    name = serializers.CharField()
    depth = serializers.IntegerField(allow_null=True, help_text="Messages in Redis; null while Redis is away.")
    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    workers = serializers.IntegerField()
    canary_at = serializers.DateTimeField(allow_null=True)
    healthy = serializers.BooleanField(source="is_healthy")


class LockSerializer(serializers.ModelSerializer):
    class Meta:
        model = RunLock
        fields = ["key", "execution", "exclusive", "waits_since", "held_since"]


class FleetSerializer(serializers.Serializer):
    workers = WorkerSerializer(many=True)
    queues = QueueStateSerializer(many=True)
    locks = LockSerializer(many=True)


class ThresholdSerializer(serializers.ModelSerializer):
    class Meta:
        model = Threshold
        fields = ["slug", "name", "group", "unit", "warning", "critical", "below"]
