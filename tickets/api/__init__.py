"""The REST API of tickets."""

from tickets.api.automation import RecurrenceViewSet, RuleViewSet
from tickets.api.directory import CategoryViewSet, CustomFieldViewSet, OrganizationViewSet, RequesterViewSet
from tickets.api.parts import (
    ApprovalViewSet,
    AttachmentViewSet,
    ChecklistViewSet,
    LinkViewSet,
    MessageViewSet,
    TicketApprovalViewSet,
)
from tickets.api.people import TeamViewSet
from tickets.api.promises import CalendarViewSet, PolicyViewSet, RetentionViewSet
from tickets.api.tickets import JobViewSet, TicketViewSet

__all__ = [
    "ApprovalViewSet",
    "AttachmentViewSet",
    "CalendarViewSet",
    "CategoryViewSet",
    "ChecklistViewSet",
    "CustomFieldViewSet",
    "JobViewSet",
    "LinkViewSet",
    "MessageViewSet",
    "OrganizationViewSet",
    "PolicyViewSet",
    "RecurrenceViewSet",
    "RequesterViewSet",
    "RetentionViewSet",
    "RuleViewSet",
    "TeamViewSet",
    "TicketApprovalViewSet",
    "TicketViewSet",
]
