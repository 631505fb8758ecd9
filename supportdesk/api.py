"""What every API viewset shares: scopes, errors, ETag and Idempotency-Key."""

import hashlib
import json
from functools import cache
from typing import Any

from django.db import DataError, transaction
from django.http import Http404
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from drf_spectacular.utils import OpenApiParameter
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions, permissions, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from supportdesk.errors import Conflict, DeskError, Invalid, NotFound
from supportdesk.models import IdempotentAnswer
from supportdesk.text import number_of

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="Any unique text: the same key and body get the first answer again, and nothing is done twice.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    location=OpenApiParameter.HEADER,
    description='The ETag that you read, for example "7". A newer version answers 409 and says what changed.',
)


class ApiRequest(Request):
    """For annotations: the request of somebody that IsAuthenticated let in."""

    user: Any


class ErrorHandler(ExceptionHandler):
    """Domain errors as the API's standard error document."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, (NotFound, Http404)):
            return exceptions.NotFound(str(exc) or None)
        if isinstance(exc, Invalid):
            return exceptions.ValidationError(exc.fields or {"non_field_errors": [str(exc)]})
        if isinstance(exc, DataError):  # a number, time or text that PostgreSQL cannot hold
            return exceptions.ValidationError("A value of this request is out of range.")
        if isinstance(exc, DeskError):
            error = exceptions.APIException(_sentence(exc), code=exc.code)
            error.status_code = exc.status
            return error
        return super().convert_known_exceptions(exc)


def _sentence(error: DeskError) -> str:
    if isinstance(error, Conflict) and error.changes:
        return f"{error} Changed meanwhile: {'; '.join(error.changes)}."
    return str(error)


class TokenScheme(KnoxTokenScheme):
    """What the OpenAPI schema says of tokens."""

    target_class = "supportdesk.tokens.TokenAuthentication"


class Scope(permissions.BasePermission):
    """A token may do what its scopes name; a browser session is limited by its person only.

    A viewset maps each action to a scope in `scopes`; `*` is the default for the rest.
    """

    message = "This token does not have the scope for that."

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        if token is None or not hasattr(token, "allows"):
            return True
        needed = view.scopes.get(view.action) or view.scopes["*"]
        return bool(token.allows(needed))


class DeskViewSet(viewsets.GenericViewSet):
    """The base of every viewset: reads and writes go through the same queries and actions as the pages."""

    permission_classes = [permissions.IsAuthenticated, Scope]
    scopes: dict[str, str] = {"*": "read"}
    request: ApiRequest

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer a repeated POST with the first answer, kept in the transaction that did the work."""
        if request.method != "POST" or "Idempotency-Key" not in request.headers:
            return super().dispatch(request, *args, **kwargs)
        with transaction.atomic():
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        key = request.headers.get("Idempotency-Key", "")
        if request.method != "POST" or not key:
            return
        if len(key) > 255:
            raise Invalid("Idempotency-Key is longer than 255 characters.")
        body = json.dumps(request.data, sort_keys=True, default=str)
        fingerprint = hashlib.sha256(f"{request.path}\n{body}".encode()).hexdigest()
        # The insert waits for a twin that is still at work, and finds its answer when that commits.
        answer, created = IdempotentAnswer.objects.get_or_create(
            user_id=int(request.user.pk or 0), key=key, defaults={"fingerprint": fingerprint}
        )
        if not created and answer.fingerprint != fingerprint:
            raise Conflict("This Idempotency-Key was used for another request; use a new one.")
        if not created and answer.status is not None:
            raise _Replayed(answer)
        self._kept = answer

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, _Replayed):
            return Response(exc.answer.body, status=exc.answer.status, headers={"Idempotent-Replayed": "true"})
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        answer = getattr(self, "_kept", None)
        if answer is not None and response.status_code < 500 and not response.streaming:
            rendered = json.loads(response.rendered_content) if response.data is not None else None
            IdempotentAnswer.objects.filter(pk=answer.pk).update(status=response.status_code, body=rendered)
        elif answer is not None:
            answer.delete()
        return response


class _Replayed(Exception):
    def __init__(self, answer: IdempotentAnswer) -> None:
        self.answer = answer


@cache
def _reader(kind: type[Serializer]) -> Serializer:
    return kind()


def represent(kind: type[Serializer], obj: Any) -> dict[str, Any]:
    """One object as a serializer without context shows it; its fields, made once, cost more than the answer."""
    shown: dict[str, Any] = _reader(kind).to_representation(obj)
    return shown


def etag(version: int) -> str:
    """The ETag of a row's version: `"7"`."""
    return f'"{version}"'


def if_match(request: Request) -> int | None:
    """The version that an If-Match header names; None when there is none or it is `*`."""
    value = request.headers.get("If-Match", "").strip()
    if value in {"", "*"}:
        return None
    version = number_of(value.removeprefix("W/").strip('"'))
    if version is None:
        raise Invalid(f'If-Match: {value} is not an ETag of this API; send it as you got it, for example "7".')
    return version
