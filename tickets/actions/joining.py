"""Merge tickets and take it back, and split a message off."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from staff.models import User
from supportdesk.errors import Conflict, Invalid
from supportdesk.text import one_line
from tickets import policies
from tickets.actions import _values as values
from tickets.actions.life import hold_requester, new_ticket
from tickets.models import (
    OPEN_STATUSES,
    Clock,
    LinkKind,
    MergeRecord,
    Message,
    MessageKind,
    Status,
    Ticket,
    TicketEvent,
    TicketLink,
    TicketText,
    Watcher,
)
from tickets.sla import clocks


def lock_both(by: User, one: int, other: int, version: int | None) -> tuple[Ticket, Ticket]:
    """Lock two tickets in the order of their keys, whichever is named first, so that nobody waits in a circle."""
    list(
        Ticket.objects.filter(number__in=[one, other])
        .order_by("pk")
        .select_for_update(of=("self",), no_key=True)
        .values_list("pk")
    )
    visible = Ticket.objects.visible_to(by)
    return visible.lock(one, version), visible.lock(other)


@transaction.atomic
def merge(*, number: int, into: int, by: User, version: int | None = None) -> Ticket:
    """Move all that was said on a ticket to another and close it; later mail to it follows. Returns the other.

    Of two clocks that run for the same promise the one with more time used goes on. The record of
    the merge names what moved, for `unmerge`.
    """
    if number == into:
        raise Invalid("A ticket cannot be merged into itself.", fields={"into": ["Choose another ticket."]})
    source, target = lock_both(by, number, into, version)
    for ticket in (source, target):
        policies.check_can_merge(by, ticket)
        if ticket.merged_into_id is not None:
            raise Invalid(f"Ticket {ticket.number} is merged already; choose the one it was merged into.")
    if not target.is_open:
        raise Invalid(
            f"Ticket {into} is {target.get_status_display().lower()}; reopen it first.",
            fields={"into": ["It is not open."]},
        )
    now = timezone.now()
    kept: dict[str, Any] = {
        "messages": list(source.messages.values_list("pk", flat=True)),
        "watchers": _add_watchers(source, target),
        "tags": sorted(set(source.tags) - set(target.tags)),
        "cc": _fresh_copies(source, target),
        "restricted": source.restricted and not target.restricted,
        "status": source.status,
    }
    kept |= clocks.merge(source, target, at=now)
    Message.objects.filter(ticket=source).update(ticket=target)
    _close_merged(source, target, by, now)
    target.tags, target.restricted = sorted({*target.tags, *source.tags}), target.restricted or source.restricted
    _set_copies(target, by, sorted({*target.cc, *kept["cc"]}))
    target.touch("tags", "restricted")
    _words_moved(source, target)
    MergeRecord.objects.create(source=source, target=target, by=by, at=now, kept=kept)
    TicketEvent.record(source, by, "merged", into=target.number, was_open=kept["status"] in OPEN_STATUSES)
    TicketEvent.record(target, by, "merged_in", source=source.number)
    clocks.retarget(target, at=now, reason=f"Merged with {source.number}")
    return target


def _close_merged(source: Ticket, target: Ticket, by: User, now: Any) -> None:
    if source.status in {Status.WAITING, Status.ON_HOLD}:
        source.move_to(Status.OPEN)  # the table has no way from there to closed
    if source.status != Status.CLOSED:
        source.move_to(Status.CLOSED)
    source.merged_into, source.closed_at = target, now
    source.touch("status", "merged_into", "closed_at")
    clocks.stop_all(source, at=now, reason="Merged")


def _add_watchers(source: Ticket, target: Ticket) -> list[int]:
    """Who watched the one watches the other now; returns those who did not before."""
    had = set(target.watchers.values_list("user_id", flat=True))
    fresh = [user for user in source.watchers.values_list("user_id", flat=True) if user not in had]
    Watcher.objects.bulk_create(Watcher(ticket=target, user_id=user) for user in fresh)
    return fresh


def _fresh_copies(source: Ticket, target: Ticket) -> list[str]:
    """Who was answered on the one and would hear nothing of the other: its requester and who got copies."""
    known = {target.requester.email, *target.cc}
    fresh = [one for one in dict.fromkeys([source.requester.email, *source.cc]) if one not in known]
    return [one for one in fresh if not one.endswith("@invalid")][: max(0, values.MOST_COPIES - len(target.cc))]


def _set_copies(ticket: Ticket, by: User, wanted: list[str]) -> None:
    if wanted != ticket.cc:
        was, ticket.cc = ticket.cc, wanted
        ticket.touch("cc")
        TicketEvent.record(ticket, by, "cc", was=", ".join(was) or "nobody", to=", ".join(wanted) or "nobody")


def _words_moved(*tickets: Ticket) -> None:
    for ticket in tickets:
        TicketText.rebuild(ticket)
        last = ticket.messages.filter(kind=MessageKind.REQUESTER, automatic=False).order_by("-id").first()
        Ticket.objects.filter(pk=ticket.pk).update(snippet=one_line(last.text) if last else "")


@transaction.atomic
def unmerge(*, number: int, by: User) -> Ticket:
    """Take a merge back: what moved returns, and so does what came for the merged ticket since. Returns it."""
    merged = Ticket.objects.visible_to(by).filter(number=number).select_related("merged_into").first()
    other = merged.merged_into.number if merged and merged.merged_into else number
    source, target = lock_both(by, number, other, None)
    policies.check_can_merge(by, source)
    policies.check_can_merge(by, target)
    record = MergeRecord.objects.filter(source=source, target=target, undone_at=None).order_by("-id").first()
    if record is None or source.merged_into_id != target.pk:
        raise Conflict(f"Ticket {number} is not merged, or somebody has taken that back already.")
    if target.merged_into is not None:
        raise Invalid(
            f"Ticket {target.number} was itself merged into {target.merged_into.number}; take that back first."
        )
    now, kept = timezone.now(), record.kept
    Message.objects.filter(ticket=target, pk__in=kept["messages"]).update(ticket=source)
    Message.objects.filter(ticket=target, addressed_to__in=_with_merged(source)).update(ticket=source)
    Message.objects.filter(ticket=source, addressed_to=source).update(addressed_to=None)
    Watcher.objects.filter(ticket=target, user__in=kept["watchers"]).delete()
    target.tags = [tag for tag in target.tags if tag not in kept["tags"]]
    if kept["restricted"]:
        target.restricted = False
    _set_copies(target, by, [one for one in target.cc if one not in kept.get("cc", [])])
    target.touch("tags", "restricted")
    source.status, source.merged_into = kept["status"], None
    source.closed_at = now if kept["status"] == Status.CLOSED else None
    source.touch("status", "merged_into", "closed_at")
    clocks.unmerge(source, target, kept, at=now)
    _words_moved(source, target)
    record.undone_at, record.undone_by = now, by
    record.save(update_fields=["undone_at", "undone_by"])
    TicketEvent.record(source, by, "unmerged", into=target.number, is_open=source.is_open)
    TicketEvent.record(target, by, "unmerged_from", source=source.number)
    return source


def _with_merged(ticket: Ticket) -> set[int]:
    """The ticket and all that were merged into it, over any number of steps."""
    found, fresh = {ticket.pk}, {ticket.pk}
    while fresh:
        fresh = set(Ticket.objects.filter(merged_into__in=fresh).values_list("pk", flat=True)) - found
        found |= fresh
    return found


@transaction.atomic
def split(*, number: int, message: int, by: User, subject: str = "", version: int | None = None) -> Ticket:
    """Make a ticket of its own of one message of a requester; the message moves there. Returns the new one.

    Its clocks start with the message: its writer has waited since then.
    """
    hold_requester(Message.objects.filter(pk=message).values_list("requester", flat=True).first())
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    found = ticket.messages.filter(pk=message, kind=MessageKind.REQUESTER).select_related("requester").first()
    if found is None:
        raise Invalid(
            "Choose a message of the requester to split off.", fields={"message": ["It is not on this ticket."]}
        )
    if found.requester and found.requester.erased_at is not None:
        raise Invalid("The message was erased; there is nothing to split off.", fields={"message": ["It was erased."]})
    if not ticket.messages.filter(kind=MessageKind.REQUESTER).exclude(pk=found.pk).exists():
        raise Invalid(
            "It is the only message of the ticket; nothing would be left.", fields={"message": ["It is the only one."]}
        )
    made = new_ticket(
        requester=found.requester or ticket.requester,
        subject=one_line(subject, most=300) or ticket.subject,
        snippet=one_line(found.text),
        tier=ticket.tier,
        priority=ticket.priority,
        category=ticket.category,
        channel=ticket.channel,
        restricted=ticket.restricted,
        created_at=found.created_at,
    )
    Message.objects.filter(pk=found.pk).update(ticket=made, addressed_to=None)
    _words_moved(made, ticket)
    started = [Clock.RESOLUTION] if found.automatic else [Clock.FIRST_RESPONSE, Clock.RESOLUTION]
    clocks.begin(made, started, at=found.created_at)
    TicketLink.objects.create(source=made, target=ticket, kind=LinkKind.SPLIT)
    TicketEvent.record(made, by, "split_from", of=ticket.number)
    TicketEvent.record(ticket, by, "split", to=made.number)
    return made
