"""One port: `/events/` on Django's ASGI handler, everything else on its WSGI handler in a thread pool.

Django's ASGI handler makes a thread and a connection for each synchronous request; a standing pool
does not (docs/decisions/0002-serving.md has the figures).
"""

import os
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supportdesk.settings")

_events = get_asgi_application()
_pages = WSGIMiddleware(cast(Any, get_wsgi_application()), workers=settings.WEB_THREADS)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Dispatch one connection; answer the server's lifespan questions with yes."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "http" and scope["path"].startswith("/events/"):
        await _events(scope, receive, send)
    elif scope["type"] == "http":
        await _pages(cast(Any, scope), receive, send)
    else:
        await send({"type": "websocket.close", "code": 1000})
