"""Text from people and mail, made safe to show."""

import unicodedata
from typing import Any

import nh3
from django.conf import settings
from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True}).enable(
    ["table", "strikethrough"]
)
_wrapped = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
TAGS = {
    "a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5",
    "h6", "hr", "i", "ins", "li", "ol", "p", "pre", "q", "s", "small", "span", "strong", "sub", "sup", "table",
    "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
# What stands in these is no text.
UNREAD_TAGS = {"script", "style", "title", "head", "noscript", "template", "svg", "math"}
ATTRIBUTES = {
    "a": {"href", "title"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "ol": {"start"},
}


def sanitise(html: str) -> str:
    """HTML with text structure and links only: no scripts, styles, forms, images or remote content."""
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel"},
        link_rel="noopener noreferrer nofollow",
        clean_content_tags=UNREAD_TAGS,
    )


def markdown(text: str) -> SafeString:
    """Markdown to sanitised HTML."""
    return mark_safe(sanitise(_markdown.render(text)))  # noqa: S308 - sanitised on this line


def prose(text: str) -> SafeString:
    """Markdown of a file, whose lines were wrapped by an editor: a line's end is no line break."""
    return mark_safe(sanitise(_wrapped.render(text)))  # noqa: S308 - sanitised on this line


def clean(text: str) -> str:
    """Drop what PostgreSQL or a terminal cannot take: NUL, control characters, lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def number_of(text: str) -> int | None:
    """A whole number, such as the key of a row, that a client wrote; None for anything else and for what no row can have."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else None


def one_line(text: str, *, most: int = 200) -> str:
    """The text on one line, white space collapsed, cut with an ellipsis."""
    line = " ".join(clean(text).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def browser_of(agent: str) -> str:
    """A browser in words: `Firefox on Linux`."""
    name = next((words for mark, words in _BROWSERS if mark in agent), "an unknown program")
    system = next((words for mark, words in _SYSTEMS if mark in agent), "")
    return f"{name} on {system}" if system else name


KEY_MAP = (
    (("Ctrl", "K"), "search or run anything"),
    (("J", "K"), "next and previous row, message or step"),
    (("Enter",), "open the row"),
    (("/",), "search"),
    (("C",), "new ticket"),
    (("P",), "call or chat"),
    (("X",), "in a list: select the row; Shift and a click select a range"),
    (("B",), "change the selected tickets"),
    (("R",), "reply"),
    (("N",), "internal note"),
    (("M", "/"), "words kept ready, and changes that go along"),
    (("I",), "insert an article"),
    (("@",), "name somebody in a note"),
    (("Q",), "quote what is selected in a message"),
    (("U",), "take back what is being sent"),
    ((">", "<"), "next and previous ticket of the list"),
    (("L",), "back to the list"),
    (("T",), "take the ticket; in the queue, the most urgent one that nobody has"),
    (("E",), "escalate"),
    (("X",), "on a ticket: run a runbook"),
    (("Z",), "snooze"),
    (("W",), "watch or stop watching"),
    ((".",), "show what is new"),
    (("G",), "notifications"),
    (("F",), "follow a run's output"),
    (("Ctrl", "Enter"), "send, also the form that one writes in"),
    (("Ctrl", "Shift", "Enter"), "send and resolve"),
    (("Esc",), "leave a field, close"),
    (("?",), "this list"),
)


def page(request: HttpRequest) -> dict[str, Any]:
    """What every page shows of the installation."""
    return {"desk_environment": "Production" if settings.PRODUCTION else "Development", "key_map": KEY_MAP}
