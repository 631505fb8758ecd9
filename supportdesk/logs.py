"""Structured logs: JSON in production, one readable line elsewhere; the request id is on each."""

import logging
import re
from typing import Any

import structlog


def _without_secrets_of_urls(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A reset link is a key, and a query holds what people search for: the log keeps neither."""
    request = event.get("request")
    if isinstance(request, str):
        path = request.partition("?")[0]
        event["request"] = re.sub(r"(/password/reset/key/).+", r"\1...", path)
    return event


def _processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        _without_secrets_of_urls,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.UnicodeDecoder(),
    ]


def formatter(*, json: bool) -> logging.Formatter:
    """Build the formatter that `settings.LOGGING` names, and point structlog at it."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_processors(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )
