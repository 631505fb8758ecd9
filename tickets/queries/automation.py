"""The settings pages of rules and recurring tickets."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from staff.models import User
from tickets.models import Recurrence, Rule, RuleRun, Ticket
from tickets.recipe import read

_WEEK = timedelta(days=7)


def rules() -> list[tuple[Rule, str]]:
    """Rules in order, each with how often it acted in the last week (`acted`), and what it does in words."""
    lately = Q(runs__at__gte=timezone.now() - _WEEK, runs__outcome="done")
    return [(rule, str(read(rule.recipe))) for rule in Rule.objects.annotate(acted=Count("runs", filter=lately))]


def rule_log(user: User, rule: Rule) -> QuerySet[RuleRun]:
    """What a rule did to tickets that the reader may see, newest first."""
    visible = Ticket.objects.visible_to(user).values("pk")
    return RuleRun.objects.filter(rule=rule, ticket__in=visible).select_related("ticket")


def rule_initial(rule: Rule) -> Mapping[str, Any]:
    """A rule as the first values of its form, without its recipe."""
    names = ("name", "position", "events", "since", "query", "stops", "active")
    minutes = rule.after_minutes or 0
    sizes = ((10080, "w"), (1440, "d"), (60, "h"), (1, "m"))
    size, unit = next((size, unit) for size, unit in sizes if minutes % size == 0)
    return {name: getattr(rule, name) for name in names} | {"after": f"{minutes // size}{unit}" if minutes else ""}


def recurrences() -> QuerySet[Recurrence]:
    return Recurrence.objects.select_related("tier", "category", "last_ticket")
