"""What can go wrong in the domain, and how a person is told: as a page or as a fragment.

Actions and policies raise these; views never catch them. `supportdesk.api.ErrorHandler` does the
same for programs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers


class DeskError(Exception):
    """The base of everything the desk refuses; `str()` is a sentence for the reader."""

    status = 400
    code = "invalid"
    title = "That did not work"


class Invalid(DeskError):
    """The input does not make sense; `fields` maps a field's name to its messages."""

    title = "Please check what you entered"

    def __init__(self, message: str, *, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(message)
        self.fields = {name: list(texts) for name, texts in (fields or {}).items()}


class NotPermitted(DeskError):
    """The reader sees the thing and may not do this to it; the message names the rule."""

    status, code, title = 403, "permission_denied", "You may not do this"


class NotFound(DeskError):
    """It does not exist, or the reader may not know that it does."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(DeskError):
    """Someone else was first; `changes` says in words what they did.

    `compare` takes what was posted and gives (property, as wanted, as it is now); with `version` it can be sent anew.
    """

    status, code, title = 409, "conflict", "Somebody changed this meanwhile"

    def __init__(
        self,
        message: str,
        *,
        changes: Sequence[str] = (),
        version: int | None = None,
        compare: "Callable[[Mapping[str, str]], list[tuple[str, str, str]]] | None" = None,
    ) -> None:
        super().__init__(message)
        self.changes = list(changes)
        self.version = version
        self.compare = compare


class InvalidTransition(DeskError):
    """The state machine has no such move."""

    status, code, title = 409, "invalid_transition", "That step is not possible now"


_TAKEN = "23505"  # unique_violation, of PostgreSQL's error codes
_SECRET_FIELDS = ("csrfmiddlewaretoken", "password", "version", "secret", "token")


def _respond(request: HttpRequest, error: Any, status: int, title: str, message: str) -> HttpResponse:
    htmx = bool(getattr(request, "htmx", False))
    written = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if value.strip() and not name.startswith(_SECRET_FIELDS) and len(value) > 12
    ]
    context = {"error": error, "status": status, "title": title, "message": message, "written": written}
    if isinstance(error, Conflict) and error.compare and (compared := error.compare(request.POST)):
        again = [(k, v) for k, vs in request.POST.lists() for v in vs if k not in {"csrfmiddlewaretoken", "version"}]
        context |= {"compared": compared, "again": again, "written": []}
    response = render(request, "errors/_toast.html" if htmx else "errors/error.html", context, status=status)
    if htmx:
        response["HX-Retarget"], response["HX-Reswap"] = "#toasts", "beforeend"
    patch_vary_headers(response, ["HX-Request"])
    return response


class DomainErrorMiddleware:
    """Turn a domain error into a page or, for htmx, a toast that leaves the form as it was."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, DeskError):
            return _respond(request, exception, exception.status, exception.title, str(exception))
        if isinstance(exception, IntegrityError) and getattr(exception.__cause__, "sqlstate", "") == _TAKEN:
            words = "The same was saved a moment before, perhaps by a second click. Look whether it is there already."
            return _respond(request, None, 409, "Somebody was first", words)
        if isinstance(exception, DataError):  # a number, time or text that PostgreSQL cannot hold
            return _respond(request, None, 400, "Please check what you entered", "A value is out of range.")
        if isinstance(exception, Http404):
            return _respond(request, exception, 404, "Not found", "There is nothing at this address.")
        if isinstance(exception, PermissionDenied):
            return _respond(request, exception, 403, "You may not do this", str(exception) or "Ask an administrator.")
        return None


def refused(request: HttpRequest, status: int, title: str, words: str) -> HttpResponse:
    """A refusal of a middleware, as a page or a toast."""
    return _respond(request, None, status, title, words)


def signed_out(request: HttpRequest) -> HttpResponse:
    """For htmx: the session is over, the text in the form is still there."""
    words = "Sign in again in another tab, then send this once more. What you wrote is still here."
    return _respond(request, None, 401, "You are signed out", words)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _respond(request, exception, 404, "Not found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer without the database, which may be the very thing that failed."""
    return HttpResponse(render_to_string("errors/500.html"), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _respond(
        request,
        None,
        403,
        "This form is too old",
        "Go back, reload the page and send it again; nothing was changed.",
    )
