"""Runs over REST: start, follow, decide, compare."""

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.response import Response

from runbooks import actions, queries
from runbooks.api.serializers import (
    AheadSerializer,
    AheadWriteSerializer,
    ComparisonSerializer,
    DecisionSerializer,
    ExecutionDetailSerializer,
    ExecutionSerializer,
    HitsSerializer,
    OutputSerializer,
    ResumeSerializer,
    RunApprovalSerializer,
    StepAnswerSerializer,
    StepSerializer,
)
from runbooks.models import AdvanceApproval, Execution
from supportdesk.api import IDEMPOTENCY_KEY, ApiRequest, DeskViewSet
from supportdesk.errors import NotPermitted
from supportdesk.text import number_of


def scopes_of(request: ApiRequest) -> list[str] | None:
    """The scopes of a token; None in a browser session."""
    return getattr(request.auth, "scopes", None)


def run_data(request: ApiRequest, pk: int) -> dict[str, object]:
    detail = queries.run_detail(request.user, pk)
    return {
        **ExecutionSerializer(detail.execution).data,
        "approvals": RunApprovalSerializer(detail.approvals, many=True).data,
        "steps": StepSerializer(detail.steps, many=True).data,
    }


class ExecutionViewSet(mixins.ListModelMixin, DeskViewSet):
    """Runs: read, follow, stop, approve, answer, try again."""

    serializer_class = ExecutionSerializer
    lookup_value_regex = r"\d{1,18}"
    filterset_fields = {
        "state": ["exact", "in"],
        "version__runbook__slug": ["exact"],
        "target__slug": ["exact"],
        "ticket__number": ["exact"],
        "trigger": ["exact"],
        "batch": ["exact"],
    }
    ordering_fields = ["id", "created_at"]
    scopes = {
        "cancel": "runs:read", "resume": "runs:read", "give_up": "runs:read", "pause": "runs:read", "go_on": "runs:read",
        "retry": "runs:read", "stop_batch": "runs:read", "decide": "runs:read", "answer": "runs:read", "*": "read",
    }  # fmt: skip

    def get_queryset(self) -> QuerySet[Execution]:
        if getattr(self, "swagger_fake_view", False):
            return Execution.objects.none()
        return queries.executions(self.request.user)

    @extend_schema(responses=ExecutionDetailSerializer)
    def retrieve(self, request: ApiRequest, pk: str) -> Response:
        """One run with its steps and approvals."""
        return Response(run_data(request, int(pk)))

    @extend_schema(
        responses=OutputSerializer,
        parameters=[
            OpenApiParameter(
                "after", OpenApiTypes.INT, description="The last sequence number that you have; 0 for all."
            ),
            OpenApiParameter(
                "line", OpenApiTypes.INT, description="Instead: from this line, counted from 0; -100 for the last 100."
            ),
        ],
    )
    @action(detail=True, methods=["get"], filter_backends=[], pagination_class=None)
    def output(self, request: ApiRequest, pk: str) -> Response:
        """Output after a sequence number: ask again with the `after` of the answer to follow a run."""
        execution = queries.execution(request.user, int(pk))
        line = request.query_params.get("line")
        if line is not None:
            part = queries.output_window(execution, line=queries.line_of(line))
        else:
            part = queries.output(execution, after=number_of(request.query_params.get("after", "0")) or 0)
        answer = {
            "state": execution.state,
            "final": execution.is_final and part.after >= execution.last_seq,
            "after": part.after,
            "more": part.more,
            "chunks": part.chunks,
        }
        return Response(OutputSerializer(answer).data)

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY)})
    @action(detail=True, methods=["get"], filter_backends=[], pagination_class=None, url_path="output/raw")
    def raw(self, request: ApiRequest, pk: str) -> StreamingHttpResponse:
        """All of the output, byte for byte as it was stored."""
        found = queries.execution(request.user, int(pk))
        headers = {"Content-Disposition": f'attachment; filename="run-{found.pk}.log"'}
        return StreamingHttpResponse(
            queries.raw_output(found), content_type="application/octet-stream", headers=headers
        )

    @extend_schema(responses=HitsSerializer, parameters=[OpenApiParameter("q", OpenApiTypes.STR, required=True)])
    @action(detail=True, methods=["get"], filter_backends=[], pagination_class=None, url_path="output/search")
    def search(self, request: ApiRequest, pk: str) -> Response:
        """Lines of the output that hold a text, whatever its case."""
        found = queries.execution(request.user, int(pk))
        wanted = request.query_params.get("q", "")[:200]
        hits, more = queries.search_output(found, wanted) if wanted else ([], False)
        return Response({"hits": [{"line": number + 1, "text": text} for number, text in hits], "more": more})

    @extend_schema(request=None, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def cancel(self, request: ApiRequest, pk: str) -> Response:
        """Stop a run; it is `cancelled` once every process of it has ended."""
        actions.cancel(execution_id=int(pk), by=request.user, scopes=scopes_of(request))
        return Response(run_data(request, int(pk)))

    @extend_schema(request=None, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def pause(self, request: ApiRequest, pk: str) -> Response:
        """Let the running step end and begin no other."""
        actions.pause(execution_id=int(pk), by=request.user, scopes=scopes_of(request))
        return Response(run_data(request, int(pk)))

    @extend_schema(request=None, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], url_path="go-on")
    def go_on(self, request: ApiRequest, pk: str) -> Response:
        """Take a pause back."""
        actions.go_on(execution_id=int(pk), by=request.user, scopes=scopes_of(request))
        return Response(run_data(request, int(pk)))

    @extend_schema(request=ResumeSerializer, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def resume(self, request: ApiRequest, pk: str) -> Response:
        """Queue a lost run again, from the interrupted step or from the start."""
        serializer = ResumeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        actions.resume(
            execution_id=int(pk),
            by=request.user,
            scopes=scopes_of(request),
            from_start=serializer.validated_data["from_start"],
        )
        return Response(run_data(request, int(pk)))

    @extend_schema(request=None, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], url_path="give-up")
    def give_up(self, request: ApiRequest, pk: str) -> Response:
        """Call a lost run failed."""
        actions.give_up(execution_id=int(pk), by=request.user, scopes=scopes_of(request))
        return Response(run_data(request, int(pk)))

    @extend_schema(request=None, responses={201: ExecutionDetailSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def retry(self, request: ApiRequest, pk: str) -> Response:
        """A new run that goes on at the step that failed."""
        new = actions.retry(execution_id=int(pk), by=request.user, scopes=scopes_of(request))
        return Response(run_data(request, new.pk), status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], url_path="stop-batch")
    def stop_batch(self, request: ApiRequest, pk: str) -> Response:
        """Begin no more runs of the launch over several targets that this one belongs to."""
        actions.stop_batch(execution_id=int(pk), by=request.user, scopes=scopes_of(request))
        return Response(run_data(request, int(pk)))

    @extend_schema(
        responses=ComparisonSerializer, parameters=[OpenApiParameter("with", OpenApiTypes.INT, required=True)]
    )
    @action(detail=True, methods=["get"], filter_backends=[], pagination_class=None)
    def compare(self, request: ApiRequest, pk: str) -> Response:
        """This run beside another: parameters and steps, and which of them differ."""
        other = number_of(request.query_params.get("with", "")) or 0
        found = queries.compare(request.user, int(pk), other)
        answer = {
            "same_version": found.same_version,
            "params": [dict(zip(("name", "one", "other", "differs"), row, strict=True)) for row in found.params],
            "steps": [
                {"title": title, "one": one and one.state, "other": two and two.state, "differs": differs}
                for title, one, two, differs in found.steps
            ],
        }
        return Response(answer)

    @extend_schema(request=DecisionSerializer, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def decide(self, request: ApiRequest, pk: str) -> Response:
        """Say yes or no to a run that waits for approval."""
        serializer = DecisionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        actions.approve(
            execution_id=int(pk),
            by=request.user,
            approved=data["approved"],
            comment=data["comment"],
            plan=data["plan_hash"],
        )
        return Response(run_data(request, int(pk)))

    @extend_schema(request=StepAnswerSerializer, responses=ExecutionDetailSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def answer(self, request: ApiRequest, pk: str) -> Response:
        """Answer a manual step."""
        if request.user.standing.is_integration:
            raise NotPermitted("A manual step is answered by a person.")
        serializer = StepAnswerSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        fields = {str(name): str(value) for name, value in (dict(request.data).get("fields") or {}).items()}
        actions.answer(
            execution_id=int(pk),
            step_id=data["step"],
            by=request.user,
            done=data["done"],
            note=data["note"],
            fields=fields,
        )
        return Response(run_data(request, int(pk)))


class AheadViewSet(mixins.ListModelMixin, DeskViewSet):
    """Approvals given ahead, for one plan within a window."""

    serializer_class = AheadSerializer
    lookup_value_regex = r"\d{1,18}"
    scopes = {"create": "runs:read", "revoke": "runs:read", "*": "read"}

    def get_queryset(self) -> QuerySet[AdvanceApproval]:
        return queries.given_ahead()

    @extend_schema(request=AheadWriteSerializer, responses={201: AheadSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        """Say yes now to a run that somebody else will start."""
        serializer = AheadWriteSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        made = actions.approve_ahead(slug=data.pop("runbook"), by=request.user, **data)
        return Response(AheadSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def revoke(self, request: ApiRequest, pk: str) -> Response:
        """Take it back."""
        actions.revoke_ahead(ahead_id=int(pk), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)
