"""What is promised, over REST: business calendars, policies with their targets, and retention."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.response import Response

from staff import calendar_file, calendars
from staff.models import Calendar, Tier
from staff.policies import check_can_see_settings
from supportdesk.api import IDEMPOTENCY_KEY, ApiRequest, DeskViewSet
from tickets import actions
from tickets.models import Category, Channel, Clock, Organization, Priority, RetentionPolicy, SLAPolicy


class CalendarSerializer(serializers.ModelSerializer):
    """A calendar in the form of its file (docs/sla.md)."""

    version = serializers.IntegerField(source="current.number")
    spec = serializers.SerializerMethodField()

    class Meta:
        model = Calendar
        fields = ["slug", "name", "version", "spec"]

    @extend_schema_field(serializers.DictField())
    def get_spec(self, calendar: Calendar) -> dict[str, Any]:
        return calendars.spec_of(calendar).model_dump(mode="json", by_alias=True)


class CalendarSpecSerializer(serializers.Serializer):
    spec = serializers.DictField(help_text="slug, name, zone, hours (left out: round the clock), holidays.")


class CalendarViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Business calendars; administrators write them, and clocks that run by them follow in the background."""

    serializer_class = CalendarSerializer
    lookup_field = "slug"
    ordering_fields = ["slug"]
    scopes = {"list": "read", "retrieve": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Calendar]:
        if getattr(self, "swagger_fake_view", False):
            return Calendar.objects.none()
        check_can_see_settings(self.request.user)
        return Calendar.objects.select_related("current").filter(current__isnull=False)

    @extend_schema(request=CalendarSpecSerializer, responses={201: CalendarSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        """Make a calendar, or give the one of that slug a new version."""
        serializer = CalendarSpecSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        spec = calendar_file.check(serializer.validated_data["spec"])
        saved, _ = actions.save_calendar(spec=spec, by=request.user)
        return Response(CalendarSerializer(saved).data, status=status.HTTP_201_CREATED)


class PromiseSerializer(serializers.Serializer):
    tier = serializers.IntegerField(source="tier.level", min_value=1, max_value=3)
    priority = serializers.ChoiceField(Priority.choices)
    clock = serializers.ChoiceField(Clock.choices)
    seconds = serializers.IntegerField(
        min_value=1, max_value=60_000_000, allow_null=True, help_text="Business time; null takes the fallback's."
    )


class PolicySerializer(serializers.ModelSerializer):
    calendar = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    tier = serializers.SlugRelatedField(slug_field="level", read_only=True)
    category = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    organization = serializers.PrimaryKeyRelatedField(read_only=True)
    targets = PromiseSerializer(many=True, read_only=True)

    class Meta:
        model = SLAPolicy
        fields = [
            "id", "name", "position", "active", "is_fallback", "calendar", "tier", "category", "organization", "tag", "channel",
            "milestones", "breach_raises_priority", "breach_escalates", "targets",
        ]  # fmt: skip


class PolicyWriteSerializer(serializers.Serializer):
    """Targets that are not named stay; of the fallback the conditions are not read."""

    name = serializers.CharField(max_length=80)
    calendar = serializers.SlugRelatedField(slug_field="slug", queryset=Calendar.objects.all())
    position = serializers.IntegerField(min_value=0, max_value=1000, required=False, allow_null=True)
    active = serializers.BooleanField(default=True)
    tier = serializers.SlugRelatedField(
        slug_field="level", queryset=Tier.objects.all(), required=False, allow_null=True
    )
    category = serializers.SlugRelatedField(
        slug_field="slug", queryset=Category.objects.all(), required=False, allow_null=True
    )
    organization = serializers.PrimaryKeyRelatedField(
        queryset=Organization.objects.all(), required=False, allow_null=True
    )
    tag = serializers.CharField(max_length=40, required=False, default="", allow_blank=True)
    channel = serializers.ChoiceField(Channel.choices, required=False, default="", allow_blank=True)
    milestones = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=1000), max_length=20, required=False, default=list
    )
    breach_raises_priority = serializers.BooleanField(default=False)
    breach_escalates = serializers.BooleanField(default=False)
    targets = PromiseSerializer(many=True, required=False)


class PolicyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Policies in the order in which they are looked at; the first that matches a ticket holds."""

    serializer_class = PolicySerializer
    ordering_fields = ["position", "id"]
    scopes = {"list": "read", "retrieve": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[SLAPolicy]:
        if getattr(self, "swagger_fake_view", False):
            return SLAPolicy.objects.none()
        check_can_see_settings(self.request.user)
        related = ("calendar", "tier", "category", "organization")
        return SLAPolicy.objects.select_related(*related).prefetch_related("targets__tier")

    def _save(self, request: ApiRequest, pk: int | None, code: int) -> Response:
        serializer = PolicyWriteSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        rows = data.pop("targets", [])
        targets = {(row["tier"]["level"], row["priority"], row["clock"]): row["seconds"] for row in rows}
        data["channel"] = Channel(data["channel"]) if data["channel"] else None
        saved = actions.save_policy(by=request.user, pk=pk, targets=targets, **data)
        return Response(PolicySerializer(self.get_queryset().get(pk=saved.pk)).data, status=code)

    @extend_schema(request=PolicyWriteSerializer, responses={201: PolicySerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        """Add a policy; clocks follow in the background."""
        return self._save(request, None, status.HTTP_201_CREATED)

    @extend_schema(request=PolicyWriteSerializer, responses=PolicySerializer)
    def partial_update(self, request: ApiRequest, pk: str) -> Response:
        """Replace a policy; targets that are not named stay."""
        return self._save(request, self.get_object().pk, status.HTTP_200_OK)


class RetentionSerializer(serializers.ModelSerializer):
    class Meta:
        model = RetentionPolicy
        fields = ["id", "name", "days", "query", "active", "erased", "error"]


class RetentionWriteSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    days = serializers.IntegerField(min_value=1, max_value=36_500, help_text="After a ticket was closed.")
    query = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    active = serializers.BooleanField(default=False, help_text="Switched on it erases for good.")


class RetentionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """How long what people wrote is kept; administrators write it."""

    serializer_class = RetentionSerializer
    ordering_fields = ["name"]
    scopes = {"list": "read", "retrieve": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[RetentionPolicy]:
        if getattr(self, "swagger_fake_view", False):
            return RetentionPolicy.objects.none()
        check_can_see_settings(self.request.user)
        return RetentionPolicy.objects.all()

    def _save(self, request: ApiRequest, pk: int | None, code: int) -> Response:
        serializer = RetentionWriteSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        saved = actions.save_retention(by=request.user, pk=pk, **serializer.validated_data)
        return Response(RetentionSerializer(saved).data, status=code)

    @extend_schema(request=RetentionWriteSerializer, responses={201: RetentionSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        """Add a policy of retention."""
        return self._save(request, None, status.HTTP_201_CREATED)

    @extend_schema(request=RetentionWriteSerializer, responses=RetentionSerializer)
    def partial_update(self, request: ApiRequest, pk: str) -> Response:
        """Replace a policy of retention."""
        return self._save(request, self.get_object().pk, status.HTTP_200_OK)
