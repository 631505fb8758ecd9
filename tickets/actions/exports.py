"""All that the desk keeps of one requester, as a ZIP file: data.json, their files, and their mails as they came."""

import json
import tempfile
import zipfile
from typing import IO, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, QuerySet

from staff import actions as staff
from staff.models import User
from staff.policies import check_is_administrator
from tickets.actions.erasure import find_known
from tickets.models import InboundEmail, Message, MessageKind, Requester, Ticket

_IN_MEMORY = 8 * 1024 * 1024


def export_requester(*, requester_id: int, by: User, notes: bool = False) -> IO[bytes]:
    """A temporary file, read from its beginning. Internal notes of staff come along only when asked for."""
    check_is_administrator(by)
    requester = find_known(requester_id)
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the response closes it
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        tickets = [_ticket(archive, ticket, requester, notes) for ticket in _tickets(requester)]
        data = {
            "requester": {
                "id": requester.pk, "email": requester.email, "name": requester.name, "since": requester.created_at,
                "organization": requester.organization.name if requester.organization else None,
            },
            "tickets": tickets,
        }  # fmt: skip
        archive.writestr("data.json", json.dumps(data, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))
        theirs = Q(ticket__requester=requester) | Q(message__requester=requester)
        for mail in (
            InboundEmail.objects.filter(theirs).exclude(message__in=_of_others(requester)).iterator(chunk_size=20)
        ):
            archive.writestr(f"mails/{mail.pk}.eml", bytes(mail.raw))
    staff.audit(by=by, action="requester.exported", thing=f"requester {requester.pk}", after={"notes": notes})
    file.seek(0)
    return file


def _tickets(requester: Requester) -> Any:
    tickets = Ticket.objects.filter(requester=requester) | Ticket.objects.filter(messages__requester=requester)
    return tickets.distinct().select_related("tier", "category").order_by("pk")


def _of_others(requester: Requester) -> QuerySet[Message]:
    """What other requesters wrote on this one's tickets."""
    return Message.objects.filter(ticket__requester=requester, requester__isnull=False).exclude(requester=requester)


def _ticket(archive: zipfile.ZipFile, ticket: Ticket, requester: Requester, notes: bool) -> dict[str, Any]:
    """A ticket of theirs whole; of somebody else's only what they wrote there."""
    messages = ticket.messages.select_related("author", "requester").prefetch_related("attachments")
    if not notes:
        messages = messages.exclude(kind=MessageKind.NOTE)
    own = ticket.requester_id == requester.pk
    if not own:
        messages = messages.filter(requester=requester)
    said = []
    for message in messages:
        files: list[dict[str, str | None]] = []
        for attachment in message.attachments.all():
            path = f"files/{ticket.number}/{attachment.pk}-{attachment.name}"
            files.append({"name": attachment.name, "sha256": attachment.sha256, "path": path})
            try:
                with attachment.file.open() as content:
                    archive.writestr(path, content.read())
            except OSError:
                files[-1]["path"] = None  # missing from the storage
        said.append(
            {"at": message.created_at, "kind": message.kind, "by": message.who, "text": message.text, "quoted": message.quoted, "files": files}
        )  # fmt: skip
    if not own:
        return {"number": ticket.number, "messages": said}
    names = ("number", "subject", "status", "priority", "channel", "tags", "cc", "custom", "created_at", "resolved_at")
    return {name: getattr(ticket, name) for name in names} | {
        "tier": ticket.tier.level, "category": ticket.category.name if ticket.category else None, "messages": said,
    }  # fmt: skip
