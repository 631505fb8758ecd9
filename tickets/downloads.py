"""Hand out a file of a ticket so that no browser renders it here."""

from django.http import FileResponse, HttpResponse

from supportdesk.errors import NotFound
from tickets.models import Attachment, MessageKind, Ticket


def attachment_of(ticket: Ticket, pk: int, *, notes: bool) -> FileResponse:
    """A file of a ticket that the caller has seen to be visible; those of notes only with `notes`."""
    files = Attachment.objects.filter(pk=pk, message__ticket=ticket)
    found = (files if notes else files.exclude(message__kind=MessageKind.NOTE)).first()
    if found is None:
        raise NotFound("There is no such file on this ticket.")
    try:
        content = found.file.open()
    except OSError:
        raise NotFound(f"{found.name} is missing from the storage; tell an administrator.") from None
    response = FileResponse(content, as_attachment=True, filename=found.name, content_type="application/octet-stream")
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "private, no-store"
    return response


_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
MOST_PICTURE = 20 * 1024 * 1024


def picture_of(ticket: Ticket, pk: int, *, notes: bool) -> HttpResponse:
    """A picture of a mail's text, shown in place: PNG, JPEG, GIF or WebP by its first bytes, whatever it calls itself."""
    files = Attachment.objects.filter(pk=pk, message__ticket=ticket, size__lte=MOST_PICTURE).exclude(content_id="")
    found = (files if notes else files.exclude(message__kind=MessageKind.NOTE)).first()
    if found is None:
        raise NotFound("There is no such picture on this ticket.")
    try:
        with found.file.open() as file:
            content = file.read()
    except OSError:
        raise NotFound(f"{found.name} is missing from the storage; tell an administrator.") from None
    kind = next((kind for start, kind in _PICTURES if content.startswith(start)), "")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    if not kind:
        raise NotFound("This is no picture that can be shown; download it instead.")
    response = HttpResponse(content, content_type=kind)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "private, max-age=3600"
    return response
