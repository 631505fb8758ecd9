"""What the trusted relay found out about a sender: SPF, DKIM and DMARC (RFC 8601)."""

import re
from collections.abc import Sequence
from email.message import Message

from tickets.mail import headers

# The begin of one result: what follows (smtp.mailfrom=… and the like) may hold words of the sender.
_METHOD = re.compile(r"\s*(spf|dkim|dmarc|arc)\s*(?:/\s*\d+\s*)?=\s*([a-z]+)(?![^\s;])", re.IGNORECASE)
_CHECKED = re.compile(r"\bheader\.from\s*=\s*([a-z0-9._-]+)", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.){0,200}"')
_COMMENT = re.compile(r"\([^()]*\)")


def results(message: Message, trusted: Sequence[str]) -> dict[str, str]:
    """{"spf": "pass", "dkim": …, "dmarc": …, "from": domain} from the header of a trusted relay (by its authserv-id).

    `from` is the domain that DMARC was checked for, where the relay says it.
    Anybody can write this header, so those of other names are nobody's word; the topmost trusted one counts.
    """
    known = {name.lower() for name in trusted}
    for text in headers.values(message, "Authentication-Results"):
        text = _COMMENT.sub(" ", _QUOTED.sub('""', " ".join(text.split())))
        name, _, said = text.partition(";")
        if name.strip().split(" ")[0].lower() not in known:
            continue
        found: dict[str, str] = {}
        for match in filter(None, map(_METHOD.match, said.split(";"))):
            method, result = match[1].lower(), match[2].lower()
            if method == "dmarc" and (checked := _CHECKED.search(match.string)):
                found["from"] = checked[1].lower().rstrip(".")
            # Several signatures: one that holds is enough.
            if found.get(method) != "pass":
                found[method] = result
        return found
    return {}


def spam_by_header(message: Message) -> str:
    """Why a filter on the way called it spam; empty when none did."""
    if headers.value(message, "X-Spam-Flag").lower().startswith("yes"):
        return "X-Spam-Flag says yes"
    if headers.value(message, "X-Spam-Status").lower().startswith("yes"):
        return "X-Spam-Status says yes"
    if headers.value(message, "X-Spam").lower() in {"yes", "true", "spam"}:
        return "X-Spam says yes"
    return ""
