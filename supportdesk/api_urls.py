"""Every address under /api/v1/."""

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.contrib.auth.decorators import login_not_required
from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from knowledge.api import ArticleViewSet
from runbooks.api import (
    AheadViewSet,
    ExecutionViewSet,
    FleetViewSet,
    RunbookDraftViewSet,
    RunbookViewSet,
    ScheduleViewSet,
    TargetViewSet,
    ThresholdViewSet,
)
from staff.api import TierViewSet
from tickets.api import (
    ApprovalViewSet,
    AttachmentViewSet,
    CalendarViewSet,
    CategoryViewSet,
    ChecklistViewSet,
    CustomFieldViewSet,
    JobViewSet,
    LinkViewSet,
    MessageViewSet,
    OrganizationViewSet,
    PolicyViewSet,
    RecurrenceViewSet,
    RequesterViewSet,
    RetentionViewSet,
    RuleViewSet,
    TeamViewSet,
    TicketApprovalViewSet,
    TicketViewSet,
)

router = SimpleRouter()
router.register("tickets", TicketViewSet, basename="ticket")
router.register(r"tickets/(?P<number>\d{1,18})/messages", MessageViewSet, basename="ticket-message")
router.register(r"tickets/(?P<number>\d{1,18})/links", LinkViewSet, basename="ticket-link")
router.register(r"tickets/(?P<number>\d{1,18})/checklist", ChecklistViewSet, basename="ticket-step")
router.register(r"tickets/(?P<number>\d{1,18})/attachments", AttachmentViewSet, basename="ticket-attachment")
router.register(r"tickets/(?P<number>\d{1,18})/approvals", TicketApprovalViewSet, basename="ticket-approval")
router.register("approvals", ApprovalViewSet, basename="approval")
router.register("rules", RuleViewSet, basename="rule")
router.register("recurring-tickets", RecurrenceViewSet, basename="recurrence")
router.register("categories", CategoryViewSet, basename="category")
router.register("calendars", CalendarViewSet, basename="calendar")
router.register("sla-policies", PolicyViewSet, basename="sla-policy")
router.register("retention", RetentionViewSet, basename="retention")
router.register("team", TeamViewSet, basename="team")
router.register("jobs", JobViewSet, basename="job")
router.register("custom-fields", CustomFieldViewSet, basename="custom-field")
router.register("requesters", RequesterViewSet, basename="requester")
router.register("organizations", OrganizationViewSet, basename="organization")
router.register("tiers", TierViewSet, basename="tier")
router.register("articles", ArticleViewSet, basename="article")
router.register("runbooks", RunbookViewSet, basename="runbook")
router.register("executions", ExecutionViewSet, basename="execution")
router.register("targets", TargetViewSet, basename="target")
router.register("runbook-drafts", RunbookDraftViewSet, basename="runbook-draft")
router.register("advance-approvals", AheadViewSet, basename="advance-approval")
router.register("schedules", ScheduleViewSet, basename="schedule")
router.register("thresholds", ThresholdViewSet, basename="threshold")
router.register("fleet", FleetViewSet, basename="fleet")

# Swagger's own page styles itself inline; the script stays 'self'.
_docs = csp_update({"style-src": [SELF, UNSAFE_INLINE]})(SpectacularSwaggerSplitView.as_view(url_name="api-schema"))

urlpatterns = [
    path("schema/", login_not_required(SpectacularAPIView.as_view()), name="api-schema"),
    path("docs/", _docs, name="api-docs"),
    *router.urls,
]
