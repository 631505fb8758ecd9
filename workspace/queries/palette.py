"""The palette: places, tickets, articles, runbooks, people and views that fit what was typed."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from django.db.models import Q
from django.urls import reverse

from knowledge.models import Article
from runbooks.models import Runbook
from staff.models import User
from staff.policies import can_see_settings
from supportdesk.text import number_of, one_line
from tickets import policies
from tickets.models import Requester, SavedView, Ticket
from tickets.queries import requesters_for
from workspace import fuzzy
from workspace.queries.settings import sections

MOST_OF_A_KIND = 6
NEWEST = 200  # tickets whose subjects are compared letter by letter


@dataclass(frozen=True)
class Choice:
    """A thing to go to; `hint` says what it is."""

    title: str
    url: str
    icon: str
    hint: str = ""


@dataclass(frozen=True)
class Group:
    heading: str
    choices: list[Choice]


def places(user: User) -> Iterator[Choice]:
    """Where the navigation leads, as far as the reader may go."""
    queue = reverse("tickets:queue")
    yield Choice("Home", reverse("workspace:home"), "inbox")
    for view, title in (
        ("open", "All open"), ("mine", "My open"), ("unassigned", "Unassigned"), ("breaching", "Breaching"), ("waiting", "Waiting on requester"),
        ("snoozed", "Snoozed"), ("resolved", "Recently resolved"), ("spam", "Spam"), ("all", "All tickets"),
    ):  # fmt: skip
        yield Choice(title, f"{queue}?view={view}", "inbox", "Queue")
    if policies.can_open(user):
        yield Choice("New ticket", reverse("tickets:new"), "plus", "Act")
        yield Choice("Write down a call or chat", reverse("tickets:intake"), "reply", "Act")
        yield Choice("Take in a mail from a file", reverse("tickets:upload_mail"), "mail", "Act")
    for title, name, icon in (
        ("Knowledge base", "knowledge:search", "book"), ("Runbooks", "runbooks:index", "terminal"), ("Runs and approvals", "runbooks:approvals", "check"),
        ("Runs", "runbooks:runs", "terminal"), ("Schedules", "runbooks:calendar", "clock"), ("Targets", "runbooks:targets", "bolt"),
        ("Requesters", "tickets:requesters", "mail"), ("Organisations", "tickets:organizations", "user"), ("Team", "tickets:team", "user"),
        ("Reports", "workspace:reports", "chart"), ("Approvals", "tickets:approvals", "resolve"), ("Notifications", "notifications", "bell"), ("Macros", "tickets:macros", "bolt"),
        ("Views", "tickets:views", "filter"), ("My settings", "me", "user"), ("What I am told", "notice_settings", "bell"), ("My security", "mfa_index", "key"), ("Change my password", "account_change_password", "key"), ("Sign out", "account_logout", "right"),
    ):  # fmt: skip
        yield Choice(title, reverse(name), icon)
    if can_see_settings(user):
        yield Choice("Settings", reverse("workspace:settings"), "edit")
        for section in sections():
            yield Choice(section.title, section.url, section.icon, "Settings")


def palette(user: User, text: str) -> list[Group]:
    """What fits, best kind first. Each kind is a statement over few rows; a number asks for its ticket alone."""
    words = one_line(text, most=100)
    if not words:
        return [Group("Go to", list(places(user))[: MOST_OF_A_KIND + 3])]
    found = [_tickets(user, words), _places(user, words), _runbooks(user, words), _articles(user, words), _people(user, words), _views(user, words)]  # fmt: skip
    ranked = sorted((row for row in found if row[1]), key=lambda row: row[0], reverse=True)
    groups = [Group(heading, choices) for _, choices, heading in ranked]
    more = Choice(
        f"Search all tickets for “{words}”", f"{reverse('tickets:queue')}?view=all&q={quote(words)}", "search"
    )
    fixes = Choice(
        f"Search the knowledge base for “{words}”", f"{reverse('knowledge:search')}?q={quote(words)}", "book"
    )
    return [*groups, Group("Search", [more, fixes])]


Ranked = tuple[float, list[Choice], str]


def _ranked(words: str, rows: Iterator[tuple[str, Choice]], heading: str) -> Ranked:
    best = fuzzy.best(words, rows, most=MOST_OF_A_KIND)
    return (best[0][0] if best else 0.0, [choice for _, choice in best], heading)


def _tickets(user: User, words: str) -> Ranked:
    tickets = Ticket.objects.visible_to(user).select_related("tier")
    if (number := number_of(words.removeprefix("#"))) is not None:
        rows = tickets.filter(number=number)
        return (2.0, [_ticket(one) for one in rows], "Tickets")
    newest = tickets.open().order_by("-updated_at")[:NEWEST]
    return _ranked(words, ((one.subject, _ticket(one)) for one in newest), "Tickets")


def _ticket(ticket: Ticket) -> Choice:
    return Choice(
        f"{ticket.number} {ticket.subject}", reverse("tickets:detail", args=[ticket.number]), "mail", ticket.get_status_display()
    )  # fmt: skip


def _places(user: User, words: str) -> Ranked:
    return _ranked(words, ((one.title, one) for one in places(user)), "Go to")


def _runbooks(user: User, words: str) -> Ranked:
    rows = Runbook.objects.visible_to(user).filter(current__isnull=False, retired_at=None).only("slug", "title", "risk")
    return _ranked(
        words,
        ((one.title, Choice(one.title, reverse("runbooks:launch", args=[one.slug]), "terminal", f"Run, {one.risk}")) for one in rows),
        "Runbooks",
    )  # fmt: skip


def _articles(user: User, words: str) -> Ranked:
    rows = Article.objects.visible_to(user).only("slug", "title", "pk")[:2000]
    named = (
        (one.title, Choice(one.title, reverse("knowledge:article", args=[one.slug]), "book", one.code)) for one in rows
    )
    return _ranked(words, named, "Articles")


def _people(user: User, words: str) -> Ranked:
    """Colleagues, whose open tickets one goes to, and requesters by the begin of name or address."""
    staff = User.objects.filter(is_active=True).exclude(role="integration").only("name", "email")[:500]
    queue = reverse("tickets:queue")
    rows = [(f"{one.name} {one.email}", Choice(one.name, f"{queue}?assignee={one.pk}", "user", "Their open tickets")) for one in staff]  # fmt: skip
    if user.standing.level or user.standing.reads_only:
        first = words.split()[0]
        known: list[Requester] = list(
            requesters_for(user).filter(Q(email__istartswith=first) | Q(name__istartswith=first)).order_by("pk")[:10]
        )  # fmt: skip
        rows += [(f"{one.name} {one.email}", Choice(one.name or one.email, reverse("tickets:requester_page", args=[one.pk]), "mail", one.email)) for one in known]  # fmt: skip
    return _ranked(words, iter(rows), "People")


def _views(user: User, words: str) -> Ranked:
    rows = SavedView.objects.visible_to(user)
    queue = reverse("tickets:queue")
    return _ranked(words, ((one.name, Choice(one.name, f"{queue}?saved={one.pk}", "filter")) for one in rows), "Views")
