"""Run one execution, step after step, for as long as the lease holds.

PostgreSQL is the truth and Celery the doorbell: a second ring finds the lease and does nothing, and
every write carries the attempt, so a worker that lost its lease changes nothing.
"""

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from runbooks import definition, steps
from runbooks.engine import lease
from runbooks.engine.output import OutputWriter, Redactor
from runbooks.models import Execution, RunState, Secret, StepRun, StepState
from supportdesk import events
from supportdesk.doorbell import ring
from supportdesk.text import clean
from tickets import actions as ticket_actions

log = logging.getLogger(__name__)

HELD = (RunState.RUNNING, RunState.CANCELLING)
DONE = {StepState.SUCCEEDED, StepState.WARNED, StepState.SKIPPED}


def storable(value: Any, redact: Callable[[str], str]) -> Any:
    """A result as jsonb can hold it and people may read it: no NaN, NUL or lone surrogate, no secret."""
    if isinstance(value, dict):
        return {storable(str(key), redact): storable(item, redact) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item, redact) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return redact(clean(value)) if isinstance(value, str) else value


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def run(execution_id: int) -> bool:
    """Claim and run; False when there was nothing to claim."""
    attempt = lease.claim(execution_id, worker_name())
    if attempt is None:
        return False
    execution = Execution.objects.select_related("version__runbook", "target", "ticket", "requested_by").get(
        pk=execution_id
    )
    events.publish(f"run.{execution_id}", "state")
    with lease.Heartbeat(execution_id, attempt) as heartbeat:
        try:
            run_ = _Run(execution, attempt, heartbeat)
            state, summary = run_.perform()
            summary = run_.output.redact(summary)
        except Exception as error:
            log.exception("run %s broke", execution_id)
            state, summary = RunState.FAILED, f"The engine could not go on: {type(error).__name__}: {error}"
        if heartbeat.reason != "lost":
            _finish(execution, attempt, state, summary, heartbeat)
    return True


def _until_stored(what: str, write: Callable[[], object], heartbeat: lease.Heartbeat) -> None:
    """Write, again and again while the database is away and the lease holds."""
    while heartbeat.reason != "lost":
        try:
            write()
            return
        except (OperationalError, InterfaceError) as error:
            log.warning("run %s: %s waits, the database is away: %s", heartbeat.execution_id, what, error)
            connection.close()
            time.sleep(1)


def _finish(execution: Execution, attempt: int, state: RunState, summary: str, heartbeat: lease.Heartbeat) -> None:
    _until_stored("its end", lambda: finish(execution, attempt, state, summary), heartbeat)


@transaction.atomic
def finish(execution: Execution, attempt: int, state: RunState, summary: str) -> bool:
    """End an attempt and put the result on the ticket; False when the run is not this attempt's any more."""
    held = Execution.objects.select_for_update().filter(pk=execution.pk, attempt=attempt, state__in=HELD).first()
    if held is None:
        return False
    row = Execution.objects.select_related("version__runbook").get(pk=held.pk)
    # A cancel that came in while the last step ended is too late; the real end is kept.
    row.move_to(state)
    row.finished_at, row.lease_expires_at, row.summary = timezone.now(), None, summary[:500]
    row.save(update_fields=["state", "finished_at", "lease_expires_at", "summary"])
    StepRun.objects.filter(execution=row, state=StepState.RUNNING).update(state=StepState.CANCELLED, finished_at=Now())
    tell(row)
    return True


def tell(row: Execution) -> None:
    """Tell the ticket, its page and the run's page how a run ended."""
    if row.ticket_id:
        ticket_actions.record_run_finished(
            ticket_id=row.ticket_id,
            run=row.pk,
            title=row.version.runbook.title,
            url=f"/runs/{row.pk}/",
            state=RunState(row.state).label.lower(),
            summary=row.summary,
        )
    events.publish(f"run.{row.pk}", "state")
    events.publish("runs", "state")


class _Run:
    """The state of one attempt while it runs."""

    def __init__(self, execution: Execution, attempt: int, heartbeat: lease.Heartbeat) -> None:
        self.execution, self.attempt, self.heartbeat = execution, attempt, heartbeat
        self.definition = definition.parse(execution.version.text, name=execution.version.runbook.slug)
        self.connections, secrets = self._connections()
        self.output = OutputWriter(execution.pk, attempt, limit=self.definition.limits.output, redact=Redactor(secrets))
        self.deadline = time.monotonic() + self.definition.limits.timeout
        self.earlier = {
            step.step_id: step
            for step in StepRun.objects.filter(
                execution=execution, attempt__gte=execution.fresh_from, attempt__lt=attempt, state__in=DONE
            )
        }
        self.warnings: list[str] = []

    def _connections(self) -> tuple[dict[str, Any], list[str]]:
        """The target's connections with `{secret: NAME}` resolved, and the secrets to mask."""
        found = {secret.name: secret.reveal() for secret in Secret.objects.filter(target=self.execution.target)}
        connections = {}
        for name, values in self.execution.target.connections.items():
            connections[name] = {
                key: found.get(value["secret"], "") if isinstance(value, dict) and "secret" in value else value
                for key, value in values.items()
            }
        return connections, list(found.values())

    def perform(self) -> tuple[RunState, str]:
        """Run the steps; returns the final state and its sentence."""
        missing = [need for need in self.definition.target.needs if need not in self.connections]
        if missing:
            return RunState.FAILED, f"Target {self.execution.target} has no connection {', '.join(missing)}."
        total = len(self.definition.steps)
        words = " ".join(f"{name}={value}" for name, value in self.execution.params.items())
        dry = ", dry run" if self.execution.dry_run else ""
        self.output.say(
            f"run {self.execution.pk} on {self.execution.target}{dry}, attempt {self.attempt}"
            + (f", {words}" if words else "")
        )
        acted: list[str] = []
        for index, step in enumerate(self.definition.steps):
            if step.id in self.earlier:
                self.output.say(f"step {index + 1} of {total}: {step.title}: done in an earlier attempt")
                continue
            result = self._step(index, step)
            if result.unstoppable:
                return (
                    RunState.CANCEL_FAILED if self.heartbeat.reason == "cancel" else RunState.FAILED,
                    result.message,
                )
            if result.state == StepState.CANCELLED or (self.heartbeat.reason == "cancel" and index + 1 < total):
                return RunState.CANCELLED, f"Cancelled at step {index + 1} of {total}, {step.title}."
            if result.state == StepState.FAILED:
                return RunState.FAILED, f"Step {index + 1}, {step.title}: {result.message}"
            if result.state == StepState.WARNED:
                self.warnings.append(f"{step.title}: {result.message}")
            if step.effect != "none" and result.message:
                acted.append(f"{step.title}: {result.message}")
        if self.warnings:
            return RunState.SUCCEEDED, f"{len(self.warnings)} to look at. " + " ".join(self.warnings)
        if self.execution.dry_run:
            return RunState.SUCCEEDED, "Dry run: nothing was changed."
        return RunState.SUCCEEDED, " ".join(acted) or f"All {total} steps passed."

    def _step(self, index: int, step: Any) -> steps.Result:
        """Run one step with its own row, timeout and words in the output."""
        self.output.step_id = step.id
        row = self._begin_step(index, step.id)
        if row is None:
            self.heartbeat.lose()
            return steps.Result(StepState.CANCELLED, "The lease is another's.")
        self.output.say(f"step {index + 1} of {len(self.definition.steps)}: {step.title}")
        found = self._result(step)
        result = replace(
            found, message=self.output.redact(found.message), data=storable(found.data, self.output.redact)
        )
        if result.message:
            self.output.say(result.message)
        self.output.step_id = ""
        self._end_step(row, result)
        return result

    @transaction.atomic
    def _begin_step(self, index: int, step_id: str) -> StepRun | None:
        """The row of a step, made only while the lease holds by the database's own clock."""
        mine = Execution.objects.select_for_update().filter(
            pk=self.execution.pk, attempt=self.attempt, state__in=HELD, lease_expires_at__gt=Now()
        )
        if mine.first() is None:
            return None
        row = StepRun.objects.create(
            execution=self.execution, attempt=self.attempt, index=index, step_id=step_id, started_at=Now()
        )
        events.publish(f"run.{self.execution.pk}", "state")
        return row

    def _result(self, step: Any) -> steps.Result:
        if time.monotonic() >= self.deadline:
            return steps.Result(StepState.FAILED, "The time limit of the whole run is over.")
        with_ = step.with_
        if self.execution.dry_run and step.effect != "none":
            if step.plan is None:
                return steps.Result(
                    StepState.SKIPPED,
                    "Dry run: this step changes things and has no preview, so it was left out.",
                )
            with_ = step.plan
        context = steps.Context(
            execution_id=self.execution.pk,
            step_id=step.id,
            with_=with_,
            params=self.execution.params,
            connections=self.connections,
            target=self.execution.target.slug,
            output=self.output,
            stopped=self.heartbeat.stopped,
            deadline=min(self.deadline, time.monotonic() + step.timeout),
        )
        if self.heartbeat.stopped.is_set():
            return steps.Result(StepState.CANCELLED, "Stopped before it began.")
        with _Ticking(self.output):
            return steps.kinds()[step.uses](context)

    def _end_step(self, row: StepRun, result: steps.Result) -> None:
        """Write a step's end while the lease holds; an outage of the database waits here."""
        mine = StepRun.objects.filter(pk=row.pk, state=StepState.RUNNING)
        facts = {"state": result.state, "message": result.message[:500], "result": result.data}
        _until_stored("the end of a step", lambda: mine.update(**facts, finished_at=Now()), self.heartbeat)
        events.publish(f"run.{self.execution.pk}", "state")
        _until_stored("its output", self.output.flush_or_raise, self.heartbeat)


class _Ticking(threading.Thread):
    """Stores output of step kinds that block, in their place."""

    def __init__(self, output: OutputWriter) -> None:
        super().__init__(daemon=True)
        self._output, self._done = output, threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self.join(timeout=10)

    def run(self) -> None:
        try:
            while not self._done.wait(0.2):
                self._output.tick()
        finally:
            connection.close()


def reap() -> int:
    """Mark runs whose lease ran out, then do what their definition says about it. Returns how many.

    A run that was cancelling when its worker died has `cancel_failed`: nobody confirmed that its
    processes ended.
    """
    expired = Execution.objects.filter(state__in=[RunState.RUNNING, RunState.CANCELLING], lease_expires_at__lt=Now())
    count = 0
    for pk in list(expired.values_list("pk", flat=True)):
        try:
            count += _reap_one(pk)
        except Exception:
            log.exception("run %s could not be reaped; the next sweep tries again", pk)
    return count


@transaction.atomic
def _reap_one(pk: int) -> bool:
    row = (
        Execution.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("version__runbook")
        .filter(pk=pk, state__in=[RunState.RUNNING, RunState.CANCELLING], lease_expires_at__lt=Now())
        .first()
    )
    if row is None:
        return False
    interrupted = list(StepRun.objects.select_for_update().filter(execution=row, state=StepState.RUNNING))
    StepRun.objects.filter(pk__in=[step.pk for step in interrupted]).update(
        state=StepState.LOST, finished_at=Now(), message="The worker died in this step."
    )
    row.lease_expires_at = None
    if row.state == RunState.CANCELLING:
        row.move_to(RunState.CANCEL_FAILED)
        row.finished_at, row.summary = (
            timezone.now(),
            "The worker died while it cancelled; check that nothing of it still runs.",
        )
        row.save(update_fields=["state", "finished_at", "summary", "lease_expires_at"])
        tell(row)
        return True
    row.move_to(RunState.LOST)
    row.summary = f"The worker {row.worker} died or lost the database."
    row.save(update_fields=["state", "summary", "lease_expires_at"])
    policy = row.spec.get("on_worker_loss", "ask")
    effects = {step["id"]: step.get("effect", "none") for step in row.spec["steps"]}
    again = {step.step_id for step in interrupted}
    if policy == "restart":
        again |= set(row.steps.filter(attempt__gte=row.fresh_from).values_list("step_id", flat=True))
    if policy != "ask" and all(effects.get(step_id) != "once" for step_id in again):
        requeue(row, from_start=policy == "restart")
    else:
        tell(row)
    return True


def requeue(row: Execution, *, from_start: bool) -> None:
    """Queue a lost run again, from the interrupted step or from the start. The caller holds its lock."""
    row.move_to(RunState.QUEUED)
    row.queued_at = timezone.now()
    if from_start:
        row.fresh_from = row.attempt + 1
    row.save(update_fields=["state", "queued_at", "fresh_from"])
    transaction.on_commit(lambda: ring("runbooks.run", row.pk, queue="runbooks"))
    events.publish(f"run.{row.pk}", "state")


def ring_again(*, after: int = 5) -> int:
    """Ring for runs that have been queued for a while: their bell was lost, or the workers are busy."""
    waiting = list(Execution.objects.queued_too_long(after).order_by("queued_at").values_list("pk", flat=True)[:100])
    return sum(ring("runbooks.run", pk, queue="runbooks", expires=10) for pk in waiting)
