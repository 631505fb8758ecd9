"""The team over REST: who is there, and what each has."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from staff.models import User
from supportdesk.api import IDEMPOTENCY_KEY, ApiRequest, DeskViewSet
from tickets import actions, queries


class ColleagueSerializer(serializers.Serializer):
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name")
    tier = serializers.IntegerField()
    role = serializers.CharField()
    away_until = serializers.DateTimeField(source="user.away_until", allow_null=True)
    open = serializers.IntegerField(source="here", help_text="Open tickets that the caller may see.")
    snoozed = serializers.IntegerField()


class AwaySerializer(serializers.Serializer):
    person = serializers.SlugRelatedField(slug_field="email", queryset=User.objects.filter(is_active=True))
    until = serializers.DateTimeField(allow_null=True, help_text="Null: back again.")
    reassign = serializers.ChoiceField(
        [("keep", "stay"), ("pool", "go back to the tier"), ("turn", "go to others in turn")], default="keep"
    )


class MovedSerializer(serializers.Serializer):
    moved = serializers.IntegerField()


class TeamViewSet(DeskViewSet):
    """Members of the tiers."""

    serializer_class = ColleagueSerializer
    queryset = User.objects.none()
    pagination_class = None
    scopes = {"list": "read", "*": "tickets"}

    @extend_schema(responses=ColleagueSerializer(many=True), filters=False)
    def list(self, request: ApiRequest) -> Response:
        """Everybody of every tier with what they have."""
        rows = []
        for tier, people in queries.team(request.user):
            for person in people:
                rows.append(ColleagueSerializer({**vars(person), "tier": tier.level}).data)
        return Response(rows)

    @extend_schema(request=AwaySerializer, responses=MovedSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=False, methods=["post"])
    def away(self, request: ApiRequest) -> Response:
        """Say that somebody is away, or back; and what becomes of their open tickets."""
        serializer = AwaySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        moved = actions.set_away(
            user_id=data["person"].pk, by=request.user, until=data["until"], reassign=data["reassign"]
        )
        return Response({"moved": moved})
