from django.apps import AppConfig


class StaffConfig(AppConfig):
    name = "staff"

    def ready(self) -> None:
        """Register the topic of open browsers."""
        from staff import queries
        from supportdesk import events

        events.register("notifications", queries.notifications_cursor)
