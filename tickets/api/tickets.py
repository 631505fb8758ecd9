"""Tickets over REST: the same actions and queries as the pages."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.response import Response

from supportdesk.api import IDEMPOTENCY_KEY, IF_MATCH, ApiRequest, DeskViewSet, etag, if_match, represent
from tickets import actions, queries, recipe
from tickets.api.serializers import (
    BulkSerializer,
    ClockSerializer,
    ContactSerializer,
    EscalateSerializer,
    JobRowSerializer,
    JobSerializer,
    MergeSerializer,
    NewTicketSerializer,
    SimilarSerializer,
    SplitSerializer,
    TicketChangeSerializer,
    TicketSerializer,
)
from tickets.models import (
    Channel,
    Job,
    Priority,
    Requester,
    Status,
    Ticket,
)


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
    scopes = {"list": "read", "retrieve": "read", "clocks": "read", "similar": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Ticket]:
        if getattr(self, "swagger_fake_view", False):
            return Ticket.objects.none()
        return queries.with_rows(Ticket.objects.visible_to(self.request.user)).select_related("category", "merged_into")

    def _answer(self, number: int, code: int = status.HTTP_200_OK) -> Response:
        ticket = self.get_queryset().filter(number=number).first()
        if ticket is None:  # the change took it out of the caller's sight
            return Response(status=status.HTTP_204_NO_CONTENT)
        queries.bring_up_to_date([ticket])
        return Response(represent(TicketSerializer, ticket), status=code, headers={"ETag": etag(ticket.version)})

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
        ticket, _ = actions.open_ticket(
            by=request.user, channel=Channel.API, **data | {"priority": Priority(data["priority"])}
        )
        # As it was just made, clocks and all: whoever opens a ticket sees it.
        headers = {"ETag": etag(ticket.version)}
        return Response(represent(TicketSerializer, ticket), status=status.HTTP_201_CREATED, headers=headers)

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
        more: dict[str, Any] = {"found": data["found"], "runs": data.get("runs", ())}
        if data.get("tier") is None:
            actions.escalate(number=int(number), by=request.user, handover=data["handover"], **more)
        else:
            actions.hand_over(number=int(number), by=request.user, to=data["tier"], tried=data["handover"], **more)
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

    @extend_schema(parameters=[SimilarSerializer], responses=TicketSerializer(many=True), filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def similar(self, request: ApiRequest) -> Response:
        """Tickets of a requester that may be about the same, for a warning before another is opened."""
        serializer = SimilarSerializer(data=request.query_params)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        requester = Requester.objects.of_address(data["requester_email"]).values("pk")
        theirs = Ticket.objects.visible_to(request.user).filter(requester__in=requester)
        found = queries.alike(request.user, theirs, data["text"])
        rows = self.get_queryset().filter(pk__in=[ticket.pk for ticket in found])
        queries.bring_up_to_date(tickets := list(rows))
        return Response(TicketSerializer(tickets, many=True).data)

    @extend_schema(request=ContactSerializer, responses={201: TicketSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=False, methods=["post"])
    def contacts(self, request: ApiRequest) -> Response:
        """Keep a call or a chat, on a ticket or as a new one."""
        serializer = ContactSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        channel, text, seconds = Channel(data.pop("channel")), data.pop("text"), data.pop("seconds")
        number = data.pop("number", None)
        if number is None:
            data = {**data, "priority": Priority(data["priority"])}
        ticket = actions.log_contact(
            by=request.user, channel=channel, text=text, seconds=seconds, number=number, **({} if number else data)
        )
        return self._answer(ticket.number, status.HTTP_201_CREATED)

    @extend_schema(request=BulkSerializer, responses={202: JobSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=False, methods=["post"])
    def bulk(self, request: ApiRequest) -> Response:
        """Change many tickets in the background; /api/v1/jobs/{id}/ tells how far it is."""
        serializer = BulkSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        if "numbers" in data:
            chosen = queries.chosen(request.user, data["numbers"])
        else:
            chosen = queries.picked(self.get_queryset(), request.user, queries.understand(data["q"]))
        job = actions.start_bulk(by=request.user, tickets=chosen, recipe=recipe.read(data["changes"]))
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class JobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeskViewSet):
    """Background work that the caller asked for; administrators see all."""

    serializer_class = JobSerializer
    filterset_fields = {"kind": ["exact"], "state": ["exact"]}
    ordering_fields = ["id"]
    scopes = {"list": "read", "retrieve": "read", "rows": "read", "*": "tickets"}

    def get_queryset(self) -> QuerySet[Job]:
        if getattr(self, "swagger_fake_view", False):
            return Job.objects.none()
        return queries.jobs_of(self.request.user)

    @extend_schema(responses=JobRowSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def rows(self, request: ApiRequest, pk: str) -> Response:
        """What became of each ticket; `?outcome=refused` narrows it."""
        rows = queries.job_rows(request.user, self.get_object(), request.query_params.get("outcome", ""))
        return self.get_paginated_response(JobRowSerializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(request=None, responses=JobSerializer, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def stop(self, request: ApiRequest, pk: str) -> Response:
        """Stop after the ticket that it is at."""
        return Response(JobSerializer(actions.stop_bulk(job_id=self.get_object().pk, by=request.user)).data)

    @extend_schema(request=None, responses={202: JobSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def undo(self, request: ApiRequest, pk: str) -> Response:
        """Take a bulk change back, as another job."""
        job = actions.undo_bulk(job_id=self.get_object().pk, by=request.user)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)
