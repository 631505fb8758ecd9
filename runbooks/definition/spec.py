"""A whole runbook as data. The models check each field; `_holds_together` checks what spans several."""

import operator
from collections.abc import Iterator, Mapping, Set
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model, model_validator

from runbooks import expressions, steps
from runbooks.definition.params import Param, Value
from runbooks.definition.scalars import Bytes, Connection, Name, Seconds, Slug, Strict
from supportdesk.errors import Invalid

# What an expression may look up beside parameters and steps.
ROOTS = {
    "params": None,
    "steps": None,
    "target": {"slug", "name", "environment", "labels"},
    "run": {"id", "attempt", "dry_run", "requested_by", "state", "ticket"},
    "schedule": {"name", "moment"},
}
STEP_FACTS = {"state", "message", "result"}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Retry(Strict):
    """How often a failed step is tried again, and how long before the first time; each wait is twice as long."""

    count: int = Field(ge=1, le=20)
    backoff: Seconds = 5


class Lock(Strict):
    """A resource that nobody else may use meanwhile. `key` may hold {…}; within a target unless `scope: desk`."""

    key: str = Field(default="target", max_length=120)
    mode: Literal["exclusive", "shared"] = "exclusive"
    on_conflict: Literal["queue", "skip", "fail"] = "queue"
    wait: Seconds = 1800
    scope: Literal["target", "desk"] = "target"


class ApprovalRule(Strict):
    """How many people say yes before it runs; never the one who asks."""

    count: int = Field(default=1, ge=0, le=5)
    tier: Literal[1, 2, 3] | None = None
    expires: Seconds = 86_400
    when: str | None = None


class Limits(Strict):
    """Of the whole run: seconds, bytes of output kept, and what happens to more than that."""

    timeout: Seconds = 1800
    output: Bytes = 20 * 1024**2
    on_output: Literal["truncate", "stop"] = "truncate"


class TargetNeeds(Strict):
    """Which targets fit, and how a run over several goes on."""

    needs: list[Connection] = []
    environments: list[str] = []
    labels: dict[str, str] = {}
    max: int = Field(default=20, ge=1, le=500)
    batch: int = Field(default=1, ge=1, le=100)
    stop_after_failures: int = Field(default=1, ge=1, le=500)


class TicketPolicy(Strict):
    """What a run does with tickets by itself. Without `open_on` the runs of schedules open one, others none."""

    open_on: list[Literal["failed", "lost", "missed"]] | None = None
    resolve_on: Literal["next_success"] | None = None
    attach: bool = True


class _Act(Strict):
    """What a step and its undo have in common."""

    title: str = Field(default="", max_length=160)
    timeout: Seconds = 300
    on: str | None = Field(default=None, description="Another target, by its short name; {…} is filled in.")


class _Step(_Act):
    id: Slug
    title: str = Field(min_length=1, max_length=160)
    effect: Literal["none", "idempotent", "once"] = "none"
    needs: list[Slug] | None = None
    when: str | None = None
    retry: Retry | None = None
    expect: Annotated[list[str], BeforeValidator(_listed)] = []
    capture: dict[Name, str] = {}
    output: Bytes | None = Field(default=None, description="Of this step's output no more than this is kept.")


def _acts() -> Any:
    """The models of all steps as a union by `uses`, made from the kinds that are installed."""
    undos, found = [], []
    for name, kind in steps.kinds().items():
        title = name.title().replace("_", "")
        with_: Any = (kind.With, Field(alias="with", default_factory=dict, validate_default=True))
        uses: Any = (Literal[name], ...)
        undos.append(create_model(f"{title}Undo", __base__=_Act, uses=uses, with_=with_))
    undo: Any = Annotated[reduce(operator.or_, undos), Field(discriminator="uses")]
    for name, kind in steps.kinds().items():
        title = name.title().replace("_", "")
        with_ = (kind.With, Field(alias="with", default_factory=dict, validate_default=True))
        uses = (Literal[name], ...)
        plan: Any = (kind.With | Literal["skip"] | None, None)
        found.append(
            create_model(f"{title}Step", __base__=_Step, uses=uses, with_=with_, plan=plan, undo=(undo | None, None))
        )
    return Annotated[reduce(operator.or_, found), Field(discriminator="uses")]


Step: Any = _acts()


class Definition(Strict):
    """A whole runbook."""

    schema_: Literal[1] = Field(alias="schema")
    id: Slug
    title: str = Field(min_length=1, max_length=160)
    description: str = ""
    purpose: Literal["diagnostic", "maintenance", "backup", "recovery"]
    owner: str = Field(max_length=80)
    risk: Literal["read", "change", "destructive"]
    tier: Literal[1, 2, 3] | None = None
    role: Literal["agent", "lead", "administrator"] = "agent"
    view: Literal[1, 2, 3] = Field(
        default=1, description="The tier that sees it and its runs at least; 1 is everybody."
    )
    params: dict[Name, Param] = {}
    target: TargetNeeds = TargetNeeds()
    locks: list[Lock] | None = None
    approval: ApprovalRule | None = None
    limits: Limits = Limits()
    on_worker_loss: Literal["resume", "restart", "ask"] = "ask"
    on_failure: Literal["stop", "undo"] = "stop"
    steps: list[Step] = Field(min_length=1, max_length=100)
    finally_: list[Step] = Field(default=[], alias="finally", max_length=20)
    ticket: TicketPolicy = TicketPolicy()

    @property
    def tier_level(self) -> int:
        return self.tier or {"read": 1, "change": 2, "destructive": 3}[self.risk]

    @property
    def needed_connections(self) -> list[str]:
        """The connections that the target must have: those declared, and those that its own steps use."""
        used = {
            name
            for step in [*self.steps, *self.finally_]
            if step.on is None
            for name in steps.kinds()[step.uses].needs(step.with_)
        }
        return [*self.target.needs, *sorted(used - set(self.target.needs))]

    @property
    def wanted_locks(self) -> list[Lock]:
        """The declared locks; a runbook that changes its target and declares none has it to itself."""
        if self.locks is not None:
            return self.locks
        return [] if self.risk == "read" else [Lock()]

    @property
    def approval_rule(self) -> ApprovalRule:
        """Declared, or by risk: what destroys wants one other person."""
        return self.approval or ApprovalRule(count=1 if self.risk == "destructive" else 0)

    def needs_of(self, step: Any) -> list[str]:
        """The steps before it: what `needs` names, or else the one above it."""
        if step.needs is not None:
            return list(step.needs)
        at = [other.id for other in self.steps].index(step.id)
        return [self.steps[at - 1].id] if at else []

    @model_validator(mode="after")
    def _holds_together(self) -> "Definition":
        problems = [*self._wrong_ids(), *self._wrong_steps(), *self._wrong_words()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _wrong_ids(self) -> Iterator[str]:
        ids = [step.id for step in [*self.steps, *self.finally_]]
        if twice := {step_id for step_id in ids if ids.count(step_id) > 1}:
            yield f"two steps have the id {', '.join(sorted(twice))}"
            return
        known: set[str] = set()
        for step in self.steps:
            for need in step.needs or []:
                if need not in known:
                    yield f"step {step.id} needs {need}, which is no step above it"
            known.add(step.id)
        for step in self.finally_:
            if step.needs or step.undo:
                yield f"step {step.id} of finally has neither needs nor undo: those steps run in their order"

    def _wrong_steps(self) -> Iterator[str]:
        if self.risk == "read" and (acting := [step.id for step in self.steps if step.effect != "none"]):
            yield f"risk: read, but {', '.join(acting)} has an effect; say risk: change"
        for step in [*self.steps, *self.finally_]:
            kind = steps.kinds()[step.uses]
            if step.effect == "none" and kind.acts(step.with_):
                yield f"step {step.id} {kind.acts_because(step.with_)} but says effect: none"
            if step.plan is not None and step.plan != "skip" and kind.acts(step.plan):
                yield f"step {step.id}: its plan would change something"
            if step.effect == "once" and step.retry:
                yield f"step {step.id} happens once, so it has no retry"
            if self.on_failure == "stop" and step.undo:
                yield f"step {step.id} has an undo; say on_failure: undo"
            for with_ in [step.with_, *([step.plan] if step.plan not in (None, "skip") else [])]:
                for problem in kind.problems(with_, set(self.params)):
                    yield f"step {step.id} {problem}"

    def _wrong_words(self) -> Iterator[str]:
        """Expressions and {…} that do not parse, or look up what cannot be there."""
        before: dict[str, set[str]] = {}
        for step in self.steps:
            reached = self._reached(step)
            names = {step_id: found for step_id, found in before.items() if step_id in reached}
            before[step.id] = set(step.capture)
            yield from self._of_step(step, names, own=set())
        for step in self.finally_:
            yield from self._of_step(step, before, own=set())
            before[step.id] = set(step.capture)
        for lock in self.locks or []:
            yield from self._template(lock.key, {}, f"the lock {lock.key}", secrets=False)
        if self.approval and self.approval.when:
            yield from self._expression(self.approval.when, {}, "approval.when")

    def _reached(self, step: Any) -> set[str]:
        """Every step that has certainly ended before this one begins."""
        by_id = {other.id: other for other in self.steps}
        found: set[str] = set()
        waiting = [need for need in self.needs_of(step) if need in by_id]
        while waiting:
            need = waiting.pop()
            if need not in found:
                found.add(need)
                waiting += [other for other in self.needs_of(by_id[need]) if other in by_id]
        return found

    def _of_step(self, step: Any, names: Mapping[str, set[str]], own: Set[str]) -> Iterator[str]:
        if step.when:
            yield from self._expression(step.when, names, f"step {step.id}, when")
        for text in step.expect:
            yield from self._expression(text, names, f"step {step.id}, expect", own={"result", "message"})
        for name, text in step.capture.items():
            if name in STEP_FACTS:
                yield f"step {step.id} captures {name}, a name that every step has already"
            yield from self._expression(text, names, f"step {step.id}, capture {name}", own={"result", "message"})
        if step.on:
            yield from self._template(step.on, {}, f"step {step.id}, on")  # what is approved is known before it runs
        yield from self._filled(step.uses, step.with_, names, f"step {step.id}")
        if step.plan not in (None, "skip"):
            yield from self._filled(step.uses, step.plan, names, f"step {step.id}, plan")
        if step.undo:
            yield from self._filled(
                step.undo.uses, step.undo.with_, {**names, step.id: set(step.capture)}, f"the undo of step {step.id}"
            )

    def _filled(self, uses: str, with_: Any, names: Mapping[str, set[str]], where: str) -> Iterator[str]:
        kind = steps.kinds()[uses]
        for field in kind.templated:
            for text in _texts(getattr(with_, field)):
                yield from self._template(text, names, f"{where}, {field}", secrets=uses != "runbook")

    def _template(self, text: str, names: Mapping[str, set[str]], where: str, *, secrets: bool = True) -> Iterator[str]:
        try:
            pieces = expressions.parse_template(text)
        except expressions.ExpressionError as error:
            yield f"{where}: {error} (character {error.position + 1} of {text!r})"
            return
        for piece in pieces:
            if isinstance(piece, str):
                continue
            yield from self._looked_up(piece, names, where, set())
            for lookup in expressions.lookups(piece):
                name = lookup.path[1] if lookup.path[0] == "params" and len(lookup.path) > 1 else lookup.path[0]
                if not secrets and str(name) in self.params and self.params[str(name)].type == "secret":
                    yield f"{where}: a secret would be stored there in clear"

    def _expression(
        self, text: str, names: Mapping[str, set[str]], where: str, own: Set[str] = frozenset()
    ) -> Iterator[str]:
        try:
            node = expressions.parse(text)
        except expressions.ExpressionError as error:
            yield f"{where}: {error} (character {error.position + 1} of {text!r})"
            return
        yield from self._looked_up(node, names, where, own)

    def _looked_up(self, node: Any, names: Mapping[str, set[str]], where: str, own: Set[str]) -> Iterator[str]:
        for lookup in expressions.lookups(node):
            first, *rest = lookup.path
            if first in own:
                continue
            if first == "steps" or first == "params":
                yield from self._named(str(first), rest, names, where, str(lookup))
            elif first in ROOTS:
                facts = ROOTS[str(first)]
                if rest and facts is not None and rest[0] not in facts:
                    yield f"{where}: {first} has no {rest[0]}; it has {', '.join(sorted(facts))}"
            elif first not in self.params:
                yield f"{where}: {first} is no parameter, and none of {', '.join(sorted(ROOTS))}"
            elif self.params[str(first)].type == "secret" and own:
                yield f"{where}: a secret is not compared"

    def _named(
        self, first: str, rest: list[Any], names: Mapping[str, set[str]], where: str, shown: str
    ) -> Iterator[str]:
        if not rest:
            return
        if first == "params":
            if rest[0] not in self.params:
                yield f"{where}: {rest[0]} is no parameter"
        elif rest[0] not in names:
            yield f"{where}: {shown} looks at a step that has not certainly ended by then"
        elif len(rest) > 1 and rest[1] not in STEP_FACTS | names[rest[0]]:
            yield f"{where}: step {rest[0]} captures no {rest[1]}; every step has {', '.join(sorted(STEP_FACTS))}"

    def parse_params(self, given: dict[str, Any]) -> dict[str, Value]:
        """Typed values for a launch, defaults filled in; `Invalid` names each wrong field."""
        wrong: dict[str, list[str]] = {
            name: ["There is no such parameter."] for name in given if name not in self.params
        }
        values: dict[str, Value] = {}
        for name, param in self.params.items():
            value = given.get(name)
            if value is None or value == "":
                value = param.default
            if value is None and param.type == "boolean":
                value = False
            if value is None:
                if param.required:
                    wrong[name] = ["This parameter is required."]
                values[name] = None
                continue
            try:
                values[name] = param.parse(value)
            except ValueError as error:
                wrong[name] = [f"{param.label}: {error}."]
        if wrong:
            raise Invalid("Some parameters need another value.", fields=wrong)
        return values


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
