"""Erase what tickets and requesters say of people. Numbers, times, clocks and properties stay: reports stay true."""

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from staff import actions as staff
from staff.models import Notification, User
from staff.policies import check_is_administrator
from supportdesk import outbox
from supportdesk.errors import DeskError, Invalid, NotFound
from supportdesk.text import one_line
from tickets.actions import drafts
from tickets.models import (
    Attachment,
    ChecklistItem,
    Handover,
    InboundEmail,
    JobRow,
    Letter,
    LetterKind,
    MailAddress,
    MergeRecord,
    Message,
    OutboundEmail,
    Rating,
    Recurrence,
    RemovedFile,
    Requester,
    RetentionPolicy,
    RuleRun,
    Status,
    Ticket,
    TicketApproval,
    TicketEvent,
    TicketText,
)
from tickets.query.compile import Compiler
from tickets.query.language import parse
from tickets.sla.clocks import SYSTEM

log = logging.getLogger(__name__)

ERASED, NOBODY = "[erased]", "Erased requester"
_BATCH = 50


_NO_LETTER = {
    "to": "erased@invalid",
    "subject": ERASED,
    "text": ERASED,
    "error": "",
    "sender": "",
    "reply_to": "",
    "in_reply_to": "",
}


@dataclass(frozen=True)
class Goes:
    """What an erasure takes away, in rows; `copies` are other tickets where the address gets copies."""

    tickets: int
    messages: int
    attachments: int
    mails_in: int
    mails_out: int
    copies: int
    recurring: int


def find_known(requester_id: int) -> Requester:
    found = Requester.objects.select_related("organization").filter(pk=requester_id).first()
    if found is None:
        raise NotFound("There is no such requester.")
    return found


def preview(*, requester_id: int, by: User) -> Goes:
    """What `erase_requester` would take away now."""
    check_is_administrator(by)
    return _count(find_known(requester_id))


def _count(requester: Requester) -> Goes:
    tickets = Ticket.objects.filter(requester=requester)
    messages = _messages_of(requester)
    return Goes(
        tickets=tickets.count(),
        messages=messages.count(),
        attachments=Attachment.objects.filter(message__in=messages).count(),
        mails_in=InboundEmail.objects.filter(Q(ticket__in=tickets) | Q(message__in=messages)).count(),
        mails_out=OutboundEmail.objects.filter(ticket__in=tickets).count(),
        copies=Ticket.objects.filter(cc__contains=[requester.email]).exclude(requester=requester).count(),
        recurring=Recurrence.objects.filter(requester_email=requester.email).count(),
    )


def _messages_of(requester: Requester) -> QuerySet[Message]:
    """All that was said on their tickets, by whomever, also where a merge moved it; and what they wrote elsewhere."""
    merges = MergeRecord.objects.filter(source__requester=requester, undone_at=None)
    moved = [key for kept in merges.values_list("kept", flat=True) for key in kept["messages"]]
    return Message.objects.filter(Q(ticket__requester=requester) | Q(requester=requester) | Q(pk__in=moved))


@transaction.atomic
def erase_requester(*, requester_id: int, by: User) -> Goes:
    """Erase a requester: name, address, and all that was said on their tickets. It cannot be taken back.

    Locks the requester first and then all tickets in the order of keys, so that what is being written waits and is
    erased too, or finds no requester of that address any more.
    """
    check_is_administrator(by)
    requester = Requester.objects.select_for_update(no_key=True).filter(pk=requester_id).first()
    if requester is None:
        raise NotFound("There is no such requester.")
    if requester.erased_at is not None:
        raise Invalid("This requester was erased already.")
    email, name = requester.email, requester.name
    own = set(Ticket.objects.filter(requester=requester).values_list("pk", flat=True))
    others = _elsewhere(requester, email) - own
    _lock(own | others)
    goes = _count(requester)
    elsewhere = _messages_of(requester).exclude(ticket__in=own)
    changed = set(elsewhere.values_list("ticket", flat=True))
    _erase_messages(Message.objects.filter(pk__in=list(elsewhere.values_list("pk", flat=True))))
    _erase_tickets(sorted(own), by)
    _forget_address(email)
    _rewrite_history(sorted(own), sorted(others), [email, name])
    about = [f"/tickets/{number}/" for number in Ticket.objects.filter(pk__in=others).values_list("number", flat=True)]
    for secret in filter(None, (email, name)):
        Notification.objects.filter(url__in=about, text__icontains=secret).delete()
    requester.email, requester.name, requester.organization = f"erased-{requester.pk}@invalid", NOBODY, None
    requester.erased_at = timezone.now()
    requester.save()
    # What they wrote on others' tickets went to staff by mail, too.
    Letter.objects.filter(ticket__in=changed, kind=LetterKind.NOTICE).update(**_NO_LETTER)
    for ticket in Ticket.objects.filter(pk__in=own | changed).select_related("requester"):
        TicketText.rebuild(ticket)
        if ticket.pk in changed:
            _forget_snippet(ticket)
    staff.audit(by=by, action="requester.erased", thing=f"requester {requester.pk}", after=asdict(goes))
    return goes


def _elsewhere(requester: Requester, email: str) -> set[int]:
    """Tickets of others that say something of the person: messages, copies, approvals that they were asked for."""
    found = set(_messages_of(requester).values_list("ticket", flat=True))
    found |= set(Ticket.objects.filter(cc__contains=[email]).values_list("pk", flat=True))
    found |= set(OutboundEmail.objects.filter(cc__contains=[email]).values_list("ticket", flat=True))
    return found | set(TicketApproval.objects.filter(of_email=email).values_list("ticket", flat=True))


def _forget_address(email: str) -> None:
    """Wherever the address stands outside of the person's own tickets."""
    for ticket in Ticket.objects.filter(cc__contains=[email]).order_by("pk"):
        ticket.cc = [address for address in ticket.cc if address != email]
        ticket.touch("cc")
    for mail in OutboundEmail.objects.filter(cc__contains=[email]):
        mail.cc = [address for address in mail.cc if address != email]
        mail.save(update_fields=["cc"])
    OutboundEmail.objects.filter(to=email).update(to="erased@invalid")
    Letter.objects.filter(to=email).update(**_NO_LETTER)
    MailAddress.objects.filter(address=email).delete()
    TicketApproval.objects.filter(of_email=email).update(of_email="erased@invalid", decided_as="", comment="")
    Recurrence.objects.filter(requester_email=email).update(
        active=False, requester_email="erased@invalid", requester_name="", subject=ERASED, text=ERASED
    )
    with connection.cursor() as cursor:  # answers that the API would give again for the same key
        cursor.execute("DELETE FROM supportdesk_idempotentanswer WHERE body::text ILIKE %s", [f"%{_like(email)}%"])


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _lock(keys: set[int]) -> None:
    list(Ticket.objects.filter(pk__in=keys).order_by("pk").select_for_update(no_key=True).values_list("pk"))


def _erase_tickets(keys: Sequence[int], by: User) -> None:
    """Take away what people said on locked tickets, with files and mails. Events keep their kinds and times."""
    _erase_messages(Message.objects.filter(ticket__in=keys))
    _empty_mails(InboundEmail.objects.filter(ticket__in=keys))
    OutboundEmail.objects.filter(ticket__in=keys).update(
        to="erased@invalid", cc=[], reply_to="erased@invalid", subject=ERASED, references="", in_reply_to="", error=""
    )
    Letter.objects.filter(ticket__in=keys).update(**_NO_LETTER)
    drafts.forget_of(keys)
    Rating.objects.filter(ticket__in=keys).update(comment="")
    Handover.objects.filter(ticket__in=keys).update(tried=ERASED, found="")
    ChecklistItem.objects.filter(ticket__in=keys).update(text=ERASED)
    approvals = TicketApproval.objects.filter(ticket__in=keys)
    asked = [f"approval:{pk}:asked" for pk in approvals.values_list("pk", flat=True)]
    Notification.objects.filter(key__in=asked).delete()
    approvals.update(question=ERASED, comment="")
    approvals.exclude(of_email="").update(of_email="erased@invalid", decided_as="")
    JobRow.objects.filter(ticket__in=keys).update(said="", was=None)
    RuleRun.objects.filter(ticket__in=keys).update(said="")
    numbers = list(Ticket.objects.filter(pk__in=keys).values_list("number", flat=True))
    Notification.objects.filter(url__in=[f"/tickets/{number}/" for number in numbers]).delete()
    Ticket.objects.filter(pk__in=keys).update(subject=ERASED, snippet="", custom={}, cc=[], erased_at=timezone.now())
    for ticket in Ticket.objects.filter(pk__in=keys).select_related("requester"):
        TicketEvent.record(ticket, by, "erased")


def _erase_messages(messages: QuerySet[Message]) -> None:
    files = Attachment.objects.filter(message__in=messages)
    for name in files.values_list("file", flat=True):
        # The storage knows no transaction: an outbox row removes the file once this one is committed.
        outbox.put("tickets.remove_file", RemovedFile.objects.create(name=name).pk, key=f"remove-file:{name}")
    files.delete()
    _empty_mails(InboundEmail.objects.filter(message__in=messages))
    messages.update(text=ERASED, html="", quoted="", rfc_id="")


def _empty_mails(mails: QuerySet[InboundEmail]) -> None:
    """Take the bytes of mails, and of those that came a second time and belong to no ticket."""
    hashes = list(mails.values_list("content_hash", flat=True))
    InboundEmail.objects.filter(content_hash__in=hashes).update(
        raw=b"", rfc_id="", error="", sender="", subject="", envelope_from="", envelope_to=[], remote="", likeness="", checks={}, reply_to=""
    )  # fmt: skip


@outbox.handler("tickets.remove_file")
def remove_file(removed_id: int) -> None:
    """Remove a file of an erased message from the storage; one that is gone already is well."""
    removed = RemovedFile.objects.filter(pk=removed_id).first()
    if removed is not None:
        default_storage.delete(removed.name)
        removed.delete()


def _forget_snippet(ticket: Ticket) -> None:
    last = ticket.messages.filter(kind="requester", automatic=False).order_by("-id").first()
    Ticket.objects.filter(pk=ticket.pk).update(snippet=one_line(last.text) if last else "")


# Events whose data hold what somebody typed.
_TYPED = (
    "subject", "field", "cc", "step_added", "step_done", "step_undone", "step_removed", "approval_asked", "approved", "refused",
    "approval_withdrawn", "bounced", "delivery_failed",
    "rated", "forwarded", "mail_capped", "sent_again", "reply_refused",
)  # fmt: skip


def _rewrite_history(own: Sequence[int], others: Sequence[int], secrets: Sequence[str]) -> None:
    """Erased tickets' events say nothing that was typed and name nobody outside the desk; on others' tickets those
    that name the person do not. Nothing else may change an event."""
    named = "|".join(re.escape(secret) for secret in secrets if secret)
    change = "UPDATE tickets_ticketevent SET"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL desk.erasing = 'on'")
        cursor.execute(
            f"{change} data = '{{}}'::jsonb WHERE ticket_id = ANY(%s) AND kind = ANY(%s) AND data <> '{{}}'::jsonb",
            [list(own), list(_TYPED)],
        )
        cursor.execute(
            f"{change} actor_name = %s WHERE ticket_id = ANY(%s) AND actor_id IS NULL AND NOT actor_name = ANY(%s)",
            [NOBODY, list(own), [SYSTEM, "The mail server", NOBODY]],
        )
        if others and named:
            cursor.execute(
                f"{change} data = '{{}}'::jsonb WHERE ticket_id = ANY(%s) AND data::text ~* %s", [list(others), named]
            )
            cursor.execute(
                f"{change} actor_name = %s WHERE ticket_id = ANY(%s) AND actor_id IS NULL AND actor_name ~* %s",
                [NOBODY, list(others), f"^({named})$"],
            )
        cursor.execute("SET LOCAL desk.erasing = 'off'")


# ------------------------------------------------------------------- retention


@transaction.atomic
def save_retention(
    *, by: User, name: str, days: int, query: str = "", active: bool = False, pk: int | None = None
) -> RetentionPolicy:
    """Make or change a policy of retention; switched on, it erases for good."""
    check_is_administrator(by)
    policy = RetentionPolicy.objects.select_for_update().filter(pk=pk).first() if pk else RetentionPolicy()
    if policy is None:
        raise NotFound("There is no such policy.")
    before = _shown(policy) if pk else None
    policy.name, policy.days, policy.query, policy.active = one_line(name, most=80), days, query.strip()[:500], active
    policy.changed_at, policy.error = timezone.now(), ""
    if not policy.name or RetentionPolicy.objects.exclude(pk=policy.pk).filter(name=policy.name).exists():
        raise Invalid("Write a name that no other policy has.", fields={"name": ["Choose another name."]})
    if not 1 <= days <= 36_500:
        raise Invalid("Write days from 1 to 36,500.", fields={"days": ["Write days from 1 to 36,500."]})
    due(policy)
    policy.save()
    staff.audit(by=by, action="retention.saved", thing=f"retention {policy}", before=before, after=_shown(policy))
    return policy


def _shown(policy: RetentionPolicy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in ("name", "days", "query", "active")}


def due(policy: RetentionPolicy) -> QuerySet[Ticket]:
    """The closed tickets whose time is over; raises `QueryError`."""
    moment = timezone.now() - timedelta(days=policy.days)
    tickets = Ticket.objects.filter(status=Status.CLOSED, closed_at__lte=moment, erased_at=None)
    node = parse(policy.query)
    return tickets if node is None else Compiler(staff.automation(), notes=True).apply(tickets, node)


def sweep_retention(*, limit: int = 1000) -> int:
    """Erase what no policy keeps any longer, a batch a transaction, so many in one go. Returns how many."""
    total = 0
    for policy in RetentionPolicy.objects.filter(active=True):
        try:
            while total < limit and (done := _erase_batch(policy)):
                total += done
        except DeskError as error:  # its query is not understood any more; the page says so
            log.warning("retention %s does not act: %s", policy.pk, error)
            RetentionPolicy.objects.filter(pk=policy.pk).update(error=str(error)[:500])
    return total


@transaction.atomic
def _erase_batch(policy: RetentionPolicy) -> int:
    chosen = due(policy).order_by("pk").select_for_update(skip_locked=True, no_key=True, of=("self",))
    keys = [ticket.pk for ticket in chosen[:_BATCH]]
    if not keys:
        return 0
    by = staff.automation()
    _erase_tickets(keys, by)
    _rewrite_history(keys, [], [])
    for ticket in Ticket.objects.filter(pk__in=keys).select_related("requester"):
        TicketText.rebuild(ticket)
    _forget_requesters(keys)
    RetentionPolicy.objects.filter(pk=policy.pk).update(erased=policy.erased + len(keys))
    policy.erased += len(keys)
    staff.audit(by=by, action="retention.erased", thing=f"retention {policy}", after={"tickets": len(keys)})
    return len(keys)


def _forget_requesters(keys: Sequence[int]) -> None:
    """The requesters of erased tickets who have no other ticket left. One who writes just now is left alone."""
    theirs = Ticket.objects.filter(pk__in=keys).values("requester")
    free = Requester.objects.filter(pk__in=theirs, erased_at=None).select_for_update(skip_locked=True, no_key=True)
    for requester in list(free):
        wrote = Message.objects.filter(requester=requester, ticket__erased_at=None)
        if Ticket.objects.filter(requester=requester, erased_at=None).exists() or wrote.exists():
            continue
        requester.name, requester.email, requester.organization = NOBODY, f"erased-{requester.pk}@invalid", None
        requester.erased_at = timezone.now()
        requester.save()
