"""The request of somebody who is signed in: what LoginRequiredMiddleware and django-htmx guarantee."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from staff.models import User


class DeskRequest(HttpRequest):
    """For annotations; never made by hand."""

    user: User
    htmx: HtmxDetails
