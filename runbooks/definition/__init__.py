"""What a runbook's YAML may say.

Parameters never become part of a command: `shell` gets them as environment variables, `sql` binds
them, the other kinds fill `{…}` into values, never into code.
"""

from runbooks.definition.params import Param, Value
from runbooks.definition.reading import DefinitionError, json_schema, parse
from runbooks.definition.scalars import duration, duration_text
from runbooks.definition.spec import Definition, Lock, Step

__all__ = [
    "Definition",
    "DefinitionError",
    "Lock",
    "Param",
    "Step",
    "Value",
    "duration",
    "duration_text",
    "json_schema",
    "parse",
]
