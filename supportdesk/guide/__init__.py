"""The guide as data, and what loads it. A company replaces the files of this folder by its own."""

from pathlib import Path
from typing import Any

import yaml

from knowledge import actions as knowledge
from runbooks import actions as runbooks
from staff import actions as staff
from staff import calendar_file
from supportdesk.errors import Invalid
from tickets import actions as tickets

FOLDER = Path(__file__).resolve().parent


def load(folder: Path = FOLDER) -> dict[str, int]:
    """Write the whole guide to the database; loading the same files again changes nothing."""
    data = _read(folder / "guide.yaml")
    for row in data["calendars"]:
        tickets.save_calendar(
            spec=calendar_file.check(row, name=f"guide.yaml: calendar {row.get('slug', '')}"), by=None, only_new=True
        )
    staff.load_tiers(tiers=data["tiers"], contacts=data["contacts"], teams=data["teams"])
    tickets.load_categories(categories=data["categories"])
    tickets.load_mailboxes(mailboxes=data["mailboxes"])
    tickets.load_promises(sla=data["sla"])
    tickets.load_rules(rules=data.get("rules", []))
    runbooks.load_thresholds(thresholds=data.get("thresholds", []))
    definitions = sorted((folder / "runbooks").glob("*.yaml"))
    for path in definitions:
        runbooks.load_runbook(text=path.read_text(), name=path.name)
    articles = sorted((folder / "articles").glob("*.md"))
    for path in articles:
        knowledge.load_article(text=path.read_text(), name=path.name)
    return {
        "tiers": len(data["tiers"]),
        "calendars": len(data["calendars"]),
        "contacts": len(data["contacts"]),
        "runbooks": len(definitions),
        "articles": len(articles),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise Invalid(f"{path}: {error}") from None
    needed = {"calendars", "tiers", "contacts", "sla", "teams", "categories", "mailboxes"}
    if not isinstance(data, dict) or (missing := needed - set(data)):
        raise Invalid(f"{path}: it needs {', '.join(sorted(missing if isinstance(data, dict) else needed))}")
    return data
