"""A seeded corpus of tickets, written with COPY. Its shape is that of a desk that is a year old."""

import importlib
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from django.db import connection

from staff.actions import add_user
from staff.models import Tier
from supportdesk import guide
from tickets.models import Category, Clock, SLAPolicy, SLATarget
from tickets.sla import rules

COMMON = [
    "order", "courier", "label", "kanban", "login", "password", "invoice", "refund", "export", "import", "phone", "address", "delay", "column",
    "webhook", "timeout", "slow", "white", "screen", "printer", "scanner", "return", "stock", "price", "discount", "report", "dashboard", "filter",
    "search", "session", "token", "customer", "city", "hub", "agent", "shift", "calendar", "message", "sms", "email", "workflow", "rule", "trigger",
    "queue", "container", "deploy", "image", "backup",
]  # fmt: skip
_SYLLABLES = ["ba", "ko", "ri", "mu", "te", "sa", "lo", "ni", "pe", "du", "ga", "vi", "zo", "fe", "hy", "cu"]


def _vocabulary(count: int) -> list[str]:
    """The common words, then made-up ones that no stemmer shortens alike."""
    made = [a + b + c + d + "x" for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES for d in _SYLLABLES]
    return (COMMON + made)[:count]


VOCABULARY = _vocabulary(30_000)
# Zipf: the nth word comes up 1/n as often as the first.
_CUMULATED = list(accumulate(1 / n for n in range(1, len(VOCABULARY) + 1)))
STATUSES = ("new", "open", "waiting_on_requester", "on_hold", "resolved", "closed")
WEIGHTS = (2, 3, 2, 1, 22, 70)  # 8 % are open
OPEN = set(STATUSES[:4])
PRIORITIES = ("urgent", "high", "normal", "low")
MESSAGES_EACH = 3


def _sentence(dice: random.Random, low: int, high: int) -> str:
    return " ".join(dice.choices(VOCABULARY, cum_weights=_CUMULATED, k=dice.randint(low, high)))


class Corpus:
    """Rows of `count` tickets, the same for the same seed."""

    def __init__(self, count: int, *, seed: int = 1) -> None:
        guide.load()
        self.count, self.dice, self.now = count, random.Random(seed), datetime.now(UTC)
        self.tiers = {tier.level: tier.pk for tier in Tier.objects.all()}
        self.categories = list(Category.objects.values_list("pk", flat=True))
        # One policy whose resolution target is that of the corpus, so that no clock is behind the rules.
        fallback = SLAPolicy.objects.select_related("calendar").get(is_fallback=True)
        self.policy, self.version = fallback.pk, fallback.calendar.current_id
        SLATarget.objects.filter(clock=Clock.RESOLUTION).update(seconds=TARGET)
        rules.bump()
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
            self._copy(cursor, "tickets_clockevent", LOG, self._log())
            cursor.execute(self._words())
            for table in ("requester", "ticket", "message", "ticketevent", "slatimer", "clockevent"):
                cursor.execute(
                    f"SELECT setval(pg_get_serial_sequence('tickets_{table}', 'id'), max(id)) FROM tickets_{table}"
                )
                cursor.execute(f"VACUUM ANALYZE tickets_{table}")
            cursor.execute("VACUUM ANALYZE tickets_tickettext")
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
            due = (
                created + timedelta(seconds=TARGET)
                if is_open and status not in {"waiting_on_requester", "on_hold"}
                else None
            )
            closed = created + timedelta(hours=5) if not is_open else None
            self.facts.append((created, status, due))
            yield (
                n, 1000 + n, _sentence(dice, 4, 9), status, dice.choices(PRIORITIES, (1, 3, 8, 3))[0], self.tiers[dice.choice((1, 1, 1, 2, 2, 3))],
                None if status == "new" else dice.choice(self.agents), dice.randint(1, requesters), dice.choice(self.categories), "email", False, 3,
                created, created + timedelta(hours=1), closed, closed if status == "closed" else None, _sentence(dice, 8, 20), due, [], [], "{}",
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
        """In the order of time within a ticket: opened, taken, resolved; one in twenty of these is opened again and resolved."""
        dice, pk = random.Random(2), 0
        for n, (created, status, _) in enumerate(self.facts, 1):
            story = [("opened", 0), ("taken", 20), ("replied", 20)]
            if status not in OPEN:
                story += [("resolved", 200), ("reopened", 250)] if dice.random() < 0.05 else []
                story += [("resolved", 300)]
            for kind, minutes in story:
                pk += 1
                actor = None if kind in {"opened", "reopened"} else dice.choice(self.agents)
                yield pk, n, kind, actor, "Somebody", "{}", 1, created + timedelta(minutes=minutes)

    def _timers(self) -> Iterator[tuple[Any, ...]]:
        """The resolution clock of each ticket, running while it is open; none is due while the figures are taken."""
        for n, (created, status, due) in enumerate(self.facts, 1):
            is_open = status in OPEN
            paused = status in {"waiting_on_requester", "on_hold"}
            stopped = None if is_open else created + timedelta(hours=5)
            yield (
                n, n, "resolution", self.policy, self.version, TARGET, created, 0 if is_open else 18_000_000_000, created if is_open and not paused else None,
                None if paused else due if is_open else created + timedelta(seconds=TARGET), due if is_open and not paused else None, stopped, None,
            )  # fmt: skip
        dice = random.Random(3)
        for n, (created, _, _) in enumerate(self.facts, 1):
            waited = timedelta(minutes=dice.lognormvariate(3, 1.2))
            late = waited > timedelta(hours=2)
            yield (
                self.count + n, n, "first_response", self.policy, self.version, 7200, created, int(waited.total_seconds() * 1e6), None,
                created + timedelta(hours=2), None, created + waited, created + timedelta(hours=2) if late else None,
            )  # fmt: skip

    def _log(self) -> Iterator[tuple[Any, ...]]:
        pk = 0
        for n, (created, status, _) in enumerate(self.facts, 1):
            later = [("paused", created)] if status in {"waiting_on_requester", "on_hold"} else []
            later += [] if status in OPEN else [("stopped", created + timedelta(hours=5))]
            pk += 1
            yield pk, n, "started", created, TARGET, self.version, ""
            for kind, at in later:
                pk += 1
                yield pk, n, kind, at, None, None, ""

    def _words(self) -> str:
        """The words of every ticket, as the migration of an older desk gathers them."""
        return importlib.import_module("tickets.migrations.0004_ticket_text").WORDS


TARGET = 400 * 24 * 3600  # seconds: longer than the corpus is old
TICKET = (
    "id", "number", "subject", "status", "priority", "tier_id", "assignee_id", "requester_id", "category_id", "channel", "restricted", "version",
    "created_at", "updated_at", "resolved_at", "closed_at", "snippet", "due_at", "tags", "cc", "custom",
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
    "id", "ticket_id", "clock", "policy_id", "calendar_version_id", "target_seconds", "started_at", "used_us", "running_since", "due_at", "next_action_at",
    "stopped_at", "breached_at",
)  # fmt: skip
LOG = ("id", "timer_id", "kind", "at", "target_seconds", "calendar_version_id", "reason")
