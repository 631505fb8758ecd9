"""Runbooks, drafts, targets, schedules, thresholds and the fleet over REST."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.response import Response

from runbooks import actions, definition, fleet, policies, queries
from runbooks.api.runs import run_data, scopes_of
from runbooks.api.serializers import (
    ConnectionCheckSerializer,
    DraftWriteSerializer,
    ExecutionDetailSerializer,
    FavouriteSerializer,
    FireSerializer,
    FleetSerializer,
    NewTargetSerializer,
    ProblemSerializer,
    RetiredSerializer,
    ReviewSerializer,
    RunbookDraftSerializer,
    RunbookSerializer,
    RunbookVersionSerializer,
    ScheduleSerializer,
    ScheduleWriteSerializer,
    SecretSerializer,
    SecretWriteSerializer,
    StartedSerializer,
    StartSerializer,
    TargetSerializer,
    TargetWriteSerializer,
    ThresholdSerializer,
    ValidateSerializer,
)
from runbooks.models import Runbook, RunbookDraft, Schedule, Target, Threshold, Trigger, Worker
from supportdesk.api import IDEMPOTENCY_KEY, ApiRequest, DeskViewSet
from supportdesk.errors import Conflict


def _valid(serializer: Any) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class RunbookViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Runbooks, and starting them."""

    queryset = Runbook.objects.none()
    serializer_class = RunbookSerializer
    lookup_field = "slug"
    filterset_fields = ["risk", "purpose"]
    ordering_fields = ["title", "slug"]
    search_fields = ["title", "slug", "description"]
    scopes = {"runs": "runs:read", "retire": "runs:change", "*": "read"}

    def get_queryset(self) -> QuerySet[Runbook]:
        if getattr(self, "swagger_fake_view", False):
            return Runbook.objects.none()
        return Runbook.objects.visible_to(self.request.user).filter(current__isnull=False).select_related("current")

    @extend_schema(request=StartSerializer, responses={201: StartedSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def runs(self, request: ApiRequest, slug: str) -> Response:
        """Start a run. The token needs the scope of the runbook's risk as well: runs:read, runs:change or runs:destructive."""
        data = _valid(StartSerializer(data=request.data))
        first = data.pop("target")
        slugs = [*([first] if first else []), *data.pop("targets")]
        trigger = Trigger.TICKET if data.get("ticket") else Trigger.API
        runs = actions.start_many(
            slug=slug, targets=slugs, by=request.user, scopes=scopes_of(request), trigger=trigger, **data
        )
        answer = run_data(request, runs[0].pk) | {"runs": [run.pk for run in runs]}
        return Response(answer, status=status.HTTP_201_CREATED)

    @extend_schema(request=FavouriteSerializer, responses=RunbookSerializer)
    @action(detail=True, methods=["post"])
    def favourite(self, request: ApiRequest, slug: str) -> Response:
        """Keep it at the top of one's own catalogue, or not."""
        wanted = _valid(FavouriteSerializer(data=request.data))["favourite"]
        return Response(RunbookSerializer(actions.set_favourite(slug=slug, by=request.user, favourite=wanted)).data)

    @extend_schema(request=RetiredSerializer, responses=RunbookSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: ApiRequest, slug: str) -> Response:
        """Take it out of use, or back into it."""
        retired = _valid(RetiredSerializer(data=request.data))["retired"]
        return Response(RunbookSerializer(actions.retire(slug=slug, by=request.user, retired=retired)).data)

    @extend_schema(responses=RunbookVersionSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def versions(self, request: ApiRequest, slug: str) -> Response:
        """Every text that was ever current, newest first."""
        runbook, _ = queries.runbook(request.user, slug)
        return Response(RunbookVersionSerializer(runbook.versions.order_by("-pk")[:100], many=True).data)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=False, methods=["get"], pagination_class=None, filter_backends=[], url_path="schema")
    def json_schema(self, request: ApiRequest) -> Response:
        """The JSON Schema of a definition, for editors."""
        return Response(definition.json_schema())

    @extend_schema(request=ValidateSerializer, responses=ProblemSerializer)
    @action(detail=False, methods=["post"], pagination_class=None, filter_backends=[])
    def validate(self, request: ApiRequest) -> Response:
        """Check a text; every problem names line, column and field."""
        text = _valid(ValidateSerializer(data=request.data))["text"]
        try:
            definition.parse(text)
        except definition.DefinitionError as error:
            return Response({"valid": False, "problems": error.problems})
        return Response({"valid": True, "problems": []})


class RunbookDraftViewSet(mixins.ListModelMixin, DeskViewSet):
    """Texts on their way to a version: one person writes, another publishes."""

    serializer_class = RunbookDraftSerializer
    lookup_value_regex = r"\d{1,18}"
    scopes = {"list": "read", "retrieve": "read", "*": "runs:change"}

    def get_queryset(self) -> QuerySet[RunbookDraft]:
        if getattr(self, "swagger_fake_view", False):
            return RunbookDraft.objects.none()
        return queries.drafts_for(self.request.user)

    def retrieve(self, request: ApiRequest, pk: str) -> Response:
        return Response(RunbookDraftSerializer(queries.draft(request.user, int(pk))).data)

    @extend_schema(request=DraftWriteSerializer, responses={201: RunbookDraftSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        data = _valid(DraftWriteSerializer(data=request.data))
        made = actions.save_draft(by=request.user, text=data["text"], note=data["note"], slug=data["runbook"])
        return Response(RunbookDraftSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=DraftWriteSerializer, responses=RunbookDraftSerializer)
    def partial_update(self, request: ApiRequest, pk: str) -> Response:
        """Write one's own draft anew."""
        data = _valid(DraftWriteSerializer(data=request.data))
        queries.draft(request.user, int(pk))
        made = actions.save_draft(by=request.user, text=data["text"], note=data["note"], draft_id=int(pk))
        return Response(RunbookDraftSerializer(made).data)

    @extend_schema(request=None, responses=RunbookDraftSerializer)
    @action(detail=True, methods=["post"])
    def submit(self, request: ApiRequest, pk: str) -> Response:
        """Ask for a review."""
        queries.draft(request.user, int(pk))
        return Response(RunbookDraftSerializer(actions.submit_draft(draft_id=int(pk), by=request.user)).data)

    @extend_schema(request=ReviewSerializer, responses=RunbookDraftSerializer)
    @action(detail=True, methods=["post"])
    def publish(self, request: ApiRequest, pk: str) -> Response:
        """Make it the current version; never by its author."""
        queries.draft(request.user, int(pk))
        done = actions.publish_draft(draft_id=int(pk), by=request.user, **_valid(ReviewSerializer(data=request.data)))
        return Response(RunbookDraftSerializer(done).data)

    @extend_schema(request=ReviewSerializer, responses=RunbookDraftSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: ApiRequest, pk: str) -> Response:
        """Send it back with what is wrong with it."""
        queries.draft(request.user, int(pk))
        note = _valid(ReviewSerializer(data=request.data))["note"]
        return Response(RunbookDraftSerializer(actions.reject_draft(draft_id=int(pk), by=request.user, note=note)).data)


class TargetViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Systems that runbooks run on."""

    queryset = Target.objects.all()
    serializer_class = TargetSerializer
    lookup_field = "slug"
    filterset_fields = ["environment", "site"]
    scopes = {"list": "read", "retrieve": "read", "reach": "read", "*": "runs:destructive"}

    @extend_schema(request=NewTargetSerializer, responses={201: TargetSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        """Make a target. Passwords are given apart, as secrets."""
        policies.check_can_manage_targets(request.user)
        data = _valid(NewTargetSerializer(data=request.data))
        if Target.objects.filter(slug=data["slug"]).exists():
            raise Conflict(f"There is a target {data['slug']} already.")
        return Response(
            TargetSerializer(actions.save_target(by=request.user, **data)).data, status=status.HTTP_201_CREATED
        )

    @extend_schema(request=TargetWriteSerializer, responses=TargetSerializer)
    def partial_update(self, request: ApiRequest, slug: str) -> Response:
        """Change a target; what is not given stays."""
        policies.check_can_manage_targets(request.user)
        found = queries.target(slug)
        data = _valid(TargetWriteSerializer(data=request.data, partial=True))
        kept = {"name": found.name, "environment": found.environment, "connections": found.connections}
        return Response(TargetSerializer(actions.save_target(slug=slug, by=request.user, **(kept | data))).data)

    @extend_schema(request=RetiredSerializer, responses=TargetSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: ApiRequest, slug: str) -> Response:
        """Take it out of use, or back into it."""
        retired = _valid(RetiredSerializer(data=request.data))["retired"]
        return Response(TargetSerializer(actions.retire_target(slug=slug, by=request.user, retired=retired)).data)

    @extend_schema(responses=OpenApiTypes.OBJECT, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def reach(self, request: ApiRequest, slug: str) -> Response:
        """How it is reached, without secrets; for leads, administrators and auditors."""
        policies.check_can_see_targets(request.user)
        found = queries.target(slug)
        checks = ConnectionCheckSerializer(found.checks.order_by("connection"), many=True).data
        secrets = SecretSerializer(found.secrets.order_by("name"), many=True).data
        return Response({"connections": found.connections, "secrets": secrets, "checks": checks})

    @extend_schema(
        request=SecretWriteSerializer,
        responses={204: None},
        parameters=[OpenApiParameter("name", OpenApiTypes.STR, location="path")],
    )
    @action(detail=True, methods=["post"], url_path=r"secrets/(?P<name>[-\w]{1,50})")
    def secrets(self, request: ApiRequest, slug: str, name: str) -> Response:
        """Write a secret; nobody reads it again."""
        value = _valid(SecretWriteSerializer(data=request.data))["value"]
        policies.check_can_manage_targets(request.user)
        actions.set_secret(target=queries.target(slug), name=name, value=value, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        request=None,
        responses=ConnectionCheckSerializer,
        parameters=[OpenApiParameter("name", OpenApiTypes.STR, location="path")],
    )
    @action(detail=True, methods=["post"], url_path=r"connections/(?P<name>[a-z][-\w]{0,39})/test")
    def test(self, request: ApiRequest, slug: str, name: str) -> Response:
        """Try a connection from the web server's machine."""
        policies.check_can_manage_targets(request.user)
        found = actions.test_connection(target=queries.target(slug), name=name, by=request.user)
        return Response(ConnectionCheckSerializer(found).data)


class ScheduleViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Runbooks that start by themselves."""

    queryset = Schedule.objects.none()
    serializer_class = ScheduleSerializer
    lookup_value_regex = r"\d{1,18}"
    filterset_fields = ["runbook__slug"]
    scopes = {"list": "read", "retrieve": "read", "moments": "read", "fires": "read", "*": "runs:change"}

    def get_queryset(self) -> QuerySet[Schedule]:
        if getattr(self, "swagger_fake_view", False):
            return Schedule.objects.none()
        return queries.schedules(self.request.user)

    def _saved(self, request: ApiRequest, pk: int | None) -> Schedule:
        data = _valid(ScheduleWriteSerializer(data=request.data))
        slug, rule = data.pop("runbook"), data.pop("cron")
        return actions.save_schedule(slug=slug, cron_rule=rule, by=request.user, schedule_id=pk, **data)

    @extend_schema(request=ScheduleWriteSerializer, responses={201: ScheduleSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        return Response(ScheduleSerializer(self._saved(request, None)).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ScheduleWriteSerializer, responses=ScheduleSerializer)
    def partial_update(self, request: ApiRequest, pk: str) -> Response:
        return Response(ScheduleSerializer(self._saved(request, int(pk))).data)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"], url_path="delete")
    def remove(self, request: ApiRequest, pk: str) -> Response:
        """Remove it; its runs stay."""
        actions.delete_schedule(schedule_id=int(pk), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=OpenApiTypes.OBJECT, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def moments(self, request: ApiRequest, pk: str) -> Response:
        """The next ten moments."""
        return Response({"moments": actions.next_moments(queries.schedule(request.user, int(pk)))})

    @extend_schema(responses=FireSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def fires(self, request: ApiRequest, pk: str) -> Response:
        """What became of the last hundred moments."""
        rows = queries.schedule(request.user, int(pk)).fires.select_related("target")[:100]
        return Response(FireSerializer(rows, many=True).data)

    @extend_schema(request=None, responses=ScheduleSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: ApiRequest, pk: str) -> Response:
        return Response(ScheduleSerializer(actions.pause_schedule(schedule_id=int(pk), by=request.user)).data)

    @extend_schema(request=None, responses=ScheduleSerializer)
    @action(detail=True, methods=["post"], url_path="go-on")
    def go_on(self, request: ApiRequest, pk: str) -> Response:
        return Response(
            ScheduleSerializer(actions.pause_schedule(schedule_id=int(pk), by=request.user, paused=False)).data
        )

    @extend_schema(request=None, responses={201: ExecutionDetailSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], url_path="run-now")
    def run_now(self, request: ApiRequest, pk: str) -> Response:
        """Start it once, now; answers with the first run."""
        runs = actions.run_now(schedule_id=int(pk), by=request.user, scopes=scopes_of(request))
        return Response(run_data(request, runs[0].pk), status=status.HTTP_201_CREATED)


class ThresholdViewSet(mixins.ListModelMixin, DeskViewSet):
    """The guide's tables of thresholds."""

    queryset = Threshold.objects.all()
    serializer_class = ThresholdSerializer
    pagination_class = None
    filterset_fields = ["group"]
    scopes = {"*": "read"}


class FleetViewSet(DeskViewSet):
    """Workers, queues and locks."""

    scopes = {"*": "read"}
    serializer_class = FleetSerializer
    queryset = Worker.objects.none()
    pagination_class = None
    filter_backends: list[Any] = []

    @extend_schema(responses=FleetSerializer)
    def list(self, request: ApiRequest) -> Response:
        answer = {"workers": Worker.objects.all(), "queues": fleet.queues(), "locks": queries.held_locks(request.user)}
        return Response(FleetSerializer(answer).data)
