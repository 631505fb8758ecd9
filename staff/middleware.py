"""The reader of a page: signed in, with times in their zone."""

import time
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone

from staff import policies
from staff.models import User
from supportdesk.errors import refused, signed_out

_HAS_SECOND_FACTOR = "has_second_factor_of"
_SEEN_LASTS = 600
_SET_UP = "Set up an authenticator app or a passkey first, on your security page: your place at this desk demands it."


class SignInMiddleware(LoginRequiredMiddleware):
    """Every page needs somebody signed in. htmx is told in words: a redirect would pass for success and lose a draft."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> Any:
        refused = super().process_view(request, view_func, view_args, view_kwargs)
        return signed_out(request) if refused is not None and request.headers.get("HX-Request") else refused


def _was_seen(request: HttpRequest, user: User) -> bool:
    """Whether their device was seen of late: one that was removed since is missed within ten minutes."""
    kept = request.session.get(_HAS_SECOND_FACTOR)
    return isinstance(kept, list) and kept[0] == user.pk and time.time() - kept[1] < _SEEN_LASTS


class SecondFactorMiddleware:
    """Who must have a second factor and has none may set one up, and nothing else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view_func: Any, view_args: Any, view_kwargs: Any
    ) -> HttpResponse | None:
        user = request.user
        if not isinstance(user, User) or request.path.startswith("/accounts/"):
            return None
        if not policies.must_have_second_factor(user) or _was_seen(request, user):
            return None
        if policies.has_second_factor(user):
            request.session[_HAS_SECOND_FACTOR] = [user.pk, int(time.time())]
            return None
        if request.path.startswith("/api/"):
            error = {"code": "second_factor_missing", "detail": _SET_UP, "attr": None}
            return JsonResponse({"type": "client_error", "errors": [error]}, status=403)
        if request.path == "/events/" or (request.headers.get("HX-Request") and request.method == "GET"):
            return HttpResponse(status=204)  # what a page asks for by itself stays unanswered, and says nothing
        if request.headers.get("HX-Request"):
            return refused(request, 403, "A second factor is missing", _SET_UP)
        return redirect("mfa_index")


class ReaderMiddleware:
    """Show every time of a page in the zone of the person who reads it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        zone = getattr(request.user, "time_zone", "UTC") if request.user.is_authenticated else "UTC"
        with timezone.override(ZoneInfo(zone)):
            return self.get_response(request)
