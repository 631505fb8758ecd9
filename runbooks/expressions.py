"""The language of `when`, `expect`, `capture` and `{…}`: compare, combine, look up. Nothing can be called or assigned.

    params.batch > 100 and not (target.environment in ["test", "staging"])
    steps.count.result.rows[0].orders == 0

A bare name is a parameter. What a result does not hold is null; comparing it by size is an error.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_CHARACTERS = 2000
MOST_DEPTH = 40
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?\d+(?:\.\d+)?)
        |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
        |(?P<name>[A-Za-z_][A-Za-z0-9_-]*)
        |(?P<mark>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|\.))""",
    re.VERBOSE,
)
_WORDS = {"and", "or", "not", "in", "true", "false", "null"}
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">=", "in"}
FUNCTIONS = {"len": "a list, a text or a mapping", "lower": "a text"}
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class ExpressionError(ValueError):
    """What is wrong with an expression, and where: `position` counts characters from 0."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class Literal:
    value: Any


@dataclass(frozen=True)
class Lookup:
    """`steps.count.rows[0]` as ("steps", "count", "rows", 0)."""

    path: tuple[str | int, ...]
    position: int = 0

    def __str__(self) -> str:
        first, *rest = self.path
        return str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)


@dataclass(frozen=True)
class Call:
    name: str
    argument: "Node"


@dataclass(frozen=True)
class Listing:
    items: tuple["Node", ...]


@dataclass(frozen=True)
class Compare:
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Logic:
    """`and` or `or` of two, or `not` of one."""

    operator: str
    parts: tuple["Node", ...]


Node = Literal | Lookup | Call | Listing | Compare | Logic


def parse(text: str) -> Node:
    """An expression's tree; raises `ExpressionError`."""
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(f"an expression has {MOST_CHARACTERS} characters at most")
    reader = _Reader(text)
    node = reader.either(0)
    reader.end()
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at = text, list(_tokens(text)), 0

    def look(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def take(self, *wanted: str) -> str | None:
        kind, value, _ = self.look()
        if kind in {"mark", "word"} and value in wanted:
            self.at += 1
            return value
        return None

    def need(self, wanted: str) -> None:
        if not self.take(wanted):
            _, value, position = self.look()
            raise ExpressionError(f"“{wanted}” is expected {f'before “{value}”' if value else 'at the end'}", position)

    def end(self) -> None:
        kind, value, position = self.look()
        if kind != "end":
            raise ExpressionError(f"“{value}” is not expected here", position)

    def either(self, depth: int) -> Node:
        node = self.both(depth)
        while self.take("or"):
            node = Logic("or", (node, self.both(depth)))
        return node

    def both(self, depth: int) -> Node:
        node = self.negated(depth)
        while self.take("and"):
            node = Logic("and", (node, self.negated(depth)))
        return node

    def negated(self, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise ExpressionError("it is nested too deeply", self.look()[2])
        if self.take("not"):
            return Logic("not", (self.negated(depth + 1),))
        return self.comparison(depth)

    def comparison(self, depth: int) -> Node:
        left = self.operand(depth)
        if self.take("not"):
            self.need("in")
            return Logic("not", (Compare("in", left, self.operand(depth)),))
        operator = self.take(*_COMPARISONS)
        return Compare(operator, left, self.operand(depth)) if operator else left

    def operand(self, depth: int) -> Node:
        kind, value, position = self.look()
        if self.take("("):
            node = self.either(depth + 1)
            self.need(")")
            return node
        if self.take("["):
            return self.listing(depth)
        self.at += 1
        if kind == "number":
            return Literal(float(value) if "." in value else int(value))
        if kind == "string":
            return Literal(re.sub(r"\\(.)", r"\1", value[1:-1]))
        if kind == "word" and value in {"true", "false", "null"}:
            return Literal({"true": True, "false": False, "null": None}[value])
        if kind != "name":
            self.at -= 1
            raise ExpressionError(
                f"“{value}” is not expected here" if value else "something is missing at the end", position
            )
        if self.take("("):
            if value not in FUNCTIONS:
                raise ExpressionError(f"there is no {value}(); there are {', '.join(FUNCTIONS)}", position)
            argument = self.either(depth + 1)
            self.need(")")
            return Call(value, argument)
        return Lookup(self.path(value), position)

    def listing(self, depth: int) -> Node:
        items: list[Node] = []
        while not self.take("]"):
            if items:
                self.need(",")
            items.append(self.either(depth + 1))
        return Listing(tuple(items))

    def path(self, first: str) -> tuple[str | int, ...]:
        found: list[str | int] = [first]
        while True:
            if self.take("."):
                kind, value, position = self.look()
                if kind not in {"name", "word"}:
                    raise ExpressionError("a name is expected after the dot", position)
                self.at += 1
                found.append(value)
            elif self.take("["):
                kind, value, position = self.look()
                if kind not in {"number", "string"} or "." in (value if kind == "number" else ""):
                    raise ExpressionError("a whole number or a text in quotes is expected in […]", position)
                self.at += 1
                found.append(int(value) if kind == "number" else value[1:-1])
                self.need("]")
            else:
                return tuple(found)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            position = at + len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f"“{text[position]}” is not expected here", position)
        kind = match.lastgroup or ""
        value = match[kind]
        yield ("word" if kind == "name" and value in _WORDS else kind), value, match.start(kind)
        at = match.end()


def lookups(node: Node) -> Iterator[Lookup]:
    """Every lookup of a tree, for checking them before anything runs."""
    if isinstance(node, Lookup):
        yield node
    elif isinstance(node, Call):
        yield from lookups(node.argument)
    elif isinstance(node, Listing):
        for item in node.items:
            yield from lookups(item)
    elif isinstance(node, Compare):
        yield from lookups(node.left)
        yield from lookups(node.right)
    elif isinstance(node, Logic):
        for part in node.parts:
            yield from lookups(part)


def evaluate(node: Node, names: Mapping[str, Any]) -> Any:
    """The value of a tree; `names` holds params, steps, target and the like. Raises `ExpressionError`."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Lookup):
        return _look_up(node, names)
    if isinstance(node, Listing):
        return [evaluate(item, names) for item in node.items]
    if isinstance(node, Call):
        return _call(node, evaluate(node.argument, names))
    if isinstance(node, Compare):
        return _compare(node, evaluate(node.left, names), evaluate(node.right, names))
    if node.operator == "not":
        return not evaluate(node.parts[0], names)
    left = evaluate(node.parts[0], names)
    if bool(left) == (node.operator == "or"):
        return bool(left)
    return bool(evaluate(node.parts[1], names))


def _look_up(node: Lookup, names: Mapping[str, Any]) -> Any:
    path = node.path if node.path[0] in names else ("params", *node.path)
    value: Any = names
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(part, int) and isinstance(value, Sequence) and not isinstance(value, str):
            value = value[part] if -len(value) <= part < len(value) else None
        else:
            return None
    return value


def _call(node: Call, value: Any) -> Any:
    if node.name == "len" and isinstance(value, str | Sequence | Mapping):
        return len(value)
    if node.name == "lower" and isinstance(value, str):
        return value.lower()
    raise ExpressionError(f"{node.name}() takes {FUNCTIONS[node.name]}, not {_kind(value)}")


def _compare(node: Compare, left: Any, right: Any) -> bool:
    if node.operator in {"==", "!="}:
        return bool(_same(left, right)) == (node.operator == "==")
    if node.operator == "in":
        if isinstance(right, str) and isinstance(left, str):
            return left in right
        if isinstance(right, Mapping):
            return left in right
        if isinstance(right, Sequence) and not isinstance(right, str):
            return any(_same(left, item) for item in right)
        raise ExpressionError(f"“in” wants a list or a text on its right, not {_kind(right)}")
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (left, right))
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise ExpressionError(
            f"“{node.operator}” compares two numbers or two texts, not {_kind(left)} with {_kind(right)}"
        )
    return {
        "<": lambda: left < right,
        "<=": lambda: left <= right,
        ">": lambda: left > right,
        ">=": lambda: left >= right,
    }[node.operator]()


def _same(left: Any, right: Any) -> bool:
    """Equal, where true is not 1."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def parse_template(text: str) -> list[str | Node]:
    """The pieces of a text with `{…}` places; `{{` and `}}` are braces. Raises `ExpressionError`."""
    pieces: list[str | Node] = []
    at = 0
    for match in _PLACE.finditer(text):
        if match.start() > at:
            pieces.append(text[at : match.start()])
        if match[0] in {"{{", "}}"}:
            pieces.append(match[0][0])
        elif match[1] is None:
            raise ExpressionError(f"a single “{match[0]}”; write “{match[0] * 2}” for the character", match.start())
        else:
            try:
                pieces.append(parse(match[1]))
            except ExpressionError as error:
                raise ExpressionError(str(error), match.start() + 1 + error.position) from None
        at = match.end()
    if at < len(text):
        pieces.append(text[at:])
    return pieces


def fill(text: str, names: Mapping[str, Any], escape: Callable[[str], str] | None = None) -> Any:
    """The text with its places filled; one place alone keeps the type of its value. `escape` is put to each value."""
    pieces = parse_template(text)
    if len(pieces) == 1 and not isinstance(pieces[0], str) and escape is None:
        return evaluate(pieces[0], names)
    put = escape or str
    return "".join(piece if isinstance(piece, str) else put(_shown(evaluate(piece, names))) for piece in pieces)


def fill_all(value: Any, names: Mapping[str, Any], escape: Callable[[str], str] | None = None) -> Any:
    """`fill` for every text of a nested value."""
    if isinstance(value, str):
        return fill(value, names, escape)
    if isinstance(value, Mapping):
        return {key: fill_all(item, names, escape) for key, item in value.items()}
    return [fill_all(item, names, escape) for item in value] if isinstance(value, list) else value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
