"""What runs cost: from a click to the first line, short runs a minute, 100 MB through one step, browsing many runs."""

import hashlib
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import psutil
import yaml
from django.conf import settings
from django.test import Client
from django.utils import timezone

from bench.pages import measure
from runbooks import actions, queries
from runbooks.models import FINAL_STATES, Execution, RunState, StepRun
from staff.actions import add_user
from supportdesk import guide

HEAD = {"schema": 1, "description": "Bench.", "purpose": "diagnostic", "owner": "Bench", "risk": "read", "tier": 1}
SIZE = 100 * 1024**2
# The same bytes on every machine: lines of text whose hash is known before.
LINE = "".join(chr(97 + n % 26) for n in range(127)) + "\n"


def _worker(name: str, slots: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "celery",
        "--app",
        "supportdesk",
        "--quiet",
        "worker",
        "--queues",
        "runbooks",
        "--concurrency",
        str(slots),
    ]
    more = ["--hostname", f"{name}@bench", "--without-gossip", "--without-mingle", "--loglevel", "ERROR"]
    return subprocess.Popen([*command, *more], cwd=settings.ROOT, start_new_session=True)


def _await(condition: Any, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.02)


def run(*, rounds: int, short: int, stored: int) -> None:
    """All four, and print them."""
    guide.load()
    by = add_user(email="bench-runs@desk.example", name="Bench", password=None, tiers=[3])
    actions.save_target(slug="bench", name="Bench", environment="test", connections={})
    big = f"{sys.executable} -c \"import sys; line = ''.join(chr(97 + n % 26) for n in range(127)) + chr(10); [sys.stdout.write(line * 1024) for _ in range({SIZE // len(LINE) // 1024})]\""
    for slug, script, limit in (("short", "echo hello", "1MB"), ("big", big, "1GB")):
        step = {"id": "work", "title": "Work", "uses": "shell", "with": {"script": script}, "timeout": "10m"}
        text = yaml.safe_dump(
            {**HEAD, "id": slug, "title": slug, "steps": [step], "limits": {"output": limit}}, sort_keys=False
        )
        actions.load_runbook(text=text, name=slug)
    page = Client(SERVER_NAME="localhost")
    page.force_login(by, backend="allauth.account.auth_backends.AuthenticationBackend")
    workers = [_worker("one", 2), _worker("two", 2)]
    try:
        _await(lambda: _done(actions.start(slug="short", target="bench", by=by)))
        _first_line(page, rounds)
        _short_runs(by, short)
        _big(by)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(timeout=60)
    _browse(page, by, stored, rounds)


def _done(execution: Execution) -> bool:
    _await(lambda: Execution.objects.get(pk=execution.pk).is_final)
    return True


def _first_line(page: Client, rounds: int) -> None:
    """From the POST of the launch form until the run's page would show the command's first line."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        answer = page.post("/runbooks/short/", {"target": "bench", "sent": "1"})
        address = answer["Location"]
        while b"hello" not in page.get(f"{address}output/?after=0").content:
            time.sleep(0.01)
        times.append((time.perf_counter() - begun) * 1000)
        pk = int(address.strip("/").split("/")[1])
        _await(lambda pk=pk: Execution.objects.get(pk=pk).is_final)
    print(
        f"click to first line: median {statistics.median(times):.0f} ms, p95 {statistics.quantiles(times, n=20)[18]:.0f} ms of {rounds} (budget 500)"
    )


def _short_runs(by: Any, count: int) -> None:
    begun = time.perf_counter()
    for _ in range(count):
        actions.start(slug="short", target="bench", by=by)
    _await(lambda: not Execution.objects.exclude(state__in=FINAL_STATES).exists(), 600)
    took = time.perf_counter() - begun
    print(f"{count} short runs on two workers: {took:.1f} s, {count * 60 / took:.0f} a minute (budget 200)")


def _big(by: Any) -> None:
    execution = actions.start(slug="big", target="bench", by=by)
    before: dict[int, int] = {process.pid: process.memory_info().rss for process in _slots()}
    most = 0
    begun = time.perf_counter()
    while not Execution.objects.get(pk=execution.pk).is_final:
        for process in _slots():
            try:
                most = max(most, process.memory_info().rss - before.get(process.pid, 0))
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    took = time.perf_counter() - begun
    execution.refresh_from_db()
    digest, size = hashlib.sha256(), 0
    for data in (
        execution.chunks.filter(stream="out").order_by("seq").values_list("data", flat=True).iterator(chunk_size=50)
    ):
        digest.update(data)
        size += len(data)
    expected = hashlib.sha256()
    lines = SIZE // len(LINE) // 1024 * 1024
    for _ in range(lines // 1024):
        expected.update((LINE * 1024).encode())
    same = digest.digest() == expected.digest()
    print(
        f"{size / 1024**2:.0f} MB through one step: {took:.1f} s, the worker grew by {most / 1024**2:.0f} MB (budget 64), every byte in place: {same}"
    )
    for line, name in ((0, "head"), (lines // 2, "middle"), (-400, "tail")):
        begun = time.perf_counter()
        queries.output_window(execution, line=line)
        print(f"  {name} of it: {(time.perf_counter() - begun) * 1000:.0f} ms")


def _slots() -> list[psutil.Process]:
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if "celery" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def _browse(page: Client, by: Any, stored: int, rounds: int) -> None:
    """The history with very many runs."""
    last = Execution.objects.order_by("-pk")[0]
    now = timezone.now()
    states = [RunState.SUCCEEDED] * 8 + [RunState.FAILED, RunState.CANCELLED]
    for start in range(0, stored, 5000):
        made = Execution.objects.bulk_create(
            Execution(
                version=last.version,
                target=last.target,
                state=states[n % 10],
                requested_by=by,
                params={},
                attempt=1,
                created_at=now - timezone.timedelta(minutes=n * 4),
                started_at=now - timezone.timedelta(minutes=n * 4),
                finished_at=now,
            )
            for n in range(start, min(start + 5000, stored))
        )
        StepRun.objects.bulk_create(
            StepRun(
                execution=one,
                attempt=1,
                index=0,
                step_id="work",
                state="failed" if one.state == "failed" else "succeeded",
                started_at=now,
                finished_at=now,
            )
            for one in made
        )
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE runbooks_execution; ANALYZE runbooks_steprun")
    for name, address in (
        ("history", "/runs/"),
        ("history, failed", "/runs/?state=failed"),
        ("history, page 100", "/runs/?page=100"),
        ("catalogue", "/runbooks/"),
        ("a run", f"/runs/{last.pk}/"),
    ):
        row = measure(name, lambda address=address: page.get(address), rounds=rounds)
        print(
            f"{name} of {Execution.objects.count():,} runs: median {row['median']:.1f} ms, p95 {row['p95']:.1f} ms, {row['queries']} statements"
        )
