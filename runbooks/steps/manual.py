"""`manual`: a person does something, ticks it off and writes what they saw."""

from runbooks.definition.scalars import Name, Strict, Text
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result


class ManualWith(Strict):
    """What to do, and what to write down: `fields` by name with the question for each."""

    instructions: Text
    fields: dict[Name, str] = {}


class Manual(Kind):
    name = "manual"
    With = ManualWith
    templated = frozenset({"instructions"})

    def acts(self, with_: ManualWith) -> bool:
        return False

    def run(self, context: Context) -> Result:
        """Wait for the person; their answer comes as `before` when the run goes on."""
        answer = context.before.get("answer")
        if answer is None:
            return Result(
                StepState.WAITING,
                context.with_.instructions[:500],
                {"instructions": context.with_.instructions, "fields": dict(context.with_.fields)},
            )
        for name, text in answer.get("fields", {}).items():
            context.output.feed("out", f"{name}: {text}\n".encode())
        state = StepState.SUCCEEDED if answer["done"] else StepState.FAILED
        words = "Done" if answer["done"] else "Could not be done"
        return Result(state, f"{words}, says {answer['by']}. {answer.get('note', '')}".strip(), dict(context.before))

    def preview(self, context: Context) -> Result:
        return Result(StepState.SKIPPED, f"Somebody would be asked: {context.with_.instructions[:400]}")


KIND = Manual
