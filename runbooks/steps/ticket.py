"""`ticket`: open a ticket, or note on, reply to, resolve or raise the one that the run belongs to."""

from typing import Literal

from pydantic import Field, model_validator

from runbooks.definition.scalars import Strict, Text
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result, StepError
from staff.models import Tier, User
from supportdesk.errors import DeskError
from tickets import actions as tickets
from tickets.models import Channel, Priority, Ticket


class TicketWith(Strict):
    """Done in the name of who started the run, within what they may do."""

    action: Literal["open", "note", "reply", "resolve", "priority"]
    number: str | int | None = Field(default=None, description="Another ticket than the run's own.")
    subject: Text = Field(default="", max_length=400)
    text: Text = Field(default="", max_length=20_000)
    tier: Literal[1, 2, 3] | None = None
    priority: Priority | None = None
    requester: str = Field(default="", max_length=254)

    @model_validator(mode="after")
    def _whole(self) -> "TicketWith":
        needed = {
            "open": ("subject", "text", "requester"),
            "note": ("text",),
            "reply": ("text",),
            "priority": ("priority",),
        }
        if lacking := [name for name in needed.get(self.action, ()) if not getattr(self, name)]:
            raise ValueError(f"action: {self.action} needs {', '.join(lacking)}")
        return self


class TicketKind(Kind):
    name = "ticket"
    With = TicketWith
    templated = frozenset({"number", "subject", "text", "requester"})

    def acts_because(self, with_: TicketWith) -> str:
        return "changes a ticket"

    def run(self, context: Context) -> Result:
        """Do it through the desk's own actions, with their permissions."""
        by = User.objects.get(pk=context.requested_by)
        with_ = context.with_
        text = context.output.redact(str(with_.text))
        try:
            if with_.action == "open":
                tier = Tier.objects.get(level=with_.tier) if with_.tier else None
                made, _ = tickets.open_ticket(
                    by=by, requester_email=with_.requester, subject=context.output.redact(str(with_.subject)), text=text,
                    tier=tier, priority=with_.priority or Priority.NORMAL, channel=Channel.RUNBOOK,
                )  # fmt: skip
                return Result(StepState.SUCCEEDED, f"Opened ticket {made.number}.", {"ticket": made.number})
            number = _number(context)
            if with_.action == "note":
                tickets.note(number=number, by=by, text=text)
            elif with_.action == "reply":
                tickets.reply(number=number, by=by, text=text)
            elif with_.action == "resolve":
                tickets.resolve(number=number, by=by)
            else:
                tickets.set_priority(number=number, by=by, priority=with_.priority)
        except DeskError as error:
            return Result(StepState.FAILED, str(error)[:500])
        return Result(StepState.SUCCEEDED, f"{with_.action.capitalize()} on ticket {number}.", {"ticket": number})

    def preview(self, context: Context) -> Result:
        with_ = context.with_
        if with_.action == "open":
            return Result(StepState.SKIPPED, f"It would open a ticket: {with_.subject}"[:500])
        return Result(StepState.SKIPPED, f"It would {with_.action} on ticket {_number(context)}.")


def _number(context: Context) -> int:
    """The ticket's number: the one that is named, or the run's own."""
    named = context.with_.number
    if named not in {None, ""}:
        if not str(named).isdecimal():
            raise StepError(f"{named} is no ticket number.")
        return int(str(named))
    if context.ticket is None:
        raise StepError("This run belongs to no ticket; start it from one, or name a number.")
    found = Ticket.objects.filter(pk=context.ticket).values_list("number", flat=True).first()
    if found is None:
        raise StepError("The ticket of this run is gone.")
    return found


KIND = TicketKind
