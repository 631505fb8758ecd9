"""What tickets are over REST."""

import base64
import binascii
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from staff.models import Tier, User
from tickets.actions.links import RELATIONS, relation_label
from tickets.models import (
    Attachment,
    Category,
    Channel,
    ChecklistItem,
    Clock,
    Job,
    JobRow,
    Message,
    MessageKind,
    Priority,
    Requester,
    SLATimer,
    Status,
    Ticket,
)
from tickets.sla.words import Explained


class RequesterSerializer(serializers.ModelSerializer):
    class Meta:
        model = Requester
        fields = ["id", "email", "name", "created_at"]


class TimerSerializer(serializers.ModelSerializer):
    class Meta:
        model = SLATimer
        fields = ["clock", "target_seconds", "started_at", "due_at", "is_paused", "stopped_at", "breached_at"]


class ClockStepSerializer(serializers.Serializer):
    at = serializers.DateTimeField()
    text = serializers.CharField()


class ClockSerializer(serializers.Serializer):
    """A clock explained: what it runs by, how much is used, and its history in words."""

    clock = serializers.ChoiceField(Clock.choices, source="timer.clock")
    policy = serializers.CharField(source="timer.policy.name", default=None, allow_null=True)
    calendar = serializers.SlugField(source="timer.calendar_version.calendar.slug")
    target_seconds = serializers.IntegerField(source="timer.target_seconds", help_text="Business time.")
    used_seconds = serializers.SerializerMethodField(help_text="Business time used until now, or until it stopped.")
    left_seconds = serializers.SerializerMethodField(help_text="Negative once the target is passed.")
    started_at = serializers.DateTimeField(source="timer.started_at")
    due_at = serializers.DateTimeField(source="timer.due_at", allow_null=True, help_text="Null while paused in time.")
    paused = serializers.BooleanField(source="timer.is_paused")
    stopped_at = serializers.DateTimeField(source="timer.stopped_at", allow_null=True)
    breached_at = serializers.DateTimeField(source="timer.breached_at", allow_null=True)
    summary = serializers.CharField()
    history = serializers.SerializerMethodField()

    def get_used_seconds(self, clock: Explained) -> float:
        return clock.used.total_seconds()

    def get_left_seconds(self, clock: Explained) -> float:
        return clock.left.total_seconds()

    @extend_schema_field(ClockStepSerializer(many=True))
    def get_history(self, clock: Explained) -> Any:
        return ClockStepSerializer([{"at": at, "text": text} for at, text in clock.history], many=True).data


class TicketSerializer(serializers.ModelSerializer):
    """A ticket as it is read."""

    tier = serializers.SlugRelatedField(slug_field="level", read_only=True)
    assignee = serializers.SlugRelatedField(slug_field="email", read_only=True)
    category = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    requester = RequesterSerializer(read_only=True)
    merged_into = serializers.SlugRelatedField(slug_field="number", read_only=True)
    timers = TimerSerializer(many=True, read_only=True, source="clocks")

    class Meta:
        model = Ticket
        fields = [
            "number", "subject", "status", "priority", "tier", "assignee", "requester", "category", "channel", "tags", "cc", "custom", "restricted",
            "merged_into", "version", "created_at", "updated_at", "resolved_at", "closed_at", "due_at", "deadline_at", "snoozed_until", "timers",
        ]  # fmt: skip


class NewTicketSerializer(serializers.Serializer):
    """What opens a ticket."""

    requester_email = serializers.EmailField(max_length=254)
    requester_name = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    subject = serializers.CharField(max_length=300)
    text = serializers.CharField(max_length=200_000)
    tier = serializers.SlugRelatedField(slug_field="level", queryset=Tier.objects.all(), required=False)
    priority = serializers.ChoiceField(Priority.choices, default=Priority.NORMAL)
    category = serializers.SlugRelatedField(
        slug_field="slug", queryset=Category.objects.all(), required=False, allow_null=True
    )
    tags = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=30)
    cc = serializers.ListField(child=serializers.EmailField(max_length=254), required=False, max_length=20)
    custom = serializers.DictField(child=serializers.JSONField(allow_null=True), required=False)


class TicketChangeSerializer(serializers.Serializer):
    """Any of these; all of them change or none."""

    subject = serializers.CharField(max_length=300, required=False)
    status = serializers.ChoiceField(Status.choices, required=False)
    priority = serializers.ChoiceField(Priority.choices, required=False)
    category = serializers.SlugRelatedField(
        slug_field="slug", queryset=Category.objects.all(), required=False, allow_null=True
    )
    assignee = serializers.SlugRelatedField(
        slug_field="email", queryset=User.objects.filter(is_active=True), required=False, allow_null=True
    )
    tags = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=30)
    cc = serializers.ListField(child=serializers.EmailField(max_length=254), required=False, max_length=20)
    custom = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        required=False,
        help_text="Custom fields by slug; null removes one, the others stay.",
    )
    deadline_at = serializers.DateTimeField(required=False, allow_null=True)
    snoozed_until = serializers.DateTimeField(required=False, allow_null=True)
    restricted = serializers.BooleanField(required=False)


class RunReferenceSerializer(serializers.Serializer):
    """A run of a runbook, kept as it is named here."""

    run = serializers.IntegerField(min_value=1)
    title = serializers.CharField(max_length=200)
    url = serializers.RegexField(r"^/runs/\d{1,18}/$", max_length=40)
    state = serializers.CharField(max_length=20)


class EscalateSerializer(serializers.Serializer):
    handover = serializers.CharField(max_length=20_000, help_text="What was tried, for those who take over.")
    found = serializers.CharField(max_length=20_000, required=False, default="", allow_blank=True)
    tier = serializers.SlugRelatedField(slug_field="level", queryset=Tier.objects.all(), required=False)
    runs = RunReferenceSerializer(many=True, required=False, help_text="Runs that show what was tried.")


class MergeSerializer(serializers.Serializer):
    into = serializers.IntegerField(min_value=1, max_value=10**17, help_text="The number of the ticket that goes on.")


class SplitSerializer(serializers.Serializer):
    message = serializers.IntegerField(
        min_value=1, max_value=10**17, help_text="A message of the requester on this ticket."
    )
    subject = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class LinkSerializer(serializers.Serializer):
    """Another ticket that the caller may see, and what this one is to it."""

    id = serializers.IntegerField()
    relation = serializers.CharField(source="label", help_text="As it reads from this ticket, for example: Blocked by")
    number = serializers.IntegerField()
    subject = serializers.CharField()
    status = serializers.ChoiceField(Status.choices)


class NewLinkSerializer(serializers.Serializer):
    to = serializers.IntegerField(min_value=1, max_value=10**17)
    relation = serializers.ChoiceField([(name, relation_label(name)) for name in RELATIONS])


class ChecklistItemSerializer(serializers.ModelSerializer):
    done_by = serializers.SlugRelatedField(slug_field="email", read_only=True)

    class Meta:
        model = ChecklistItem
        fields = ["id", "text", "done_at", "done_by"]


class NewChecklistItemSerializer(serializers.Serializer):
    text = serializers.CharField(max_length=300)


class TickSerializer(serializers.Serializer):
    done = serializers.BooleanField()


class AttachmentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Attachment
        fields = ["id", "name", "content_type", "size", "sha256", "danger"]


class MessageSerializer(serializers.ModelSerializer):
    author = serializers.SlugRelatedField(slug_field="email", read_only=True)
    requester = serializers.SlugRelatedField(slug_field="email", read_only=True)
    attachments = AttachmentSerializer(many=True, read_only=True)
    delivery = serializers.SerializerMethodField(help_text="Of a reply that leaves by mail: queued, sent or bounced.")

    class Meta:
        model = Message
        fields = [
            "id", "kind", "author", "requester", "text", "quoted", "automatic", "created_at", "delivery", "attachments",
        ]  # fmt: skip

    def get_delivery(self, message: Message) -> str | None:
        outbound = getattr(message, "outbound", None)
        return outbound.state if outbound else None


class NewFileSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=255)
    content_type = serializers.CharField(max_length=120, default="application/octet-stream")
    content = serializers.CharField(trim_whitespace=False, help_text="Base64.")

    def validate_content(self, text: str) -> bytes:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise serializers.ValidationError("This is not base64.") from None


class NewMessageSerializer(serializers.Serializer):
    kind = serializers.ChoiceField([(MessageKind.REPLY, "Public reply"), (MessageKind.NOTE, "Internal note")])
    text = serializers.CharField(max_length=200_000)
    files = NewFileSerializer(many=True, required=False)


class BulkSerializer(serializers.Serializer):
    """Either numbers or a query, and what is to be done."""

    numbers = serializers.ListField(child=serializers.IntegerField(min_value=1), max_length=1000, required=False)
    q = serializers.CharField(max_length=500, required=False, help_text="All tickets that match, as in the search box.")
    changes = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        help_text="status, priority, assignee (an address, nobody, round_robin, least_loaded), category, add_tags, remove_tags, custom, "
        "escalate_to with note, deadline and snooze (30m, 4h, 2d, 1w), checklist, watchers, note, reply, notify with notify_text; or merge_into alone.",
    )

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if ("numbers" in data) == ("q" in data):
            raise serializers.ValidationError({"numbers": ["Send either numbers or q."]})
        return data


class JobSerializer(serializers.ModelSerializer):
    by = serializers.SlugRelatedField(slug_field="email", read_only=True)

    class Meta:
        model = Job
        fields = [
            "id",
            "kind",
            "title",
            "state",
            "by",
            "total",
            "done",
            "changed",
            "failed",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        ]


class JobRowSerializer(serializers.ModelSerializer):
    number = serializers.IntegerField(source="ticket.number")

    class Meta:
        model = JobRow
        fields = ["number", "outcome", "said"]


class SimilarSerializer(serializers.Serializer):
    requester_email = serializers.EmailField(max_length=254)
    text = serializers.CharField(max_length=2000, help_text="Subject or words of the new ticket.")


CONTACT_CHANNELS = [(Channel.PHONE.value, "Phone"), (Channel.CHAT.value, "Chat")]


class ContactSerializer(serializers.Serializer):
    """A call or a chat: on the ticket `number`, or a new one of a requester with a subject."""

    channel = serializers.ChoiceField(CONTACT_CHANNELS)
    text = serializers.CharField(max_length=200_000)
    seconds = serializers.IntegerField(min_value=0, max_value=86_400, default=0)
    number = serializers.IntegerField(min_value=1, max_value=10**17, required=False)
    requester_email = serializers.EmailField(max_length=254, required=False)
    requester_name = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    subject = serializers.CharField(max_length=300, required=False)
    tier = serializers.SlugRelatedField(slug_field="level", queryset=Tier.objects.all(), required=False)
    priority = serializers.ChoiceField(Priority.choices, default=Priority.NORMAL)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        missing = [name for name in ("requester_email", "subject") if "number" not in data and name not in data]
        if missing:
            raise serializers.ValidationError({name: ["Needed where no number is sent."] for name in missing})
        return data
