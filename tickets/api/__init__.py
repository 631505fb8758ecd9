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
from tickets.api.tickets import JobViewSet, TicketViewSet

__all__ = [
    "ApprovalViewSet",
    "AttachmentViewSet",
    "CategoryViewSet",
    "ChecklistViewSet",
    "CustomFieldViewSet",
    "JobViewSet",
    "LinkViewSet",
    "MessageViewSet",
    "OrganizationViewSet",
    "RecurrenceViewSet",
    "RequesterViewSet",
    "RuleViewSet",
    "TeamViewSet",
    "TicketApprovalViewSet",
    "TicketViewSet",
]
