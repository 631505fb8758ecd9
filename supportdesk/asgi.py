"""One port: `/events/` on Django's ASGI handler, everything else on its WSGI handler in a thread pool.

Django's ASGI handler makes a thread and a connection for each synchronous request; a standing pool
does not (docs/decisions/0002-serving.md has the figures).
"""

import asyncio
import os
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supportdesk.settings")

_events = get_asgi_application()
_opening = asyncio.Semaphore(settings.WEB_THREADS)
_pages = WSGIMiddleware(cast(Any, get_wsgi_application()), workers=settings.WEB_THREADS)


async def _open(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Open a stream, as many at once as there are threads for pages.

    When all browsers come back at once, each would take a database connection, and leave none for anybody's page.
    """
    await _opening.acquire()
    waits = True

    async def opened(message: Any) -> None:
        nonlocal waits
        await send(message)
        if waits and message["type"] == "http.response.body":  # its first event was found, or that there is no stream
            waits = False
            _opening.release()

    try:
        await _events(scope, receive, opened)
    finally:
        if waits:
            _opening.release()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Dispatch one connection; answer the server's lifespan questions with yes."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "http" and scope["path"].startswith("/events/"):
        await _open(scope, receive, send)
    elif scope["type"] == "http":
        await _pages(cast(Any, scope), receive, send)
    else:
        await send({"type": "websocket.close", "code": 1000})
