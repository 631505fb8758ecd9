"""Tags and filters of every template: icons, avatars, clocks, times in words."""

import zlib
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.core.files.storage import storages
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join, linebreaks, urlize
from django.utils.safestring import SafeString, mark_safe

from supportdesk.statics import BUNDLE, SHEETS, DeskStaticFilesStorage
from supportdesk.text import browser_of, markdown, prose, sanitise

register = template.Library()
register.filter("markdown", markdown)
register.filter("prose", prose)
register.filter("browser", browser_of)

# Search puts these private-use characters around what it found; see `marked`.
MARK_START, MARK_END = "\ue000", "\ue001"


@register.simple_tag
@lru_cache(maxsize=512)
def icon(name: str, size: str = "") -> SafeString:
    """One icon of the sprite; decorative, so a label or hidden text must stand beside it."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#i-{}"/></svg>', size, static("icons.svg"), name
    )


@register.simple_tag
@lru_cache(maxsize=1)
def stylesheets() -> SafeString:
    """The links of a page to its styles: the one sheet where files were collected, else each."""
    bundled = isinstance(storages["staticfiles"], DeskStaticFilesStorage)
    names = [BUNDLE] if bundled else [f"css/{sheet}.css" for sheet in SHEETS]
    return format_html_join("\n", '<link rel="stylesheet" href="{}">', ((static(name),) for name in names))


@register.filter
def plain(text: str) -> SafeString:
    """Text of a mail: escaped, web addresses as links, lines and paragraphs kept."""
    return mark_safe(linebreaks(urlize(text, nofollow=True, autoescape=True)))  # noqa: S308 - escaped by urlize


@register.filter
def safe_html(html: str) -> SafeString:
    """HTML of a mail. It was sanitised when it came in, and is again, for what an older rule let through."""
    return mark_safe(sanitise(html))  # noqa: S308 - sanitised on this line


@register.filter
def initials(name: str) -> str:
    words = [word for word in name.replace(".", " ").replace("@", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper() or "?"


@register.filter
def hue(name: str) -> int:
    """A steady colour, 1 to 6, for an avatar."""
    return zlib.crc32(name.encode()) % 6 + 1


@register.simple_tag
@lru_cache(maxsize=4096)
def avatar(name: str, size: str = "") -> SafeString:
    """The initials of a person in a circle, named for screen readers."""
    return format_html(
        '<span class="avatar {}" data-hue="{}" title="{}" role="img" aria-label="{}">{}</span>',
        size, hue(name), name, name, initials(name),
    )  # fmt: skip


@register.filter
def marked(text: str) -> SafeString:
    """Escape, then turn the search's private-use delimiters into <mark>."""
    html = escape(text).replace(MARK_START, "<mark>").replace(MARK_END, "</mark>")
    return mark_safe(html)  # noqa: S308 - escaped on the line above


def in_words(delta: timedelta) -> str:
    """A length of time as a person says it: 40 s, 12 min, 1 h 05, 3 d 4 h."""
    seconds = int(abs(delta.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d}" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours and days < 10 else f"{days} d"


@register.filter
def ago(moment: datetime | None) -> str:
    return in_words(timezone.now() - moment) if moment else ""


@register.filter
def seconds(delta: timedelta | None) -> str:
    """The length of a step or run: 0.8 s, 42 s, 3 min 12 s."""
    if delta is None:
        return ""
    total = delta.total_seconds()
    if total < 10:
        return f"{total:.1f} s"
    if total < 60:
        return f"{total:.0f} s"
    return f"{int(total // 60)} min {int(total % 60)} s"


@register.simple_tag
def moment(value: datetime | None, *, style: str = "") -> SafeString | str:
    """A <time> in the reader's zone: the hour for today, the day otherwise, the whole of it as a title."""
    if value is None:
        return ""
    local, today = timezone.localtime(value), timezone.localtime().date()
    if style == "full":
        text = f"{local:%d %b %Y, %H:%M}"
    elif local.date() == today:
        text = f"{local:%H:%M}"
    else:
        text = f"{local:%d %b %H:%M}" if local.year == today.year else f"{local:%d %b %Y}"
    full = f"{local:%a %d %b %Y, %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), full, text)


@register.simple_tag(takes_context=True)
def query(context: Any, **changes: Any) -> str:
    """The page's query string with some parameters replaced; an empty value removes one."""
    parameters = context["request"].GET.copy()
    for name, value in changes.items():
        if value in (None, ""):
            parameters.pop(name, None)
        else:
            parameters[name] = value
    if "page" not in changes:
        parameters.pop("page", None)
    return "?" + parameters.urlencode() if parameters else "?"


@register.simple_tag
def pager_pages(page: Any) -> list[Any]:
    return list(page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1))


@register.filter
def words(text: str) -> list[str]:
    return text.split()


@register.filter
def words_of(delta: timedelta | None) -> str:
    return in_words(delta) if delta is not None else ""


@register.filter
def sla_state(timer: Any) -> str:
    """`fine`, `soon` (a quarter or less of the target is left) or `breached` for a running clock."""
    left = timer.due_at - timezone.now()
    if left <= timedelta(0) or timer.breached_at:
        return "breached"
    return "soon" if left <= (timer.due_at - timer.started_at) / 4 else "fine"


@register.filter
def time_left(timer: Any) -> str:
    left = timer.due_at - timezone.now()
    return ("−" if left < timedelta(0) else "") + in_words(left)


@register.filter
def percent_left(timer: Any) -> int:
    """Of the time from start to due, by the clock on the wall, as the browser counts it on."""
    left, whole = timer.due_at - timezone.now(), timer.due_at - timer.started_at
    return max(0, min(100, round(100 * left / whole))) if whole else 0


@register.filter
def budget_left(timer: Any) -> str:
    """What a paused clock has left of its target."""
    left = timer.target - timer.used
    return ("−" if left < timedelta(0) else "") + in_words(left)


@register.filter
def percent_used(timer: Any) -> int:
    return 100 - percent_left(timer)


@register.filter
def run_class(state: str) -> str:
    """The design's word for a state of a run or step."""
    words = {
        "succeeded": "ok",
        "lost": "warned",
        "cancel_failed": "warned",
        "cancelling": "running",
        "pending": "queued",
        "planned": "queued",
        "waiting_lock": "queued",
        "paused": "approval",
        "waiting": "approval",
        "awaiting_approval": "approval",
    }
    return words.get(state, state)


@register.filter
def risk_class(risk: str) -> str:
    return {"read": "low", "change": "medium", "destructive": "high"}[risk]


@register.filter
def line_class(shown: Any) -> str:
    """The colour of a line of output: the engine's own words, errors and warnings stand out."""
    line = shown.text
    if shown.stream == "desk":
        return "cmd" if line.startswith("$ ") else "step" if line.startswith(("step ", "finally", "undo")) else "dim"
    if shown.stream == "err" or line.startswith(("ERROR", "Critical", "FATAL")):
        return "err"
    return "warn" if line.lower().startswith("warning") else ""
