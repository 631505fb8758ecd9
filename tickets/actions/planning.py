"""When work on a ticket is due or goes on, and what is left to do: deadlines, snoozing, checklists."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.db import models, transaction
from django.utils import timezone

from staff import actions as staff
from staff.models import Notification, User
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import one_line
from tickets import policies
from tickets.actions import _telling as telling
from tickets.models import OPEN_STATUSES, ChecklistItem, Requester, Ticket, TicketEvent
from tickets.sla.clocks import SYSTEM

LONGEST_SNOOZE, FURTHEST_DEADLINE = timedelta(days=366), timedelta(days=3660)
MOST_STEPS = 100
_BATCH = 100


@transaction.atomic
def set_deadline(*, number: int, by: User, at: datetime | None, version: int | None = None) -> Ticket:
    """Set the date by which the ticket should be done, or none. It moves no clock; people are told when it passes."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    if at == ticket.deadline_at:
        return ticket
    if at is not None and not abs(at - timezone.now()) < FURTHEST_DEADLINE:
        raise Invalid("A deadline is within ten years.", fields={"deadline_at": ["Choose an earlier date."]})
    ticket.deadline_at, ticket.deadline_told_at = at, None
    ticket.touch("deadline_at", "deadline_told_at")
    if at is None:
        TicketEvent.record(ticket, by, "no_deadline")
    else:
        TicketEvent.record(ticket, by, "deadline", to=_words(at))
    return ticket


@transaction.atomic
def snooze(*, number: int, by: User, until: datetime | None, version: int | None = None) -> Ticket:
    """Take the ticket out of the queue until a time, or bring it back with None.

    Its clocks run on, and a word of the requester or a change of status brings it back at once.
    """
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    if until == ticket.snoozed_until:
        return ticket
    if until is None:
        wake(ticket, by)
        return ticket
    if not ticket.is_open:
        raise Invalid(f"Ticket {number} is {ticket.get_status_display().lower()}; there is nothing to snooze.")
    now = timezone.now()
    if not now < until < now + LONGEST_SNOOZE:
        raise Invalid("Choose a time within the coming year.", fields={"until": ["Choose a time to come."]})
    ticket.snoozed_until = until
    ticket.touch("snoozed_until")
    TicketEvent.record(ticket, by, "snoozed", until=_words(until))
    return ticket


def wake(ticket: Ticket, by: User | Requester | str) -> None:
    """Bring a locked ticket back into the queue; nothing where it never left."""
    if ticket.snoozed_until is None:
        return
    ticket.snoozed_until = None
    ticket.touch("snoozed_until")
    TicketEvent.record(ticket, by, "woke")


def _words(at: datetime) -> str:
    return f"{timezone.localtime(at):%d %b %Y %H:%M %Z}"


def sweep_moments() -> int:
    """Bring back tickets whose snooze is over, and tell of deadlines that have passed. Returns how many."""
    asleep = Ticket.objects.filter(snoozed_until__isnull=False)
    waiting = Ticket.objects.filter(deadline_at__isnull=False, deadline_told_at=None, status__in=OPEN_STATUSES)
    total = 0
    while found := _batch("snoozed_until", asleep.filter(snoozed_until__lte=timezone.now()), _wake_up):
        total += found
    while found := _batch("deadline_at", waiting.filter(deadline_at__lte=timezone.now()), _deadline_passed):
        total += found
    return total


@transaction.atomic
def _batch(order: str, due: models.QuerySet[Ticket], act: Callable[[Ticket], None]) -> int:
    """Act on the next due tickets that no other sweep holds."""
    tickets = (
        due.select_related("tier")
        .order_by(order)
        .select_for_update(skip_locked=True, of=("self",), no_key=True)[:_BATCH]
    )
    for ticket in tickets:
        act(ticket)
    return len(tickets)


def _wake_up(ticket: Ticket) -> None:
    until = ticket.snoozed_until
    wake(ticket, SYSTEM)
    last = ticket.events.filter(kind="snoozed", actor__isnull=False).order_by("-id").values_list("actor", flat=True)
    _tell(ticket, "ticket.woke", f"{ticket.number} is back from its snooze", last[:1], f"woke:{ticket.pk}:{until}")


def _deadline_passed(ticket: Ticket) -> None:
    at = ticket.deadline_at
    assert at is not None  # noqa: S101 - the query asks for it
    ticket.deadline_told_at = timezone.now()
    ticket.save(update_fields=["deadline_told_at"])
    TicketEvent.record(ticket, SYSTEM, "deadline_passed", due=f"{at:%d %b %Y %H:%M} UTC")
    watchers = ticket.watchers.values_list("user", flat=True)
    key = f"deadline:{ticket.pk}:{at.isoformat()}"
    _tell(ticket, "ticket.deadline", f"The deadline of {ticket.number} has passed", watchers, key)


def _tell(ticket: Ticket, kind: str, words: str, others: Iterable[int], key: str) -> None:
    people = dict.fromkeys(others, telling.WATCHED)
    if ticket.assignee_id:
        people[ticket.assignee_id] = telling.YOURS
    text, url = f"{words}: {ticket.subject}"[:300], f"/tickets/{ticket.number}/"
    staff.notify(
        Notification(user_id=user, kind=kind, text=text, reason=reason, url=url, key=key[:120])
        for user, reason in people.items()
        if Ticket.objects.visible_to(User.objects.get(pk=user)).filter(pk=ticket.pk).exists()
    )


@transaction.atomic
def add_step(*, number: int, by: User, text: str) -> ChecklistItem:
    """Add a step to the end of the checklist."""
    ticket = Ticket.objects.visible_to(by).lock(number)
    policies.check_can_change(by, ticket)
    text = one_line(text, most=300)
    if not text:
        raise Invalid("Write what is to be done.", fields={"text": ["Write what is to be done."]})
    last = ticket.checklist.order_by("-position").values_list("position", flat=True).first() or 0
    if ticket.checklist.count() >= MOST_STEPS:
        raise Invalid(f"A checklist has {MOST_STEPS} steps at most.", fields={"text": ["The list is full."]})
    item = ChecklistItem.objects.create(ticket=ticket, text=text, position=last + 1)
    TicketEvent.record(ticket, by, "step_added", text=text)
    return item


@transaction.atomic
def tick_step(*, number: int, by: User, step: int, done: bool) -> ChecklistItem:
    """Tick a step off, or open it again."""
    ticket, item = _step(number, by, step)
    if done == (item.done_at is not None):
        return item
    item.done_at, item.done_by = (timezone.now(), by) if done else (None, None)
    item.save(update_fields=["done_at", "done_by"])
    TicketEvent.record(ticket, by, "step_done" if done else "step_undone", text=item.text)
    return item


@transaction.atomic
def remove_step(*, number: int, by: User, step: int) -> Ticket:
    ticket, item = _step(number, by, step)
    TicketEvent.record(ticket, by, "step_removed", text=item.text)
    item.delete()
    return ticket


def _step(number: int, by: User, step: int) -> tuple[Ticket, ChecklistItem]:
    ticket = Ticket.objects.visible_to(by).lock(number)
    policies.check_can_change(by, ticket)
    item = ticket.checklist.filter(pk=step).first()
    if item is None:
        raise NotFound("There is no such step on this ticket; perhaps somebody removed it.")
    return ticket, item
