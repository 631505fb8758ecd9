"""What the pages and endpoints of tickets show."""

from tickets.queries.automation import recurrences, rule_initial, rule_log, rules
from tickets.queries.clocks import bring_up_to_date, explained
from tickets.queries.cursors import queue_cursor, ticket_cursor
from tickets.queries.detail import Detail, can_see, readable, ticket_detail, ticket_for
from tickets.queries.directory import (
    categories,
    field_initial,
    fields,
    organization_page,
    organizations_found,
    requester_page,
    requesters_found,
    retention,
    tags_in_use,
)
from tickets.queries.jobs import job_rows, jobs_of
from tickets.queries.navigation import navigation
from tickets.queries.people import person, team
from tickets.queries.promises import policy_initial, promises, target_grid
from tickets.queries.queue import (
    Filters,
    QueuePage,
    as_rows,
    chosen,
    matching,
    organizations_for,
    queue,
    queue_rows,
    requesters_for,
    with_rows,
)
from tickets.queries.related import Related, links, steps, with_related
from tickets.queries.search import picked, understand
from tickets.queries.similar import alike, earlier, people_like

__all__ = [
    "Detail",
    "Filters",
    "QueuePage",
    "Related",
    "alike",
    "as_rows",
    "bring_up_to_date",
    "can_see",
    "categories",
    "chosen",
    "earlier",
    "explained",
    "field_initial",
    "fields",
    "job_rows",
    "jobs_of",
    "links",
    "matching",
    "navigation",
    "organization_page",
    "organizations_for",
    "organizations_found",
    "people_like",
    "person",
    "picked",
    "policy_initial",
    "promises",
    "queue",
    "queue_cursor",
    "queue_rows",
    "readable",
    "recurrences",
    "requester_page",
    "requesters_for",
    "requesters_found",
    "retention",
    "rule_initial",
    "rule_log",
    "rules",
    "steps",
    "tags_in_use",
    "target_grid",
    "team",
    "ticket_cursor",
    "ticket_detail",
    "ticket_for",
    "understand",
    "with_related",
    "with_rows",
]
