"""Take over tickets of other systems, each in a transaction of its own and once only. No mail leaves, no rule hears."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from django.db import DataError, transaction
from django.utils import timezone
from inscriptis import get_text

from staff import actions as staff
from staff.models import Tier, User
from supportdesk.errors import DeskError, Invalid
from supportdesk.text import one_line, sanitise
from tickets.actions import _messages as messages
from tickets.actions import _values as values
from tickets.actions.life import find_requester, new_ticket
from tickets.importing import OldMessage, OldTicket, Unreadable
from tickets.models import (
    OPEN_STATUSES,
    Category,
    Clock,
    ImportedTicket,
    MessageKind,
    Requester,
    Status,
    Ticket,
    TicketEvent,
    TicketText,
)
from tickets.sla import clocks


@dataclass
class Report:
    """What became of a file: how many were made, were there already, and could not be taken over, with the reasons."""

    made: int = 0
    known: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)


class _Rollback(Exception):
    pass


def import_tickets(
    *,
    rows: Iterable[OldTicket | Unreadable],
    source: str,
    tier: int = 1,
    groups: Mapping[str, int] | None = None,
    dry_run: bool = False,
) -> Report:
    """Take over every row that was not before. A dry run does the same and keeps nothing.

    `groups` maps names of queues or groups to tiers; the rest goes to `tier`.
    """
    report = Report()
    tiers = {row.level: row for row in Tier.objects.all()}
    by_group = {name.strip().lower(): level for name, level in (groups or {}).items()}
    for level in {tier, *by_group.values()}:
        if level not in tiers:
            raise Invalid(f"There is no tier {level}; the tiers are {', '.join(map(str, sorted(tiers)))}.")
    for row in rows:
        if isinstance(row, Unreadable):
            report.wrong.append((row.where, row.reason))
            continue
        level = row.tier or by_group.get(row.group.strip().lower(), tier)
        try:
            with transaction.atomic():
                made = _import(
                    replace(row, messages=_without_files(row)) if dry_run else row, source[:40], tiers[level]
                )
                if dry_run:
                    raise _Rollback
        except _Rollback:
            pass
        except (DeskError, DataError, UnicodeError) as error:
            report.wrong.append((row.where, str(error).splitlines()[0]))
            continue
        report.made += made
        report.known += not made
    return report


def _without_files(row: OldTicket) -> tuple[OldMessage, ...]:
    """A storage takes nothing back, so a dry run writes no file."""
    return tuple(replace(message, files=()) for message in row.messages)


def _import(row: OldTicket, source: str, tier: Tier) -> bool:
    """One ticket with its history; False where it is there already."""
    if ImportedTicket.objects.filter(source=source, key=row.key[:100]).exists():
        return False
    requester = find_requester(row.requester_email, row.requester_name)
    ended = row.resolved_at or row.updated_at or row.created_at
    category = Category.objects.filter(name__iexact=row.category).first() or (
        Category.objects.filter(slug__iexact=row.category).first()
    )
    ticket = new_ticket(
        subject=one_line(row.subject, most=300) or "(no subject)",
        status=row.status,
        priority=row.priority,
        tier=tier,
        requester=requester,
        category=category,
        assignee=User.objects.filter(email=row.assignee, is_active=True).first() if row.assignee else None,
        channel=row.channel,
        tags=values.tags(tag for tag in row.tags if tag.strip()),
        cc=values.copies(row.cc, requester.email),
        created_at=row.created_at,
        deadline_at=row.deadline_at,
        resolved_at=ended if row.status in {Status.RESOLVED, Status.CLOSED} else None,
        closed_at=ended if row.status == Status.CLOSED else None,
    )
    for message in row.messages:
        _say(ticket, requester, message)
    TicketText.rebuild(ticket)
    last = next((m.text for m in reversed(row.messages) if m.kind == "requester"), "")
    Ticket.objects.filter(pk=ticket.pk).update(updated_at=row.updated_at or row.created_at, snippet=one_line(last))
    TicketEvent.record(ticket, staff.automation(), "imported", source=source, key=row.key, is_open=ticket.is_open)
    ImportedTicket.objects.create(source=source, key=row.key[:100], ticket=ticket)
    if row.status in OPEN_STATUSES:
        # Nothing was promised before the ticket was here.
        answered = any(message.kind == "reply" for message in row.messages)
        started = [Clock.RESOLUTION] if answered else [Clock.FIRST_RESPONSE, Clock.RESOLUTION]
        clocks.begin(ticket, started, at=timezone.now())
    return True


def _say(ticket: Ticket, requester: Requester, old: OldMessage) -> None:
    text = get_text(old.text).strip() if old.html else old.text
    author = None
    if old.kind == "requester":
        other = old.email and old.email != requester.email
        requester = find_requester(old.email, old.name) if other else requester
    else:
        author = User.objects.filter(email=old.email).first() if old.email else None
        if author is None and (old.name or old.email):
            text = f"{text}\n\n({old.name or old.email} wrote this.)"
    messages.add(
        ticket,
        kind=MessageKind(old.kind),
        author=author,
        requester=requester if old.kind == "requester" else None,
        text=text or "(no text)",
        html=sanitise(old.text) if old.html and old.kind == "requester" else "",
        files=[messages.NewFile(file.name, file.content_type, file.content) for file in old.files],
        at=old.at,
    )
