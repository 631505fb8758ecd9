"""Every address of the desk."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView

from supportdesk import events, health

urlpatterns = [
    path("", RedirectView.as_view(url=settings.LOGIN_REDIRECT_URL)),
    path("healthz", login_not_required(health.healthz)),
    path("readyz", login_not_required(health.readyz)),
    path("metrics", login_not_required(health.metrics)),
    path("events/", login_not_required(events.stream), name="events"),
    # Before the apps, whose addresses begin anywhere: Django tries one after the other.
    path("api/v1/", include("supportdesk.api_urls")),
    path("", include("staff.urls")),
    path("", include("workspace.urls")),
    path("", include("tickets.urls")),
    path("", include("runbooks.urls")),
    path("", include("knowledge.urls")),
]
handler404 = "supportdesk.errors.not_found"
handler500 = "supportdesk.errors.server_error"
