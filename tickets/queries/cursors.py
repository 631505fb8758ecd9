"""Where a browser's topic stands in the database."""

from staff.models import User
from supportdesk.text import number_of
from tickets.models import Ticket, TicketEvent


def ticket_cursor(user: User, number: str) -> int | None:
    """The newest event of a ticket that the user may see."""
    ticket = Ticket.objects.visible_to(user).filter(number=number_of(number) or 0).values_list("pk", flat=True).first()
    if ticket is None:
        return None
    return TicketEvent.objects.filter(ticket=ticket).order_by("-id").values_list("id", flat=True).first() or 0


def queue_cursor(user: User, key: str) -> int | None:
    """The newest event of any ticket: whoever sees a queue may know that something moved."""
    if key or not user.is_authenticated:
        return None
    return TicketEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
