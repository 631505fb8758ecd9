"""Mail that providers bring by webhook; django-anymail checks their signatures."""

from anymail import urls as provided
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern, path


def patterns() -> list[URLPattern]:
    """`<provider>/inbound/` of the providers in DESK_MAIL_HOOKS, and of no other."""
    found: list[URLPattern] = []
    for entry in provided.urlpatterns:
        name = str(entry.name or "")
        for provider in settings.MAIL_HOOKS:
            if name in {f"{provider}_inbound_webhook", f"{provider}_webhook"}:
                view = login_not_required(entry.callback)
                found.append(path(f"{provider}/inbound/", view, name=f"hook-{provider}"))
                if provider == "mailgun":  # to an address that ends so it sends the mail itself
                    found.append(path("mailgun/inbound_mime/", view, name="hook-mailgun-mime"))
    return found
