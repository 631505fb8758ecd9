"""Rules: what the desk does by itself, in whose order, and what it did. See docs/rules.md."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from staff import actions as staff
from staff.models import User
from supportdesk import outbox
from supportdesk.errors import DeskError, Invalid, NotFound
from supportdesk.text import one_line
from tickets import policies
from tickets.actions import recipes
from tickets.models import Message, Rule, RuleEvent, RuleOutcome, RuleRun, RuleSince, Ticket, TicketEvent
from tickets.models.ticket import TicketQuerySet
from tickets.query.compile import Compiler
from tickets.query.language import parse
from tickets.recipe import Recipe, duration, read
from tickets.sla.clocks import SYSTEM

log = logging.getLogger(__name__)

MOST_RULES, MOST_MAILS = 200, 5
SWEEP_SECONDS = 20.0
DRY_RUN, SHOWN = 1000, 50
LONGEST = timedelta(days=3660)
_BATCH = 100


@transaction.atomic
def save_rule(
    *,
    by: User,
    name: str,
    recipe: Recipe,
    events: Sequence[str] = (),
    since: str = "",
    after: str = "",
    query: str = "",
    position: int = 0,
    stops: bool = False,
    active: bool = False,
    pk: int | None = None,
) -> Rule:
    """Make or change a rule: either events, or a moment and a time after it (`30m`, `4h`, `2d`, `1w`)."""
    policies.check_can_make_rules(by)
    rule = Rule.objects.select_for_update().filter(pk=pk).first() if pk else Rule()
    if rule is None:
        raise NotFound("There is no such rule.")
    if pk is None and Rule.objects.count() >= MOST_RULES:
        raise Invalid(f"There are {MOST_RULES} rules, the most that there may be.")
    before = _shown(rule) if pk else None
    fill(rule, name=name, recipe=recipe, events=events, since=since, after=after, query=query)
    rule.position, rule.stops, rule.active = position, stops, active
    rule.changed_at, rule.changed_by, rule.error = timezone.now(), by, ""
    if Rule.objects.exclude(pk=rule.pk).filter(name=rule.name).exists():
        raise Invalid("There is a rule of that name.", fields={"name": ["It exists already."]})
    rule.save()
    staff.audit(by=by, action="rule.saved", thing=f"rule {rule}", before=before, after=_shown(rule))
    return rule


def fill(rule: Rule, *, name: str, recipe: Recipe, events: Sequence[str], since: str, after: str, query: str) -> Rule:
    """Set what the rule means, checked; nothing is saved. Raises `Invalid` that names the field."""
    wrong: dict[str, list[str]] = {}
    rule.name = one_line(name, most=80)
    if not rule.name:
        wrong["name"] = ["Write something here."]
    if bool(events) == bool(since):
        wrong["events"] = ["Choose either events, or a moment and a time after it."]
    if unknown := set(events) - set(RuleEvent.values):
        wrong["events"] = [f"Unknown: {', '.join(sorted(unknown))}."]
    if since and since not in RuleSince.values:
        wrong["since"] = [f"Choose one of {', '.join(RuleSince.values)}."]
    if recipe.is_empty:
        wrong["recipe"] = ["Choose what is to be done."]
    rule.events, rule.since, rule.after_minutes = list(dict.fromkeys(events)), since, None
    if since:
        try:
            wait = duration(after)
            rule.after_minutes = int(wait.total_seconds() // 60)
            if wait > LONGEST:
                raise ValueError("choose a shorter time")
        except ValueError as error:
            wrong["after"] = [f"{str(error).capitalize()}."]
    rule.query = query.strip()[:500]
    try:
        _matching(Ticket.objects.none(), rule)
    except Invalid as error:
        wrong["query"] = [str(error)]
    if wrong:
        raise Invalid("; ".join(f"{key}: {' '.join(said)}" for key, said in wrong.items()), fields=wrong)
    rule.recipe = recipe.as_data()
    return rule


def _shown(rule: Rule) -> dict[str, Any]:
    names = ("name", "active", "position", "events", "since", "after_minutes", "query", "recipe", "stops")
    return {name: getattr(rule, name) for name in names}


@transaction.atomic
def switch_rule(*, pk: int, by: User, active: bool) -> Rule:
    """Switch a rule on or off."""
    policies.check_can_make_rules(by)
    rule = Rule.objects.select_for_update().filter(pk=pk).first()
    if rule is None:
        raise NotFound("There is no such rule.")
    if rule.active != active:
        rule.active, rule.changed_at, rule.changed_by = active, timezone.now(), by
        rule.save(update_fields=["active", "changed_at", "changed_by"])
        staff.audit(by=by, action="rule.switched", thing=f"rule {rule}", before=not active, after=active)
    return rule


@transaction.atomic
def delete_rule(*, pk: int, by: User) -> None:
    """Remove a rule of one's own making with its log; those that come with the desk are switched off instead."""
    policies.check_can_make_rules(by)
    rule = Rule.objects.select_for_update().filter(pk=pk).first()
    if rule is None:
        raise NotFound("There is no such rule.")
    if rule.built_in:
        raise Invalid("This rule comes with the desk; switch it off instead.")
    staff.audit(by=by, action="rule.deleted", thing=f"rule {rule}", before=_shown(rule))
    rule.delete()


@transaction.atomic
def load_rules(*, rules: Sequence[Mapping[str, Any]]) -> None:
    """The guide's rules, switched off: they act from when somebody switches them on. What is there stays as it is."""
    for position, row in enumerate(rules):
        if Rule.objects.filter(built_in=row["slug"]).exists() or Rule.objects.filter(name=row["name"]).exists():
            continue
        rule = Rule(built_in=row["slug"], position=position)
        given = {key: row.get(key, "") for key in ("since", "after", "query")}
        fill(rule, name=row["name"], recipe=read(row["recipe"]), events=row.get("events", ()), **given)
        rule.save()


# ------------------------------------------------------------------- at work


@outbox.handler("tickets.rules")
def hear(event_id: int) -> None:
    """Let every rule that listens look at an event, in order, each in a transaction of its own."""
    event = TicketEvent.objects.filter(pk=event_id).first()
    if event is None:
        return
    for rule in Rule.objects.filter(active=True, events__contains=[event.kind]).select_related("changed_by"):
        try:
            acted = _act(rule, event.ticket_id, event_id)
        except DeskError as error:
            _note_error(rule, error)
            continue
        if acted and rule.stops:
            return


def sweep_rules() -> int:
    """Let timed rules act on the tickets whose time has come. Returns how many they looked at.

    What it does not come to within its time the next sweep does, so that nothing else waits for it.
    """
    total, until = 0, time.monotonic() + SWEEP_SECONDS
    for rule in Rule.objects.filter(active=True).exclude(since="").select_related("changed_by"):
        try:
            while found := list(due(rule).order_by("pk").values_list("pk", flat=True)[:_BATCH]):
                for ticket_id in found:
                    _act(rule, ticket_id, None)
                    total += 1
                    if time.monotonic() > until:
                        return total
        except DeskError as error:
            _note_error(rule, error)
    return total


def _note_error(rule: Rule, error: DeskError) -> None:
    """Its query is not understood any more: a category was renamed, for example. The page of rules says so."""
    log.warning("rule %s does not act: %s", rule.pk, error)
    Rule.objects.filter(pk=rule.pk).update(error=str(error)[:500])


def due(rule: Rule, tickets: TicketQuerySet | None = None) -> QuerySet[Ticket]:
    """The tickets that a timed rule acts on now: its time has come, and no person did anything since it last acted."""
    picked = _matching(Ticket.objects.all() if tickets is None else tickets, rule)
    moment = timezone.now() - timedelta(minutes=rule.after_minutes or 0)
    people = TicketEvent.objects.filter(ticket=OuterRef("ticket"), pk__gt=OuterRef("event"))
    acted = RuleRun.objects.filter(rule=rule, ticket=OuterRef("pk")).exclude(Exists(_of_people(people)))
    since_import = _of_people(TicketEvent.objects.filter(ticket=OuterRef("pk")))
    picked = picked.filter(~Exists(acted), **{f"{rule.since}_at__lte": moment})
    return picked.exclude(~Exists(since_import), imported__isnull=False)


def _of_people(events: QuerySet[TicketEvent]) -> QuerySet[TicketEvent]:
    """What people did: not rules, not the desk, and no machine's mail."""
    events = events.exclude(actor=staff.automation()).exclude(actor=None, actor_name=SYSTEM)
    return events.exclude(kind__in=["auto_reply", "bounced", "delivery_failed"])


def _matching(tickets: TicketQuerySet, rule: Rule) -> QuerySet[Ticket]:
    """The tickets of the set that the rule's query picks; raises `QueryError`.

    Restricted ones only where whoever made the rule may see them.
    """
    maker = rule.changed_by
    tickets = tickets.visible_to(maker) if maker and maker.is_active else tickets.filter(restricted=False)
    node = parse(rule.query)
    return tickets if node is None else Compiler(staff.automation(), notes=True).apply(tickets, node)


@transaction.atomic
def _act(rule: Rule, ticket_id: int, event_id: int | None) -> bool:
    """Do what the rule says, where its query picks the ticket. Returns whether it did (or had done) so."""
    ticket = Ticket.objects.select_for_update(no_key=True).get(pk=ticket_id)
    if event_id is None:
        if not due(rule, Ticket.objects.filter(pk=ticket_id)).exists():
            return False
    elif RuleRun.objects.filter(rule=rule, ticket=ticket, event=event_id).exists():
        return True
    elif not _matching(Ticket.objects.filter(pk=ticket_id), rule).exists():
        return False
    outcome, said = _do(rule, ticket, event_id or _newest_event(ticket))
    heard = event_id or _newest_event(ticket)
    RuleRun.objects.create(rule=rule, ticket=ticket, event=heard, outcome=outcome, said=said[:500])
    return True


def _newest_event(ticket: Ticket) -> int:
    return ticket.events.order_by("-id").values_list("pk", flat=True).first() or 0


def _do(rule: Rule, ticket: Ticket, heard: int) -> tuple[RuleOutcome, str]:
    by, recipe = staff.automation(), read(rule.recipe)
    try:
        with transaction.atomic():
            if recipe.reply and _mails_today(ticket, by) >= MOST_MAILS:
                raise Invalid(f"Rules wrote {MOST_MAILS} times on this ticket within a day; no more is sent.")
            applied = recipes.apply(recipe, number=ticket.number, by=by, key=f"{rule.pk}:{heard}")
    except DeskError as refused:
        return RuleOutcome.REFUSED, str(refused)
    return (RuleOutcome.DONE if applied.changed else RuleOutcome.UNCHANGED), "; ".join(applied.events)


def _mails_today(ticket: Ticket, by: User) -> int:
    since = timezone.now() - timedelta(days=1)
    return Message.objects.filter(ticket=ticket, author=by, kind="reply", created_at__gte=since).count()


# ------------------------------------------------------------------- trying out


@dataclass(frozen=True)
class DryRun:
    """What a rule would do to the newest tickets: how many it picks, and the first of them with each change."""

    looked_at: int
    matched: int
    rows: list[tuple[Ticket, str, str]]


class _Rollback(Exception):
    pass


def dry_run(rule: Rule, *, by: User) -> DryRun:
    """Try a rule, saved or not, on the newest 1,000 tickets that the person sees. Nothing is kept."""
    policies.check_can_make_rules(by)
    rule.changed_by = by
    newest = list(Ticket.objects.visible_to(by).order_by("-pk").values_list("pk", flat=True)[:DRY_RUN])
    picked = _matching(Ticket.objects.filter(pk__in=newest), rule)
    if rule.is_timed:
        moment = timezone.now() - timedelta(minutes=rule.after_minutes or 0)
        picked = picked.filter(**{f"{rule.since}_at__lte": moment})
    rows = []
    for ticket in picked.order_by("-pk").select_related("tier")[:SHOWN]:
        try:
            with transaction.atomic():
                outcome, said = _do(rule, Ticket.objects.select_for_update(no_key=True).get(pk=ticket.pk), 0)
                rows.append((ticket, outcome.label, said))
                raise _Rollback
        except _Rollback:
            continue
    return DryRun(len(newest), picked.count(), rows)
