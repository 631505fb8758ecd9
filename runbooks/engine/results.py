"""Values on their way into a step and out of it: filled in, and as the database may hold them."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from runbooks import expressions, steps
from runbooks.models import StepRun
from supportdesk.text import clean

MOST_RESULT = 512 * 1024  # bytes of JSON kept of one step's result


def storable(value: Any, redact: Callable[[str], str]) -> Any:
    """A result as jsonb can hold it and people may read it: no NaN, NUL or lone surrogate, no secret."""
    if isinstance(value, Mapping):
        return {storable(str(key), redact): storable(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item, redact) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) > 10**300:
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        masked = redact(str(value))
        return value if masked == str(value) else masked  # a secret of digits alone
    return redact(_storable_text(value)) if isinstance(value, str) else value


def _storable_text(text: str) -> str:
    """The text as it is, but for what jsonb cannot hold: NUL and lone surrogates become a mark."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def kept(result: steps.Result, redact: Callable[[str], str]) -> steps.Result:
    """The result as it is stored: without secrets, and not endless."""
    data = storable(result.data, redact)
    if len(json.dumps(data)) > MOST_RESULT:
        data = {"left_out": f"more than {MOST_RESULT // 1024} KB", "row_count": data.get("row_count")}
    return replace(result, message=redact(clean(result.message)), data=data)


def facts(row: StepRun) -> dict[str, Any]:
    """What later steps and expressions see of a step that ended."""
    return {"state": row.state, "message": row.message, "result": row.result, **row.captured}


def filled(kind: steps.Kind, with_: Any, names: Mapping[str, Any]) -> Any:
    """The step's `with`, its {…} filled in, checked once more: a value may not make it something else."""
    if not kind.templated:
        return with_
    given = with_.model_dump(by_alias=True)
    for field in kind.templated:
        given[field] = expressions.fill_all(given[field], names, kind.escapes.get(field))
    try:
        return kind.With.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise steps.StepError(f"{place}: {problem['msg'].removeprefix('Value error, ')}") from None
