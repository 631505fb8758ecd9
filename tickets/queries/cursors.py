"""Where a browser's topic stands in the database."""

from staff.models import User
from tickets.models import Ticket, TicketEvent


def ticket_cursor(user: User, number: str) -> int | None:
    """The newest event of a ticket that the user may see."""
    if not number.isdecimal():
        return None
    ticket = Ticket.objects.visible_to(user).filter(number=int(number)).values_list("pk", flat=True).first()
    if ticket is None:
        return None
    return TicketEvent.objects.filter(ticket=ticket).order_by("-id").values_list("id", flat=True).first() or 0


def queue_cursor(user: User, key: str) -> int | None:
    """The newest event of any ticket: whoever sees a queue may know that something moved."""
    if key or not user.is_authenticated:
        return None
    return TicketEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
