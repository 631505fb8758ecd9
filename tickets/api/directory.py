"""What tickets refer to, over REST: requesters, organisations, custom fields."""

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from supportdesk.api import IDEMPOTENCY_KEY, ApiRequest, DeskViewSet
from supportdesk.errors import Invalid
from tickets import actions, queries
from tickets.actions import erasure
from tickets.api.serializers import RequesterSerializer
from tickets.models import (
    Category,
    CustomField,
    FieldKind,
    Organization,
    Requester,
)


class CustomFieldSerializer(serializers.ModelSerializer):
    categories = serializers.SlugRelatedField(slug_field="slug", many=True, read_only=True)

    class Meta:
        model = CustomField
        fields = ["slug", "label", "kind", "choices", "help_text", "categories", "position", "active"]


class CustomFieldWriteSerializer(serializers.Serializer):
    label = serializers.CharField(max_length=80)  # type: ignore[assignment]
    kind = serializers.ChoiceField(FieldKind.choices)
    choices = serializers.ListField(child=serializers.CharField(max_length=80), max_length=200, default=list)
    help_text = serializers.CharField(max_length=200, default="", allow_blank=True)  # type: ignore[assignment]
    categories = serializers.SlugRelatedField(
        slug_field="slug", many=True, queryset=Category.objects.all(), required=False
    )
    position = serializers.IntegerField(min_value=0, max_value=1000, default=0)
    active = serializers.BooleanField(default=True)


class NewCustomFieldSerializer(CustomFieldWriteSerializer):
    slug = serializers.CharField(max_length=40)


class CustomFieldViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Definitions of custom fields; administrators write them."""

    serializer_class = CustomFieldSerializer
    lookup_field = "slug"
    queryset = CustomField.objects.prefetch_related("categories")
    filterset_fields = {"active": ["exact"], "kind": ["exact"]}
    ordering_fields = ["position", "slug"]
    scopes = {"list": "read", "retrieve": "read", "*": "tickets"}

    def _save(self, slug: str, data: dict[str, Any], code: int) -> Response:
        field = actions.save_field(by=self.request.user, slug=slug, **data | {"kind": FieldKind(data["kind"])})
        return Response(CustomFieldSerializer(field).data, status=code)

    @extend_schema(
        request=NewCustomFieldSerializer, responses={201: CustomFieldSerializer}, parameters=[IDEMPOTENCY_KEY]
    )
    def create(self, request: ApiRequest) -> Response:
        """Add a field."""
        serializer = NewCustomFieldSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        slug = data.pop("slug")
        if self.get_queryset().filter(slug=slug).exists():
            raise Invalid("There is a field of that slug.", fields={"slug": ["It exists already."]})
        return self._save(slug, data, status.HTTP_201_CREATED)

    @extend_schema(request=CustomFieldWriteSerializer, responses=CustomFieldSerializer)
    def partial_update(self, request: ApiRequest, slug: str) -> Response:
        """Replace the definition; its kind stays."""
        field = self.get_object()
        if not isinstance(request.data, dict):
            raise Invalid("Send an object with the properties to change.")
        serializer = CustomFieldWriteSerializer(data=dict(CustomFieldSerializer(field).data) | dict(request.data))
        serializer.is_valid(raise_exception=True)
        return self._save(slug, dict(serializer.validated_data), status.HTTP_200_OK)


class GoesSerializer(serializers.Serializer):
    """What an erasure takes away, in rows."""

    tickets = serializers.IntegerField()
    messages = serializers.IntegerField()
    attachments = serializers.IntegerField()
    mails_in = serializers.IntegerField()
    mails_out = serializers.IntegerField()
    copies = serializers.IntegerField(help_text="Other tickets where the address gets copies.")
    recurring = serializers.IntegerField()


class RequesterViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """People who ask for help."""

    serializer_class = RequesterSerializer
    filterset_fields = {"email": ["iexact"]}
    lookup_value_regex = r"\d{1,18}"
    ordering_fields = ["email", "created_at"]
    scopes = {"list": "read", "retrieve": "read", "erasure": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Requester]:
        if getattr(self, "swagger_fake_view", False):
            return Requester.objects.none()
        return queries.requesters_for(self.request.user)

    @extend_schema(request=None, responses={(200, "application/zip"): bytes})
    @action(detail=True, methods=["post"])
    def export(self, request: ApiRequest, pk: str) -> FileResponse:
        """All that is kept of a requester as a ZIP file, without internal notes; for administrators."""
        file = actions.export_requester(requester_id=int(pk), by=request.user)
        return FileResponse(file, as_attachment=True, filename=f"requester-{pk}.zip")

    @extend_schema(responses=GoesSerializer, filters=False)
    @action(detail=True, methods=["get"])
    def erasure(self, request: ApiRequest, pk: str) -> Response:
        """What an erasure would take away; for administrators."""
        return Response(GoesSerializer(erasure.preview(requester_id=int(pk), by=request.user)).data)

    @extend_schema(request=None, responses=GoesSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def erase(self, request: ApiRequest, pk: str) -> Response:
        """Erase a requester and all that was said on their tickets, for good; for administrators."""
        return Response(GoesSerializer(actions.erase_requester(requester_id=int(pk), by=request.user)).data)


class CategorySerializer(serializers.ModelSerializer):
    class Meta:
        model = Category
        fields = ["id", "slug", "name", "position"]


class CategoryWriteSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    position = serializers.IntegerField(min_value=0, max_value=1000, default=0)


class NewCategorySerializer(CategoryWriteSerializer):
    slug = serializers.SlugField(max_length=50)


class CategoryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """What tickets are about; administrators write them."""

    serializer_class = CategorySerializer
    queryset = Category.objects.all()
    lookup_value_regex = r"\d{1,18}"
    ordering_fields = ["position", "name"]
    scopes = {"list": "read", "retrieve": "read", "*": "tickets"}

    @extend_schema(request=NewCategorySerializer, responses={201: CategorySerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        """Add a category."""
        serializer = NewCategorySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        made = actions.save_category(by=request.user, **serializer.validated_data)
        return Response(CategorySerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=CategoryWriteSerializer, responses=CategorySerializer)
    def partial_update(self, request: ApiRequest, pk: str) -> Response:
        """Rename a category or move it; its slug stays."""
        serializer = CategoryWriteSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        saved = actions.save_category(by=request.user, pk=self.get_object().pk, **serializer.validated_data)
        return Response(CategorySerializer(saved).data)


class OrganizationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Organization
        fields = ["id", "name", "domains", "notes", "created_at"]


class OrganizationWriteSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=120)
    domains = serializers.ListField(child=serializers.CharField(max_length=253), max_length=100, default=list)
    notes = serializers.CharField(max_length=20_000, required=False, default="", allow_blank=True)


class OrganizationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Companies and departments; requesters join them by the domains of their addresses."""

    serializer_class = OrganizationSerializer
    queryset = Organization.objects.all()
    filterset_fields = {"name": ["icontains"]}
    ordering_fields = ["name", "created_at"]
    scopes = {"list": "read", "retrieve": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Organization]:
        if getattr(self, "swagger_fake_view", False):
            return Organization.objects.none()
        return queries.organizations_for(self.request.user)

    def _save(self, request: ApiRequest, pk: int | None, code: int) -> Response:
        serializer = OrganizationWriteSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        saved = actions.save_organization(by=request.user, pk=pk, **serializer.validated_data)
        return Response(OrganizationSerializer(saved).data, status=code)

    @extend_schema(
        request=OrganizationWriteSerializer, responses={201: OrganizationSerializer}, parameters=[IDEMPOTENCY_KEY]
    )
    def create(self, request: ApiRequest) -> Response:
        """Add one; for administrators. Known requesters of its domains join it."""
        return self._save(request, None, status.HTTP_201_CREATED)

    @extend_schema(request=OrganizationWriteSerializer, responses=OrganizationSerializer)
    def partial_update(self, request: ApiRequest, pk: str) -> Response:
        """Replace name, domains and notes; for administrators."""
        return self._save(request, self.get_object().pk, status.HTTP_200_OK)
