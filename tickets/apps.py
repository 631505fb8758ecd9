from django.apps import AppConfig


class TicketsConfig(AppConfig):
    name = "tickets"

    def ready(self) -> None:
        """Register the outbox handler and the topics of open browsers."""
        from supportdesk import events
        from tickets import queries
        from tickets.mail import outgoing  # noqa: F401 - registers its outbox handler

        events.register("ticket", queries.ticket_cursor)
        events.register("queue", queries.queue_cursor)
