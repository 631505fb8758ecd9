"""The REST API of tickets."""

from tickets.api.directory import CustomFieldViewSet, OrganizationViewSet, RequesterViewSet
from tickets.api.parts import AttachmentViewSet, ChecklistViewSet, LinkViewSet, MessageViewSet
from tickets.api.tickets import JobViewSet, TicketViewSet

__all__ = [
    "AttachmentViewSet",
    "ChecklistViewSet",
    "CustomFieldViewSet",
    "JobViewSet",
    "LinkViewSet",
    "MessageViewSet",
    "OrganizationViewSet",
    "RequesterViewSet",
    "TicketViewSet",
]
