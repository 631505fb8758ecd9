"""A migration operation for a new database: many models at once."""

from collections.abc import Sequence
from typing import Any

from django.db.migrations.operations import CreateModel
from django.db.migrations.operations.base import Operation


class CreateTogether(Operation):
    """Create models that may point at each other, in whatever order.

    As operations of their own each of a hundred models has all that are related to it built anew, which takes most of
    the time of a first start; here they are built once. Indexes and constraints stand in the models' options.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, models: Sequence[CreateModel]) -> None:
        self.models = list(models)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [], {"models": self.models}

    def state_forwards(self, app_label: str, state: Any) -> None:
        state.__dict__.pop("apps", None)  # built from the state when next asked for
        for model in self.models:
            model.state_forwards(app_label, state)

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for model in self.models:
            made = to_state.apps.get_model(app_label, model.name)
            if self.allow_migrate_model(schema_editor.connection.alias, made):
                schema_editor.create_model(made)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for model in reversed(self.models):
            made = from_state.apps.get_model(app_label, model.name)
            if self.allow_migrate_model(schema_editor.connection.alias, made):
                schema_editor.delete_model(made)

    def describe(self) -> str:
        return f"Create {len(self.models)} models"
