"""What the sign-in page asks about the people of the desk and about its own address."""

import ipaddress
from typing import Any

from django import template

from staff import queries

register = template.Library()


@register.simple_tag
def nobody_works_here() -> bool:
    """Whether there is nobody yet who could sign in."""
    return not queries.anybody_signs_in()


@register.filter
def with_a_name(request: Any) -> str:
    """The same desk under a name, where its address is the number of this machine: WebAuthn needs a name; else empty."""
    host, _, port = request.get_host().rpartition(":")
    host, port = (host, f":{port}") if host and not host.endswith(":") else (request.get_host(), "")
    try:
        own = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return ""
    return f"{request.scheme}://localhost{port}{request.path}" if own else ""
