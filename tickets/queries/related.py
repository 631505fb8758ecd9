"""What hangs on a ticket: links to others that the reader may see, checklist, approvals. Read along with the ticket."""

from dataclasses import dataclass
from typing import Any

from django.db.models import JSONField
from django.db.models.expressions import RawSQL

from staff.models import User
from tickets.models import (
    OPEN_STATUSES,
    SEEN_FROM_TARGET,
    ApprovalState,
    LinkKind,
    Status,
    Ticket,
)

MADE_BY_PEOPLE = {LinkKind.RELATED, LinkKind.BLOCKS, LinkKind.DUPLICATE, LinkKind.CHILD}


@dataclass(frozen=True)
class Related:
    """Another ticket and what it is to this one."""

    id: int
    other: int
    kind: str
    outwards: bool
    number: int
    subject: str
    status: str

    @property
    def label(self) -> str:
        return LinkKind(self.kind).label if self.outwards else SEEN_FROM_TARGET[self.kind]

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def status_label(self) -> str:
        return Status(self.status).label

    @property
    def removable(self) -> bool:
        return self.kind in MADE_BY_PEOPLE

    @property
    def is_open_child(self) -> bool:
        return self.kind == LinkKind.CHILD and not self.outwards and self.is_open

    @property
    def is_open_blocker(self) -> bool:
        return self.kind == LinkKind.BLOCKS and not self.outwards and self.is_open


@dataclass(frozen=True)
class Step:
    """A step of a checklist."""

    id: int
    text: str
    done: bool
    by: str | None


@dataclass(frozen=True)
class Asked:
    """An approval: what was asked of whom, and the answer."""

    id: int
    question: str
    state: str
    user: str | None
    level: int | None
    email: str
    by: str | None
    decided_as: str
    comment: str

    @property
    def whom(self) -> str:
        if self.level is not None:
            return f"the leads of tier {self.level}" if self.level else "the administrators"
        return self.user or self.email

    @property
    def state_label(self) -> str:
        return ApprovalState(self.state).label

    @property
    def is_waiting(self) -> bool:
        return self.state == ApprovalState.WAITING


def _array(what: str, table: str, where: str, joins: str = "", order: str = "x.id") -> RawSQL:
    """Rows that hang on the ticket as JSON. Plain: Django takes longer to write it than PostgreSQL to run it."""
    rows = f"jsonb_agg(jsonb_build_object({what}) ORDER BY {order})"
    sql = f"(SELECT coalesce({rows}, '[]') FROM {table} x {joins} WHERE {where})"  # noqa: S608 - constants of this module
    return RawSQL(sql, [], output_field=JSONField())  # noqa: S611 - the same


_OTHER = "'id', x.id, 'kind', x.kind, 'other', o.id, 'number', o.number, 'subject', o.subject, 'status', o.status"
ARRAYS = {
    "asked": _array(
        "'id', x.id, 'question', x.question, 'state', x.state, 'user', u.name, 'level', x.of_level, 'email', x.of_email,"
        " 'by', a.name, 'decided_as', x.decided_as, 'comment', x.comment",
        "tickets_ticketapproval",
        "x.ticket_id = tickets_ticket.id",
        "LEFT JOIN staff_user u ON u.id = x.of_user_id LEFT JOIN staff_user a ON a.id = x.asked_by_id",
    ),
    "links_out": _array(
        f"{_OTHER}, 'outwards', true", "tickets_ticketlink", "x.source_id = tickets_ticket.id",
        "JOIN tickets_ticket o ON o.id = x.target_id",
    ),
    "links_in": _array(
        f"{_OTHER}, 'outwards', false", "tickets_ticketlink", "x.target_id = tickets_ticket.id",
        "JOIN tickets_ticket o ON o.id = x.source_id",
    ),
    "steps": _array(
        "'id', x.id, 'text', x.text, 'done', x.done_at, 'by', u.name", "tickets_checklistitem", "x.ticket_id = tickets_ticket.id",
        "LEFT JOIN staff_user u ON u.id = x.done_by_id", "x.position, x.id",
    ),
}  # fmt: skip


def links(user: User, ticket: Any) -> list[Related]:
    """Of a ticket fetched with `ARRAYS`, those that the user may see: open children and blockers first."""
    rows = [*ticket.links_out, *ticket.links_in]
    others = [row["other"] for row in rows]
    seen = set(Ticket.objects.visible_to(user).filter(pk__in=others).values_list("pk", flat=True)) if others else set()
    found = [Related(**row) for row in rows if row["other"] in seen]
    return sorted(found, key=lambda other: (not (other.is_open_child or other.is_open_blocker), other.id))


def steps(ticket: Any) -> list[Step]:
    return [Step(row["id"], row["text"], row["done"] is not None, row["by"]) for row in ticket.steps]


def approvals(ticket: Any) -> list[Asked]:
    return [Asked(**row) for row in ticket.asked]


def with_related(user: User, number: int) -> Any:
    """One ticket that the user may see with its `ARRAYS`, or None."""
    return Ticket.objects.visible_to(user).filter(number=number).annotate(**ARRAYS).first()
