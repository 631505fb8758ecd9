"""What hangs on one ticket, over REST: messages, links, checklist."""

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from supportdesk.api import IDEMPOTENCY_KEY, ApiRequest, DeskViewSet
from supportdesk.errors import NotFound
from tickets import actions, queries
from tickets.actions import approvals
from tickets.actions._messages import NewFile, check_sizes
from tickets.api.serializers import (
    AttachmentSerializer,
    ChecklistItemSerializer,
    LinkSerializer,
    MessageSerializer,
    NewChecklistItemSerializer,
    NewLinkSerializer,
    NewMessageSerializer,
    TickSerializer,
)
from tickets.downloads import attachment_of
from tickets.models import (
    Attachment,
    ChecklistItem,
    Message,
    MessageKind,
    TicketApproval,
    TicketLink,
)
from tickets.policies import can_read_notes


class LinkViewSet(DeskViewSet):
    """Links of a ticket."""

    serializer_class = LinkSerializer
    queryset = TicketLink.objects.none()
    lookup_value_regex = r"\d{1,18}"
    filter_backends: list[Any] = []
    pagination_class = None
    scopes = {"list": "read", "*": "tickets"}

    def _links(self, number: str) -> list[queries.Related]:
        found = queries.with_related(self.request.user, int(number))
        if found is None:
            raise NotFound(f"There is no ticket {number}.")
        return queries.links(self.request.user, found)

    @extend_schema(responses=LinkSerializer(many=True))
    def list(self, request: ApiRequest, number: str) -> Response:
        """The other tickets that the caller may see; open children and blockers first."""
        return Response(LinkSerializer(self._links(number), many=True).data)

    @extend_schema(request=NewLinkSerializer, responses={201: LinkSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest, number: str) -> Response:
        """Link this ticket to another."""
        self._links(number)
        serializer = NewLinkSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        made = actions.link(number=int(number), by=request.user, **serializer.validated_data)
        found = next(row for row in self._links(number) if row.id == made.pk)
        return Response(LinkSerializer(found).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def remove(self, request: ApiRequest, number: str, pk: str) -> Response:
        """Remove a link that somebody made."""
        self._links(number)
        actions.unlink(number=int(number), link_id=int(pk), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ChecklistViewSet(mixins.ListModelMixin, DeskViewSet):
    """The checklist of a ticket."""

    serializer_class = ChecklistItemSerializer
    lookup_value_regex = r"\d{1,18}"
    filter_backends: list[Any] = []
    pagination_class = None
    scopes = {"list": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[ChecklistItem]:
        if getattr(self, "swagger_fake_view", False):
            return ChecklistItem.objects.none()
        ticket = queries.ticket_for(self.request.user, int(self.kwargs["number"]))
        return ticket.checklist.select_related("done_by")

    @extend_schema(
        request=NewChecklistItemSerializer, responses={201: ChecklistItemSerializer}, parameters=[IDEMPOTENCY_KEY]
    )
    def create(self, request: ApiRequest, number: str) -> Response:
        """Add a step."""
        self.get_queryset()
        serializer = NewChecklistItemSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        item = actions.add_step(number=int(number), by=request.user, **serializer.validated_data)
        return Response(ChecklistItemSerializer(item).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=TickSerializer, responses=ChecklistItemSerializer)
    def partial_update(self, request: ApiRequest, number: str, pk: str) -> Response:
        """Tick a step off, or open it again."""
        self.get_queryset()
        serializer = TickSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        item = actions.tick_step(number=int(number), by=request.user, step=int(pk), **serializer.validated_data)
        return Response(ChecklistItemSerializer(item).data)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def remove(self, request: ApiRequest, number: str, pk: str) -> Response:
        """Remove a step."""
        self.get_queryset()
        actions.remove_step(number=int(number), by=request.user, step=int(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class MessageViewSet(mixins.ListModelMixin, DeskViewSet):
    """The conversation of a ticket, oldest first."""

    serializer_class = MessageSerializer
    filter_backends: list[Any] = []
    scopes = {"list": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Message]:
        if getattr(self, "swagger_fake_view", False):
            return Message.objects.none()
        ticket = queries.ticket_for(self.request.user, int(self.kwargs["number"]))
        messages = ticket.messages.select_related("author", "requester", "outbound").prefetch_related("attachments")
        return messages if can_read_notes(self.request.user) else messages.exclude(kind=MessageKind.NOTE)

    @extend_schema(request=NewMessageSerializer, responses={201: MessageSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest, number: str) -> Response:
        """Reply to the requester by mail, or add an internal note."""
        ticket = queries.ticket_for(request.user, int(number))
        serializer = NewMessageSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        say = actions.reply if serializer.validated_data["kind"] == MessageKind.REPLY else actions.note
        files = [NewFile(**row) for row in serializer.validated_data.get("files", ())]
        check_sizes([len(file.content) for file in files])
        message = say(number=ticket.number, by=request.user, text=serializer.validated_data["text"], files=files)
        return Response(MessageSerializer(message).data, status=status.HTTP_201_CREATED)


class AttachmentViewSet(DeskViewSet):
    """Files of a ticket; the messages name them."""

    queryset = Attachment.objects.none()
    serializer_class = AttachmentSerializer
    lookup_value_regex = r"\d{1,18}"
    scopes = {"*": "read"}

    @extend_schema(responses={(200, "application/octet-stream"): bytes})
    def retrieve(self, request: ApiRequest, number: str, pk: str) -> FileResponse:
        """The file itself."""
        ticket = queries.ticket_for(request.user, int(number))
        return attachment_of(ticket, int(pk), notes=can_read_notes(request.user))


class ApprovalSerializer(serializers.ModelSerializer):
    whom = serializers.CharField(read_only=True)
    asked_by = serializers.SlugRelatedField(slug_field="email", read_only=True)
    ticket = serializers.SlugRelatedField(slug_field="number", read_only=True)

    class Meta:
        model = TicketApproval
        fields = [
            "id",
            "ticket",
            "question",
            "whom",
            "state",
            "asked_by",
            "asked_at",
            "decided_as",
            "decided_at",
            "comment",
        ]


class AskSerializer(serializers.Serializer):
    """Either an address, or the leads of a tier (0: the administrators)."""

    question = serializers.CharField(max_length=5000)
    address = serializers.EmailField(max_length=254, required=False, default="", allow_blank=True)
    level = serializers.IntegerField(min_value=0, max_value=3, required=False, allow_null=True, default=None)


class AnswerSerializer(serializers.Serializer):
    yes = serializers.BooleanField()
    comment = serializers.CharField(max_length=5000, required=False, default="", allow_blank=True)


class TicketApprovalViewSet(mixins.ListModelMixin, DeskViewSet):
    """Approvals of a ticket."""

    serializer_class = ApprovalSerializer
    lookup_value_regex = r"\d{1,18}"
    filter_backends: list[Any] = []
    pagination_class = None
    scopes = {"list": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[TicketApproval]:
        if getattr(self, "swagger_fake_view", False):
            return TicketApproval.objects.none()
        ticket = queries.ticket_for(self.request.user, int(self.kwargs["number"]))
        return ticket.approvals.select_related("ticket", "asked_by", "of_user").order_by("id")

    @extend_schema(request=AskSerializer, responses={201: ApprovalSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: ApiRequest, number: str) -> Response:
        """Ask for approval; who is asked gets a mail with a link."""
        self.get_queryset()
        serializer = AskSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = actions.ask_approval(number=int(number), by=request.user, **serializer.validated_data)
        return Response(ApprovalSerializer(asked).data, status=status.HTTP_201_CREATED)


class ApprovalViewSet(mixins.ListModelMixin, DeskViewSet):
    """Questions that wait for the caller's answer."""

    serializer_class = ApprovalSerializer
    lookup_value_regex = r"\d{1,18}"
    ordering_fields = ["id"]
    scopes = {"list": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[TicketApproval]:
        if getattr(self, "swagger_fake_view", False):
            return TicketApproval.objects.none()
        return approvals.waiting_for(self.request.user)

    @extend_schema(request=AnswerSerializer, responses=ApprovalSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def decide(self, request: ApiRequest, pk: str) -> Response:
        """Say yes or no."""
        serializer = AnswerSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = actions.decide_approval(approval_id=int(pk), by=request.user, **serializer.validated_data)
        return Response(ApprovalSerializer(asked).data)

    @extend_schema(request=None, responses=ApprovalSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def withdraw(self, request: ApiRequest, pk: str) -> Response:
        """Take a question back; for who works the ticket's tier."""
        return Response(ApprovalSerializer(actions.withdraw_approval(approval_id=int(pk), by=request.user)).data)
