"""The knowledge base over REST."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from knowledge import queries
from knowledge.models import Article, Diagnosis, Fix
from supportdesk.api import ApiRequest, DeskViewSet


class ArticleSerializer(serializers.ModelSerializer):
    category = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = Article
        fields = ["slug", "code", "title", "kind", "category", "tier_level", "summary", "symptom_list", "updated_at"]


class DiagnosisSerializer(serializers.ModelSerializer):
    runbook = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = Diagnosis
        fields = ["position", "title", "language", "command", "runbook"]


class FixSerializer(serializers.ModelSerializer):
    runbook = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = Fix
        fields = ["position", "title", "text", "risk", "commands", "runbook"]


class ArticleDetailSerializer(ArticleSerializer):
    diagnoses = DiagnosisSerializer(many=True)
    fixes = FixSerializer(many=True)

    class Meta(ArticleSerializer.Meta):
        fields = [*ArticleSerializer.Meta.fields, "diagnoses", "fixes"]


class ArticleViewSet(DeskViewSet):
    """Published articles: all of them, or by search."""

    serializer_class = ArticleSerializer
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Article]:
        if getattr(self, "swagger_fake_view", False):
            return Article.objects.none()
        return Article.objects.visible_to(self.request.user).select_related("category")

    @extend_schema(
        responses=ArticleSerializer(many=True),
        parameters=[OpenApiParameter("q", str, description="What is seen; mistyped words are corrected. Best first.")],
        filters=False,
    )
    def list(self, request: ApiRequest) -> Response:
        """Search, or all articles by category."""
        found = queries.search(request.user, request.query_params.get("q", "")).articles
        page = self.paginate_queryset(found)
        return self.get_paginated_response(ArticleSerializer(page, many=True).data)

    @extend_schema(responses=ArticleDetailSerializer)
    def retrieve(self, request: ApiRequest, slug: str) -> Response:
        """One article with its diagnoses and fixes."""
        return Response(ArticleDetailSerializer(queries.article(request.user, slug).article).data)
