"""Ties between tickets that people make: related, blocks, duplicate of, parent and child."""

from django.db import transaction

from staff.models import User
from supportdesk.errors import Invalid, NotFound
from tickets import policies
from tickets.actions.joining import lock_both
from tickets.models import SEEN_FROM_TARGET, LinkKind, Ticket, TicketEvent, TicketLink

# What may be asked for: (kind, whether the other ticket is the source).
RELATIONS: dict[str, tuple[LinkKind, bool]] = {
    "related": (LinkKind.RELATED, False),
    "blocks": (LinkKind.BLOCKS, False),
    "blocked_by": (LinkKind.BLOCKS, True),
    "duplicate": (LinkKind.DUPLICATE, False),
    "duplicated_by": (LinkKind.DUPLICATE, True),
    "child": (LinkKind.CHILD, False),
    "parent": (LinkKind.CHILD, True),
}
_DIRECTED = {LinkKind.BLOCKS, LinkKind.CHILD}
MOST_LINKS = 200


def relation_label(relation: str) -> str:
    """The words of a relation as they read from the ticket that one is on."""
    kind, swapped = RELATIONS[relation]
    return SEEN_FROM_TARGET[kind] if swapped else kind.label


@transaction.atomic
def link(*, number: int, to: int, relation: str, by: User, version: int | None = None) -> TicketLink:
    """Tie a ticket to another that the person sees; the same tie again changes nothing.

    Raises `Invalid` for a tie to itself, a second parent, and circles of parents or of blocking.
    """
    if relation not in RELATIONS:
        raise Invalid(f"Choose one of {', '.join(RELATIONS)}.", fields={"relation": ["Choose a relation."]})
    if number == to:
        raise Invalid("A ticket cannot be linked to itself.", fields={"to": ["Choose another ticket."]})
    ticket, other = lock_both(by, number, to, version)
    policies.check_can_change(by, ticket)
    kind, swapped = RELATIONS[relation]
    source, target = (other, ticket) if swapped else (ticket, other)
    known = TicketLink.objects.filter(source=source, target=target, kind=kind).first()
    if known is None and kind == LinkKind.RELATED:
        known = TicketLink.objects.filter(source=target, target=source, kind=kind).first()
    if known is not None:
        return known
    if kind == LinkKind.CHILD and (parent := source.links.filter(kind=kind).select_related("target").first()):
        raise Invalid(
            f"Ticket {source.number} is already a child of {parent.target.number}; remove that link first.",
            fields={"to": ["It has a parent."]},
        )
    if kind in _DIRECTED and _leads_to(target, source, kind):
        raise Invalid("That would make a circle.", fields={"to": ["That would make a circle."]})
    if ticket.links.count() + ticket.linked_from.count() >= MOST_LINKS:
        raise Invalid(f"A ticket has {MOST_LINKS} links at most.", fields={"to": ["There are too many."]})
    made = TicketLink.objects.create(source=source, target=target, kind=kind)
    _record(made, by, "linked")
    return made


def _leads_to(start: Ticket, wanted: Ticket, kind: LinkKind) -> bool:
    """Whether following links of the kind from one ticket arrives at the other."""
    seen, fresh = {start.pk}, {start.pk}
    while fresh:
        if wanted.pk in fresh:
            return True
        links = TicketLink.objects.filter(source__in=fresh, kind=kind).values_list("target", flat=True)
        fresh = set(links) - seen
        seen |= fresh
    return False


@transaction.atomic
def unlink(*, number: int, link_id: int, by: User, version: int | None = None) -> Ticket:
    """Remove a tie that somebody made; what a split or a follow-up left stays."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    links = TicketLink.objects.select_related("source", "target").filter(pk=link_id)
    found = (links.filter(source=ticket) | links.filter(target=ticket)).first()
    if found is None or not Ticket.objects.visible_to(by).filter(pk__in=[found.source_id, found.target_id])[1:2]:
        raise NotFound("There is no such link on this ticket; perhaps somebody removed it.")
    if found.kind in {LinkKind.FOLLOW_UP, LinkKind.SPLIT}:
        raise Invalid("This link says where the ticket came from; it stays.")
    _record(found, by, "unlinked")
    found.delete()
    return ticket


def _record(tie: TicketLink, by: User, kind: str) -> None:
    """The same on both tickets, each in its own words."""
    words = {tie.source: LinkKind(tie.kind).label, tie.target: SEEN_FROM_TARGET[tie.kind]}
    others = {tie.source: tie.target, tie.target: tie.source}
    for ticket, relation in words.items():
        TicketEvent.record(ticket, by, kind, relation=relation.lower(), other=others[ticket].number)
