"""Mail that providers bring by webhook; django-anymail checks their signatures."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from anymail import urls as provided
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from tickets.mail import hooks


def patterns() -> list[URLPattern]:
    """`<provider>/inbound/` and `<provider>/tracking/` of the providers in DESK_MAIL_HOOKS, and of no other."""
    found: list[URLPattern] = []
    for entry in provided.urlpatterns:
        name = str(entry.name or "")
        for provider in settings.MAIL_HOOKS:
            if name == f"{provider}_tracking_webhook":
                view = login_not_required(csrf_exempt(entry.callback))
                found.append(path(f"{provider}/tracking/", view, name=f"hook-{provider}-tracking"))
            if name in {f"{provider}_inbound_webhook", f"{provider}_webhook"}:
                view = login_not_required(_kept(provider, entry.callback))
                found.append(path(f"{provider}/inbound/", view, name=f"hook-{provider}"))
                if provider == "mailgun":  # to an address that ends so it sends the mail itself
                    found.append(path("mailgun/inbound_mime/", view, name="hook-mailgun-mime"))
    return found


def _kept(provider: str, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The provider's view. What it proved to be the provider's and could not read is kept as it came."""

    @csrf_exempt
    @wraps(view)
    def keeping(request: HttpRequest, **arguments: Any) -> HttpResponse:
        body = request.body
        try:
            return view(request, **arguments)
        except (SuspiciousOperation, DatabaseError, hooks.NoMailbox):
            raise  # not the provider's word (400), or to be brought again (500)
        except Exception as error:
            hooks.keep_unread(body, request.content_type or "", provider, error)
            return HttpResponse()

    return keeping
