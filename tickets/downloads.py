"""Hand out a file of a ticket so that no browser renders it here."""

from django.http import FileResponse

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
