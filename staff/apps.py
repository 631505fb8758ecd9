from django.apps import AppConfig


class StaffConfig(AppConfig):
    name = "staff"

    def ready(self) -> None:
        """Register the topic of open browsers, and have their streams end with their sessions."""
        from staff import queries, sessions
        from supportdesk import events

        events.register("notifications", queries.notifications_cursor)
        sessions.connect()
