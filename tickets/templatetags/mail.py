"""How the mail behind a message is shown."""

import re

from django import template
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from tickets.mail.html import REMOTE_PICTURE, sanitise, with_targets
from tickets.models import Message

register = template.Library()
_CID = re.compile(r'src="cid:([^"]+)"')


@register.simple_tag
def mail_html(message: Message, number: int) -> SafeString:
    """HTML of a mail with its own pictures in place. It was sanitised when it came in, and is again."""
    pictures = {file.content_id: file.pk for file in message.attachments.all() if file.content_id}
    safe = with_targets(sanitise(message.html, set(pictures)))

    def place(found: re.Match[str]) -> str:
        pk = pictures.get(found[1].strip("<> "))
        return f'src="{reverse("tickets:inline", args=[number, pk])}" loading="lazy"' if pk else ""

    return mark_safe(_CID.sub(place, safe))  # noqa: S308 - sanitised above


@register.filter
def has_remote_pictures(message: Message) -> bool:
    return REMOTE_PICTURE in message.html


@register.filter
def remote_html(html: str) -> SafeString:
    """HTML with remote pictures, for the page of a reader who asked for them."""
    return mark_safe(with_targets(sanitise(html, set(), remote=True)))  # noqa: S308 - sanitised on this line
