"""Runs of every kind on three workers while these are killed, servers are restarted and runs are cancelled at random."""

import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
import yaml
from django.conf import settings
from django.db import Error, close_old_connections, connections

from runbooks import actions
from runbooks.engine.executor import DONE
from runbooks.models import FINAL_STATES, Execution, OutputChunk, RunLock, RunState, StepRun
from staff.actions import add_user
from supportdesk import guide
from supportdesk.errors import DeskError

HEAD = {"schema": 1, "description": "Torture.", "purpose": "maintenance", "owner": "Bench", "risk": "change", "tier": 1}


@dataclass
class Report:
    """What was done to the runs and what came of them; `problems` must be empty."""

    kills: int = 0
    restarts: int = 0
    cancels: int = 0
    states: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Workers:
    """Celery workers under names of their own; each can be killed with all its processes."""

    def __init__(self, names: list[str], env: dict[str, str], queues: str = "runbooks", slots: int = 3) -> None:
        self.queues, self.slots, self.env = queues, slots, env
        self.processes = {name: self._begin(name, env) for name in names}

    def _begin(self, name: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "--app", "supportdesk", "--quiet", "worker", "--queues", self.queues]
        more = [
            "--concurrency",
            str(self.slots),
            "--hostname",
            f"{name}@bench",
            "--without-gossip",
            "--without-mingle",
            "--loglevel",
            "CRITICAL",
        ]
        return subprocess.Popen(
            [*command, *more], cwd=settings.ROOT, env=env, start_new_session=True, stderr=subprocess.DEVNULL
        )

    def kill(self, name: str, *, whole: bool) -> None:
        """SIGKILL for one of its processes that run tasks, or for all of it."""
        try:
            main = psutil.Process(self.processes[name].pid)
            slots = [child for child in main.children() if _is_slot(child)]
        except psutil.NoSuchProcess:
            return
        for process in [main, *slots] if whole or not slots else [random.choice(slots)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def look_after(self, names: list[str]) -> None:
        """Start again whichever of these ended, as a service manager would: killed, or while a server was away."""
        for name in names:
            if self.processes[name].poll() is not None:
                self.processes[name] = self._begin(name, self.env)

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)


def _is_slot(process: psutil.Process) -> bool:
    """Whether it is a process of a worker that runs tasks."""
    try:
        return "celery" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # also a zombie
        return False


def definitions(log: Path) -> dict[str, dict[str, Any]]:
    """The runbooks of the torture by id; `once` steps append to the log."""

    def step(id_: str, script: str, **more: Any) -> dict[str, Any]:
        return {
            "id": id_,
            "title": id_,
            "uses": "shell",
            "with": {"script": script},
            "effect": "idempotent",
            "timeout": "60s",
            **more,
        }

    once = f'echo "$DESK_RUN" >> {log}; sleep 0.3'
    return {
        "quick": {"steps": [step("a", "echo quick")], "locks": []},
        "once": {"steps": [step("a", "sleep 0.2"), step("b", once, effect="once"), step("c", "sleep 0.4")], "locks": [], "on_worker_loss": "resume"},
        "resume": {
            "steps": [step(f"s{n}", "setsid sleep 200 & sleep 0.4; echo step") for n in range(5)], "locks": [], "on_worker_loss": "resume",
        },
        "restart": {"steps": [step("a", "seq 2000; sleep 0.5"), step("b", "sleep 1")], "locks": [], "on_worker_loss": "restart"},
        "locked": {"steps": [step("a", "sleep 0.3")], "locks": [{"key": "one", "wait": "1h"}], "on_worker_loss": "resume"},
        "shared": {"steps": [step("a", "sleep 0.3")], "locks": [{"key": "one", "mode": "shared", "wait": "1h"}], "on_worker_loss": "resume"},
        "wide": {"steps": [step(f"p{n}", "sleep 0.5; echo wide", needs=[]) for n in range(4)], "locks": [], "on_worker_loss": "resume"},
        "undo": {
            "steps": [step("a", "true", undo={"uses": "shell", "with": {"script": "echo undone"}}), step("b", "exit 1")],
            "finally": [step("f", "echo finally")], "locks": [], "on_failure": "undo", "on_worker_loss": "resume",
        },
        "outer": {
            "steps": [{"id": "call", "title": "call", "uses": "runbook", "with": {"slug": "quick"}, "effect": "idempotent"}, step("z", "true")],
            "locks": [], "on_worker_loss": "resume",
        },
        "chatty": {"steps": [step("a", "head -c 3000000 /dev/urandom | base64")], "locks": [], "on_worker_loss": "restart"},
        "long": {"steps": [step("a", "sleep 20 & setsid sleep 20 & wait")], "locks": [], "on_worker_loss": "resume"},
    }  # fmt: skip


def prepare(log: Path) -> Any:
    """People, runbooks and a target; returns who starts the runs."""
    guide.load()
    actions.save_target(slug="torture", name="Torture", environment="test", connections={})
    for slug, parts in definitions(log).items():
        actions.load_runbook(
            text=yaml.safe_dump({**HEAD, "id": slug, "title": slug, **parts}, sort_keys=False), name=slug
        )
    return add_user(email=f"torture-{secrets.token_hex(4)}@desk.example", name="Torture", password=None, tiers=[3])


def run(
    *, runs: int, seconds: float, restart_redis: Callable[[], None] | None, restart_postgres: Callable[[], None] | None, seed: int = 1,
    names: tuple[str, ...] = ("one", "two", "three"), keep_dead: int = 0, settle: float = 240.0,
) -> Report:  # fmt: skip
    """Torment for some seconds, let it settle, and look. `keep_dead` workers stay dead once killed."""
    dice, report, begun = random.Random(seed), Report(), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    log = folder / "once.log"
    log.touch()
    by = prepare(log)
    workers = Workers(list(names), dict(os.environ))
    slugs = [*definitions(log)]
    started: list[int] = []
    dead = set(names[:keep_dead])
    killed: set[str] = set()
    next_kill, next_restart = begun + min(3.0, seconds / 4), begun + 12
    try:
        while time.monotonic() < begun + seconds or len(started) < runs:
            with _patience():
                due = min(runs, int(runs * (time.monotonic() - begun) / seconds) + 1)
                while len(started) < due:
                    started.append(actions.start(slug=dice.choice(slugs), target="torture", by=by).pk)
                actions.sweep()
                if dice.random() < 0.08 and started:
                    with suppress(DeskError):
                        actions.cancel(execution_id=dice.choice(started), by=by)
                        report.cancels += 1
            if time.monotonic() > next_kill:
                next_kill = time.monotonic() + dice.uniform(1.5, 4)
                name = dice.choice([name for name in names if name not in killed] or list(names[keep_dead:]))
                if workers.processes[name].poll() is None:
                    whole = name in dead or dice.random() < 0.5
                    workers.kill(name, whole=whole)
                    report.kills += 1
                    killed |= {name} & dead
            workers.look_after([name for name in names if name not in killed])
            if time.monotonic() > next_restart:
                next_restart = time.monotonic() + dice.uniform(12, 20)
                again = dice.choice([restart for restart in (restart_redis, restart_postgres) if restart] or [None])
                if again:
                    connections.close_all()
                    again()
                    report.restarts += 1
            time.sleep(0.25)
        _settle(settle, lambda: workers.look_after([name for name in names if name not in killed]), by)
        _look(report, started, log, by)
    finally:
        workers.end()
    left = [process.pid for process in psutil.process_iter() if _marked(process, started)]
    if left:
        report.problems.append(f"orphans: {left}")
    report.seconds = time.monotonic() - begun
    return report


class _patience:
    """Takes what a server that is being restarted says, and goes on."""

    def __enter__(self) -> None:
        close_old_connections()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Error | redis.RedisError | OSError):
            connections.close_all()
            time.sleep(0.3)
            return True
        return False


def _settle(seconds: float, look_after: Callable[[], None], by: Any) -> None:
    """Sweep as beat does until nothing moves any more, and answer what asks a person and is waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        look_after()
        with _patience():
            actions.sweep()
            for lost in Execution.objects.filter(state=RunState.LOST, parent__state=RunState.PAUSED):
                actions.give_up(execution_id=lost.pk, by=by)
            open_ones = Execution.objects.exclude(state__in=[*FINAL_STATES, RunState.LOST])
            if not open_ones.exists():
                return
        time.sleep(0.5)


def _look(report: Report, started: list[int], log: Path, by: Any) -> None:
    """Everything that must hold at the end."""
    every = Execution.objects.all()
    for state in RunState.values:
        if count := every.filter(state=state).count():
            report.states[state] = count
    stuck = every.exclude(state__in=[*FINAL_STATES, RunState.LOST])
    report.problems += [f"run {run.pk} is {run.state}" for run in stuck[:20]]
    for run in every.filter(state=RunState.LOST):
        actions.give_up(execution_id=run.pk, by=by)
    report.problems += [f"run {lock.execution_id} holds {lock.key}" for lock in RunLock.objects.all()[:20]]
    lines = log.read_text().split()
    report.problems += [
        f"run {number} did its once step {lines.count(number)} times"
        for number in set(lines)
        if lines.count(number) > 1
    ]
    for pk in every.values_list("pk", flat=True):
        expected = 1
        for first, last in OutputChunk.objects.filter(execution=pk).order_by("seq").values_list("first_seq", "seq"):
            if first != expected:
                report.problems.append(f"run {pk}: output goes on at {first}, not {expected}")
            expected = last + 1
        if expected - 1 != Execution.objects.values_list("last_seq", flat=True).get(pk=pk):
            report.problems.append(f"run {pk}: output ends at {expected - 1}")
    done_twice = StepRun.objects.filter(
        step_id="b", state__in=DONE, execution__version__runbook__slug="once", phase="step"
    )
    numbers = list(done_twice.values_list("execution", flat=True))
    report.problems += [f"run {number}: once is done twice" for number in set(numbers) if numbers.count(number) > 1]


def _marked(process: psutil.Process, started: list[int]) -> bool:
    """Whether it is something that a step of these runs started."""
    try:
        env = process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return (
        "DESK_STEP" in env and env.get("DESK_RUN", "").isdecimal() and int(env["DESK_RUN"]) >= min(started, default=0)
    )
