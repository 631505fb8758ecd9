"""What the composer offers: one's draft, what waits to be sent, words kept ready, people to name."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import Q

from staff.models import User
from supportdesk.errors import NotFound
from tickets.mail import wording
from tickets.mail.outgoing import mailbox_for
from tickets.models import Draft, DraftFile, DraftState, Macro, MessageKind, Ticket
from tickets.recipe import Recipe


@dataclass(frozen=True)
class Writing:
    """What is being written on a ticket: the reader's draft, and what waits to be sent, of anybody."""

    draft: Draft | None = None
    files: list[DraftFile] = field(default_factory=list)
    pending: list[Draft] = field(default_factory=list)
    macros: list[Macro] = field(default_factory=list)  # whose changes the draft takes along

    @property
    def text(self) -> str:
        return self.draft.text if self.draft else ""

    @property
    def is_note(self) -> bool:
        return self.draft is not None and self.draft.kind == MessageKind.NOTE

    @property
    def minutes(self) -> int | str:
        found = self.draft.minutes if self.draft else None
        return "" if found is None else found


def writing_on(ticket: Ticket, user: User) -> Writing:
    """One statement where nothing is being written."""
    others = ~Q(state=DraftState.DRAFT)
    rows = list(ticket.drafts.filter(Q(user=user) | others).select_related("user").order_by("updated_at", "id"))
    draft = next((row for row in rows if row.state == DraftState.DRAFT), None)
    return Writing(
        draft,
        list(draft.files.all()) if draft else [],
        [row for row in rows if row.state != DraftState.DRAFT],
        list(Macro.objects.visible_to(user).filter(pk__in=draft.macros)) if draft and draft.macros else [],
    )


def draft_of(ticket: Ticket, user: User) -> Draft | None:
    """The reader's draft on a ticket."""
    return ticket.drafts.filter(user=user, state=DraftState.DRAFT).first()


@dataclass(frozen=True)
class Option:
    """A macro as the composer lists it: the words for this ticket, and what goes along."""

    macro: Macro
    text: str
    does: str


def macro_options(ticket: Ticket, user: User) -> list[Option]:
    """Everybody's macros and the reader's own, filled in for a ticket."""
    box = mailbox_for(ticket)
    facts = {
        "number": ticket.number, "subject": ticket.subject, "requester": ticket.requester.name or ticket.requester.email,
        "agent": user.name, "desk": box.display_name if box else "Support", "url": f"{settings.BASE_URL}/tickets/{ticket.number}/",
    }  # fmt: skip
    return [Option(macro, wording.fill(macro.text, facts), does_of(macro)) for macro in Macro.objects.visible_to(user)]


def does_of(macro: Macro) -> str:
    """What a macro changes, in words."""
    return str(Recipe.model_validate(macro.recipe)) if macro.recipe else ""


def people_for(ticket: Ticket) -> list[tuple[str, User]]:
    """(handle, person) of whom a note may name: who works at the desk, by name; on a restricted ticket who sees it."""
    people: Iterable[User] = User.objects.filter(is_active=True).exclude(role="integration").prefetch_related("memberships__tier")  # fmt: skip
    able = [person for person in people if person.standing.level or person.standing.is_administrator]
    if ticket.restricted:
        able = [person for person in able if Ticket.objects.visible_to(person).filter(pk=ticket.pk).exists()]
    counts: dict[str, int] = {}
    for person in able:
        local = person.email.partition("@")[0]
        counts[local] = counts.get(local, 0) + 1
    handles = [(person.email.partition("@")[0], person) for person in sorted(able, key=lambda one: one.name.lower())]
    return [(local if counts[local] == 1 else person.email, person) for local, person in handles]


def macros(user: User) -> list[tuple[Macro, str]]:
    """Everybody's macros and the reader's own, with what they change."""
    found = Macro.objects.visible_to(user).select_related("owner", "changed_by")
    return [(macro, does_of(macro)) for macro in found]


def macro(user: User, pk: int) -> Macro:
    """One macro that the reader may use, or NotFound."""
    found = Macro.objects.visible_to(user).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such macro.")
    return found


def macro_initial(kept: Macro | None) -> dict[str, Any]:
    """A kept macro as the first values of its form."""
    if kept is None:
        return {"kind": MessageKind.REPLY}
    own = {name: getattr(kept, name) for name in ("name", "kind", "text", "position")}
    tags = {name: " ".join(kept.recipe[name]) for name in ("add_tags", "remove_tags") if name in kept.recipe}
    category = {"category": "-"} if kept.recipe.get("category") == "" else {}
    return {**kept.recipe, **tags, **category, **own, "for_all": kept.owner_id is None}
