"""What hangs on a ticket: links to others that the reader may see, checklist, approvals. Read along with the ticket."""

from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, Value
from django.db.models.functions import JSONObject

from staff.models import User
from tickets.models import (
    OPEN_STATUSES,
    SEEN_FROM_TARGET,
    ApprovalState,
    ChecklistItem,
    LinkKind,
    Status,
    Ticket,
    TicketApproval,
    TicketLink,
)

MADE_BY_PEOPLE = {LinkKind.RELATED, LinkKind.BLOCKS, LinkKind.DUPLICATE, LinkKind.CHILD}


@dataclass(frozen=True)
class Related:
    """Another ticket and what it is to this one."""

    id: int
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


def arrays(user: User) -> dict[str, Any]:
    """Annotations of a ticket that `links` and `steps` read."""
    visible = Ticket.objects.visible_to(user).values("pk")

    def ends(here: str, there: str, outwards: bool) -> ArraySubquery:
        rows = TicketLink.objects.filter(**{here: OuterRef("pk"), f"{there}__in": visible}).order_by("id")
        return ArraySubquery(
            rows.values(
                json=JSONObject(
                    id="id",
                    kind="kind",
                    outwards=Value(outwards),
                    number=f"{there}__number",
                    subject=f"{there}__subject",
                    status=f"{there}__status",
                )
            )
        )

    steps = ChecklistItem.objects.filter(ticket=OuterRef("pk")).order_by("position", "id")
    asked = TicketApproval.objects.filter(ticket=OuterRef("pk")).order_by("id")
    return {
        "asked": ArraySubquery(
            asked.values(
                json=JSONObject(
                    id="id",
                    question="question",
                    state="state",
                    user="of_user__name",
                    level="of_level",
                    email="of_email",
                    by="asked_by__name",
                    decided_as="decided_as",
                    comment="comment",
                )
            )
        ),
        "links_out": ends("source", "target", True),
        "links_in": ends("target", "source", False),
        "steps": ArraySubquery(
            steps.annotate(done=F("done_at")).values(
                json=JSONObject(id="id", text="text", done="done", by="done_by__name")
            )
        ),
    }


def links(ticket: Any) -> list[Related]:
    """Of a ticket fetched with `arrays`: open children and blockers first."""
    found = [Related(**row) for row in (*ticket.links_out, *ticket.links_in)]
    return sorted(found, key=lambda other: (not (other.is_open_child or other.is_open_blocker), other.id))


def steps(ticket: Any) -> list[Step]:
    return [Step(row["id"], row["text"], row["done"] is not None, row["by"]) for row in ticket.steps]


def approvals(ticket: Any) -> list[Asked]:
    return [Asked(**row) for row in ticket.asked]


def with_related(user: User, number: int) -> Any:
    """One ticket that the user may see with its `arrays`, or None."""
    return Ticket.objects.visible_to(user).filter(number=number).annotate(**arrays(user)).first()
