"""`is:open tier:2 priority>=high tag:vip "exact phrase" -word (a OR b)` to a tree. Pure; knows no database.

    query  := all ("OR" all)*
    all    := one+
    one    := "-" one | "(" query ")" | name op value | "phrase" | word
    op     := ":" | ">=" | "<=" | ">" | "<" | "="

Only the names of `FIELDS` are names, and `field.order` for the custom field `order`: `http://x` and
`12:30` are words. Errors carry the offending
token and where it stands.
"""

import re
from dataclasses import dataclass

from supportdesk.errors import Invalid

FIELDS = (
    "is", "has", "tier", "status", "priority", "assignee", "requester", "organization", "tag", "category", "channel", "subject",
    "number", "created", "updated", "resolved", "closed", "due", "deadline", "snoozed", "breach", "cc",
)  # fmt: skip
# The values of fields that have few; each is understood by `compile.Compiler`.
VALUES: dict[str, tuple[str, ...]] = {
    "is": (
        "open", "new", "waiting", "held", "resolved", "closed", "mine", "unassigned", "breached", "breaching", "snoozed", "overdue",
        "watched", "awaiting-approval", "restricted", "spam",
    ),
    "has": ("attachment", "note", "assignee", "tag", "deadline", "cc", "link", "children", "parent"),
    "tier": ("1", "2", "3"),
    "status": ("new", "open", "waiting_on_requester", "on_hold", "resolved", "closed"),
    "priority": ("urgent", "high", "normal", "low"),
    "channel": ("email", "web", "phone", "chat", "api", "alert", "runbook"),
    "breach": ("first_response", "next_response", "tier_response", "resolution"),
    "created": ("today", "yesterday", "-7d"), "updated": ("today", "yesterday", "-1d"), "resolved": ("today", "-7d"),
    "closed": ("today", "-7d"), "due": ("today", "1h"), "deadline": ("today", "7d"), "snoozed": ("today", "7d"),
}  # fmt: skip
CUSTOM = "field."
MOST_TOKENS, MOST_DEPTH = 60, 12
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<open>\() | (?P<close>\)) | (?P<minus>-(?=["(\w@\#]))
    | (?P<name>field\.[a-z][a-z0-9_]*|[a-z_]+)(?P<op>>=|<=|:|>|<|=)(?P<value>"[^"]*"|[^\s()"]*)
    | (?P<phrase>"[^"]*")
    | (?P<word>[^\s()"]+)
    | (?P<broken>")
    )""",
    re.VERBOSE | re.IGNORECASE,
)


class QueryError(Invalid):
    """A query that cannot be understood; `offending` stands at `position` (from 0) of the text."""

    title = "That search was not understood"

    def __init__(self, message: str, *, offending: str, position: int) -> None:
        super().__init__(message, fields={"q": [message]})
        self.offending, self.position = offending, position


@dataclass(frozen=True)
class Word:
    """A word or phrase to find in subject and messages."""

    text: str
    phrase: bool = False


@dataclass(frozen=True)
class Filter:
    """A named condition; `position` is where it stands, for errors about its value."""

    name: str
    op: str
    value: str
    position: int

    @property
    def token(self) -> str:
        return f"{self.name}{self.op}{self.value}"


@dataclass(frozen=True)
class Not:
    child: "Node"


@dataclass(frozen=True)
class All:
    children: tuple["Node", ...]


@dataclass(frozen=True)
class Any:
    children: tuple["Node", ...]


Node = Word | Filter | Not | All | Any


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int
    node: Node | None = None


def parse(text: str) -> Node | None:
    """The tree of a query; None for an empty one. Raises `QueryError`."""
    tokens = _tokens(text)
    if len(tokens) > MOST_TOKENS:
        extra = tokens[MOST_TOKENS]
        raise QueryError(
            f"A search has {MOST_TOKENS} terms at most; leave out what follows “{extra.text}”.",
            offending=extra.text,
            position=extra.position,
        )
    if not tokens:
        return None
    reader = _Reader(tokens)
    node = reader.query(0)
    if (rest := reader.peek()) is not None:
        raise QueryError("There is a “)” without its “(”.", offending=rest.text, position=rest.position)
    return node


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text) and (match := _TOKEN.match(text, at)):
        kind = match.lastgroup or ""
        start = match.start(kind if kind != "value" else "name")
        shown = text[start : match.end()]
        at = match.end()
        if kind == "broken":
            raise QueryError("A quotation mark is not closed.", offending=text[start:], position=start)
        found.append(
            _Token(
                "term" if kind in {"value", "phrase", "word"} else kind, shown, start, _term(match, kind, shown, start)
            )
        )
    return found


def _term(match: re.Match[str], kind: str, shown: str, start: int) -> Node | None:
    if kind == "phrase":
        return Word(shown.strip('"').strip(), phrase=True)
    if kind == "word":
        return Word(shown)
    if kind != "value":
        return None
    name = match["name"].lower()
    if name not in FIELDS and not name.startswith(CUSTOM):
        if match["op"] in {":", "="} and match["value"] and name.isalpha() and not match["value"].startswith("/"):
            near = f"; did you mean {_near(name)}?" if _near(name) else "."
            raise QueryError(
                f"“{name}” is not a field{near} In quotation marks it is a phrase.", offending=shown, position=start
            )
        return Word(shown)
    return Filter(name, match["op"], match["value"].strip('"').strip(), start)


def _near(name: str) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, FIELDS, n=1, cutoff=0.6)), "")


class _Reader:
    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def query(self, depth: int) -> Node:
        parts = [self.all(depth)]
        while (token := self.peek()) is not None and token.text == "OR":
            self.at += 1
            if (following := self.peek()) is None or following.kind == "close":
                raise QueryError("OR needs something on both sides.", offending="OR", position=token.position)
            parts.append(self.all(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def all(self, depth: int) -> Node:
        parts = []
        while (token := self.peek()) is not None and token.kind != "close" and token.text != "OR":
            parts.append(self.one(depth))
        if not parts:
            token = self.peek() or self.tokens[-1]
            words = (
                "OR needs something on both sides." if token.text == "OR" else "There is nothing between “(” and “)”."
            )
            raise QueryError(words, offending=token.text, position=token.position)
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def one(self, depth: int) -> Node:
        token = self.tokens[self.at]
        self.at += 1
        if depth > MOST_DEPTH:
            raise QueryError("The parentheses are too deep.", offending=token.text, position=token.position)
        if token.kind == "minus":
            if self.peek() is None:
                raise QueryError("A minus needs something to leave out.", offending="-", position=token.position)
            return Not(self.one(depth + 1))
        if token.kind == "open":
            node = self.query(depth + 1)
            if (end := self.peek()) is None or end.kind != "close":
                raise QueryError("There is a “(” without its “)”.", offending=token.text, position=token.position)
            self.at += 1
            return node
        assert token.node is not None  # noqa: S101 - every other token is a term
        return token.node


def names(node: Node | None) -> set[str]:
    """The fields that a query names."""
    if isinstance(node, Filter):
        return {node.name}
    if isinstance(node, Not):
        return names(node.child)
    if isinstance(node, (All, Any)):
        return set().union(*(names(child) for child in node.children))
    return set()
