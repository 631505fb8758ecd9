"""Real mail servers on loopback: our listener, a Dovecot, and a server that takes what the desk sends."""

import asyncio
import os
import threading
from contextlib import contextmanager

import pytest

from bench.dovecot import Dovecot, program
from supportdesk import guide
from supportdesk.embedded.servers import free_port
from tests.conftest import require
from tickets.mail.listener import Listener


@pytest.fixture
def boxes(transactional_db):
    """The guide's mailboxes, in a database that commits."""
    guide.load()


@contextmanager
def listening():
    """Our listener in a thread of its own: (SMTP port, LMTP port)."""
    smtp, lmtp = free_port(), free_port()
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve():
        listener = Listener(host="127.0.0.1", smtp_port=smtp, lmtp_port=lmtp)
        await listener.start()
        ready.set()
        await stop.wait()
        await listener.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield smtp, lmtp
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


@pytest.fixture
def listener(boxes):
    with listening() as ports:
        yield ports


@pytest.fixture(scope="session")
def dovecot(tmp_path_factory):
    require(program(), "dovecot")
    folder = tmp_path_factory.mktemp("dovecot")
    for parent in [folder, *folder.parents][:4]:
        if str(parent).startswith("/tmp/") and os.geteuid() == 0:
            parent.chmod(0o755)  # its own users must reach it
    server = Dovecot(str(program()), folder)
    server.start()
    yield server
    server.stop()
