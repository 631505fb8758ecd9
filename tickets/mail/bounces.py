"""Mail that came back: tied to what was sent and to whom, the address marked, the agent told."""

from django.db.models import F
from django.utils import timezone

from tickets.mail import outgoing
from tickets.mail.addresses import ticket_number_of_ours
from tickets.mail.returned import Bounce
from tickets.models import InboundEmail, Letter, MailAddress, OutboundEmail, Ticket, TicketEvent


def note(inbound: InboundEmail, bounce: Bounce) -> bool:
    """Tie a bounce to the mail that came back. False when it names none of ours: then a person reads it.

    Anybody can name an address: such a one is only said to belong, perhaps, to the newest ticket of theirs.
    """
    inbound.ticket = came_back(bounce)
    if inbound.ticket is None:
        theirs = Ticket.objects.filter(requester__email__in=bounce.recipients)
        inbound.perhaps = theirs.order_by("-pk").first()
    return inbound.ticket is not None


def came_back(bounce: Bounce) -> Ticket | None:
    """Note on a mail of ours that it came back, and on its addresses; its ticket, or None where it is none of ours."""
    ours = [one for one in bounce.of if ticket_number_of_ours(one)]
    sent: OutboundEmail | Letter | None = (
        OutboundEmail.objects.filter(rfc_id__in=ours).select_related("ticket", "message").first()
    )
    sent = sent or Letter.objects.filter(rfc_id__in=ours).select_related("ticket").first()
    if sent is None:
        return None
    if bounce.delivered:
        return sent.ticket  # it only says that it is late, or has arrived
    known = [sent.to, *sent.cc] if isinstance(sent, OutboundEmail) else [sent.to]
    # Of several recipients those that it names; a forger's list of others marks nobody.
    failed = [one for one in known if one.lower() in bounce.recipients] or known[:1]
    for address in failed:
        mark(address, bounce)
    if isinstance(sent, OutboundEmail) and sent.bounced_at is None and sent.to in failed:
        reason = bounce.reason or ("refused for good" if bounce.permanent else "refused for now")
        OutboundEmail.objects.filter(pk=sent.pk).update(bounced_at=timezone.now(), error=reason[:300])
        outgoing.tell_not_arrived(sent, reason)
    elif isinstance(sent, Letter):
        Letter.objects.filter(pk=sent.pk).update(error=(bounce.reason or "came back")[:300])
    TicketEvent.record(sent.ticket, "The mail server", "bounced", to=", ".join(failed))
    return sent.ticket


def mark(address: str, bounce: Bounce) -> None:
    """Remember that mail to an address came back. A permanent failure stays until a mail of theirs comes in."""
    row, _ = MailAddress.objects.get_or_create(address=address.lower())
    MailAddress.objects.filter(pk=row.pk).update(
        bounced_at=timezone.now(), permanent=bounce.permanent, reason=bounce.reason[:300], bounces=F("bounces") + 1
    )


def heard_from(address: str) -> None:
    """A mail of theirs came in: the address is not taken for dead any more."""
    MailAddress.objects.filter(address=address.lower(), bounced_at__isnull=False).update(
        bounced_at=None, permanent=False
    )
