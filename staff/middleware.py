"""The reader of a page: signed in, with times in their zone."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from supportdesk.errors import signed_out


class SignInMiddleware(LoginRequiredMiddleware):
    """Every page needs somebody signed in. htmx is told in words: a redirect would pass for success and lose a draft."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> Any:
        refused = super().process_view(request, view_func, view_args, view_kwargs)
        return signed_out(request) if refused is not None and request.headers.get("HX-Request") else refused


class ReaderMiddleware:
    """Show every time of a page in the zone of the person who reads it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        zone = getattr(request.user, "time_zone", "UTC") if request.user.is_authenticated else "UTC"
        with timezone.override(ZoneInfo(zone)):
            return self.get_response(request)
