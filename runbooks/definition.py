"""What a runbook's YAML may say. Errors name file, line and field.

Parameters never become part of a command: `shell` gets them as environment variables, `sql` binds
them, `http` sends them as query or JSON values.
"""

import re
from collections.abc import Hashable
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from supportdesk.errors import Invalid

_DURATION = re.compile(r"^(\d+)\s*(s|m|h|d)$")
_SIZE = re.compile(r"^(\d+)\s*(KB|MB)$")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(value: Any) -> Any:
    """`90s`, `5m`, `2h`, `1d` to seconds."""
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return int(match[1]) * _UNITS[match[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("write a duration such as 30s, 5m, 2h or 1d")


def _size(value: Any) -> Any:
    if isinstance(value, str) and (match := _SIZE.match(value.strip())):
        return int(match[1]) * {"KB": 1024, "MB": 1024**2}[match[2]]
    raise ValueError("write a size such as 512KB or 20MB")


Seconds = Annotated[int, BeforeValidator(duration), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(_size), Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=80)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Param(Strict):
    """A typed parameter of a launch."""

    type: Literal["string", "integer", "boolean", "choice", "duration"]
    label: str
    help: str = ""
    unit: str = ""
    default: str | int | bool | None = None
    required: bool = True
    pattern: str | None = None
    min: int | None = None
    max: int | None = None
    choices: list[str] = []

    @model_validator(mode="after")
    def _makes_sense(self) -> "Param":
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("choices go with type: choice, and only with it")
        if self.pattern is not None:
            if self.type != "string":
                raise ValueError("pattern goes with type: string")
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern is not a regular expression: {error}") from None
        if (self.min is not None or self.max is not None) and self.type not in {"integer", "duration"}:
            raise ValueError("min and max go with type: integer or duration")
        if self.default is not None:
            self.parse(self.default)
        return self

    def parse(self, value: Any) -> str | int | bool:
        """A value of the right type within its bounds, or ValueError with what is wrong."""
        if self.type == "boolean":
            return _boolean(value)
        if self.type in {"integer", "duration"}:
            number = duration(value) if self.type == "duration" else _integer(value)
            if self.min is not None and number < self.min:
                raise ValueError(f"must be {self.min} or more")
            if self.max is not None and number > self.max:
                raise ValueError(f"must be {self.max} or less")
            return int(number)
        text = str(value)
        if "\0" in text or len(text) > 2000:
            raise ValueError("must be plain text of 2000 characters at most")
        if self.type == "choice" and text not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}")
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            raise ValueError(f"must match {self.pattern}")
        return text


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "on", "yes", "1"}:
        return True
    if str(value).lower() in {"false", "off", "no", "0", ""}:
        return False
    raise ValueError("must be yes or no")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?\d{1,18}", str(value).strip()):
        raise ValueError("must be a whole number")
    return int(value)


class Thresholds(Strict):
    """A number in the first row of a result, judged: over `warning` or `critical` the step passes with a warning."""

    column: str
    warning: float
    critical: float
    unit: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> "Thresholds":
        if self.critical < self.warning:
            raise ValueError("critical must not be below warning")
        return self


class ShellWith(Strict):
    """A constant script for /bin/sh, or a constant argv. Parameters arrive as PARAM_<NAME>, paths as TARGET_<NAME>."""

    script: str | None = None
    argv: list[str] | None = None
    warn_exits: list[int] = []

    @model_validator(mode="after")
    def _one_of(self) -> "ShellWith":
        if (self.script is None) == (self.argv is None):
            raise ValueError("give script or argv, one of them")
        return self


class SqlWith(Strict):
    """One statement with psycopg's %(name)s placeholders, in a read-only transaction unless it says otherwise."""

    connection: Literal["postgres"] = "postgres"
    query: str
    read_only: bool = True
    min_rows: int | None = None
    thresholds: Thresholds | None = None
    most_rows: int = 200


class HttpWith(Strict):
    """A request below the target's base_url."""

    connection: Literal["http"] = "http"
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: str = Field(pattern=r"^/[^\s?#]*$")
    query: dict[str, str] = {}
    json_body: dict[str, Any] | None = None
    status: list[int] = [200]


class _Step(Strict):
    id: Slug
    title: str
    effect: Literal["none", "idempotent", "once"] = "none"
    timeout: Seconds = 300


class ShellStep(_Step):
    uses: Literal["shell"]
    with_: ShellWith = Field(alias="with")
    plan: ShellWith | None = None


class SqlStep(_Step):
    uses: Literal["sql"]
    with_: SqlWith = Field(alias="with")
    plan: SqlWith | None = None


class HttpStep(_Step):
    uses: Literal["http"]
    with_: HttpWith = Field(alias="with")
    plan: HttpWith | None = None


Step = Annotated[ShellStep | SqlStep | HttpStep, Field(discriminator="uses")]


class Limits(Strict):
    """Of the whole run: seconds, and bytes of output kept."""

    timeout: Seconds = 1800
    output: Bytes = 20 * 1024**2


class TargetNeeds(Strict):
    needs: list[str] = []


class Definition(Strict):
    """A whole runbook."""

    schema_: Literal[1] = Field(alias="schema")
    id: Slug
    title: str = Field(max_length=160)
    description: str
    purpose: Literal["diagnostic", "maintenance", "backup", "recovery"]
    owner: str
    risk: Literal["read", "change", "destructive"]
    tier: Literal[1, 2, 3] | None = None
    params: dict[Name, Param] = {}
    target: TargetNeeds = TargetNeeds()
    limits: Limits = Limits()
    on_worker_loss: Literal["resume", "restart", "ask"] = "ask"
    steps: list[Step] = Field(min_length=1)

    @property
    def tier_level(self) -> int:
        return self.tier or {"read": 1, "change": 2, "destructive": 3}[self.risk]

    @model_validator(mode="after")
    def _holds_together(self) -> "Definition":
        ids = [step.id for step in self.steps]
        if twice := {step_id for step_id in ids if ids.count(step_id) > 1}:
            raise ValueError(f"two steps have the id {', '.join(sorted(twice))}")
        if self.risk == "read" and (acting := [step.id for step in self.steps if step.effect != "none"]):
            raise ValueError(f"risk: read, but {', '.join(acting)} has an effect; say risk: change")
        for step in self.steps:
            if isinstance(step, SqlStep):
                unknown = set(re.findall(r"%\((\w+)\)s", step.with_.query)) - set(self.params)
                if unknown:
                    raise ValueError(f"step {step.id} binds {', '.join(sorted(unknown))}, which is no parameter")
                if step.effect == "none" and not step.with_.read_only:
                    raise ValueError(f"step {step.id} may write (read_only: false) but says effect: none")
        return self

    def parse_params(self, given: dict[str, Any]) -> dict[str, str | int | bool | None]:
        """Typed values for a launch, defaults filled in; `Invalid` names each wrong field."""
        wrong: dict[str, list[str]] = {
            name: ["There is no such parameter."] for name in given if name not in self.params
        }
        values: dict[str, str | int | bool | None] = {}
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


class DefinitionError(Invalid):
    """A definition that cannot be loaded: `problems` are lines such as `file.yaml:12: steps.0.uses: …`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parse(text: str, *, name: str = "runbook.yaml") -> Definition:
    """Validate the YAML of one runbook; raises `DefinitionError` with every problem found."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DefinitionError([f"{name}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}"]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise DefinitionError([f"{name}:1: not valid YAML: {error}"]) from None
    if not isinstance(data, dict) or not isinstance(node, yaml.MappingNode):
        raise DefinitionError([f"{name}:1: a runbook is a mapping that begins with schema: 1"])
    twice = _repeated_keys(node, name)
    if twice:
        raise DefinitionError(twice)
    try:
        return Definition.model_validate(data)
    except ValidationError as error:
        raise DefinitionError([_problem(name, node, problem) for problem in error.errors()]) from None


def _repeated_keys(node: yaml.Node, name: str) -> list[str]:
    found: list[str] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            if key.value in seen:
                found.append(f"{name}:{key.start_mark.line + 1}: {key.value}: given twice")
            seen.add(key.value)
            found += _repeated_keys(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found += _repeated_keys(item, name)
    return found


def _problem(name: str, node: yaml.Node, problem: Any) -> str:
    """One pydantic error as `file:line: field: message`; the line is that of the nearest node written."""
    place, line, path = node, 1, []
    for key in problem["loc"]:
        if key in {"shell", "sql", "http"} and not _child(place, key):
            continue  # the tag of the union, which the text does not have
        path.append(str(key))
        child = _child(place, key)
        if child is None:
            break
        place, line = child
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "is not known here; check its spelling and indentation"
    if problem["type"] == "missing":
        message = "is missing"
    return f"{name}:{line}: {'.'.join(path) or 'runbook'}: {message}"


def _child(node: yaml.Node, key: Any) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return value, name.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key].start_mark.line + 1
    return None
