"""What each of the desk's own processes runs, in a child that was forked from the supervisor."""

import functools
import socket
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Part:
    """A process of the desk: what its end is reported as, what `ps` calls it, what it runs, seconds to end in."""

    name: str
    title: str
    run: Callable[[], object]
    patience: float


def in_background() -> list[Part]:
    """All but the web server."""
    worker = ("--without-gossip", "--without-mingle", "--loglevel", "WARNING")
    slots = str(settings.RUNBOOK_SLOTS)
    parts = [
        _celery("the worker", "desk worker", 15, "worker", "--queues", "default,sla", "--concurrency", "3", "--hostname", "desk@%h", *worker),
        _celery("the mail worker", "desk mail", 15, "worker", "--queues", "mail", "--concurrency", "2", "--hostname", "mail@%h", *worker),
        _celery("the runbook worker", "desk runbooks", 15, "worker", "--queues", "runbooks", "--concurrency", slots, "--hostname", "runbooks@%h", *worker),
        _celery("beat", "desk beat", 10, "beat", "--loglevel", "WARNING", "--pidfile="),
        Part("the mail fetcher", "desk fetcher", functools.partial(_manage, "mail_fetcher"), 30),
    ]  # fmt: skip
    if settings.SMTP_PORT or settings.LMTP_PORT:
        parts.append(Part("the mail listener", "desk listener", functools.partial(_manage, "mail_listener"), 15))
    return parts


def web(listening: socket.socket) -> Part:
    """A process that answers browsers; several may share the socket."""
    return Part("the web server", "desk web", functools.partial(_serve, listening), 10)


def load() -> None:
    """Load what all of them use, before they are forked."""
    from django.urls import get_resolver

    import supportdesk.asgi
    import supportdesk.celery

    supportdesk.celery.app.loader.import_default_modules()
    get_resolver().url_patterns  # noqa: B018 - reads the views


def _celery(name: str, title: str, patience: float, *arguments: str) -> Part:
    from supportdesk.celery import app

    return Part(name, title, functools.partial(app.start, ["--quiet", *arguments]), patience)


def _manage(command: str) -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", command])


def _serve(listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        "supportdesk.asgi:application",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=3,
        lifespan="on",
    )
    uvicorn.Server(config).run(sockets=[listening])
