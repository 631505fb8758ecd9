"""Mail fetched from IMAP mailboxes: stored and committed, then moved; waits by IDLE, survives whatever breaks."""

import imaplib
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from django.conf import settings
from django.db import DatabaseError, connection, connections
from django.db.models import F
from django.db.models.functions import Now
from imap_tools import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError

from supportdesk.errors import Invalid
from tickets.mail import incoming, oauth
from tickets.models import ImapAccount, ImapLogin, ImapSecurity, Via

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds that a server may take to answer
IDLE_SECONDS = 20.0  # how long to wait for news at once; then everything is looked at anew
POLL_SECONDS = 30.0  # between two looks where the server has no IDLE
LONGEST_PAUSE = 300.0  # seconds between two tries of a server that does not answer
LOCK = 7301  # first half of the advisory locks: one fetcher an account, over all machines

# Headers that say how a body is written: not of the words that stand for one.
_CONTENT = re.compile(rb"^(?:content-|mime-)[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
# Whatever a server, a network or a token endpoint does to us.
TROUBLE = (
    OSError,
    imaplib.IMAP4.error,
    ImapToolsError,
    httpx.HTTPError,
    httpx.InvalidURL,
    ssl.SSLError,
    EOFError,
    Invalid,
    ValueError,
    LookupError,
)


@contextmanager
def signed_in(account: ImapAccount) -> Iterator[BaseMailBox]:
    """A session in the account's folder. Raises one of TROUBLE."""
    if not account.secret:
        raise Invalid("Nobody has signed in for this mailbox yet.")
    context = ssl.create_default_context()
    box: BaseMailBox
    if account.security == ImapSecurity.TLS:
        box = MailBox(account.host, account.port, timeout=TIMEOUT, ssl_context=context)
    elif account.security == ImapSecurity.STARTTLS:
        box = MailBoxStartTls(account.host, account.port, timeout=TIMEOUT, ssl_context=context)
    else:
        box = MailBoxUnencrypted(account.host, account.port, timeout=TIMEOUT)
    try:
        if account.login == ImapLogin.PASSWORD:
            box.login(account.user, account.reveal()[0], initial_folder=account.folder)
        else:
            box.xoauth2(account.user, oauth.access_token(account), initial_folder=account.folder)
        # A server says more of what it can do to whom it knows; imaplib does not ask again.
        box.client.capabilities = tuple(box.client.capability()[1][-1].decode("ascii", "replace").upper().split())
        yield box
    finally:
        try:
            box.client.logout()
        except TROUBLE:
            box.client.shutdown()


# What a server says of a refusal, within what the library says of it.
_SAID = re.compile(r"Data: \[(?:b?['\"])(.*?)['\"](?:,|\])", re.DOTALL)


def words_of(error: Exception, account: ImapAccount) -> str:
    """What went wrong with an account, for whoever looks after it: at most 500 characters."""
    where = f"{account.host}, port {account.port}"
    if isinstance(error, ConnectionRefusedError):
        return f"Nothing listens at {where}."
    if isinstance(error, TimeoutError):
        return f"{where} does not answer."
    if isinstance(error, socket.gaierror):
        return f"There is no machine called {account.host}."
    if isinstance(error, ssl.SSLError):
        return f"{where} does not speak TLS as it should: {error.reason or error}"[:500]
    if said := _SAID.search(str(error)):
        return f"The server refuses: {said[1]}"[:500]
    return (str(error) or type(error).__name__)[:500]


def try_out(account: ImapAccount) -> str:
    """Sign in and look, changing nothing; what was found, in a sentence. Raises one of TROUBLE."""
    with signed_in(account) as box:
        total, fresh = len(box.uids("ALL")), len(box.uids("UNSEEN"))
        idles = "waits for news (IDLE)" if _can_idle(box) else f"has no IDLE, so it is asked every {POLL_SECONDS:.0f} s"
        made = account.done_folder and not box.folder.exists(account.done_folder)
    more = f" The folder {account.done_folder} will be made." if made else ""
    return f"Signed in. {account.folder} holds {total} messages, {fresh} of them unread; the server {idles}.{more}"


def _can_idle(box: BaseMailBox) -> bool:
    return "IDLE" in box.client.capabilities


@dataclass
class Stored:
    """Messages of a folder that are stored and could not be moved or marked: they are not fetched again."""

    validity: int = 0
    again_at: dict[str, float] = field(default_factory=dict)  # uid -> when to try, by the monotonic clock


def fetch(
    box: BaseMailBox, account: ImapAccount, stopped: threading.Event, stored: Stored | None = None
) -> tuple[int, str]:
    """Store what is there, one message after the other, and move each once it is committed: (how many, what went wrong).

    A message that the server does not give is named and passed over; it is tried again the next time.
    """
    stored = stored if stored is not None else Stored()
    count, trouble = 0, ""
    fresh = _fresh(box, account, stored)
    left = dict.fromkeys(fresh.uids)
    for uid in fresh.uids:
        if stopped.is_set():
            break
        try:
            count += _take(box, account, uid, stored)
            del left[uid]
        except imaplib.IMAP4.abort:
            raise
        except (imaplib.IMAP4.error, ImapToolsError, ValueError) as error:
            trouble = trouble or f"Message {uid} cannot be taken: {error}"[:500]
            log.warning("mailbox %s: %s", account.pk, trouble)
    if fresh.known:  # what was not taken is looked at again, also when somebody reads it meanwhile
        account.last_uid = max(account.last_uid, min((int(uid) for uid in left), default=fresh.newest + 1) - 1)
    else:
        account.last_uid = fresh.newest
    return count, trouble


@dataclass(frozen=True)
class _Fresh:
    """What a folder holds that was not taken yet, and its newest UID. `known`: the folder was looked at before."""

    uids: list[str]
    newest: int
    known: bool


def _fresh(box: BaseMailBox, account: ImapAccount, stored: Stored) -> _Fresh:
    """The messages that were not taken yet. Where they stay, also those that somebody read elsewhere meanwhile."""
    validity = int(box.folder.status(account.folder, ["UIDVALIDITY"])["UIDVALIDITY"])
    if stored.validity != validity:
        stored.validity, stored.again_at = validity, {}
    known, account.uid_validity = account.uid_validity == validity, validity
    if account.done_folder:
        return _Fresh(box.uids("UNDELETED"), 0, True)
    unseen, every = set(box.uids("UNSEEN")), box.uids("ALL")
    newest = max(map(int, every), default=0)
    # The first time what was read before is not the desk's.
    fresh = [uid for uid in every if uid in unseen or (known and int(uid) > account.last_uid)]
    return _Fresh(fresh, newest, known)


def _take(box: BaseMailBox, account: ImapAccount, uid: str, stored: Stored) -> int:
    """Store a message, unless that is done, then move or mark it; how many were stored."""
    taken = 0
    if uid not in stored.again_at:
        raw = _raw(box, uid)
        if raw is None:  # somebody else took it away meanwhile
            return 0
        remote = f"{account.host} {account.folder} {stored.validity}/{uid}"
        if raw.strip() and not incoming.has_copy(raw, remote=remote):
            envelope = incoming.Envelope(Via.IMAP, "", [account.mailbox.address], remote)
            incoming.store(raw, mailbox=account.mailbox, envelope=envelope)
            ImapAccount.objects.filter(pk=account.pk).update(message_at=Now(), taken=F("taken") + 1)
            taken = 1
    elif time.monotonic() < stored.again_at[uid]:
        raise ValueError("it is stored; moving or marking it failed, and is tried again later")
    stored.again_at[uid] = time.monotonic() + LONGEST_PAUSE
    _put_away(box, account, uid)
    del stored.again_at[uid]
    return taken


def _put_away(box: BaseMailBox, account: ImapAccount, uid: str) -> None:
    """Move or mark a message. Nothing is expunged but it: what others marked as deleted is theirs."""
    if not account.done_folder:
        _command(box, "STORE", uid, "+FLAGS.SILENT", "(\\Seen)")
    elif "MOVE" in box.client.capabilities:
        box.move([uid], account.done_folder)
    else:
        box.copy([uid], account.done_folder)
        _command(box, "STORE", uid, "+FLAGS.SILENT", "(\\Deleted)")
        if "UIDPLUS" in box.client.capabilities:
            _command(box, "EXPUNGE", uid)


def _command(box: BaseMailBox, name: str, uid: str, *arguments: str) -> list[Any]:
    """A UID command; its answer. Raises IMAP4.error with the server's words."""
    state, data = box.client.uid(name, uid, *arguments)
    if state != "OK":
        raise imaplib.IMAP4.error(f"The server refuses {name} of message {uid}: {data!r}"[:300])
    return list(data)


def _raw(box: BaseMailBox, uid: str) -> bytes | None:
    """The very bytes of a message, unread as before; of one that is too large its headers and a word about it."""
    answer = _command(box, "FETCH", uid, "(RFC822.SIZE)")
    said = b" ".join(part if isinstance(part, bytes) else part[0] for part in answer if part)
    limit = settings.MAIL_MAX_MB * 1024 * 1024
    size = re.search(rb"RFC822\.SIZE\s+(\d+)", said, re.IGNORECASE)
    found = int(size[1]) if size else 0
    if found > limit:
        return (
            _CONTENT.sub(b"", _literal(box, uid, "(BODY.PEEK[HEADER])") or b"").rstrip()
            + (
                f"\r\n\r\n[This mail has {found // 2**20} MB, more than the {settings.MAIL_MAX_MB} MB that the desk takes. "
                f"It is still on the mail server.]\r\n"
            ).encode()
        )
    return _literal(box, uid, "(BODY.PEEK[])")


def _literal(box: BaseMailBox, uid: str, what: str) -> bytes | None:
    return next((part[1] for part in _command(box, "FETCH", uid, what) if isinstance(part, tuple)), None)


class Fetcher(threading.Thread):
    """Fetches one account until it is stopped; every trouble is noted, waited out and forgotten."""

    def __init__(self, account_id: int) -> None:
        super().__init__(name=f"imap-{account_id}", daemon=True)
        self.account_id, self.stopped = account_id, threading.Event()

    def run(self) -> None:
        failures = 0
        while not self.stopped.is_set():
            try:
                if self._lock():
                    self._session()
                failures = 0
            except DatabaseError as error:
                log.warning("mailbox %s waits, the database is away: %s", self.account_id, error)
                connections.close_all()
                failures += 1
            except Exception as error:  # whatever a server says, the thread goes on and the page tells
                failures += 1
                self._note(error)
            self.stopped.wait(min(2.0**failures, LONGEST_PAUSE))
        connections.close_all()

    def _lock(self) -> bool:
        """Whether this is the one fetcher of the account; the lock goes with the connection."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK, self.account_id])
            return bool(cursor.fetchone()[0])

    def _session(self) -> None:
        account = self._account()
        if account is None:
            self.stopped.set()
            return
        begun, stored = _settings_of(account), Stored()
        with signed_in(account) as box:
            if account.done_folder and not box.folder.exists(account.done_folder):
                box.folder.create(account.done_folder)
            while not self.stopped.is_set():
                _, trouble = fetch(box, account, self.stopped, stored)
                idles = _can_idle(box)
                ImapAccount.objects.filter(pk=self.account_id).update(
                    contact_at=Now(),
                    idles=idles,
                    error=trouble,
                    error_at=Now() if trouble else None,
                    uid_validity=account.uid_validity,
                    last_uid=account.last_uid,
                )
                if idles:
                    self._idle(box)
                else:
                    self.stopped.wait(POLL_SECONDS)
                    box.client.noop()
                now = self._account()
                if now is None or _settings_of(now) != begun:
                    return
                account = now

    def _idle(self, box: BaseMailBox) -> None:
        """Wait until the server has news, for a while, or until it is stopped."""
        deadline = time.monotonic() + IDLE_SECONDS
        box.idle.start()
        while not self.stopped.is_set() and time.monotonic() < deadline and not box.idle.poll(timeout=1):
            pass
        box.idle.stop()

    def _account(self) -> ImapAccount | None:
        accounts = ImapAccount.objects.select_related("mailbox__tier")
        return accounts.ready().filter(pk=self.account_id).first()

    def _note(self, error: Exception) -> None:
        log.warning("mailbox %s: %s", self.account_id, error)
        try:
            if (account := self._account()) is not None:
                ImapAccount.objects.filter(pk=account.pk).update(error=words_of(error, account), error_at=Now())
        except DatabaseError:
            connections.close_all()


def _settings_of(account: ImapAccount) -> tuple[Any, ...]:
    """What a session depends on; when it changes a new one begins. A rotated refresh token is no change of settings."""
    secret = bytes(account.secret) if account.login == ImapLogin.PASSWORD else b""
    return (
        account.host, account.port, account.security, account.user, account.login, secret, account.client_id,
        account.folder, account.done_folder, account.mailbox_id,
    )  # fmt: skip


def serve(stopped: threading.Event) -> None:
    """One thread an active account, as accounts come and go, until it is stopped."""
    running: dict[int, Fetcher] = {}
    while not stopped.is_set():
        try:
            wanted = set(ImapAccount.objects.ready().values_list("pk", flat=True))
        except DatabaseError as error:
            log.warning("the list of mailboxes waits, the database is away: %s", error)
            connections.close_all()
            wanted = set(running)
        for pk in set(running) - wanted:
            running.pop(pk).stopped.set()
        for pk in wanted:
            if pk not in running or not running[pk].is_alive():
                running[pk] = Fetcher(pk)
                running[pk].start()
        stopped.wait(5)
    for fetcher in running.values():
        fetcher.stopped.set()
    deadline = time.monotonic() + TIMEOUT
    for fetcher in running.values():
        fetcher.join(max(0.0, deadline - time.monotonic()))
    connections.close_all()
