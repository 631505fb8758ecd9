"""The words of a ticket, for full-text search: kept beside it, so that its properties change cheaply."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import connection, models

from tickets.models.ticket import Ticket

# Weights of the words. D are internal notes: who may not read those is never shown what only they say.
SUBJECT, REQUESTER, REPLY, NOTE = "A", "B", "C", "D"
MOST_CHARACTERS = 100_000  # of one message; a tsvector ends at 1 MB
MOST_BYTES = 600_000  # of a ticket's words; what comes after is kept and shown, only not found


class TicketText(models.Model):
    """Subject, requester and all messages of a ticket as one tsvector (configuration `english`)."""

    ticket = models.OneToOneField(Ticket, on_delete=models.CASCADE, primary_key=True, related_name="text")
    search = SearchVectorField()

    class Meta:
        indexes = [
            # Every search for words.
            GinIndex(fields=["search"], name="ticket_text_search")
        ]

    def __str__(self) -> str:
        return f"words of {self.ticket_id}"

    @classmethod
    def add(cls, ticket: Ticket, parts: Sequence[tuple[str, str]]) -> None:
        """Add (weight, text) pairs to the words of a ticket."""
        vector = " || ".join(["setweight(to_tsvector('english', %s), %s)"] * len(parts))
        values = [value for weight, text in parts for value in (text[:MOST_CHARACTERS], weight)]
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO tickets_tickettext AS t (ticket_id, search) VALUES (%s, {vector})"  # noqa: S608 - placeholders only
                " ON CONFLICT (ticket_id) DO UPDATE SET search = t.search || EXCLUDED.search"
                " WHERE pg_column_size(t.search) < %s",
                [ticket.pk, *values, MOST_BYTES],
            )

    @classmethod
    def rebuild(cls, ticket: Ticket) -> None:
        """Gather the words anew, after a subject or message changed."""
        weights = {"requester": REQUESTER, "reply": REPLY, "note": NOTE}
        parts = [(SUBJECT, ticket.subject), (REQUESTER, who(ticket.requester.name, ticket.requester.email))]
        parts += custom(ticket.custom)
        parts += [(weights[kind], text) for kind, text in ticket.messages.order_by("id").values_list("kind", "text")]
        cls.objects.filter(ticket=ticket).delete()
        for start in range(0, len(parts), 50):
            cls.add(ticket, parts[start : start + 50])


def who(name: str, email: str) -> str:
    """A requester's name and address as words: the whole address, its domain, and its parts."""
    return f"{name} {email} {email.rpartition('@')[2]} {email.replace('@', ' ').replace('.', ' ')}"


def custom(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The values of custom fields as words, found like the subject."""
    said = " ".join(str(value) for value in values.values() if not isinstance(value, bool))
    return [(SUBJECT, said)] if said else []
