"""Demo people over the tiers, and tickets in every state."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from staff.actions import add_user
from staff.models import Role, Tier, User
from tickets import actions
from tickets.models import Category, Channel, Letter, OutboundEmail, Priority

PASSWORD = "supportdesk-demo"  # noqa: S105 - the published demo password, never made in production
PEOPLE = (
    {"email": "tier1@example.com", "name": "Amina Rahal", "tiers": [1], "time_zone": "Africa/Casablanca"},
    {"email": "tier2@example.com", "name": "Jonas Weber", "tiers": [2], "time_zone": "Europe/Berlin"},
    {"email": "tier3@example.com", "name": "Priya Nair", "tiers": [3], "time_zone": "Asia/Kolkata"},
    {"email": "lead@example.com", "name": "Leila Haddad", "leads": [1, 2], "time_zone": "Europe/Paris"},
    {
        "email": "admin@example.com",
        "name": "Marcus Oyelaran",
        "role": Role.ADMINISTRATOR,
        "time_zone": "Europe/London",
    },
    {"email": "auditor@example.com", "name": "Elena Costa", "role": Role.AUDITOR},
    {"email": "integration@example.com", "name": "Shop integration", "role": Role.INTEGRATION},
)
# (minutes ago, requester, subject, text, tier, priority, category, what happened since)
TICKETS = (
    (3, ("Sofia Marin", "sofia@nova-beauty.example"), "Too many connections, kanban and login failing",
     "Good morning,\n\nsince about 09:30 the application hangs. The log says “FATAL: remaining connection slots are reserved”, "
     "and our agents cannot connect. Too many connections, it seems.\n\nSofia", 2, "urgent", "database", ""),
    (9, ("Karim Idrissi", "karim@atlas-home.example"), "Orders do not move between columns",
     "Dragging an order from “Confirmed” to “Shipped” does nothing; after a refresh it is back where it was.", 2, "high", "application", ""),
    (41, ("Omar Benali", "omar@hub-oujda.example"), "Invalid credentials although the password is right",
     "I reset my password twice. The login page still says invalid credentials.", 1, "normal", "application", "reply"),
    (75, ("Yasmine Alaoui", "yasmine@hub-fes.example"), "Dashboard stays white on the first visit",
     "On the hub's tablets the dashboard takes more than eleven seconds to load, then it works.", 1, "low", "performance", "take"),
    (130, ("Rachid Amrani", "rachid@callcentre.example"), "Workflow “Confirm by SMS” is not executing",
     "New orders stay in pending, customers get no SMS. There is nothing in the execution log.", 2, "high", "application", "wait"),
    (200, ("Elena Moreau", "elena@finance.example"), "The API answers slowly since Monday",
     "Searching orders takes four to nine seconds and sometimes it times out.", 2, "normal", "performance", "escalate"),
    (300, ("Hub Oujda", "deploy@hub-oujda.example"), "Backend container exits immediately after the deploy",
     "docker ps shows Exited (1). The log ends with: Error: Cannot find module 'express'.", 3, "urgent", "deployment", "resolve"),
    (55, ("Nadia Tazi", "nadia@nova-beauty.example"), "How do I add a second phone number to a customer?",
     "I cannot find where to add it.", 1, "low", None, ""),
)  # fmt: skip


@transaction.atomic
def load() -> bool:
    """Make the demo; False when its people are already there."""
    if User.objects.filter(email=PEOPLE[0]["email"]).exists():
        return False
    people = {}
    for row in PEOPLE:
        password = None if row.get("role") == Role.INTEGRATION else PASSWORD
        people[row["email"]] = add_user(password=password, signature=f"{row['name']}\nSupportdesk", **row)
    for minutes, (name, email), subject, text, level, priority, category, since in TICKETS:
        ticket, _ = actions.open_ticket(
            by=None,
            requester_email=email,
            requester_name=name,
            subject=subject,
            text=text,
            tier=Tier.objects.get(level=level),
            priority=Priority(priority),
            category=Category.objects.filter(slug=category).first(),
            channel=Channel.EMAIL,
            at=timezone.now() - timedelta(minutes=minutes),
        )
        _since(ticket.number, since, people[f"tier{level}@example.com"])
    # It happened some time ago: whatever mail server the desk has, nobody gets mail about it.
    for kind in (OutboundEmail, Letter):
        kind.objects.filter(sent_at=None).update(sent_at=timezone.now())
    return True


def _since(number: int, what: str, agent: User) -> None:
    """Let an agent do what the demo says happened since."""
    if what:
        actions.take(number=number, by=agent)
    if what in {"reply", "resolve"}:
        actions.reply(
            number=number,
            by=agent,
            text="Thank you for writing. We found the cause and are on it; you hear from us within the hour.",
        )
    if what == "resolve":
        actions.note(
            number=number,
            by=agent,
            text="The image was built without its dependencies. Rebuilt with `--no-cache`, fix 3 of the article.",
        )
        actions.resolve(number=number, by=agent)
    if what == "wait":
        actions.reply(number=number, by=agent, text="Could you tell us the number of an order that stayed in pending?")
        actions.wait_on_requester(number=number, by=agent)
    if what == "escalate":
        actions.escalate(
            number=number,
            by=agent,
            handover="Indexes are there, statistics are fresh; the time is lost in the application itself.",
        )
