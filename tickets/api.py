"""Tickets over REST: the same actions and queries as the pages."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from staff.models import Tier, User
from supportdesk.api import IDEMPOTENCY_KEY, IF_MATCH, ApiRequest, DeskViewSet, etag, if_match
from tickets import actions, queries
from tickets.models import (
    Attachment,
    Category,
    Channel,
    Clock,
    Message,
    MessageKind,
    Organization,
    Priority,
    Requester,
    SLATimer,
    Status,
    Ticket,
)
from tickets.policies import can_read_notes
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
            "number", "subject", "status", "priority", "tier", "assignee", "requester", "category", "channel", "tags", "restricted", "merged_into",
            "version", "created_at", "updated_at", "resolved_at", "closed_at", "due_at", "timers",
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
    restricted = serializers.BooleanField(required=False)


class EscalateSerializer(serializers.Serializer):
    handover = serializers.CharField(max_length=20_000, help_text="What was tried, for those who take over.")
    found = serializers.CharField(max_length=20_000, required=False, default="", allow_blank=True)
    tier = serializers.SlugRelatedField(slug_field="level", queryset=Tier.objects.all(), required=False)


class MergeSerializer(serializers.Serializer):
    into = serializers.IntegerField(min_value=1, max_value=10**17, help_text="The number of the ticket that goes on.")


class SplitSerializer(serializers.Serializer):
    message = serializers.IntegerField(
        min_value=1, max_value=10**17, help_text="A message of the requester on this ticket."
    )
    subject = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class AttachmentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Attachment
        fields = ["id", "name", "content_type", "size"]


class MessageSerializer(serializers.ModelSerializer):
    author = serializers.SlugRelatedField(slug_field="email", read_only=True)
    requester = serializers.SlugRelatedField(slug_field="email", read_only=True)
    attachments = AttachmentSerializer(many=True, read_only=True)

    class Meta:
        model = Message
        fields = ["id", "kind", "author", "requester", "text", "quoted", "automatic", "created_at", "attachments"]


class NewMessageSerializer(serializers.Serializer):
    kind = serializers.ChoiceField([(MessageKind.REPLY, "Public reply"), (MessageKind.NOTE, "Internal note")])
    text = serializers.CharField(max_length=200_000)


class TicketFilter(filters.FilterSet):
    tier = filters.NumberFilter(field_name="tier__level")
    assignee = filters.CharFilter(field_name="assignee__email", lookup_expr="iexact")
    requester = filters.CharFilter(field_name="requester__email", lookup_expr="iexact")
    status = filters.MultipleChoiceFilter(choices=Status.choices)
    priority = filters.MultipleChoiceFilter(choices=Priority.choices)
    q = filters.CharFilter(
        method="find",
        label='The query language of the search box, for example: is:open tier:2 priority>=high "exact phrase" -word',
    )
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    updated_after = filters.IsoDateTimeFilter(field_name="updated_at", lookup_expr="gte")

    class Meta:
        model = Ticket
        fields = ["status", "priority", "tier", "assignee", "requester"]

    def find(self, tickets: QuerySet[Ticket], name: str, value: str) -> QuerySet[Ticket]:
        return queries.picked(tickets, self.request.user, queries.understand(value[:500]))


class TicketViewSet(mixins.ListModelMixin, DeskViewSet):
    """Tickets that the caller may see."""

    lookup_field = "number"
    lookup_value_regex = r"\d{1,18}"
    filterset_class = TicketFilter
    ordering_fields = ["number", "created_at", "updated_at", "due_at"]
    ordering = ["-number"]
    serializer_class = TicketSerializer
    scopes = {"list": "read", "retrieve": "read", "clocks": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Ticket]:
        if getattr(self, "swagger_fake_view", False):
            return Ticket.objects.none()
        return queries.with_rows(Ticket.objects.visible_to(self.request.user)).select_related("category", "merged_into")

    def _answer(self, number: int, code: int = status.HTTP_200_OK) -> Response:
        ticket = self.get_queryset().get(number=number)
        queries.bring_up_to_date([ticket])
        return Response(TicketSerializer(ticket).data, status=code, headers={"ETag": etag(ticket.version)})

    def paginate_queryset(self, queryset: Any) -> Any:
        """A page of tickets, their clocks by the rules in force."""
        page = super().paginate_queryset(queryset)
        queries.bring_up_to_date(page or [])
        return page

    @extend_schema(responses=ClockSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def clocks(self, request: ApiRequest, number: str) -> Response:
        """Every clock of the ticket with its history in words."""
        ticket = queries.ticket_for(request.user, int(number))
        return Response(ClockSerializer(queries.explained(ticket), many=True).data)

    @extend_schema(responses=TicketSerializer)
    def retrieve(self, request: ApiRequest, number: str) -> Response:
        """One ticket; its ETag goes into If-Match of a PATCH."""
        return self._answer(queries.ticket_for(request.user, int(number)).number)

    @extend_schema(request=NewTicketSerializer, responses={201: TicketSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest) -> Response:
        """Open a ticket; tier 1 unless the body says otherwise."""
        serializer = NewTicketSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data: dict[str, Any] = dict(serializer.validated_data)
        data.setdefault("tier", Tier.objects.first())
        ticket, _ = actions.open_ticket(
            by=request.user, channel=Channel.API, **data | {"priority": Priority(data["priority"])}
        )
        return self._answer(ticket.number, status.HTTP_201_CREATED)

    @extend_schema(request=TicketChangeSerializer, responses=TicketSerializer, parameters=[IF_MATCH])
    def partial_update(self, request: ApiRequest, number: str) -> Response:
        """Change properties. With If-Match a version that is not the newest answers 409 with what changed."""
        ticket = queries.ticket_for(request.user, int(number))
        serializer = TicketChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        changes = dict(serializer.validated_data)
        for name, kind in (("status", Status), ("priority", Priority)):
            if name in changes:
                changes[name] = kind(changes[name])
        actions.update(number=ticket.number, by=request.user, version=if_match(request), **changes)
        return self._answer(ticket.number)

    @extend_schema(request=None, responses=TicketSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def take(self, request: ApiRequest, number: str) -> Response:
        """Become the assignee."""
        return self._answer(actions.take(number=int(number), by=request.user).number)

    @extend_schema(request=None, responses=TicketSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=False, methods=["post"], url_path="take-next")
    def take_next(self, request: ApiRequest) -> Response:
        """Become the assignee of the unassigned ticket of your tiers that is due first."""
        return self._answer(actions.take_next(by=request.user).number)

    @extend_schema(request=EscalateSerializer, responses=TicketSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def escalate(self, request: ApiRequest, number: str) -> Response:
        """Hand over to the next tier, or to the one that the body names; a lower one gets it back."""
        queries.ticket_for(request.user, int(number))
        serializer = EscalateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        if data.get("tier") is None:
            actions.escalate(number=int(number), by=request.user, handover=data["handover"], found=data["found"])
        else:
            arguments = {"to": data["tier"], "tried": data["handover"], "found": data["found"]}
            actions.hand_over(number=int(number), by=request.user, **arguments)
        return self._answer(int(number))

    @extend_schema(request=MergeSerializer, responses=TicketSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def merge(self, request: ApiRequest, number: str) -> Response:
        """Merge into another ticket; answers with that one."""
        queries.ticket_for(request.user, int(number))
        serializer = MergeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        into = serializer.validated_data["into"]
        return self._answer(actions.merge(number=int(number), into=into, by=request.user).number)

    @extend_schema(request=None, responses=TicketSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def unmerge(self, request: ApiRequest, number: str) -> Response:
        """Take back the merge of this ticket."""
        return self._answer(actions.unmerge(number=int(number), by=request.user).number)

    @extend_schema(request=SplitSerializer, responses={201: TicketSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def split(self, request: ApiRequest, number: str) -> Response:
        """Make a ticket of its own of one message; answers with the new one."""
        queries.ticket_for(request.user, int(number))
        serializer = SplitSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        made = actions.split(number=int(number), by=request.user, **serializer.validated_data)
        return self._answer(made.number, status.HTTP_201_CREATED)


class MessageViewSet(mixins.ListModelMixin, DeskViewSet):
    """The conversation of a ticket, oldest first."""

    serializer_class = MessageSerializer
    filter_backends: list[Any] = []
    scopes = {"list": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Message]:
        if getattr(self, "swagger_fake_view", False):
            return Message.objects.none()
        ticket = queries.ticket_for(self.request.user, int(self.kwargs["number"]))
        messages = ticket.messages.select_related("author", "requester").prefetch_related("attachments")
        return messages if can_read_notes(self.request.user) else messages.exclude(kind=MessageKind.NOTE)

    @extend_schema(request=NewMessageSerializer, responses={201: MessageSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest, number: str) -> Response:
        """Reply to the requester by mail, or add an internal note."""
        ticket = queries.ticket_for(request.user, int(number))
        serializer = NewMessageSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        say = actions.reply if serializer.validated_data["kind"] == MessageKind.REPLY else actions.note
        message = say(number=ticket.number, by=request.user, text=serializer.validated_data["text"])
        return Response(MessageSerializer(message).data, status=status.HTTP_201_CREATED)


class RequesterViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """People who ask for help."""

    serializer_class = RequesterSerializer
    filterset_fields = {"email": ["iexact"]}
    ordering_fields = ["email", "created_at"]

    def get_queryset(self) -> QuerySet[Requester]:
        if getattr(self, "swagger_fake_view", False):
            return Requester.objects.none()
        return queries.requesters_for(self.request.user)


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
