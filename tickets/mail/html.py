"""HTML of mail: where the quotation begins, what a reader may be shown, and plain words of it."""

import html as entities
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import nh3
from inscriptis import get_text

from supportdesk.text import ATTRIBUTES, TAGS, UNREAD_TAGS, clean

MOST_HTML = 2_000_000  # characters that are looked at; beyond that the text is cut
MOST_DEPTH = 400

# Where mail programs begin what they quote, by the marks that they put there.
_QUOTES = (
    ("class", re.compile(r"\b(gmail_quote|gmail_extra|yahoo_quoted|moz-cite-prefix|protonmail_quote|zmail_extra|tutanota_quote|moz-forward-container|WordSection1Quote|ms-outlook-mobile-reference-message|moz-email-headers-table|domino-section|gmail_signature|moz-signature|protonmail_signature_block)\b")),
    ("id", re.compile(r"^(divRplyFwdMsg|appendonsend|x_divRplyFwdMsg|x_appendonsend|mail-editor-reference-message-container|ymail_android_signature_quote|yahoo_quoted_?\d*|OLK_SRC_BODY_SECTION|reply-intro|isForwardContent|isReplyContent)$", re.IGNORECASE)),
    # Outlook on a desk marks nothing but draws a line above the headers that it repeats.
    ("style", re.compile(r"border-top:\s*(solid\s+#?(E1E1E1|B5C4DF)\b|#?(E1E1E1|B5C4DF)\s+1(\.0)?p[tx]\s+solid)", re.IGNORECASE)),
    ("name", re.compile(r"^(quote|messageReplySection)$", re.IGNORECASE)),  # GMX, Spark
)  # fmt: skip
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
_SILENT = {"script", "style", "head", "title", "template", "noscript", "svg", "math", "object", "iframe"}
# Any tag but those that a flat text keeps, and those whose content is no text.
_NESTING = re.compile(rf"</?(?!(?:p|br|a|{'|'.join(sorted(UNREAD_TAGS))})\b)[a-z][^<>]*>?", re.IGNORECASE)
_LONG_RUN = re.compile(r"[^>]{20000}")
_LABEL = re.compile("[^:\uff1a]{1,24}[:\uff1a]")
_NO_LETTERS = re.compile(r"[\W_]+")
_DELIMITERS = {"--", "—", "__"}
_SPACE = re.compile(r"[\s\u00a0\u200b-\u200f\ufeff]+")


class _Placed(HTMLParser):
    """Reads HTML and knows at which offset it is."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self._source = source
        self._offsets = [0]
        for line in source.split("\n"):
            self._offsets.append(self._offsets[-1] + len(line) + 1)

    def read(self) -> None:
        """Read all of it; raises AssertionError, RecursionError or ValueError where the standard library gives up."""
        self.feed(self._source)
        self.close()

    def here(self) -> int:
        line, column = self.getpos()
        return self._offsets[line - 1] + column


class _Words(_Placed):
    """The letters of a page without what stands between them, and where each text begins."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._letters: list[str] = []
        self._begins: dict[int, int] = {}  # how many letters stand above, and the offset
        self._count = 0

    def handle_data(self, data: str) -> None:
        if letters := _NO_LETTERS.sub("", data):
            self._begins.setdefault(self._count, self.here())
            self._letters.append(letters)
            self._count += len(letters)

    def offset_of(self, words: str, *, above: str) -> int:
        """The offset of the text that begins with these words, where `above` stands above it; 0 where none does."""
        least = (
            len(_NO_LETTERS.sub("", above)) * 8 // 10
        )  # the same words may stand further up; plain text and page differ a little
        at = "".join(self._letters).find(_NO_LETTERS.sub("", words)[:60], least)
        return self._begins.get(at, 0)


class _Cut(_Placed):
    """Finds the places where quotations begin, and whether words follow the end of one."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.depth = 0
        self.inside: int | None = None  # the depth at which the quotation began
        self.starts: list[int] = []
        self.words_after = self.footer = False
        self.open: list[str] = []
        self.blocks = 0  # blockquotes open within the container of a quotation
        self.block_ended = False
        self.unsure = False  # whether a line was only drawn, below which headers have to follow

    def find(self) -> int | None:
        """The offset at which all that follows is quotation, or None."""
        self.read()
        return self.starts[0] if self.starts and not self.words_after else None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        if len(self.open) < MOST_DEPTH:
            self.open.append(tag)
        given = {name: value or "" for name, value in attrs}
        if self.inside is not None and tag == "blockquote":
            self.blocks += 1
        cited = tag == "blockquote" and (
            given.get("type", "").lower() == "cite" or "gmail_quote" in given.get("class", "")
        )
        marked = [name for name, pattern in _QUOTES if pattern.search(given.get(name, ""))]
        if self.inside is None and (cited or marked):
            self.starts.append(self.here())
            self.inside = len(self.open)
            self.unsure = marked == ["style"] and not cited
            # Outlook's line and its reply header are followed by the quotation, not around it.
            flat = given.get("id", "").lower().endswith(("divrplyfwdmsg", "appendonsend")) or "border" in given.get(
                "style", ""
            )
            if flat or "moz-cite-prefix" in given.get("class", "") or "moz-email-headers" in given.get("class", ""):
                self.inside = 0

    def handle_endtag(self, tag: str) -> None:
        if tag == "blockquote" and self.blocks:
            self.blocks -= 1
            self.block_ended = self.blocks == 0
        if tag in self.open:
            while self.open and self.open.pop() != tag:
                pass
        if self.inside and len(self.open) < self.inside:
            self.inside = None

    def handle_data(self, data: str) -> None:
        silent = any(tag in _SILENT for tag in self.open[-4:])
        if self.unsure and not silent and data.strip():
            self.unsure = False
            if not _LABEL.match(data.strip()):  # a line that the person drew
                self.starts.pop()
                self.inside = None
        # Gmail and Yahoo put answers in line into the container too, between the blocks that it is cut into.
        between = self.inside is not None and self.block_ended and self.blocks == 0
        if not self.starts or not (self.inside is None or between) or silent or self.footer:
            return
        said = _SPACE.sub("", data)
        self.footer = self.inside is None and said in _DELIMITERS  # a signature, or what a gateway writes below
        if not self.footer and said.strip("-_–—"):
            self.words_after = True


def _bounded(source: str) -> str:
    """As much as is looked at; a tag of ever more attributes, each of which is compared with all before, is ended."""
    return _LONG_RUN.sub(lambda found: f"{found[0]}<wbr>", source[:MOST_HTML])


def _tidy(source: str) -> str:
    """Well-formed HTML with the marks that quotations are known by: what follows reads it in a time that grows with its length."""
    marks = {"class", "id", "style", "type", "name"}
    kept = {tag: names | marks for tag, names in ATTRIBUTES.items()}
    return nh3.clean(
        _bounded(source), tags=TAGS | {"img"}, attributes={**kept, "img": {"src", "alt", "width", "height"}, "*": marks},
        url_schemes={"http", "https", "mailto", "tel", "cid"}, link_rel=None,
        clean_content_tags=UNREAD_TAGS,
    )  # fmt: skip


def split_quotation(source: str) -> tuple[str, str]:
    """What was written and what it quotes, by the marks of Gmail, Outlook, Apple, Thunderbird, Yahoo and others.

    Where words stand below or between quotations (answers in line) nothing is cut: (all, "").
    """
    if _depth(source[:MOST_HTML]) > MOST_DEPTH:
        return source, ""
    source = _tidy(source)
    try:
        at = _Cut(source).find()
    except (AssertionError, RecursionError, ValueError):
        return source, ""
    if at is None or not _SPACE.sub("", to_text(source[:at])):
        return source, ""
    return source[:at], source[at:]


def split_at(source: str, above: str, words: str) -> tuple[str, str]:
    """HTML cut where a text begins with these words below what stands `above`; (all, "") where none does."""
    if _depth(source[:MOST_HTML]) > MOST_DEPTH:
        return source, ""
    tidy = _tidy(source)
    reader = _Words(tidy)
    try:
        reader.read()
    except (AssertionError, RecursionError, ValueError):
        return source, ""
    at = reader.offset_of(words, above=above)
    return (tidy[:at], tidy[at:]) if at else (source, "")


def to_text(source: str) -> str:
    """Plain words of HTML; what the converter cannot read loses its tags, nothing else."""
    source = _bounded(source)
    if not source.strip():
        return ""
    shallow = (
        source
        if source.count("<") < 60_000 and _depth(source) < MOST_DEPTH
        else nh3.clean(_flattened(source), tags={"p", "br"})
    )
    try:
        found = get_text(shallow)
    except MemoryError:
        raise
    except Exception:
        found = re.sub(r"<[^>]*>", " ", shallow)
    lines = [line.rstrip() for line in clean(found).replace("\u00a0", " ").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _flattened(source: str) -> str:
    """Without the tags that nest: nobody writes them so deep, and to clean them takes the square of the depth."""
    return _NESTING.sub(" ", source)


def _depth(source: str) -> int:
    """How deep elements lie in each other at most, roughly: enough to spare a recursive reader."""
    deepest = depth = 0
    for found in re.finditer(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)", source):
        if found[2].lower() in _VOID:
            continue
        depth = max(0, depth + (-1 if found[1] else 1))
        deepest = max(deepest, depth)
    return deepest


def sanitise(source: str, inline: set[str], *, remote: bool = False) -> str:
    """Mail as a reader may be shown it: structure, links and pictures, nothing that runs or sends.

    Pictures that came with the mail keep `cid:` with their Content-ID, of those in `inline`. Remote ones, which tell
    their sender who reads when, are words only, unless a reader asks for them (`remote`).
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        if tag == "img" and name == "src":
            if value.lower().startswith("cid:"):
                return value if value[4:].strip("<> ") in inline else None
            return value if remote and value.lower().startswith(("https://", "http://")) else None
        if name == "href" and ":" not in value.partition("/")[0]:
            return None  # of a place in the mail, or of whoever shows it
        return value

    source = _bounded(source)
    flat = _depth(source) > MOST_DEPTH
    source = _flattened(source) if flat else source
    safe = nh3.clean(
        source if remote else _REMOTE.sub(_in_words, source),
        tags={"p", "br", "a"} if flat else TAGS | {"img"},
        attributes={**ATTRIBUTES, "img": {"src", "alt", "width", "height"}},
        attribute_filter=attribute,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        link_rel="noopener noreferrer nofollow",
        clean_content_tags=UNREAD_TAGS,
    )
    return re.sub(r"<img(?![^>]*\bsrc=)[^>]*>", "", safe)


def with_targets(safe: str) -> str:
    """Sanitised HTML whose links say where they lead, where their words do not."""
    return _LINK.sub(_with_target, safe)


_REMOTE = re.compile(r"<img\b(?=[^<>]{0,2000}?\bsrc\s*=\s*[\"']?\s*(?:https?:)?//)[^<>]{0,4000}>", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"]{1,120})|'([^']{1,120}))", re.IGNORECASE)
REMOTE_PICTURE = "[remote picture"


def _in_words(found: re.Match[str]) -> str:
    alt = _ALT.search(found[0])
    said = entities.unescape((alt[1] or alt[2]) if alt else "").strip()
    return f"<small>{entities.escape(f'{REMOTE_PICTURE}: {said}]' if said else f'{REMOTE_PICTURE}]')}</small>"


_LINK = re.compile(r'<a\b[^>]*?\bhref="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)
_LOOKS_LIKE = re.compile(r"^(?:https?://)?((?:[a-z0-9-]{1,63}\.)+[a-z]{2,24})(?:[/:?#]\S*)?$", re.IGNORECASE)


def _with_target(found: re.Match[str]) -> str:
    """The link, and the place behind it where its words are not that place."""
    target = entities.unescape(found[1])
    shown = " ".join(entities.unescape(re.sub(r"<[^>]*>", " ", found[2])).split())
    try:
        parts = urlsplit(target)
        host = (parts.path if parts.scheme == "mailto" else parts.hostname) or ""
    except ValueError:
        return found[2]
    host = host.lower()[:120].removeprefix("www.")
    named = _LOOKS_LIKE.match(shown)
    if not host or (named and named[1].lower().removeprefix("www.") == host) or shown.lower() == host:
        return found[0]
    words = f"leads to {host}" if re.search(r"[\w-]\.[a-z]{2,}", shown, re.IGNORECASE) else host
    return f"{found[0]} <small>[{entities.escape(words)}]</small>"
