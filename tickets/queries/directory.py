"""Requesters, organisations, tags and categories with what hangs on them."""

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, Q, QuerySet

from staff.models import User
from supportdesk.errors import NotFound
from tickets.models import OPEN_STATUSES, Category, CustomField, Organization, Requester, RetentionPolicy, Ticket
from tickets.queries.queue import organizations_for, requesters_for

MOST_TAGS = 200


def requesters_found(user: User, text: str = "") -> QuerySet[Requester]:
    """Requesters of tickets that the user may see, by name or address."""
    found = requesters_for(user).select_related("organization").order_by("email")
    return found.filter(Q(email__icontains=text) | Q(name__icontains=text)) if text else found


@dataclass(frozen=True)
class Person:
    """A requester with their newest tickets, as far as the reader may see them."""

    requester: Requester
    tickets: list[Ticket]
    open: int
    total: int


def requester_page(user: User, requester_id: int) -> Person:
    found = requesters_for(user).select_related("organization").filter(pk=requester_id).first()
    if found is None:
        raise NotFound("There is no such requester.")
    theirs = Ticket.objects.visible_to(user).filter(requester=found)
    newest = list(theirs.select_related("tier", "assignee").order_by("-pk")[:50])
    return Person(found, newest, theirs.filter(status__in=OPEN_STATUSES).count(), theirs.count())


def organizations_found(user: User, text: str = "") -> QuerySet[Organization]:
    """Organisations with the number of their requesters (`people`)."""
    found = organizations_for(user).annotate(people=Count("requesters")).order_by("name")
    return found.filter(Q(name__icontains=text) | Q(domains__contains=[text.lower()])) if text else found


def organization_page(user: User, pk: int) -> tuple[Organization, list[Requester]]:
    found = organizations_for(user).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such organisation.")
    return found, list(requesters_for(user).filter(organization=found)[:100])


def tags_in_use(user: User) -> list[tuple[str, int]]:
    """The tags of open tickets that the user may see, most used first."""
    sql, values = (
        Ticket.objects.visible_to(user).filter(status__in=OPEN_STATUSES).values("tags").query.sql_with_params()
    )
    counted = f"SELECT tag, count(*) FROM ({sql}) AS seen (tags), unnest(seen.tags) AS tag GROUP BY tag"  # noqa: S608 - Django's own statement
    with connection.cursor() as cursor:
        cursor.execute(f"{counted} ORDER BY count(*) DESC, tag LIMIT {MOST_TAGS}", values)
        return [(str(tag), int(count)) for tag, count in cursor.fetchall()]


def categories(user: User) -> QuerySet[Category]:
    """Categories with their open tickets that the user may see (`open`)."""
    seen = Ticket.objects.visible_to(user).values("pk")
    return Category.objects.annotate(
        open=Count("tickets", filter=Q(tickets__status__in=OPEN_STATUSES, tickets__in=seen))
    ).order_by("position", "name")


def fields() -> QuerySet[CustomField]:
    return CustomField.objects.prefetch_related("categories")


def retention() -> QuerySet[RetentionPolicy]:
    return RetentionPolicy.objects.all()


def field_initial(field: CustomField) -> dict[str, Any]:
    """A custom field as the first values of its form."""
    names = ("slug", "label", "kind", "help_text", "position", "active")
    values = {name: getattr(field, name) for name in names}
    return values | {"choices": "\n".join(field.choices), "categories": field.categories.all()}
