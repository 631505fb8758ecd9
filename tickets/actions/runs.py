"""What runbooks leave on a ticket's timeline. The run itself is an opaque reference here."""

from django.db import transaction

from staff.models import User
from tickets.models import Ticket, TicketEvent


@transaction.atomic
def record_run_started(*, ticket_id: int, by: User, run: int, title: str, url: str) -> None:
    ticket = Ticket.objects.get(pk=ticket_id)
    TicketEvent.record(ticket, by, "run_started", run=run, title=title, url=url)


@transaction.atomic
def record_run_finished(*, ticket_id: int, run: int, title: str, url: str, state: str, summary: str) -> None:
    ticket = Ticket.objects.get(pk=ticket_id)
    TicketEvent.record(
        ticket, "Supportdesk", "run_finished", run=run, title=title, url=url, state=state, summary=summary
    )
