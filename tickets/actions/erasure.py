"""Erase what tickets and requesters say of people. Numbers, times, clocks and properties stay: reports stay true."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from staff import actions as staff
from staff.models import Notification, User
from staff.policies import check_is_administrator
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import one_line
from tickets.models import (
    Attachment,
    ChecklistItem,
    Handover,
    InboundEmail,
    JobRow,
    Letter,
    Message,
    OutboundEmail,
    Recurrence,
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

ERASED, NOBODY = "[erased]", "Erased requester"
_BATCH = 50


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
    """All that was said on their tickets, by whomever, and what they wrote on those of others."""
    return Message.objects.filter(Q(ticket__requester=requester) | Q(requester=requester))


@transaction.atomic
def erase_requester(*, requester_id: int, by: User) -> Goes:
    """Erase a requester: name, address, and all that was said on their tickets. It cannot be taken back.

    Locks the requester first and then the tickets in the order of keys, so that what is being written waits and is
    erased too, or finds no requester of that address any more.
    """
    check_is_administrator(by)
    requester = Requester.objects.select_for_update(no_key=True).filter(pk=requester_id).first()
    if requester is None:
        raise NotFound("There is no such requester.")
    if requester.erased_at is not None:
        raise Invalid("This requester was erased already.")
    goes, email, name = _count(requester), requester.email, requester.name
    elsewhere = Message.objects.filter(requester=requester).exclude(ticket__requester=requester)
    others = list(elsewhere.values_list("ticket", flat=True).distinct())
    own = list(Ticket.objects.filter(requester=requester).values_list("pk", flat=True))
    _lock({*own, *others})
    _erase_messages(elsewhere)
    _erase_tickets(own, by)
    for ticket in Ticket.objects.filter(pk__in=others).select_related("requester"):
        TicketText.rebuild(ticket)
        _forget_snippet(ticket)
    for ticket in Ticket.objects.filter(cc__contains=[email]).order_by("pk").select_for_update(no_key=True):
        ticket.cc = [address for address in ticket.cc if address != email]
        ticket.touch("cc")
    _rewrite_history([*own, *others], [email, name])
    Recurrence.objects.filter(requester_email=email).update(
        active=False, requester_email="erased@invalid", requester_name=""
    )
    OutboundEmail.objects.filter(to=email).update(to="erased@invalid")
    Letter.objects.filter(to=email).update(to="erased@invalid", text=ERASED, subject=ERASED)
    requester.email, requester.name, requester.organization = f"erased-{requester.pk}@invalid", NOBODY, None
    requester.erased_at = timezone.now()
    requester.save()
    for ticket in Ticket.objects.filter(pk__in=own).select_related("requester"):
        TicketText.rebuild(ticket)
    staff.audit(by=by, action="requester.erased", thing=f"requester {requester.pk}", after=asdict(goes))
    return goes


def _lock(keys: set[int]) -> None:
    list(Ticket.objects.filter(pk__in=keys).order_by("pk").select_for_update(no_key=True).values_list("pk"))


def _erase_tickets(keys: Sequence[int], by: User) -> None:
    """Take away what people said on locked tickets, with files and mails. Events keep their kinds and times."""
    _erase_messages(Message.objects.filter(ticket__in=keys))
    InboundEmail.objects.filter(ticket__in=keys).update(raw=b"", rfc_id="", error="")
    OutboundEmail.objects.filter(ticket__in=keys).update(
        to="erased@invalid", cc=[], reply_to="erased@invalid", subject=ERASED, references="", in_reply_to=""
    )
    Letter.objects.filter(ticket__in=keys).update(to="erased@invalid", subject=ERASED, text=ERASED)
    Handover.objects.filter(ticket__in=keys).update(tried=ERASED, found="")
    ChecklistItem.objects.filter(ticket__in=keys).update(text=ERASED)
    approvals = TicketApproval.objects.filter(ticket__in=keys)
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
    stored = [(file.file.storage, str(file.file.name)) for file in files]
    files.delete()
    # The rows are gone only when the transaction commits; until then the files must stay.
    transaction.on_commit(lambda: _remove(stored))
    InboundEmail.objects.filter(message__in=messages).update(raw=b"", rfc_id="", error="")
    messages.update(text=ERASED, html="", quoted="", rfc_id="")


def _remove(stored: Sequence[tuple[Any, str]]) -> None:
    for storage, name in stored:
        storage.delete(name)


def _forget_snippet(ticket: Ticket) -> None:
    last = ticket.messages.filter(kind="requester", automatic=False).order_by("-id").first()
    Ticket.objects.filter(pk=ticket.pk).update(snippet=one_line(last.text) if last else "")


def _rewrite_history(keys: Sequence[int], secrets: Sequence[str]) -> None:
    """Events of the tickets no longer name the person, and say nothing that was typed. Nothing else may change them."""
    own_words = ["subject", "field", "cc", "step_added", "step_done", "step_undone", "step_removed", "approval_asked",
                 "approved", "refused", "approval_withdrawn", "bounced", "delivery_failed"]  # fmt: skip
    named = "|".join(re.escape(secret) for secret in secrets if secret)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL desk.erasing = 'on'")
        cursor.execute(
            "UPDATE tickets_ticketevent SET data = '{}'::jsonb WHERE ticket_id = ANY(%s) AND kind = ANY(%s) AND data <> '{}'::jsonb",
            [list(keys), own_words],
        )
        if named:
            cursor.execute(
                "UPDATE tickets_ticketevent SET actor_name = %s WHERE ticket_id = ANY(%s) AND actor_id IS NULL AND actor_name ~* %s",
                [NOBODY, list(keys), f"^({named})$"],
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
    policy.changed_at = timezone.now()
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


@transaction.atomic
def delete_retention(*, pk: int, by: User) -> None:
    check_is_administrator(by)
    policy = RetentionPolicy.objects.filter(pk=pk).first()
    if policy is None:
        raise NotFound("There is no such policy.")
    staff.audit(by=by, action="retention.deleted", thing=f"retention {policy}", before=_shown(policy))
    policy.delete()


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
        while total < limit and (done := _erase_batch(policy)):
            total += done
    return total


@transaction.atomic
def _erase_batch(policy: RetentionPolicy) -> int:
    chosen = due(policy).order_by("pk").select_for_update(skip_locked=True, no_key=True, of=("self",))
    keys = [ticket.pk for ticket in chosen[:_BATCH]]
    if not keys:
        return 0
    by = staff.automation()
    _erase_tickets(keys, by)
    _rewrite_history(keys, [])
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
        if Ticket.objects.filter(requester=requester, erased_at=None).exists():
            continue
        requester.name, requester.email, requester.organization = NOBODY, f"erased-{requester.pk}@invalid", None
        requester.erased_at = timezone.now()
        requester.save()
