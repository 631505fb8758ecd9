"""What the pages and endpoints of tickets show."""

from tickets.queries.cursors import queue_cursor, ticket_cursor
from tickets.queries.detail import Detail, ticket_detail, ticket_for
from tickets.queries.navigation import navigation
from tickets.queries.queue import Filters, QueuePage, matches, queue, queue_rows, requesters_for, with_rows

__all__ = [
    "Detail",
    "Filters",
    "QueuePage",
    "matches",
    "navigation",
    "queue",
    "queue_cursor",
    "queue_rows",
    "requesters_for",
    "ticket_cursor",
    "ticket_detail",
    "ticket_for",
    "with_rows",
]
