"""Figures of a period, from events and clocks, right to the second: what each report asks, and which tickets are behind a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    FloatField,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, TruncDay, TruncMonth, TruncWeek

from runbooks.models import Execution, RunState
from supportdesk.errors import NotFound
from supportdesk.text import number_of
from tickets.models import (
    Channel,
    Clock,
    Message,
    MessageKind,
    Priority,
    Rating,
    RatingScore,
    SLATimer,
    Ticket,
    TicketEvent,
)
from workspace.scope import Scope, begin_of_step, steps
from workspace.tables import Row, Table, hours_in_words, percent, places, share


class Percentile(Func):
    """PostgreSQL's percentile_cont over a column: exact, interpolated between two rows."""

    function = "percentile_cont"
    template = "percentile_cont(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()
    contains_aggregate = True

    def get_group_by_cols(self) -> list[Any]:
        return []


@dataclass(frozen=True)
class Report:
    key: str
    title: str
    says: str
    find: Callable[[Scope], Table]
    behind: Callable[[Scope, str], QuerySet[Ticket]]


# --------------------------------------------------------------------- backlog, created, resolved
# By how much an event changes the number of open tickets; the others change none. See docs/workspace.md.
_ENTERS = Case(
    When(kind__in=["opened", "split_from", "reopened"], then=Value(1)),
    When(kind="resolved", then=Value(-1)),
    When(Q(kind__in=["merged", "spam"]) & ~Q(data__was_open=False), then=Value(-1)),
    When(kind__in=["unmerged", "imported"], data__is_open=True, then=Value(1)),
    When(kind="undone", data__was_open=False, data__is_open=True, then=Value(1)),
    When(kind="undone", data__was_open=True, data__is_open=False, then=Value(-1)),
    default=Value(0),
    output_field=IntegerField(),
)  # fmt: skip
MOVES = ("opened", "split_from", "reopened", "resolved", "merged", "spam", "unmerged", "imported", "undone")


def _truncated(scope: Scope, name: str) -> Any:
    return {"day": TruncDay, "week": TruncWeek, "month": TruncMonth}[scope.step](name, tzinfo=scope.zone)


def backlog(scope: Scope) -> Table:
    """Open tickets at the end of each step, walked back from how many are open now; created and resolved in it."""
    events = scope.limit(TicketEvent.objects.filter(kind__in=MOVES, at__gte=scope.start))
    after = events.filter(at__gte=scope.end).aggregate(moved=Sum(_ENTERS))["moved"] or 0
    moved = events.filter(at__lt=scope.end).annotate(step=_truncated(scope, "at")).values("step").order_by()
    by_step = {
        row["step"].date(): row
        for row in moved.annotate(moved=Sum(_ENTERS), resolved=Count("pk", filter=Q(kind="resolved")))
    }
    made = scope.limit(Ticket.objects.filter(scope.within("created_at")), "pk")
    created = {
        row["step"].date(): row["count"]
        for row in made.annotate(step=_truncated(scope, "created_at"))
        .values("step")
        .order_by()
        .annotate(count=Count("pk"))
    }
    level = scope.limit(Ticket.objects.open(), "pk").count() - after
    rows: list[Row] = []
    for begin, _ in reversed(steps(scope)):
        day = begin_of_step(scope, begin)
        row = by_step.get(day, {"moved": 0, "resolved": 0})
        shown = f"{begin.astimezone(scope.zone):%d %b %Y}"
        rows.append(Row(begin.isoformat(), [shown, level, created.get(day, 0), row["resolved"]], [level, created.get(day, 0), row["resolved"]], [f"{begin.astimezone(scope.zone):%Y-%m-%d}", level, created.get(day, 0), row["resolved"]]))  # fmt: skip
        level -= row["moved"]
    rows.reverse()
    return Table(
        [scope.step.capitalize(), "Open at its end", "Created", "Resolved"], rows, "lines", ["Open", "Created", "Resolved"],
        total=sum(row.values[1] for row in rows), unit="created", plain=[scope.step.capitalize(), "Open at its end", "Created", "Resolved"],
    )  # fmt: skip


def _created_in(scope: Scope, key: str) -> QuerySet[Ticket]:
    """Tickets created in one step."""
    for begin, end in steps(scope):
        if begin.isoformat() == key:
            return scope.tickets().filter(created_at__gte=begin, created_at__lt=end)
    raise NotFound("There is no such day in this period.")


# ------------------------------------------------------------------------------------------- clocks
def _stopped(scope: Scope) -> QuerySet[SLATimer]:
    """Clocks that came to their end in the period: met or breached."""
    return scope.limit(SLATimer.objects.filter(scope.within("stopped_at")))


def attainment(scope: Scope) -> Table:
    """Of the clocks that stopped: how many kept their promise, and the business time that they took."""
    hours = Cast(F("used_us"), FloatField()) / 3.6e9
    rows = _stopped(scope).values("clock", "ticket__tier__level", "ticket__priority").order_by().annotate(
        total=Count("pk"), kept=Count("pk", filter=Q(breached_at=None)), median=Percentile(hours, share="0.5"), late=Percentile(hours, share="0.9")
    )  # fmt: skip
    ranked = {clock: index for index, clock in enumerate(Clock.values)}
    urgent = {priority: index for index, priority in enumerate(Priority.values)}
    found = sorted(rows, key=lambda r: (ranked[r["clock"]], r["ticket__tier__level"], urgent[r["ticket__priority"]]))
    total, met = sum(row["total"] for row in found), sum(row["kept"] for row in found)
    return Table(
        ["Clock", "Tier", "Priority", "Stopped", "Met", "Share", "Median", "90 % within"],
        [
            Row(
                f"{r['clock']}|{r['ticket__tier__level']}|{r['ticket__priority']}",
                [Clock(r["clock"]).label, f"Tier {r['ticket__tier__level']}", Priority(r["ticket__priority"]).label, r["total"], r["kept"],
                 percent(r["kept"], r["total"]), hours_in_words(r["median"]), hours_in_words(r["late"])],
                [100 * r["kept"] / r["total"]],
                [r["clock"], r["ticket__tier__level"], r["ticket__priority"], r["total"], r["kept"], share(r["kept"], r["total"]),
                 places(r["median"]), places(r["late"])],
            )
            for r in found
        ],
        series=["Met, in percent"], total=100 * met / total if total else None, unit="met", kind="share", full=100.0,
        plain=["Clock", "Tier", "Priority", "Stopped", "Met", "Share (%)", "Median (hours)", "90 % within (hours)"],
    )  # fmt: skip


def _behind_clocks(scope: Scope, key: str) -> QuerySet[Ticket]:
    clock, level, priority = _parts(key, 3)
    timers = _stopped(scope).filter(clock=clock, ticket__tier__level=_number(level), ticket__priority=priority)
    return scope.tickets().filter(pk__in=timers.values("ticket"))


BUCKETS = ((0.25, "up to 15 min"), (1, "15 to 60 min"), (4, "1 to 4 h"), (8, "4 to 8 h"), (24, "8 to 24 h"), (float("inf"), "more than 24 h"))  # fmt: skip


def _bucket(timers: QuerySet[Any]) -> QuerySet[Any]:
    whens = [When(used_us__lte=int(limit * 3.6e9), then=Value(n)) for n, (limit, _) in enumerate(BUCKETS[:-1])]
    return timers.annotate(bucket=Case(*whens, default=Value(len(BUCKETS) - 1), output_field=IntegerField()))


def first_response(scope: Scope) -> Table:
    """How long requesters waited for the first answer, in business time."""
    timers = _bucket(_stopped(scope).filter(clock=Clock.FIRST_RESPONSE))
    counts = dict(timers.values_list("bucket").order_by().annotate(count=Count("pk")))
    total = sum(counts.values())
    mean = _stopped(scope).filter(clock=Clock.FIRST_RESPONSE).aggregate(mean=Avg("used_us"))["mean"]
    return Table(
        ["Waited", "Tickets", "Share"],
        [Row(str(n), [label, counts.get(n, 0), percent(counts.get(n, 0), total)], [counts.get(n, 0)], [label, counts.get(n, 0), share(counts.get(n, 0), total)]) for n, (_, label) in enumerate(BUCKETS)],
        series=["Tickets"], total=float(mean) / 3.6e9 if mean is not None else None, unit="on average", kind="hours", plain=["Waited", "Tickets", "Share (%)"],
    )  # fmt: skip


def _behind_wait(scope: Scope, key: str) -> QuerySet[Ticket]:
    timers = _bucket(_stopped(scope).filter(clock=Clock.FIRST_RESPONSE)).filter(bucket=_number(key))
    return scope.tickets().filter(pk__in=timers.values("ticket"))


REASONS = {
    "nobody": "Nobody had taken it", "handed": "It had been handed over", "reopened": "It had been opened again", "somebody": "Somebody had it",
}  # fmt: skip


def _reasoned(scope: Scope) -> QuerySet[Any]:
    """Breaches of the period with what had happened to the ticket before: the first reason that holds."""

    def before(*kinds: str) -> Exists:
        return Exists(
            TicketEvent.objects.filter(ticket=OuterRef("ticket"), kind__in=kinds, at__lt=OuterRef("breached_at"))
        )

    breached = scope.limit(SLATimer.objects.filter(scope.within("breached_at")))
    reason = Case(
        When(~before("taken", "assigned", "replied"), then=Value("nobody")),
        When(before("escalated", "handed_back", "breach_escalated"), then=Value("handed")),
        When(before("reopened"), then=Value("reopened")),
        default=Value("somebody"),
    )  # fmt: skip
    return breached.annotate(reason=reason)


def breaches(scope: Scope) -> Table:
    rows = dict(_reasoned(scope).values_list("reason").order_by().annotate(count=Count("pk")))
    total = sum(rows.values())
    return Table(
        ["Before the breach", "Breaches", "Share"],
        [Row(key, [label, rows.get(key, 0), percent(rows.get(key, 0), total)], [rows.get(key, 0)], [label, rows.get(key, 0), share(rows.get(key, 0), total)]) for key, label in REASONS.items()],
        series=["Breaches"], total=total, unit="breaches", plain=["Before the breach", "Breaches", "Share (%)"],
    )  # fmt: skip


def _behind_breach(scope: Scope, key: str) -> QuerySet[Ticket]:
    if key not in REASONS:
        raise NotFound("There is no such row.")
    return scope.tickets().filter(pk__in=_reasoned(scope).filter(reason=key).values("ticket"))


# ------------------------------------------------------------------------------------------- people
def load(scope: Scope) -> Table:
    """What each person did: replies, notes, resolved tickets, minutes written down; and what they have now."""
    said = scope.limit(Message.objects.filter(scope.within("created_at"), author__isnull=False))
    people: dict[int, dict[str, Any]] = {}
    for row in said.values("author", "author__name").order_by().annotate(
        replies=Count("pk", filter=Q(kind=MessageKind.REPLY)), notes=Count("pk", filter=Q(kind=MessageKind.NOTE)), minutes=Sum("minutes")
    ):  # fmt: skip
        people[row["author"]] = {"name": row["author__name"], **row}
    ended = scope.limit(TicketEvent.objects.filter(scope.within("at"), kind="resolved", actor__isnull=False))
    for row in ended.values("actor", "actor__name").order_by().annotate(resolved=Count("pk")):
        people.setdefault(row["actor"], {"name": row["actor__name"]})["resolved"] = row["resolved"]
    here = dict(
        scope.limit(Ticket.objects.open().filter(assignee__in=people), "pk")
        .values_list("assignee")
        .order_by()
        .annotate(count=Count("pk"))
    )
    rows = sorted(
        people.items(), key=lambda item: (-item[1].get("resolved", 0), -(item[1].get("replies") or 0), item[1]["name"])
    )
    return Table(
        ["Person", "Resolved", "Replies", "Notes", "Minutes spent", "Open now"],
        [
            Row(
                str(pk),
                [one["name"], one.get("resolved", 0), one.get("replies", 0), one.get("notes", 0), one.get("minutes") or 0, here.get(pk, 0)],
                [one.get("resolved", 0)],
            )
            for pk, one in rows
        ],
        series=["Resolved"], total=sum(one.get("resolved", 0) for one in people.values()), unit="resolved",
    )  # fmt: skip


def _behind_person(scope: Scope, key: str) -> QuerySet[Ticket]:
    """Tickets that a person resolved or wrote on in the period."""
    pk = _number(key)
    ended = TicketEvent.objects.filter(scope.within("at"), kind="resolved", actor=pk).values("ticket")
    said = Message.objects.filter(scope.within("created_at"), author=pk).values("ticket")
    return scope.tickets().filter(Q(pk__in=ended) | Q(pk__in=said))


RATES = {
    "reopened": ("Opened again", ("reopened",), ("resolved",)), "handed_back": ("Handed back", ("handed_back",), ("escalated", "breach_escalated")),
    "escalated": ("Escalated", ("escalated", "breach_escalated"), ("opened", "split_from")),
}  # fmt: skip


def rates(scope: Scope) -> Table:
    """Of what was resolved, how much came back; of what was escalated, how much was handed back."""
    kinds = {kind for _, part, whole in RATES.values() for kind in (*part, *whole)}
    events = scope.limit(TicketEvent.objects.filter(scope.within("at"), kind__in=kinds))
    counts = dict(events.values_list("kind").order_by().annotate(count=Count("pk")))

    def of(names: Sequence[str]) -> int:
        return sum(counts.get(name, 0) for name in names)

    return Table(
        ["What", "How often", "Of", "Share"],
        [
            Row(key, [label, of(part), of(whole), percent(of(part), of(whole))], [100 * of(part) / of(whole) if of(whole) else 0], [label, of(part), of(whole), share(of(part), of(whole))])
            for key, (label, part, whole) in RATES.items()
        ],
        series=["Share, in percent"], total=100 * of(("reopened",)) / of(("resolved",)) if of(("resolved",)) else None, unit="opened again", kind="share", full=100.0, plain=["What", "How often", "Of", "Share (%)"],
    )  # fmt: skip


def _behind_rate(scope: Scope, key: str) -> QuerySet[Ticket]:
    if key not in RATES:
        raise NotFound("There is no such row.")
    events = TicketEvent.objects.filter(scope.within("at"), kind__in=RATES[key][1])
    return scope.tickets().filter(pk__in=events.values("ticket"))


# --------------------------------------------------------------------- channels, runbooks, ratings
def channels(scope: Scope) -> Table:
    made = scope.limit(Ticket.objects.filter(scope.within("created_at")), "pk")
    counts = dict(made.values_list("channel").order_by().annotate(count=Count("pk")))
    total = sum(counts.values())
    return Table(
        ["Channel", "Tickets", "Share"],
        [Row(one.value, [_named(one.label), counts.get(one.value, 0), percent(counts.get(one.value, 0), total)], [counts.get(one.value, 0)], [one.value, counts.get(one.value, 0), share(counts.get(one.value, 0), total)]) for one in Channel],
        series=["Tickets"], total=total, unit="tickets", plain=["Channel", "Tickets", "Share (%)"],
    )  # fmt: skip


def _named(label: str) -> str:
    return label[:1].upper() + label[1:]


def _behind_channel(scope: Scope, key: str) -> QuerySet[Ticket]:
    return scope.tickets().filter(scope.within("created_at"), channel=key)


def _runs(scope: Scope) -> QuerySet[Execution]:
    runs = Execution.objects.visible_to(scope.user).filter(
        scope.within("created_at"), ticket__isnull=False, dry_run=False
    )
    return scope.limit(runs)


def runbooks(scope: Scope) -> Table:
    """Runs for tickets: how they ended, and how many of their tickets are resolved or closed now."""
    rows = _runs(scope).values("version__runbook__slug", "version__runbook__title").order_by().annotate(
        runs=Count("pk"), good=Count("pk", filter=Q(state=RunState.SUCCEEDED)), tickets=Count("ticket", distinct=True),
        solved=Count("ticket", filter=Q(ticket__status__in=["resolved", "closed"], state=RunState.SUCCEEDED), distinct=True),
    )  # fmt: skip
    found = sorted(rows, key=lambda row: (-row["solved"], -row["runs"], row["version__runbook__title"]))
    return Table(
        ["Runbook", "Runs", "Succeeded", "Tickets", "Solved"],
        [
            Row(row["version__runbook__slug"], [row["version__runbook__title"], row["runs"], row["good"], row["tickets"], row["solved"]], [row["solved"]])
            for row in found
        ],
        series=["Solved"], total=sum(row["solved"] for row in found), unit="solved with a run",
    )  # fmt: skip


def _behind_runbook(scope: Scope, key: str) -> QuerySet[Ticket]:
    return scope.tickets().filter(pk__in=_runs(scope).filter(version__runbook__slug=key).values("ticket"))


def _ratings(scope: Scope) -> QuerySet[Rating]:
    return scope.limit(Rating.objects.filter(scope.within("at")))


def ratings(scope: Scope) -> Table:
    counts = dict(_ratings(scope).values_list("score").order_by().annotate(count=Count("pk")))
    total = sum(counts.values())
    return Table(
        ["Rating", "Tickets", "Share"],
        [Row(one.value, [one.label, counts.get(one.value, 0), percent(counts.get(one.value, 0), total)], [counts.get(one.value, 0)], [one.value, counts.get(one.value, 0), share(counts.get(one.value, 0), total)]) for one in RatingScore],
        series=["Tickets"], total=100 * counts.get("good", 0) / total if total else None, unit="good", kind="share", plain=["Rating", "Tickets", "Share (%)"],
    )  # fmt: skip


def _behind_rating(scope: Scope, key: str) -> QuerySet[Ticket]:
    return scope.tickets().filter(pk__in=_ratings(scope).filter(score=key).values("ticket"))


def _parts(key: str, count: int) -> list[str]:
    parts = key.split("|")
    if len(parts) != count:
        raise NotFound("There is no such row.")
    return parts


def _number(text: str) -> int:
    if (number := number_of(text)) is None:
        raise NotFound("There is no such row.")
    return number


REPORTS = {
    one.key: one
    for one in (
        Report("backlog", "Backlog, created, resolved", "Open tickets at the end of each step.", backlog, _created_in),
        Report("attainment", "Promises kept", "Clocks that stopped in the period, in business time.", attainment, _behind_clocks),
        Report("first-response", "First response", "How long requesters waited, in business time.", first_response, _behind_wait),
        Report("breaches", "Breaches by reason", "What had happened before a promise was broken.", breaches, _behind_breach),
        Report("load", "Load by person", "What each did in the period, and has now.", load, _behind_person),
        Report("rates", "Opened again, handed back", "How much of the work came back.", rates, _behind_rate),
        Report("channels", "Channels", "How tickets come.", channels, _behind_channel),
        Report("runbooks", "Solved with runbooks", "Runs for tickets, and whether these are solved.", runbooks, _behind_runbook),
        Report("ratings", "Ratings", "What requesters say.", ratings, _behind_rating),
    )
}  # fmt: skip


def report(key: str) -> Report:
    if key not in REPORTS:
        raise NotFound(f"There is no report {key[:40]}; the reports are {', '.join(REPORTS)}.")
    return REPORTS[key]
