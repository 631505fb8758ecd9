"""Mail by SMTP and IMAP while listener, fetcher and worker are killed and servers restarted: each once, none missing."""

import os
import random
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connections

from bench import letters
from bench.dovecot import Dovecot, program, wait_for_port
from bench.torture import Workers, _patience
from supportdesk import crypto, guide
from supportdesk.embedded.servers import free_port
from tickets.models import ImapAccount, InboundEmail, Mailbox, Message

PATIENCE = 300.0  # seconds for everything to be taken in at the end


@dataclass
class Report:
    """What was done and what came of it; `problems` must be empty."""

    kills: int = 0
    restarts: int = 0
    copies: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Process:
    """A command of the desk that can be killed and comes back."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        self.arguments, self.env = arguments, env
        self.running = self._begin()

    def _begin(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, *self.arguments], cwd=settings.ROOT, env=self.env, stderr=subprocess.DEVNULL, start_new_session=True
        )  # fmt: skip

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()

    def again(self) -> None:
        if self.running.poll() is not None:
            self.running = self._begin()


def send(port: int, lot: list[bytes], stopped: threading.Event) -> None:
    """Send as a mail server does: again and again until the other side says 250."""
    for raw in lot:
        while not stopped.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                    client.sendmail("sender@shop.example", ["support@example.com"], raw)
                break
            except (OSError, smtplib.SMTPException):
                time.sleep(0.2)


def run(
    *, messages: int, kills: int, seed: int, restart_redis: Callable[[], None] | None, restart_postgres: Callable[[], None] | None
) -> Report:  # fmt: skip
    """Half of the messages by SMTP, half put into a Dovecot; meanwhile everything dies now and then."""
    dice, report, begun = random.Random(seed), Report(), time.monotonic()
    guide.load()
    folder = Path(tempfile.mkdtemp(prefix="mail-torture-"))
    folder.chmod(0o755)
    server = Dovecot(program() or "dovecot", folder)
    server.start()
    box = Mailbox.objects.get(name="support")
    ImapAccount.objects.create(
        mailbox=box, host="127.0.0.1", port=server.port, security="none", user="desk", secret=crypto.encrypt("secret"), done_folder="Done"
    )  # fmt: skip
    lot = _lot(dice, messages)
    port, env = free_port(), dict(os.environ)
    env |= {"DESK_SMTP_PORT": str(port), "DESK_LMTP_PORT": "0"}
    listener = Process("manage.py", "mail_listener", env=env)
    fetcher = Process("manage.py", "mail_fetcher", env=env)
    beat = Process("-m", "celery", "--app", "supportdesk", "--quiet", "beat", "--loglevel", "CRITICAL", "--pidfile=", "--schedule", str(folder / "beat"), env=env)  # fmt: skip
    workers = Workers(["mail"], env, queues="mail,default")
    stopped = threading.Event()
    try:
        wait_for_port(port)
        half = len(lot) // 2
        senders = [threading.Thread(target=send, args=(port, lot[n:half:3], stopped), daemon=True) for n in range(3)]
        senders.append(threading.Thread(target=_fill, args=(server, lot[half:], stopped), daemon=True))
        for one in senders:
            one.start()
        restarts = [restart for restart in (restart_redis, restart_postgres) if restart]
        _torment(dice, report, listener, fetcher, workers, restarts, kills, senders)
        _settle(report, len(lot), listener, fetcher, workers, senders)
        stopped.set()
        _look(report, lot)
    finally:
        stopped.set()
        for process in (beat, listener, fetcher):
            process.kill()
        workers.end()
        server.stop()
    report.seconds = time.monotonic() - begun
    return report


def _lot(dice: random.Random, count: int) -> list[bytes]:
    made = [letters.mixed(dice, number) for number in range(count)]
    for number in range(4, count, 5):
        # An answer may come before what it answers: then it is a ticket of its own, and still once.
        made[number] = letters.reply_to(dice, number, made[number - dice.randint(1, 4)])
    return [one.as_bytes() for one in made]


def _fill(server: Dovecot, lot: list[bytes], stopped: threading.Event) -> None:
    for at in range(0, len(lot), 10):
        if stopped.is_set():
            return
        server.put("desk", *lot[at : at + 10])
        time.sleep(0.1)


def _torment(dice: random.Random, report: Report, listener: Process, fetcher: Process, workers: Workers, restarts: list[Callable[[], None]], kills: int, senders: list[threading.Thread]) -> None:  # fmt: skip
    """Kill at random moments, and restart each server twice in between."""
    at = sorted(dice.sample(range(kills), min(kills, 2 * len(restarts))))
    for number in range(kills):
        time.sleep(dice.uniform(0.1, 1.2))
        victim = dice.choice(("listener", "fetcher", "worker", "slot"))
        if victim == "listener":
            listener.kill()
        elif victim == "fetcher":
            fetcher.kill()
        else:
            workers.kill("mail", whole=victim == "worker")
        report.kills += 1
        if number in at:
            connections.close_all()
            restarts[at.index(number) % len(restarts)]()
            report.restarts += 1
        for process in (listener, fetcher):
            process.again()
        workers.look_after(["mail"])


def _settle(report: Report, count: int, listener: Process, fetcher: Process, workers: Workers, senders: list[threading.Thread]) -> None:  # fmt: skip
    """Wait until everything was sent and nothing is left to be applied."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for process in (listener, fetcher):
            process.again()
        workers.look_after(["mail"])
        with _patience():
            stored = InboundEmail.objects.exclude(state="duplicate").count()
            if (
                stored >= count
                and not any(one.is_alive() for one in senders)
                and not InboundEmail.objects.filter(state="stored").exists()
            ):
                time.sleep(2)  # what is on its way a second time comes now
                return
        time.sleep(0.5)
    report.problems.append("it did not settle")


def _look(report: Report, lot: list[bytes]) -> None:
    """Every number once among all messages of tickets."""
    report.copies = InboundEmail.objects.filter(state="duplicate").count()
    seen: dict[int, int] = {}
    for text in Message.objects.filter(kind="requester").values_list("text", flat=True):
        if text.startswith("message "):
            number = int(text.split()[1])
            seen[number] = seen.get(number, 0) + 1
    missing = [number for number in range(len(lot)) if number not in seen]
    twice = [number for number, count in seen.items() if count > 1]
    left = InboundEmail.objects.exclude(state__in=["applied", "duplicate"]).count()
    if missing:
        report.problems.append(f"missing: {missing[:20]}")
    if twice:
        report.problems.append(f"twice: {twice[:20]}")
    if left:
        report.problems.append(f"{left} mails were not applied")
