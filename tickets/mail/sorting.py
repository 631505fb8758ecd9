"""Rules on mail that comes in: which of them a mail matches, and what they want done with it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from supportdesk.errors import Invalid
from tickets.mail.parsing import Mail
from tickets.models import Mailbox, MailRule

FIELDS = {
    "from": "Sender", "to": "Any recipient", "subject": "Subject", "text": "Text", "attachment": "Name of a file", "header": "Header", "dmarc": "DMARC, of the trusted relay",
}  # fmt: skip
OPS = {
    "contains": "contains",
    "is": "is",
    "begins": "begins with",
    "ends": "ends with",
    "missing": "is missing",
    "not_contains": "does not contain",
}
MOST_CONDITIONS = 20


@dataclass
class Verdict:
    """What the rules say of a mail."""

    rules: list[MailRule] = field(default_factory=list)
    spam: str = ""
    tier: Any = None
    recipes: list[Mapping[str, Any]] = field(default_factory=list)


def judge(mail: Mail, mailbox: Mailbox, rules: Iterable[MailRule]) -> Verdict:
    """Ask the rules in their order, until one that matches stops."""
    verdict = Verdict()
    for rule in rules:
        if rule.mailbox_id not in {None, mailbox.pk} or not matches(rule.conditions, mail):
            continue
        verdict.rules.append(rule)
        if rule.spam and not verdict.spam:
            verdict.spam = f"the rule “{rule.name}”"
        verdict.tier = rule.tier or verdict.tier
        if rule.recipe:
            verdict.recipes.append(rule.recipe)
        if rule.stops:
            break
    return verdict


def matches(conditions: Iterable[Mapping[str, str]], mail: Mail) -> bool:
    """Whether all conditions hold; case does not matter."""
    return all(_holds(one, mail) for one in conditions)


def _holds(condition: Mapping[str, str], mail: Mail) -> bool:
    values = [" ".join(one.lower().split()) for one in _values(condition, mail)]
    wanted, op = " ".join(condition.get("value", "").lower().split()), condition["op"]
    if op == "missing":
        return not any(values)
    if op == "not_contains":
        return not any(wanted in one for one in values)
    tests = {
        "contains": lambda v: wanted in v,
        "is": lambda v: v == wanted,
        "begins": lambda v: v.startswith(wanted),
        "ends": lambda v: v.endswith(wanted),
    }
    return any(tests[op](one) for one in values)


def _values(condition: Mapping[str, str], mail: Mail) -> list[str]:
    match condition["field"]:
        case "from":
            return (
                [mail.sender, f"{mail.sender_name} <{mail.sender}>"] if condition["op"] == "contains" else [mail.sender]
            )
        case "to":
            return mail.recipients
        case "subject":
            return [mail.subject]
        case "text":
            return [mail.text[:200_000]]
        case "attachment":
            return [file.name for file in mail.files]
        case "dmarc":
            return [mail.checks.get("dmarc", "")]
        case _:
            return [value for name, value in mail.headers if name == condition.get("name", "").lower()]


def read(text: str) -> list[dict[str, str]]:
    """Conditions from a form, one a line: `subject contains refund`, `header X-Spam-Level begins *****`. Raises `Invalid`."""
    found, wrong = [], []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        try:
            found.append(_condition(line))
        except ValueError as error:
            wrong.append(f"Line {number}: {error}")
    if not found and not wrong:
        wrong = ["A rule needs a condition; without one it would pick all mail."]
    if len(found) > MOST_CONDITIONS:
        wrong = [f"{MOST_CONDITIONS} conditions at most."]
    if wrong:
        raise Invalid(" ".join(wrong), fields={"conditions": wrong})
    return found


def _condition(line: str) -> dict[str, str]:
    pattern = rf"({'|'.join(FIELDS)}) (?:(?<=header )([!-9;-~]+) )?({'|'.join(OPS)})(?: (.+))?"
    found = re.fullmatch(pattern, " ".join(line.split()), re.IGNORECASE)
    if found is None:
        raise ValueError(
            f"write <field> <how> <value>, with a field of {', '.join(FIELDS)} and how of {', '.join(OPS)}"
        )
    name, header, op, value = found[1].lower(), found[2] or "", found[3].lower(), found[4] or ""
    if name == "header" and not header:
        raise ValueError("write which header, for example: header List-Id contains news")
    if op != "missing" and not value:
        raise ValueError(f"write what it {OPS[op]}")
    return {"field": name, "op": op, "value": value[:500], **({"name": header} if header else {})}


def written(conditions: Iterable[Mapping[str, str]]) -> str:
    """Conditions as `read` takes them."""
    return "\n".join(
        " ".join(filter(None, [one["field"], one.get("name", ""), one["op"], one.get("value", "")])) for one in conditions
    )  # fmt: skip
