"""Who may do what to a ticket, and when: the table *Who may do what* as code.

`check_can_x` raises `NotPermitted` with the rule; `can_x` is for buttons. Every check assumes a
ticket fetched through `visible_to`.
"""

from collections.abc import Callable

from staff.models import Tier, User
from supportdesk.errors import NotPermitted
from tickets.models import Ticket


def _check_works_tier(user: User, ticket: Ticket, doing: str) -> None:
    standing = user.standing
    if standing.is_administrator:
        return
    if standing.reads_only:
        raise NotPermitted("Auditors read and change nothing.")
    if standing.is_integration:
        raise NotPermitted(f"Integrations open tickets, reply and note; they may not {doing} them.")
    if standing.level < ticket.tier.level:
        raise NotPermitted(
            f"Ticket {ticket.number} is with tier {ticket.tier.level}: only that tier or a higher one may {doing} it."
        )


def check_can_open(user: User) -> None:
    """Staff of any tier, leads, administrators and integrations open tickets."""
    standing = user.standing
    if standing.reads_only:
        raise NotPermitted("Auditors read and change nothing.")
    if not (standing.level or standing.is_integration):
        raise NotPermitted("You belong to no tier yet; ask an administrator.")


def check_can_note(user: User, ticket: Ticket) -> None:
    """Whoever sees a ticket may note, watch and vote on it; auditors may not."""
    check_can_open(user)


def can_read_notes(user: User) -> bool:
    """Internal notes are for people: an integration sees the public conversation only."""
    return not user.standing.is_integration


check_can_watch = check_can_note


def check_can_reply(user: User, ticket: Ticket) -> None:
    if not user.standing.is_integration:
        _check_works_tier(user, ticket, "reply to")


def check_can_change(user: User, ticket: Ticket) -> None:
    """Priority, category, status: resolve, hold, wait, reopen, close."""
    _check_works_tier(user, ticket, "change")


def check_can_take(user: User, ticket: Ticket) -> None:
    _check_works_tier(user, ticket, "take")


def check_can_take_next(user: User) -> frozenset[int]:
    """The tiers that the person works by membership; administrators work all."""
    standing = user.standing
    levels = frozenset({1, 2, 3}) if standing.is_administrator else standing.agent_levels | standing.lead_levels
    if standing.reads_only or standing.is_integration or not levels:
        raise NotPermitted("Only members of a tier take tickets.")
    return levels


def check_can_assign(user: User, ticket: Ticket, to: User | None) -> None:
    """Own tickets and tickets of tier <= n; the new assignee must work that tier."""
    if ticket.assignee_id != user.pk or user.standing.reads_only or user.standing.is_integration:
        _check_works_tier(user, ticket, "assign")
    if to is not None and (not to.is_active or to.standing.level < ticket.tier.level):
        raise NotPermitted(
            f"{to} does not work tier {ticket.tier.level}; choose somebody of that tier or escalate less far."
        )


def check_can_escalate(user: User, ticket: Ticket, to: Tier) -> None:
    _check_works_tier(user, ticket, "escalate")
    if to.level <= ticket.tier.level:
        raise NotPermitted(f"Ticket {ticket.number} is already with tier {ticket.tier.level}.")


def check_can_merge(user: User, ticket: Ticket) -> None:
    """Merge, take back a merge: own tickets, and tickets of tier <= n."""
    if ticket.assignee_id != user.pk or user.standing.reads_only or user.standing.is_integration:
        _check_works_tier(user, ticket, "merge")


def check_can_bulk(user: User) -> None:
    """People of a tier, leads and administrators change many tickets at once, each by its own rules."""
    if user.standing.is_integration:
        raise NotPermitted("Integrations open tickets, reply and note; they change none in bulk.")
    check_can_open(user)


def check_can_keep_views(user: User) -> None:
    """Whoever reads tickets in a browser keeps views of their own."""
    standing = user.standing
    if not (standing.level or standing.is_administrator or standing.reads_only):
        raise NotPermitted("Views are for who works at the desk.")


def check_can_make_rules(user: User) -> None:
    """Rules and recurring tickets: leads and administrators."""
    if not (user.standing.is_administrator or user.standing.is_lead):
        raise NotPermitted("Leads and administrators make rules.")


def check_can_hand_over(user: User, ticket: Ticket, to: Tier) -> None:
    """Whoever works the ticket's tier passes it on, upwards or back."""
    _check_works_tier(user, ticket, "hand over")
    if to.level == ticket.tier.level:
        raise NotPermitted(f"Ticket {ticket.number} is already with tier {ticket.tier.level}.")


def check_can_restrict(user: User, ticket: Ticket) -> None:
    """Leads of the tier and administrators decide who may see a ticket."""
    standing = user.standing
    if not (standing.is_administrator or ticket.tier.level in standing.lead_levels):
        raise NotPermitted(
            f"Only leads of tier {ticket.tier.level} and administrators may restrict ticket {ticket.number}."
        )


def _allowed(check: Callable[[], None]) -> bool:
    try:
        check()
    except NotPermitted:
        return False
    return True


def can_open(user: User) -> bool:
    return _allowed(lambda: check_can_open(user))


def can_note(user: User, ticket: Ticket) -> bool:
    return _allowed(lambda: check_can_note(user, ticket))


def can_reply(user: User, ticket: Ticket) -> bool:
    return _allowed(lambda: check_can_reply(user, ticket))


def can_change(user: User, ticket: Ticket) -> bool:
    return _allowed(lambda: check_can_change(user, ticket))


def can_merge(user: User, ticket: Ticket) -> bool:
    return _allowed(lambda: check_can_merge(user, ticket))


def can_bulk(user: User) -> bool:
    return _allowed(lambda: check_can_bulk(user))


def can_keep_views(user: User) -> bool:
    return _allowed(lambda: check_can_keep_views(user))


def can_make_rules(user: User) -> bool:
    return _allowed(lambda: check_can_make_rules(user))


def can_restrict(user: User, ticket: Ticket) -> bool:
    return _allowed(lambda: check_can_restrict(user, ticket))
