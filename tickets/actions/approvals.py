"""Somebody says yes or no before the work goes on: a named person, the leads of a tier, or somebody outside by a link."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from staff import actions as staff
from staff.models import Membership, MembershipRole, Notification, Role, User
from supportdesk import crypto
from supportdesk.errors import Conflict, Invalid, NotFound, NotPermitted
from supportdesk.text import clean, one_line
from tickets import policies
from tickets.mail import outgoing
from tickets.models import ApprovalState, Mailbox, Ticket, TicketApproval, TicketEvent

LINKS_LAST, MOST_WAITING = timedelta(days=30), 20


@dataclass(frozen=True)
class Approver:
    """Who answers: a person of the desk, or only an address."""

    address: str
    user: User | None

    def __str__(self) -> str:
        return str(self.user or self.address)


@transaction.atomic
def ask_approval(
    *, number: int, by: User, question: str, address: str = "", level: int | None = None, version: int | None = None
) -> TicketApproval:
    """Ask one person by address, or the leads of a tier (0: administrators). Each gets a mail with a link of their own."""
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    policies.check_can_change(by, ticket)
    question, address = clean(question).strip()[:5000], one_line(address, most=254).lower()
    if not question:
        raise Invalid("Write what is to be approved.", fields={"question": ["Write what is to be approved."]})
    if bool(address) == (level is not None):
        raise Invalid("Choose a role, or write an address.", fields={"address": ["Choose a role or write an address."]})
    if ticket.approvals.filter(state=ApprovalState.WAITING).count() >= MOST_WAITING:
        raise Invalid(f"{MOST_WAITING} questions wait on this ticket already.")
    asked = TicketApproval(ticket=ticket, question=question, asked_by=by, of_level=level)
    if address:
        _name(asked, address, by)
    approvers = _approvers(asked)
    if not approvers:
        raise Invalid(f"There is nobody but you among {asked.whom}; ask somebody else.")
    asked.save()
    TicketEvent.record(ticket, by, "approval_asked", whom=asked.whom, question=one_line(question, most=200))
    for approver in approvers:
        _write_to(asked, approver)
    return asked


def _name(asked: TicketApproval, address: str, by: User) -> None:
    try:
        validate_email(address)
    except ValidationError:
        raise Invalid("This is not an address.", fields={"address": ["This is not an address."]}) from None
    if address == by.email:
        raise Invalid("Nobody approves what they asked for.", fields={"address": ["Choose somebody else."]})
    if Mailbox.objects.filter(address=address).exists():
        raise Invalid("This is an address of the desk itself.", fields={"address": ["Choose a person."]})
    asked.of_user = User.objects.filter(email=address, is_active=True).exclude(role=Role.INTEGRATION).first()
    asked.of_email = "" if asked.of_user else address


def _approvers(asked: TicketApproval) -> list[Approver]:
    """Who may answer now, but for who asked."""
    if asked.of_email:
        return [Approver(asked.of_email, None)]
    people = User.objects.filter(is_active=True).exclude(pk=asked.asked_by_id or 0)
    if asked.of_user_id:
        people = people.filter(pk=asked.of_user_id)
    elif asked.of_level:
        leads = Membership.objects.filter(tier__level=asked.of_level, role=MembershipRole.LEAD)
        people = people.filter(pk__in=leads.values("user"), role=Role.STAFF)
    else:
        people = people.filter(role=Role.ADMINISTRATOR)
    return [Approver(person.email, person) for person in people.order_by("pk")]


def _write_to(asked: TicketApproval, approver: Approver) -> None:
    ticket = asked.ticket
    text = (
        f"{asked.asked_by} asks for your approval on ticket {ticket.number}, {ticket.subject}:\n\n{asked.question}\n\n"
        f"Say yes or no here, until {asked.asked_at + LINKS_LAST:%d %B %Y}:\n{settings.BASE_URL}{link(asked, approver.address)}\n\n"
        "The link is yours alone; whoever has it answers in your name."
    )
    subject = f"Your approval is asked for: {ticket.subject} [#{ticket.number}]"
    key = f"approval:{link(asked, approver.address)}"
    outgoing.write(ticket, to=approver.address, subject=subject, text=text, key=key)
    if approver.user:
        _notify(
            [approver.user.pk],
            asked,
            f"Your approval is asked for on {ticket.number}",
            "Because you were asked",
            "asked",
        )


def link(asked: TicketApproval, address: str) -> str:
    """The path of one person's signed link."""
    return f"/approve/{asked.pk}/{crypto.sign('approval', asked.pk, address, length=40)}/"


def by_link(approval_id: int, signature: str) -> tuple[TicketApproval, Approver]:
    """The question of a link and who it was sent to, or `NotFound`: forged, expired, or not theirs any more."""
    asked = TicketApproval.objects.select_related("ticket", "asked_by", "of_user").filter(pk=approval_id).first()
    if asked is not None and timezone.now() < asked.asked_at + LINKS_LAST:
        for approver in _approvers(asked):
            if crypto.verify(signature, "approval", asked.pk, approver.address) and len(signature) == 40:
                return asked, approver
    raise NotFound("This link is not valid, or not any more. Ask who sent it for a new one.")


@transaction.atomic
def decide_by_link(*, approval_id: int, signature: str, yes: bool, comment: str = "") -> TicketApproval:
    """Answer by a signed link, without signing in."""
    asked, approver = by_link(approval_id, signature)
    return _decide(asked, approver, yes, comment)


@transaction.atomic
def decide_approval(*, approval_id: int, by: User, yes: bool, comment: str = "") -> TicketApproval:
    """Answer as a person of the desk: who was named, or one of the role. Nobody answers their own question."""
    asked = waiting_for(by).filter(pk=approval_id).first()
    if asked is None:
        seen = TicketApproval.objects.filter(pk=approval_id, ticket__in=Ticket.objects.visible_to(by).values("pk"))
        if seen.filter(state=ApprovalState.WAITING).exists():
            raise NotPermitted("This question was put to somebody else.")
        if seen.exists():
            raise Conflict("It was answered or withdrawn already.")
        raise NotFound("There is no such question.")
    return _decide(asked, Approver(by.email, by), yes, comment)


def waiting_for(user: User) -> QuerySet[TicketApproval]:
    """Questions that wait for this person's answer."""
    standing = user.standing
    mine = Q(of_user=user) | Q(of_level__in=standing.lead_levels)
    if standing.is_administrator:
        mine |= Q(of_level=0)
    waiting = TicketApproval.objects.filter(mine, state=ApprovalState.WAITING).exclude(asked_by=user)
    return waiting.select_related("ticket", "asked_by", "of_user")


def _decide(asked: TicketApproval, approver: Approver, yes: bool, comment: str) -> TicketApproval:
    ticket = Ticket.objects.lock(asked.ticket.number)
    asked = TicketApproval.objects.select_for_update(of=("self",)).get(pk=asked.pk)
    if asked.state != ApprovalState.WAITING:
        raise Conflict(f"This question was {asked.get_state_display().lower()} already.")
    asked.state = ApprovalState.APPROVED if yes else ApprovalState.REFUSED
    asked.decided_by, asked.decided_as, asked.decided_at = approver.user, str(approver)[:254], timezone.now()
    asked.comment = clean(comment).strip()[:5000]
    asked.save()
    said = {"question": one_line(asked.question, most=200), "comment": one_line(asked.comment, most=300)}
    TicketEvent.record(ticket, approver.user or approver.address, asked.state, at=asked.decided_at, **said)
    told = {asked.asked_by_id, ticket.assignee_id} - {None, approver.user.pk if approver.user else None}
    words = f"{approver} {'approved' if yes else 'refused'} on {ticket.number}"
    _notify([user for user in told if user], asked, words, "Because you asked or it is yours", "answered")
    return asked


@transaction.atomic
def withdraw_approval(*, approval_id: int, by: User) -> TicketApproval:
    """Take a question back; its links answer no more."""
    visible = Ticket.objects.visible_to(by).values("pk")
    asked = TicketApproval.objects.select_related("ticket").filter(pk=approval_id, ticket__in=visible).first()
    if asked is None:
        raise NotFound("There is no such question.")
    ticket = Ticket.objects.visible_to(by).lock(asked.ticket.number)
    policies.check_can_change(by, ticket)
    asked = TicketApproval.objects.select_for_update(of=("self",)).get(pk=asked.pk)
    if asked.state != ApprovalState.WAITING:
        raise Conflict(f"This question was {asked.get_state_display().lower()} already.")
    asked.state, asked.decided_by, asked.decided_as = ApprovalState.WITHDRAWN, by, str(by)
    asked.decided_at = timezone.now()
    asked.save()
    TicketEvent.record(ticket, by, "approval_withdrawn", whom=asked.whom, question=one_line(asked.question, most=200))
    return asked


def _notify(users: list[int], asked: TicketApproval, words: str, reason: str, key: str) -> None:
    staff.notify(
        Notification(
            user_id=user, kind="ticket.approval", text=f"{words}: {one_line(asked.question, most=200)}"[:300], reason=reason,
            url="/approvals/" if key == "asked" else f"/tickets/{asked.ticket.number}/", key=f"approval:{asked.pk}:{key}",
        )
        for user in users
    )  # fmt: skip
