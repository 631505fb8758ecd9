"""Whom a note names with @, and telling them. Shared by the actions that add one; not an action itself."""

import re
from collections.abc import Iterable

from staff import actions as staff
from staff.models import Notification, User
from tickets.models import Message, Ticket

# @amina or @amina@example.com; not an address that merely holds an @, nor words in `code`.
_HANDLE = re.compile(r"(?<![\w@.`])@([\w.+-]*\w(?:@[\w.-]*\w)?)")
MOST = 20


def handles(text: str) -> list[str]:
    """The names after @ in a text, in lower case, each once."""
    return list(dict.fromkeys(found.lower() for found in _HANDLE.findall(text)))[:MOST]


def named(text: str, people: Iterable[User]) -> list[User]:
    """Who of the people is named: by address, or by the part before @ where only one of them has it."""
    wanted = handles(text)
    by_handle: dict[str, list[User]] = {}
    for person in people if wanted else ():
        for handle in (person.email, person.email.partition("@")[0]):
            by_handle.setdefault(handle, []).append(person)
    return [found[0] for handle in wanted if len(found := by_handle.get(handle, [])) == 1]


def tell(ticket: Ticket, message: Message, by: User) -> None:
    """Notify whom a note names, as far as they may see the ticket."""
    if not handles(message.text):
        return
    people = [person for person in named(message.text, User.objects.filter(is_active=True)) if person.pk != by.pk]
    able = [person for person in people if Ticket.objects.visible_to(person).filter(pk=ticket.pk).exists()]
    staff.notify(
        Notification(
            user=person, kind="mention", text=f"{by} named you on {ticket.number} {ticket.subject}"[:300],
            reason="Because you were named with @", url=f"/tickets/{ticket.number}/#m{message.pk}", key=f"message:{message.pk}",
        )
        for person in able
    )  # fmt: skip
