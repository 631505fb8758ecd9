"""Tiers over REST."""

from rest_framework import mixins, serializers

from staff.models import Contact, Tier
from supportdesk.api import DeskViewSet


class ContactSerializer(serializers.ModelSerializer):
    class Meta:
        model = Contact
        fields = ["role", "email", "phone", "hours"]


class TierSerializer(serializers.ModelSerializer):
    contact = ContactSerializer()

    class Meta:
        model = Tier
        fields = [
            "level", "name", "scope", "channels", "handled_by", "response_min_minutes", "response_max_minutes", "contact",
        ]  # fmt: skip


class TierViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """The support tiers and how to reach them."""

    queryset = Tier.objects.select_related("contact")
    serializer_class = TierSerializer
    lookup_field = "level"
    lookup_value_regex = r"\d"
