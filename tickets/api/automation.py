"""What the desk does by itself, over REST: rules and recurring tickets."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from staff.models import Tier
from staff.policies import check_can_see_settings
from supportdesk.api import IDEMPOTENCY_KEY, ApiRequest, DeskViewSet
from tickets import actions, queries
from tickets.actions import rules as acts
from tickets.models import Category, Priority, Recurrence, Rule, RuleEvent, RuleRun, RuleSince
from tickets.recipe import read

_RECIPE = "What is to be done, as the `changes` of tickets/bulk."


class RuleSerializer(serializers.ModelSerializer):
    class Meta:
        model = Rule
        fields = ["id", "name", "position", "active", "events", "since", "after_minutes", "query", "recipe", "stops"]


class RuleWriteSerializer(serializers.Serializer):
    """Either events, or since and after."""

    name = serializers.CharField(max_length=80)
    events = serializers.ListField(child=serializers.ChoiceField(RuleEvent.choices), required=False, default=list)
    since = serializers.ChoiceField(RuleSince.choices, required=False, default="", allow_blank=True)
    after = serializers.CharField(required=False, default="", allow_blank=True, help_text="30m, 4h, 2d or 1w.")
    query = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    recipe = serializers.DictField(child=serializers.JSONField(allow_null=True), help_text=_RECIPE)
    position = serializers.IntegerField(min_value=0, max_value=1000, default=0)
    stops = serializers.BooleanField(default=False)
    active = serializers.BooleanField(default=False)


class RuleRunSerializer(serializers.ModelSerializer):
    ticket = serializers.SlugRelatedField(slug_field="number", read_only=True)

    class Meta:
        model = RuleRun
        fields = ["ticket", "outcome", "said", "at"]


class TrialRowSerializer(serializers.Serializer):
    number = serializers.IntegerField()
    outcome = serializers.CharField()
    said = serializers.CharField()


class TrialSerializer(serializers.Serializer):
    looked_at = serializers.IntegerField()
    matched = serializers.IntegerField()
    rows = TrialRowSerializer(many=True)


class RuleViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Rules in the order in which they are looked at; leads and administrators write them."""

    serializer_class = RuleSerializer
    filterset_fields = {"active": ["exact"]}
    ordering_fields = ["position", "id"]
    scopes = {"list": "read", "retrieve": "read", "log": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Rule]:
        if getattr(self, "swagger_fake_view", False):
            return Rule.objects.none()
        check_can_see_settings(self.request.user)
        return Rule.objects.all()

    def _data(self, request: ApiRequest) -> dict[str, Any]:
        serializer = RuleWriteSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data) | {"recipe": read(serializer.validated_data["recipe"])}

    @extend_schema(request=RuleWriteSerializer, responses={201: RuleSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        """Add a rule."""
        made = actions.save_rule(by=request.user, **self._data(request))
        return Response(RuleSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=RuleWriteSerializer, responses=RuleSerializer)
    def partial_update(self, request: ApiRequest, pk: str) -> Response:
        """Replace what a rule says."""
        saved = actions.save_rule(by=request.user, pk=self.get_object().pk, **self._data(request))
        return Response(RuleSerializer(saved).data)

    @extend_schema(request=RuleWriteSerializer, responses=TrialSerializer)
    @action(detail=False, methods=["post"], url_path="dry-run")
    def dry_run(self, request: ApiRequest) -> Response:
        """What a rule would do to the newest 1,000 tickets; nothing is kept."""
        data = self._data(request)
        given = {key: data[key] for key in ("name", "recipe", "events", "since", "after", "query")}
        trial = acts.dry_run(acts.fill(Rule(), **given), by=request.user)
        rows = [{"number": ticket.number, "outcome": outcome, "said": said} for ticket, outcome, said in trial.rows]
        return Response({"looked_at": trial.looked_at, "matched": trial.matched, "rows": rows})

    @extend_schema(responses=RuleRunSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def log(self, request: ApiRequest, pk: str) -> Response:
        """What a rule did, newest first."""
        page = self.paginate_queryset(queries.rule_log(request.user, self.get_object()))
        return self.get_paginated_response(RuleRunSerializer(page, many=True).data)


class RecurrenceSerializer(serializers.ModelSerializer):
    tier = serializers.SlugRelatedField(slug_field="level", read_only=True)
    category = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    last_ticket = serializers.SlugRelatedField(slug_field="number", read_only=True)

    class Meta:
        model = Recurrence
        fields = [
            "id", "name", "cron", "zone", "active", "requester_email", "requester_name", "subject", "text", "tier", "priority", "category",
            "recipe", "next_at", "last_at", "last_ticket", "error",
        ]  # fmt: skip


class RecurrenceWriteSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    cron = serializers.CharField(max_length=100, help_text="Minute, hour, day, month, weekday: 0 9 * * mon")
    zone = serializers.CharField(max_length=64, default="UTC")
    requester_email = serializers.EmailField(max_length=254)
    requester_name = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    subject = serializers.CharField(max_length=300)
    text = serializers.CharField(max_length=200_000)
    tier = serializers.SlugRelatedField(slug_field="level", queryset=Tier.objects.all())
    priority = serializers.ChoiceField(Priority.choices, default=Priority.NORMAL)
    category = serializers.SlugRelatedField(
        slug_field="slug", queryset=Category.objects.all(), required=False, allow_null=True
    )
    recipe = serializers.DictField(child=serializers.JSONField(allow_null=True), required=False, help_text=_RECIPE)
    active = serializers.BooleanField(default=True)


class RecurrenceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Tickets that are opened again and again; leads and administrators write them."""

    serializer_class = RecurrenceSerializer
    filterset_fields = {"active": ["exact"]}
    ordering_fields = ["name", "next_at"]
    scopes = {"list": "read", "retrieve": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Recurrence]:
        if getattr(self, "swagger_fake_view", False):
            return Recurrence.objects.none()
        check_can_see_settings(self.request.user)
        return queries.recurrences()

    def _save(self, request: ApiRequest, pk: int | None, code: int) -> Response:
        serializer = RecurrenceWriteSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        data |= {"priority": Priority(data["priority"]), "recipe": read(data.get("recipe", {}))}
        saved = actions.save_recurrence(by=request.user, pk=pk, **data)
        return Response(RecurrenceSerializer(saved).data, status=code)

    @extend_schema(
        request=RecurrenceWriteSerializer, responses={201: RecurrenceSerializer}, parameters=[IDEMPOTENCY_KEY]
    )
    def create(self, request: ApiRequest) -> Response:
        """Add a recurring ticket."""
        return self._save(request, None, status.HTTP_201_CREATED)

    @extend_schema(request=RecurrenceWriteSerializer, responses=RecurrenceSerializer)
    def partial_update(self, request: ApiRequest, pk: str) -> Response:
        """Replace a recurring ticket."""
        return self._save(request, self.get_object().pk, status.HTTP_200_OK)
