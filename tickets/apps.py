from django.apps import AppConfig


class TicketsConfig(AppConfig):
    name = "tickets"

    def ready(self) -> None:
        """Register the outbox handler and the topics of open browsers."""
        from anymail.signals import inbound, tracking

        from supportdesk import events
        from tickets import queries
        from tickets.mail import hooks, outgoing  # noqa: F401 - outgoing registers its outbox handlers

        inbound.connect(hooks.take, dispatch_uid="tickets.hooks")
        tracking.connect(hooks.came_back, dispatch_uid="tickets.hooks.tracking")
        events.register("ticket", queries.ticket_cursor)
        events.register("queue", queries.queue_cursor)
