"""`notify`: tell people in the desk: who started the run, a tier, its leads, or somebody by address."""

from typing import Annotated

from pydantic import Field

from runbooks.definition.scalars import Strict, Text
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result
from staff import actions as staff
from staff.models import Membership, Notification, User

Recipient = Annotated[str, Field(pattern=r"^(requester|tier:[123]|leads:[123]|[^@\s]+@[^@\s]+)$", max_length=254)]


class NotifyWith(Strict):
    to: list[Recipient] = Field(min_length=1, max_length=50)
    text: Text = Field(min_length=1, max_length=2000)


class Notify(Kind):
    name = "notify"
    With = NotifyWith
    templated = frozenset({"text"})

    def acts(self, with_: NotifyWith) -> bool:
        return False

    def run(self, context: Context) -> Result:
        """Tell each person once, however often the step is run again."""
        people = recipients(context)
        text = context.output.redact(str(context.with_.text))[:300]
        made = staff.notify(
            Notification(
                user_id=user,
                kind="run",
                text=text,
                reason=f"a runbook told {who}",
                url=f"/runs/{context.execution_id}/",
                key=f"run:{context.execution_id}:{context.step_id}",
            )
            for user, who in people.items()
        )
        if not people:
            return Result(StepState.WARNED, "Nobody fits: nobody was told.")
        return Result(StepState.SUCCEEDED, f"Told {len(people)} people.", {"people": len(people), "new": made})

    def preview(self, context: Context) -> Result:
        return Result(StepState.SKIPPED, f"It would tell {len(recipients(context))} people: {context.with_.text}"[:500])


def recipients(context: Context) -> dict[int, str]:
    """Active people by id, with the word that found them."""
    found: dict[int, str] = {}
    for word in context.with_.to:
        kind, _, level = word.partition(":")
        if word == "requester":
            users = User.objects.filter(pk=context.requested_by)
        elif kind in {"tier", "leads"} and level:
            members = Membership.objects.filter(tier__level=int(level))
            members = members.filter(role="lead") if kind == "leads" else members
            users = User.objects.filter(pk__in=members.values("user"))
        else:
            users = User.objects.filter(email=word.lower())
        for pk in users.filter(is_active=True).values_list("pk", flat=True):
            found.setdefault(pk, word)
    return found


KIND = Notify
