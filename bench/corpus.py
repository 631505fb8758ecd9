"""A seeded corpus of tickets, written with COPY. Its shape is that of a desk that is a year old."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from staff.actions import add_user
from staff.models import Tier
from supportdesk import guide
from tickets.models import Category

WORDS = [
    "order",
    "courier",
    "label",
    "kanban",
    "login",
    "password",
    "invoice",
    "refund",
    "export",
    "import",
    "phone",
    "address",
    "delay",
    "status",
    "column",
    "webhook",
    "timeout",
    "slow",
    "white",
    "screen",
    "printer",
    "scanner",
    "return",
    "stock",
    "price",
    "discount",
    "report",
    "dashboard",
    "filter",
    "search",
    "session",
    "token",
    "customer",
    "city",
    "hub",
    "agent",
    "shift",
    "calendar",
    "message",
    "sms",
    "email",
    "workflow",
    "rule",
    "trigger",
    "queue",
    "container",
    "deploy",
    "image",
    "backup",
]
STATUSES = ("new", "open", "waiting_on_requester", "on_hold", "resolved", "closed")
WEIGHTS = (4, 8, 5, 3, 20, 60)  # a fifth is open
OPEN = set(STATUSES[:4])
PRIORITIES = ("urgent", "high", "normal", "low")
MESSAGES_EACH = 3


def _sentence(dice: random.Random, low: int, high: int) -> str:
    return " ".join(dice.choices(WORDS, k=dice.randint(low, high)))


class Corpus:
    """Rows of `count` tickets, the same for the same seed."""

    def __init__(self, count: int, *, seed: int = 1) -> None:
        guide.load()
        self.count, self.dice, self.now = count, random.Random(seed), datetime.now(UTC)
        self.tiers = {tier.level: tier.pk for tier in Tier.objects.all()}
        self.categories = list(Category.objects.values_list("pk", flat=True))
        self.agents = [
            add_user(email=f"bench{n}@desk.example", name=f"Agent {n}", password=None, tiers=[1 + n % 3]).pk
            for n in range(30)
        ]

    def load(self) -> dict[str, float]:
        """Empty the ticket tables and fill them; returns rows and seconds."""
        begun = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE tickets_requester, tickets_ticket RESTART IDENTITY CASCADE")
            requesters = max(100, self.count // 8)
            self._copy(cursor, "tickets_requester", ("id", "email", "name", "created_at"), self._requesters(requesters))
            self._copy(cursor, "tickets_ticket", TICKET, self._tickets(requesters))
            self._copy(cursor, "tickets_message", MESSAGE, self._messages(requesters))
            self._copy(cursor, "tickets_ticketevent", EVENT, self._events())
            self._copy(cursor, "tickets_slatimer", TIMER, self._timers())
            for table in ("requester", "ticket", "message", "ticketevent", "slatimer"):
                cursor.execute(
                    f"SELECT setval(pg_get_serial_sequence('tickets_{table}', 'id'), max(id)) FROM tickets_{table}"
                )
                cursor.execute(f"VACUUM ANALYZE tickets_{table}")
            cursor.execute("SELECT setval('tickets_ticket_number', %s)", [1000 + self.count])
        return {"tickets": self.count, "messages": self.count * MESSAGES_EACH, "seconds": time.perf_counter() - begun}

    def _copy(self, cursor: Any, table: str, columns: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def _requesters(self, count: int) -> Iterator[tuple[Any, ...]]:
        for n in range(1, count + 1):
            yield n, f"requester{n}@shop{n % 500}.example", f"Requester {n}", self.now

    def _tickets(self, requesters: int) -> Iterator[tuple[Any, ...]]:
        dice = self.dice
        self.facts: list[tuple[datetime, str, datetime | None]] = []
        for n in range(1, self.count + 1):
            status = dice.choices(STATUSES, WEIGHTS)[0]
            is_open = status in OPEN
            age = timedelta(minutes=dice.randrange(1, 60 * 48 if is_open else 60 * 24 * 365))
            created = self.now - age
            due = created + timedelta(minutes=dice.choice((60, 120, 180, 240))) if status == "new" else None
            closed = created + timedelta(hours=5) if not is_open else None
            self.facts.append((created, status, due))
            yield (
                n, 1000 + n, _sentence(dice, 4, 9), status, dice.choices(PRIORITIES, (1, 3, 8, 3))[0], self.tiers[dice.choice((1, 1, 1, 2, 2, 3))],
                None if status == "new" else dice.choice(self.agents), dice.randint(1, requesters), dice.choice(self.categories), "email", False, 3,
                created, created + timedelta(hours=1), closed, closed if status == "closed" else None, _sentence(dice, 8, 20), due,
            )  # fmt: skip

    def _messages(self, requesters: int) -> Iterator[tuple[Any, ...]]:
        dice, pk = self.dice, 0
        for n, (created, _, _) in enumerate(self.facts, 1):
            for position in range(MESSAGES_EACH):
                pk += 1
                ours = position == 1
                yield (
                    pk, n, "reply" if ours else "requester", dice.choice(self.agents) if ours else None, None if ours else dice.randint(1, requesters),
                    _sentence(dice, 20, 60), "", "", False, f"{pk}@bench.example", created + timedelta(minutes=position * 20),
                )  # fmt: skip

    def _events(self) -> Iterator[tuple[Any, ...]]:
        for n, (created, _, _) in enumerate(self.facts, 1):
            yield n, n, "opened", None, "Somebody", '{"channel": "email"}', 1, created

    def _timers(self) -> Iterator[tuple[Any, ...]]:
        """Every clock; those of new tickets run, and none is due while the figures are taken."""
        far = self.now + timedelta(days=365)
        for n, (created, status, due) in enumerate(self.facts, 1):
            running = status == "new"
            end = due if due else created + timedelta(hours=2)
            yield (
                n,
                n,
                "first_response",
                7200,
                created,
                end,
                far if running else None,
                None if running else created + timedelta(hours=1),
                None,
            )


TICKET = (
    "id", "number", "subject", "status", "priority", "tier_id", "assignee_id", "requester_id", "category_id", "channel", "restricted", "version",
    "created_at", "updated_at", "resolved_at", "closed_at", "snippet", "due_at",
)  # fmt: skip
MESSAGE = (
    "id",
    "ticket_id",
    "kind",
    "author_id",
    "requester_id",
    "text",
    "quoted",
    "html",
    "automatic",
    "rfc_id",
    "created_at",
)
EVENT = ("id", "ticket_id", "kind", "actor_id", "actor_name", "data", "version", "at")
TIMER = (
    "id",
    "ticket_id",
    "clock",
    "target_seconds",
    "started_at",
    "due_at",
    "next_action_at",
    "stopped_at",
    "breached_at",
)
