"""Runbooks, targets and runs over REST."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from runbooks import actions, queries
from runbooks.models import Execution, OutputChunk, Runbook, StepState, Target
from supportdesk.api import IDEMPOTENCY_KEY, ApiRequest, DeskViewSet


class RunbookSerializer(serializers.ModelSerializer):
    params = serializers.SerializerMethodField(help_text="The typed parameters of a launch, by name.")

    class Meta:
        model = Runbook
        fields = ["slug", "title", "description", "purpose", "owner", "risk", "tier_level", "params"]

    def get_params(self, runbook: Runbook) -> dict[str, Any]:
        return dict(runbook.current.spec.get("params", {})) if runbook.current else {}


class TargetSerializer(serializers.ModelSerializer):
    """A target by name; its connections are for workers only."""

    connections = serializers.SerializerMethodField()

    class Meta:
        model = Target
        fields = ["slug", "name", "environment", "connections"]

    def get_connections(self, target: Target) -> list[str]:
        return sorted(target.connections)


class StepSerializer(serializers.Serializer):
    id = serializers.CharField()
    title = serializers.CharField()
    uses = serializers.CharField()
    effect = serializers.CharField()
    state = serializers.ChoiceField(StepState.choices)
    message = serializers.CharField(source="run.message", default="")
    started_at = serializers.DateTimeField(source="run.started_at", default=None, allow_null=True)
    finished_at = serializers.DateTimeField(source="run.finished_at", default=None, allow_null=True)
    result = serializers.JSONField(source="run.result", default=dict)


class ExecutionSerializer(serializers.ModelSerializer):
    runbook = serializers.CharField(source="version.runbook.slug")
    version = serializers.CharField(source="version.sha256")
    target = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    ticket = serializers.SlugRelatedField(slug_field="number", read_only=True)
    requested_by = serializers.SlugRelatedField(slug_field="email", read_only=True)

    class Meta:
        model = Execution
        fields = [
            "id", "runbook", "version", "target", "ticket", "params", "dry_run", "state", "requested_by", "created_at",
            "started_at", "finished_at", "attempt", "summary", "last_seq",
        ]  # fmt: skip


class ExecutionDetailSerializer(ExecutionSerializer):
    steps = StepSerializer(many=True)

    class Meta(ExecutionSerializer.Meta):
        fields = [*ExecutionSerializer.Meta.fields, "steps"]


class StartSerializer(serializers.Serializer):
    target = serializers.CharField()
    params = serializers.DictField(required=False, default=dict)
    ticket = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1, max_value=2**62)
    dry_run = serializers.BooleanField(required=False, default=False)


class ChunkSerializer(serializers.ModelSerializer):
    step = serializers.CharField(source="step_id")

    class Meta:
        model = OutputChunk
        fields = ["seq", "attempt", "step", "stream", "text", "at"]


class OutputSerializer(serializers.Serializer):
    """`after` is what to ask for next; `more` says that there is more already; `final` that nothing will come."""

    state = serializers.CharField()
    final = serializers.BooleanField()
    after = serializers.IntegerField()
    more = serializers.BooleanField()
    chunks = ChunkSerializer(many=True)


class ResumeSerializer(serializers.Serializer):
    from_start = serializers.BooleanField(required=False, default=False)


def _scopes(request: ApiRequest) -> list[str] | None:
    """The scopes of a token; None in a browser session."""
    return getattr(request.auth, "scopes", None)


class RunbookViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Runbooks, and starting them."""

    queryset = Runbook.objects.filter(current__isnull=False).select_related("current")
    serializer_class = RunbookSerializer
    lookup_field = "slug"
    filterset_fields = ["risk", "purpose"]
    ordering_fields = ["title", "slug"]
    scopes = {"runs": "runs:read", "*": "read"}

    @extend_schema(request=StartSerializer, responses={201: ExecutionDetailSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def runs(self, request: ApiRequest, slug: str) -> Response:
        """Start a run. The token needs the scope of the runbook's risk as well: runs:read, runs:change or runs:destructive."""
        serializer = StartSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        execution = actions.start(slug=slug, by=request.user, scopes=_scopes(request), **serializer.validated_data)
        return _run(request, execution.pk, status.HTTP_201_CREATED)


def _run(request: ApiRequest, pk: int, code: int = status.HTTP_200_OK) -> Response:
    detail = queries.run_detail(request.user, pk)
    data = ExecutionSerializer(detail.execution).data | {"steps": StepSerializer(detail.steps, many=True).data}
    return Response(data, status=code)


class ExecutionViewSet(mixins.ListModelMixin, DeskViewSet):
    """Runs: read, follow, cancel, and decide about one that lost its worker."""

    serializer_class = ExecutionSerializer
    lookup_value_regex = r"\d{1,18}"
    filterset_fields = {"state": ["exact", "in"], "version__runbook__slug": ["exact"], "ticket__number": ["exact"]}
    ordering_fields = ["id", "created_at"]
    scopes = {"cancel": "runs:read", "resume": "runs:read", "give_up": "runs:read", "*": "read"}

    def get_queryset(self) -> QuerySet[Execution]:
        if getattr(self, "swagger_fake_view", False):
            return Execution.objects.none()
        return queries.executions(self.request.user)

    @extend_schema(responses=ExecutionDetailSerializer)
    def retrieve(self, request: ApiRequest, pk: str) -> Response:
        """One run with its steps."""
        return _run(request, int(pk))

    @extend_schema(
        responses=OutputSerializer,
        parameters=[
            OpenApiParameter(
                "after", OpenApiTypes.INT, description="The last sequence number that you have; 0 for all."
            )
        ],
    )
    @action(detail=True, methods=["get"], filter_backends=[], pagination_class=None)
    def output(self, request: ApiRequest, pk: str) -> Response:
        """Output after a sequence number: ask again with the `after` of the answer to follow a run."""
        execution = queries.execution(request.user, int(pk))
        after = request.query_params.get("after", "0")
        part = queries.output(execution, after=int(after) if after.isdecimal() and len(after) < 18 else 0)
        answer = {
            "state": execution.state,
            "final": execution.is_final and part.after >= execution.last_seq,
            "after": part.after,
            "more": part.more,
            "chunks": part.chunks,
        }
        return Response(OutputSerializer(answer).data)

    @extend_schema(request=None, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def cancel(self, request: ApiRequest, pk: str) -> Response:
        """Stop a run; it is `cancelled` once every process of it has ended."""
        actions.cancel(execution_id=int(pk), by=request.user, scopes=_scopes(request))
        return _run(request, int(pk))

    @extend_schema(request=ResumeSerializer, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def resume(self, request: ApiRequest, pk: str) -> Response:
        """Queue a lost run again, from the interrupted step or from the start."""
        serializer = ResumeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        actions.resume(
            execution_id=int(pk),
            by=request.user,
            scopes=_scopes(request),
            from_start=serializer.validated_data["from_start"],
        )
        return _run(request, int(pk))

    @extend_schema(request=None, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], url_path="give-up")
    def give_up(self, request: ApiRequest, pk: str) -> Response:
        """Call a lost run failed."""
        actions.give_up(execution_id=int(pk), by=request.user, scopes=_scopes(request))
        return _run(request, int(pk))


class TargetViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Systems that runbooks run on, without their addresses and secrets."""

    queryset = Target.objects.all()
    serializer_class = TargetSerializer
    lookup_field = "slug"
    filterset_fields = ["environment"]
