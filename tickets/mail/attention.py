"""Mail that could not be read: who may see it, and reading it again."""

from django.db import transaction
from django.db.models import QuerySet

from staff.models import User
from supportdesk.errors import Conflict, NotFound
from tickets import actions
from tickets.actions.life import find_requester
from tickets.mail import incoming, parsing, reader, whose
from tickets.models import InboundEmail, InboundState, Ticket, TicketEvent
from tickets.policies import check_can_make_rules


def needing_a_look(user: User) -> QuerySet[InboundEmail]:
    """Mail that could not be read, of tickets that the reader may see. Raises NotPermitted."""
    check_can_make_rules(user)
    return InboundEmail.objects.needing_a_look().visible_to(user)


def retry(*, inbound_id: int, by: User) -> incoming.Outcome:
    """Read a mail again that needs a look; what can be read now is added to the ticket that it opened.

    Raises Conflict when it still cannot be read; nothing is changed then.
    """
    inbound = needing_a_look(by).filter(pk=inbound_id).first()
    if inbound is None:
        raise NotFound("There is no such mail, or somebody has dealt with it.")
    if inbound.state == InboundState.STORED:
        outcome = incoming.apply(inbound_id)
        if InboundEmail.objects.filter(pk=inbound_id, state=InboundState.FAILED).exists():
            raise Conflict(f"It still cannot be read; ticket {outcome.ticket} holds what could be.")
        return outcome
    try:
        mail, error = incoming.read(bytes(inbound.raw), envelope_from=inbound.return_path)
    except reader.NotReady as failure:
        raise Conflict(f"It cannot be read now: {failure}") from None
    if mail is None:
        raise Conflict(f"It still cannot be read: {error}")
    with transaction.atomic():
        inbound = InboundEmail.objects.select_for_update(of=("self",)).select_related("mailbox").get(pk=inbound_id)
        if inbound.state != InboundState.FAILED:
            return incoming.said_of(inbound)
        if inbound.ticket is None:
            raise Conflict("Its ticket is gone; take the mail in as a file once more.")
        inbound.error = ""
        _apply_again(inbound, inbound.ticket, mail, by)
        inbound.save(update_fields=incoming.KEPT)
    return incoming.said_of(inbound)


def _apply_again(inbound: InboundEmail, ticket: Ticket, mail: parsing.Mail, by: User) -> None:
    """As `_apply`, for a mail that has a ticket already: it stays there, whatever else it may belong to."""
    if incoming.is_no_message(inbound, mail):
        inbound.ticket = ticket
    else:
        verdict, facts = incoming.judge(inbound, mail)
        if (found := whose.find(mail, inbound)) is not None and found.ticket != ticket:
            inbound.perhaps = found.ticket  # a person merges them
        inbound.ticket, inbound.message = actions.receive(
            ticket_id=ticket.pk, requester=find_requester(mail.sender, mail.sender_name), text=mail.text or "(no text)",
            html=mail.html, message_id=mail.message_id, automatic=mail.automatic or facts.is_own(mail.sender),
            subject=mail.subject, files=incoming.files_of(mail),
        )  # fmt: skip
        for recipe in verdict.recipes:
            incoming.follow(inbound.ticket, recipe)
    TicketEvent.record(inbound.ticket or ticket, by, "mail_read_again")


@transaction.atomic
def dismiss(*, inbound_id: int, by: User) -> None:
    """Somebody looked: the mail leaves the list; its ticket and the raw mail stay."""
    found = needing_a_look(by).filter(pk=inbound_id, state=InboundState.FAILED).select_related("ticket").first()
    if found is None:
        raise NotFound("There is no such mail, or somebody has dealt with it.")
    InboundEmail.objects.filter(pk=inbound_id, state=InboundState.FAILED).update(state=InboundState.APPLIED)
    if found.ticket is not None:
        TicketEvent.record(found.ticket, by, "mail_looked_at")
