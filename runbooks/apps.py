from django.apps import AppConfig


class RunbooksConfig(AppConfig):
    name = "runbooks"

    def ready(self) -> None:
        """Register the topics of open browsers."""
        from runbooks import queries
        from supportdesk import events

        events.register("run", queries.run_cursor)
        events.register("runs", queries.runs_cursor)
