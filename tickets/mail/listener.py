"""The SMTP and LMTP listener: takes mail for the desk's mailboxes, and says 250 once it is committed."""

import asyncio
import logging
import signal
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from supportdesk.errors import Invalid
from tickets.mail import addresses, incoming
from tickets.models import Mailbox, Via

log = logging.getLogger(__name__)

MOST_RECIPIENTS = 100
MOST_SESSIONS = 200
MOST_BODIES = 10  # messages that are being received at once: each is in memory until it is stored
THREADS = 4
SILENCE = 120.0  # seconds after which a client that says nothing is left
RECEIVING = 600.0  # seconds that the body of a message may take
WATCHING, SLOWEST = 30.0, 500  # seconds between two looks at a body, bytes a second that it needs to stay
STOPPING = 10.0  # seconds that sessions get to end what they are sending

AWAY = "451 4.3.0 The desk cannot store mail now; try again later"


class Handler:
    """What the listener says to a client. The database is asked in threads, so that no session waits for another."""

    def __init__(self, via: Via, pool: ThreadPoolExecutor) -> None:
        self.via, self.pool = via, pool

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept the address of a mailbox, also with the ticket in it; refuse any other for good."""
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        try:
            mailbox = await self._in_thread(addresses.mailbox_of, address)
        except (DatabaseError, OSError):
            return AWAY
        if mailbox is None:
            return "550 5.1.1 There is no such mailbox here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Store the message for every mailbox that it is for; LMTP wants an answer for each recipient (RFC 2033)."""
        server.stores = True  # type: ignore[attr-defined]
        try:
            return await self._keep(session, envelope)
        finally:
            server.stores = False  # type: ignore[attr-defined]

    async def _keep(self, session: Session, envelope: Envelope) -> str:
        raw = envelope.original_content or b""
        if not raw.strip():
            return "554 5.6.0 The message is empty"
        peer = session.peer[0] if session.peer else ""
        try:
            answers = await self._in_thread(
                partial(
                    self._store,
                    raw,
                    (envelope.mail_from or "").strip("<>"),
                    list(envelope.rcpt_tos),
                    f"{peer} {session.host_name or ''}",
                )
            )
        except (DatabaseError, OSError) as error:
            log.warning("mail could not be stored and is left with its sender: %s", error)
            answers = [AWAY] * len(envelope.rcpt_tos)
        if self.via == Via.LMTP:
            return "\r\n".join(answers)
        # One answer for all: whoever is refused now is sent to again, and what was stored already is known then.
        return next((answer for answer in answers if not answer.startswith("250")), answers[0])

    async def handle_exception(self, error: Exception) -> str:
        """Whatever else goes wrong: the sender keeps the message and tries again."""
        log.error("the mail listener broke: %s: %s", type(error).__name__, error)
        return AWAY

    def _store(self, raw: bytes, sender: str, recipients: list[str], remote: str) -> list[str]:
        by_mailbox: dict[int, tuple[Mailbox, list[str]]] = {}
        answers: dict[str, str] = {}
        for recipient in recipients:
            mailbox = addresses.mailbox_of(recipient)
            if mailbox is None:
                answers[recipient] = "550 5.1.1 There is no such mailbox here"
            else:
                by_mailbox.setdefault(mailbox.pk, (mailbox, []))[1].append(recipient)
        for mailbox, meant in by_mailbox.values():
            envelope = incoming.Envelope(self.via, sender, meant, remote)
            try:
                inbound = incoming.store(raw, mailbox=mailbox, envelope=envelope)
                said = f"250 2.0.0 Stored as {inbound.pk}"
            except Invalid as refused:
                said = f"554 5.6.0 {refused}"
            answers |= dict.fromkeys(meant, said)
        return [answers[recipient] for recipient in recipients]

    async def _in_thread(self, call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.pool, _with_connection, call, *arguments)


def _with_connection(call: Any, *arguments: Any) -> Any:
    close_old_connections()
    try:
        return call(*arguments)
    except Exception:
        connections.close_all()  # the next one begins with a fresh connection
        raise


def _close(together: threading.Barrier) -> None:
    together.wait(STOPPING)
    connections.close_all()


class Listener:
    """Both servers in one event loop."""

    def __init__(self, *, host: str, smtp_port: int, lmtp_port: int) -> None:
        self.host, self.ports = host, {Via.SMTP: smtp_port, Via.LMTP: lmtp_port}
        self.servers: list[asyncio.Server] = []
        self.sessions: set[_Session] = set()
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mail")
        self.bodies = asyncio.Semaphore(MOST_BODIES)

    async def start(self) -> None:
        """Listen. Raises OSError when a port is taken, ssl.SSLError for a certificate that cannot be used."""
        context = None
        if settings.MAIL_TLS_CERT:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(settings.MAIL_TLS_CERT, settings.MAIL_TLS_KEY)
        loop = asyncio.get_running_loop()
        for via, port in self.ports.items():
            if port:
                self.servers.append(await loop.create_server(partial(self._session, via, context), self.host, port))

    def _session(self, via: Via, context: ssl.SSLContext | None) -> SMTP:
        kind = {Via.SMTP: _Smtp, Via.LMTP: _Lmtp}[via]
        return kind(self, Handler(via, self.pool), context)

    async def stop(self) -> None:
        """Take no more sessions; those that are open get some seconds to end."""
        for server in self.servers:
            server.close()
        deadline = asyncio.get_running_loop().time() + STOPPING
        while any(session.is_receiving for session in self.sessions) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        for session in list(self.sessions):
            if session.transport is not None:
                session.transport.close()
        together = threading.Barrier(THREADS)  # so that each thread gets one of these
        for _ in range(THREADS):
            self.pool.submit(_close, together)
        await asyncio.to_thread(self.pool.shutdown)


class _Session(SMTP):
    """A session that its listener counts. Lines may be longer than RFC 5321 has them: mail programs do not care."""

    line_length_limit = 16 * 1024 * 1024

    def __init__(self, listener: Listener, handler: Handler, context: ssl.SSLContext | None) -> None:
        super().__init__(
            handler, data_size_limit=settings.MAIL_MAX_MB * 1024 * 1024, enable_SMTPUTF8=True, tls_context=context, timeout=SILENCE,
            hostname=settings.MAIL_DOMAIN, ident="Supportdesk", loop=asyncio.get_running_loop(),
        )  # fmt: skip
        self._listener = listener
        self._received, self._receiving = 0, False
        self.stores = False  # the whole message is here

    @property
    def is_receiving(self) -> bool:
        return self.envelope is not None and bool(self.envelope.rcpt_tos)

    async def smtp_DATA(self, arg: str) -> None:
        """Receive a message when it is this session's turn."""
        async with self._listener.bodies:
            self._reset_timeout(RECEIVING)  # for all of it; the library's own is for one command
            watch = asyncio.create_task(self._watch())
            try:
                await super().smtp_DATA(arg)
            finally:
                watch.cancel()
                self._receiving = False

    async def push(self, status: Any) -> None:
        await super().push(status)
        if str(status).startswith("354"):
            self._receiving = True

    async def _watch(self) -> None:
        """Leave a client that trickles: it holds a seat that others wait for."""
        while True:
            before = self._received
            await asyncio.sleep(WATCHING)
            if self._receiving and not self.stores and self._received - before < SLOWEST * WATCHING:
                log.warning("a client that sent less than %s bytes a second was left", SLOWEST)
                if self.transport is not None:
                    self.transport.close()
                return

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    def connection_made(self, transport: Any) -> None:
        if len(self._listener.sessions) >= MOST_SESSIONS:
            transport.write(b"421 4.7.0 Too many sessions; try again later\r\n")
            transport.close()
            return
        self._listener.sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._listener.sessions:
            self._listener.sessions.discard(self)
            super().connection_lost(error)


class _Smtp(_Session):
    pass


class _Lmtp(_Session, LMTP):
    """Answers a message once for each recipient (RFC 2033, 4.2), also where it is refused whole."""

    _expected = 0

    async def smtp_DATA(self, arg: str) -> None:
        self._expected = len(self.envelope.rcpt_tos) if self.envelope else 0
        try:
            await super().smtp_DATA(arg)
        finally:
            self._expected = 0

    async def push(self, status: Any) -> None:
        text = status.decode("ascii", "replace") if isinstance(status, bytes) else str(status)
        if self._expected > 1 and "\r\n" not in text.strip() and text[:1] in "245" and self._receiving:
            status = "\r\n".join([text.strip()] * self._expected)
        await super().push(status)


async def serve(host: str, smtp_port: int, lmtp_port: int) -> None:
    """Listen until a signal says to stop."""
    listener = Listener(host=host, smtp_port=smtp_port, lmtp_port=lmtp_port)
    await listener.start()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await listener.stop()
