"""Telling the people of a ticket what happened on it. Shared by the actions in which it happens; not an action itself."""

from staff import actions as staff
from staff.models import Notification, User
from tickets.models import Message, Ticket

YOURS = "Because it is assigned to you"
WATCHED = "Because you watch it"


def people_of(ticket: Ticket, *, but: User | None = None) -> dict[int, str]:
    """Its watchers and its assignee, each with the reason why it is they, as far as they may see it."""
    people = dict.fromkeys(ticket.watchers.values_list("user", flat=True), WATCHED)
    if ticket.assignee_id:
        people[ticket.assignee_id] = YOURS
    if but is not None:
        people.pop(but.pk, None)
    if not people:
        return {}
    return {
        user.pk: people[user.pk]
        for user in User.objects.filter(pk__in=people, is_active=True).prefetch_related("memberships__tier")
        if (user.standing.level and not ticket.restricted)
        or Ticket.objects.visible_to(user).filter(pk=ticket.pk).exists()
    }


def wrote(ticket: Ticket, message: Message, *, kind: str, who: object, by: User | None = None) -> None:
    """Tell them that somebody wrote on it: a requester (`reply`) or a colleague (`note`)."""
    words = {"reply": "wrote on", "note": "answered" if message.kind == "reply" else "left a note on"}[kind]
    text = f"{who} {words} {ticket.number} {ticket.subject}"[:300]
    url = f"/tickets/{ticket.number}/#m{message.pk}"
    staff.notify(
        Notification(user_id=user, kind=kind, text=text, reason=reason, url=url, key=f"message:{message.pk}")
        for user, reason in people_of(ticket, but=by).items()
    )


def given(ticket: Ticket, *, by: User) -> None:
    """Tell the assignee that the ticket became theirs by another's hand."""
    to = ticket.assignee
    if to is None or to == by:
        return
    text = f"{by} gave you {ticket.number} {ticket.subject}"[:300]
    key = f"assigned:{ticket.pk}:{ticket.version}"
    staff.notify(
        [
            Notification(
                user=to, kind="assigned", text=text, reason=YOURS, url=f"/tickets/{ticket.number}/", key=key
            )
        ]
    )  # fmt: skip
