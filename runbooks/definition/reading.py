"""From YAML to a definition, with errors that name file, line, column and field, and say what would be right."""

import difflib
from collections.abc import Hashable
from functools import cache, lru_cache
from typing import Any

import yaml
from pydantic import ValidationError

from runbooks import steps
from runbooks.definition.spec import Definition
from supportdesk.errors import Invalid

MOST_CHARACTERS = 200_000


class DefinitionError(Invalid):
    """A definition that cannot be loaded: `problems` are lines such as `file.yaml:12:5: steps.0.uses: …`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Loader(yaml.SafeLoader):
    """YAML without dates of its own: a value that looks like one stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@lru_cache(maxsize=256)
def parse(text: str, *, name: str = "runbook.yaml") -> Definition:
    """Validate the YAML of one runbook; raises `DefinitionError` with every problem found."""
    if len(text) > MOST_CHARACTERS:
        raise DefinitionError([f"{name}:1:1: a runbook has {MOST_CHARACTERS} characters at most"])
    try:
        node = yaml.compose(text, Loader=_Loader)
        if _expanded(node) > 20_000:
            raise DefinitionError([f"{name}:1:1: its aliases unfold to more than 20,000 values"])
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise DefinitionError([f"{name}:{place}: not valid YAML: {error.problem}"]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DefinitionError([f"{name}:1:1: not valid YAML: {error}"]) from None
    if not isinstance(data, dict) or not isinstance(node, yaml.MappingNode):
        raise DefinitionError([f"{name}:1:1: a runbook is a mapping that begins with schema: 1"])
    twice = _repeated_keys(node, name)
    if twice:
        raise DefinitionError(twice)
    try:
        return Definition.model_validate(data)
    except ValidationError as error:
        problems = [line for problem in error.errors() for line in _problems(name, node, problem)]
        raise DefinitionError(list(dict.fromkeys(problems))) from None


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema of a definition, for editors."""
    found = Definition.model_json_schema(by_alias=True)
    return found | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Supportdesk runbook"}


def _expanded(node: yaml.Node | None, depth: int = 0) -> int:
    """How many nodes a document has with its aliases unfolded; counting stops when it is too many."""
    if depth > 60:
        raise ValueError("it is nested too deeply, or holds itself")
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    total = 1
    for child in children:
        total += _expanded(child, depth + 1)
        if total > 20_000:
            break
    return total


def _repeated_keys(node: yaml.Node, name: str) -> list[str]:
    found: list[str] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            if isinstance(key.value, str) and key.value in seen:
                mark = key.start_mark
                found.append(f"{name}:{mark.line + 1}:{mark.column + 1}: {key.value}: given twice")
            seen.add(str(key.value))
            found += _repeated_keys(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found += _repeated_keys(item, name)
    return found


def _problems(name: str, node: yaml.Node, problem: Any) -> list[str]:
    """One pydantic error as `file:line:column: field: message`, at the nearest node that is written."""
    place, line, column, path = node, 1, 1, []
    kinds = steps.kinds()
    for key in problem["loc"]:
        child = _child(place, key)
        if child is None and (key in kinds or str(key).endswith(("With", "]"))):
            continue  # the tag of a union, which the text does not have
        path.append(str(key))
        if child is None:
            break
        place, line, column = child
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "is not known here; " + _nearest(problem["loc"])
    elif problem["type"] == "missing":
        message = "is missing"
    elif problem["type"] == "union_tag_invalid":
        path.append("uses")
        _, line, column = _child(place, "uses") or (place, line, column)
        message = f"there is no step kind {problem['ctx']['tag']}; there are {', '.join(kinds)}" + _like(
            problem["ctx"]["tag"], list(kinds)
        )
    elif problem["type"] == "union_tag_not_found":
        message = f"say what it uses, one of {', '.join(kinds)}"
    where = ".".join(path) or "runbook"
    if not path and problem["type"] == "value_error":  # what spans several fields: a line each, at the step it names
        return [_of_the_whole(name, node, part) for part in message.split("\n")]
    return [f"{name}:{line}:{column}: {where}: {message}"]


def _of_the_whole(name: str, node: yaml.Node, message: str) -> str:
    words = message.replace(",", " ").replace(":", " ").split()
    line, column = 1, 1
    for list_name in ("steps", "finally"):
        found = _child(node, list_name)
        for item in found[0].value if found and isinstance(found[0], yaml.SequenceNode) else []:
            named = _child(item, "id")
            if named and isinstance(named[0].value, str) and named[0].value in words:
                line, column = item.start_mark.line + 1, item.start_mark.column + 1
                return f"{name}:{line}:{column}: {message}"
    return f"{name}:{line}:{column}: {message}"


def _nearest(loc: Any) -> str:
    """The field that was perhaps meant."""
    place: Any = json_schema()
    wrong = str(loc[-1])
    names: set[str] = set(place.get("properties", {}))
    for found in place.get("$defs", {}).values():
        if len(loc) > 1:
            names |= set(found.get("properties", {}))
    close = difflib.get_close_matches(wrong, names - {wrong}, n=1)
    return f"did you mean {close[0]}?" if close else "check its spelling and indentation"


def _like(word: Any, known: list[str]) -> str:
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _child(node: yaml.Node, key: Any) -> tuple[yaml.Node, int, int] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return value, name.start_mark.line + 1, name.start_mark.column + 1
    elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        mark = node.value[key].start_mark
        return node.value[key], mark.line + 1, mark.column + 1
    return None
