"""Run one execution for as long as the lease holds: its steps as a graph, undo, finally.

PostgreSQL is the truth and Celery the doorbell: a second ring finds the lease and does nothing, and
every write carries the attempt, so a worker that lost its lease changes nothing.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from traceback import format_tb
from typing import Any

from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.db.models.functions import Now

from runbooks import definition, expressions, steps
from runbooks.engine import admission, ending, lease, locks
from runbooks.engine.admission import Outcome
from runbooks.engine.output import OutputWriter, StepOutput, compact
from runbooks.engine.results import filled, kept, storable
from runbooks.engine.scope import Scope
from runbooks.models import Execution, RunState, StepRun, StepState
from supportdesk import events
from supportdesk.errors import DeskError

log = logging.getLogger(__name__)

HELD = ending.HELD
DONE = {StepState.SUCCEEDED, StepState.WARNED, StepState.SKIPPED}
MOST_PARALLEL = 8


def worker_name(worker: str = "") -> str:
    """The worker and the process of it that runs this."""
    return f"{worker or socket.gethostname()}#{os.getpid()}"


def run(execution_id: int, worker: str = "") -> bool:
    """Claim and run; False when there was nothing to claim."""
    attempt = lease.claim(execution_id, worker_name(worker))
    if attempt is None:
        return False
    execution = Execution.objects.select_related(
        "version__runbook", "target", "ticket", "requested_by", "schedule"
    ).get(pk=execution_id)
    events.publish(f"run.{execution_id}", "state")
    with lease.Heartbeat(execution_id, attempt, worker) as heartbeat:
        run_ = None
        try:
            run_ = _Run(execution, attempt, heartbeat)
            outcome = run_.perform()
            redact = run_.output.redact
            outcome = replace(outcome, summary=redact(outcome.summary), waiting_for=redact(outcome.waiting_for))
        except DeskError as error:
            outcome = Outcome(RunState.FAILED, str(error))
        except Exception as error:
            # Without the error's own words, which may hold what a step was given.
            log.error(
                "run %s broke: %s\n%s", execution_id, type(error).__name__, "".join(format_tb(error.__traceback__))
            )
            outcome = Outcome(RunState.FAILED, f"The engine could not go on: {type(error).__name__}.")
            if run_ is not None:
                outcome = _last_steps(run_, outcome)
        if heartbeat.reason != "lost":
            _until_stored("its end", lambda: _leave(execution, attempt, outcome), heartbeat)
    if outcome.state in ending.FINAL_STATES and heartbeat.reason != "lost":
        compact(execution_id)
    return True


def _last_steps(run_: "_Run", outcome: Outcome) -> Outcome:
    """`finally` after the engine itself broke, as far as it gets."""
    try:
        return run_.end(outcome.state, outcome.summary)
    except Exception as error:
        log.error("run %s could not clean up: %s", run_.execution.pk, type(error).__name__)
        return outcome


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


@transaction.atomic
def _leave(execution: Execution, attempt: int, outcome: Outcome) -> bool:
    """Write how the attempt ended; False when the run is not this attempt's any more."""
    if outcome.state in ending.FINAL_STATES:
        return ending.finish(execution, attempt, outcome.state, outcome.summary)
    row = Execution.objects.select_for_update().filter(pk=execution.pk, attempt=attempt, state__in=HELD).first()
    if row is None:
        return False
    cancelled = row.state == RunState.CANCELLING  # asked for at the very end: whoever claims it next obeys
    row.move_to(RunState.QUEUED if cancelled else outcome.state)
    row.save(update_fields=["state"])
    facts: dict[str, Any] = {
        "lease_expires_at": None,
        "waiting_for": outcome.waiting_for[:500],
        "wake_at": outcome.wake_at,
    }
    if outcome.state == RunState.WAITING_LOCK and row.lock_deadline is None:
        facts["lock_deadline"] = Now() + timedelta(seconds=outcome.lock_wait)
    Execution.objects.filter(pk=row.pk).update(**facts)
    if row.state == RunState.QUEUED:
        ending.queue(row)
    elif outcome.state == RunState.WAITING_LOCK and not locks.in_use(row):  # given back while this was on its way
        row.move_to(RunState.QUEUED)
        ending.queue(row)
    taken_back = outcome.asked and row.pause_requested_at is None
    if row.state == RunState.PAUSED and (taken_back or _children_done(row)):
        row.move_to(RunState.QUEUED)
        ending.queue(row)
    events.publish(f"run.{row.pk}", "state")
    events.publish("runs", "state")
    return True


def _children_done(row: Execution) -> bool:
    """Whether what it waits for ended while it was on its way to wait."""
    waiting = StepRun.objects.filter(execution=row, state=StepState.WAITING, result__has_key="run")
    called = [step.result["run"] for step in waiting]
    return bool(called) and Execution.objects.filter(pk__in=called, state__in=ending.FINAL_STATES).exists()


class _Run:
    """The state of one attempt while it runs."""

    def __init__(self, execution: Execution, attempt: int, heartbeat: lease.Heartbeat) -> None:
        self.execution, self.attempt, self.heartbeat = execution, attempt, heartbeat
        self.definition = definition.parse(execution.version.text, name=execution.version.runbook.slug)
        self.scope = Scope(execution, attempt, self.definition)
        limits = self.definition.limits
        self.output = OutputWriter(
            execution.pk, attempt, limit=limits.output, on_output=limits.on_output, redact=self.scope.redact
        )
        self.deadline = time.monotonic() + limits.timeout
        rows = StepRun.objects.filter(execution=execution, attempt__gte=execution.fresh_from, attempt__lt=attempt)
        self.rows: dict[str, StepRun] = {row.step_id: row for row in rows.filter(phase="step").order_by("attempt")}
        self.earlier = {step_id for step_id, row in self.rows.items() if row.state in DONE}
        self.order: list[str] = [
            row.step_id for row in rows.filter(phase="step", state__in=DONE).order_by("finished_at")
        ]
        self.states: dict[str, StepState] = {step_id: StepState(self.rows[step_id].state) for step_id in self.earlier}
        self.waiting: dict[str, steps.Result] = {}
        self.failure: str | None = None
        self.unstoppable: str | None = None
        self.outcome = ""  # for `finally`: succeeded, failed or cancelled
        self.warnings: list[str] = []
        self.acted: list[str] = []

    def names(self) -> dict[str, Any]:
        """What expressions look up."""
        return self.scope.names(self.rows, self.outcome)

    # ------------------------------------------------------------------ the whole
    def perform(self) -> Outcome:
        """Take the locks, walk the steps, undo where asked, then `finally`."""
        if self.execution.cancel_requested_at is not None:
            return self.end(RunState.CANCELLED, self._cancelled())
        refused = admission.refused(self.execution, self.definition, self.scope)
        if refused is not None:
            return self.end(RunState.FAILED, refused)
        blocked = None
        if not self.execution.dry_run:
            blocked = admission.take_locks(self.execution, self.definition, self.scope, self.names())
        if blocked is not None:
            return self.end(blocked.state, blocked.summary) if blocked.state == RunState.FAILED else blocked
        words = " ".join(f"{name}={value}" for name, value in self.execution.params.items())
        dry = ", dry run" if self.execution.dry_run else ""
        self.output.say(
            f"run {self.execution.pk} on {self.execution.target}{dry}, attempt {self.attempt}"
            + (f", {words}" if words else "")
        )
        for step in self.definition.steps:
            if step.id in self.earlier:
                self.output.say(f"{step.title}: done in an earlier attempt", step.id)
        stop = self._walk()
        if self.unstoppable is not None:
            state = RunState.CANCEL_FAILED if self.heartbeat.reason == "cancel" else RunState.FAILED
            return self.end(state, self.unstoppable)
        if stop == "cancel":
            return self.end(RunState.CANCELLED, self._cancelled())
        if self.failure is not None:
            self._undo()
            return self.end(RunState.FAILED, self.failure)
        if stop == "drain":
            self.output.say("this worker ends; another one goes on here")
            return Outcome(RunState.QUEUED)
        if stop == "pause":
            self.output.say("paused")
            return Outcome(RunState.PAUSED, waiting_for="Somebody paused it.", asked=True)
        if self.waiting:
            words = "; ".join(result.message for result in self.waiting.values())
            moments = [result.wake_at for result in self.waiting.values() if result.wake_at]
            return Outcome(RunState.PAUSED, waiting_for=words, wake_at=min(moments) if moments else None)
        return self.end(RunState.SUCCEEDED, self._success())

    def end(self, state: RunState, summary: str) -> Outcome:
        """Run `finally`, whatever came before, as long as anything did."""
        self.output.close_limit()
        self.outcome = {RunState.SUCCEEDED: "succeeded", RunState.CANCELLED: "cancelled"}.get(state, "failed")
        wrong = self._finally() if self.definition.finally_ and self.heartbeat.reason != "lost" else []
        if wrong:
            summary = f"{summary} Finally: {' '.join(wrong)}"
            state = RunState.FAILED if state == RunState.SUCCEEDED else state
        return Outcome(state, summary)

    def _success(self) -> str:
        if self.execution.dry_run:
            unknown = sum("unpreviewable" in row.message for row in self.rows.values())
            more = f" {unknown} steps are unpreviewable." if unknown else ""
            return f"Dry run: nothing was changed.{more}"
        if self.warnings:
            return f"{len(self.warnings)} to look at. " + " ".join(self.warnings)
        return " ".join(self.acted) or f"All {len(self.definition.steps)} steps passed."

    def _cancelled(self) -> str:
        total = len(self.definition.steps)
        for index, step in enumerate(self.definition.steps, 1):
            if self.states.get(step.id) not in DONE:
                return f"Cancelled at step {index} of {total}, {step.title}."
        return "Cancelled."

    # ------------------------------------------------------------------ the graph
    def _walk(self) -> str | None:
        """Run the steps whose needs are met, several at a time, until none is left; returns why it stopped early."""
        running: dict[Future[steps.Result], Any] = {}
        stop: str | None = None
        with ThreadPoolExecutor(MOST_PARALLEL, thread_name_prefix=f"run-{self.execution.pk}") as pool:
            while True:
                self.heartbeat.look()
                stop = self._border()
                ready = [] if stop or self.failure or self.unstoppable else self._ready(running.values())
                if len(ready) == 1 and not running:
                    self._ended(ready[0], self._step(ready[0]))
                    continue
                for step in ready[: MOST_PARALLEL - len(running)]:
                    self.states[step.id] = StepState.RUNNING
                    running[pool.submit(self._in_thread, step)] = step
                if not running:
                    return stop
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    self._ended(running.pop(future), future.result())

    def _border(self) -> str | None:
        """What is asked of the run between two steps."""
        if all(self.states.get(step.id) in DONE for step in self.definition.steps):
            return None  # it is too late for that: the real end is kept
        if self.heartbeat.reason in {"cancel", "lost"}:
            return "cancel"
        if self.heartbeat.drain:
            return "drain"
        return "pause" if self.heartbeat.pause else None

    def _ready(self, running: Any) -> list[Any]:
        busy = {step.id for step in running}
        return [
            step
            for step in self.definition.steps
            if step.id not in busy
            and step.id not in self.waiting
            and self.states.get(step.id) not in DONE
            and all(self.states.get(need) in DONE for need in self.definition.needs_of(step))
        ]

    def _in_thread(self, step: Any) -> steps.Result:
        try:
            return self._step(step)
        finally:
            connections.close_all()

    def _ended(self, step: Any, result: steps.Result) -> None:
        self.states[step.id] = result.state
        if result.unstoppable:
            self.unstoppable = result.message
        elif result.state == StepState.WAITING:
            self.waiting[step.id] = result
        elif result.state == StepState.FAILED:
            at = [one.id for one in self.definition.steps].index(step.id) + 1
            self.failure = self.failure or f"Step {at}, {step.title}: {result.message}"
        elif result.state in DONE:
            self.order.append(step.id)
            if result.state == StepState.WARNED:
                self.warnings.append(f"{step.title}: {result.message}")
            if step.effect != "none" and result.message and result.state != StepState.SKIPPED:
                self.acted.append(f"{step.title}: {result.message}")

    # ------------------------------------------------------------------ one step
    def _step(self, step: Any, *, phase: str = "step") -> steps.Result:
        """Run one step with its own row, tries, checks and words in the output."""
        output = self.output.step(step.id, limit=getattr(step, "output", None))
        group = self.definition.steps if phase == "step" else self.definition.finally_
        index = [one.id for one in group].index(step.id)
        before = (
            self.rows[step.id].result
            if phase == "step" and step.id in self.rows and self.rows[step.id].state == StepState.WAITING
            else {}
        )
        row = self._begun(index, step.id, phase)
        if isinstance(row, steps.Result):
            return row
        title = step.title if phase == "step" else f"finally, {step.title}"
        output.say(f"step {index + 1} of {len(group)}: {title}" if phase == "step" else title)
        result, captured, tries = self._tried(step, output, before, phase, row)
        result = kept(result, output.redact)
        row.captured = storable(captured, output.redact)
        if result.message:
            output.say(result.message)
        self._end_step(row, result, tries)
        if phase == "step":
            self.rows[step.id] = row
        return result

    def _tried(
        self, step: Any, output: StepOutput, before: dict[str, Any], phase: str, row: StepRun
    ) -> tuple[steps.Result, dict[str, Any], int]:
        """Run the step as often as it may be tried, and judge what came of it: (result, captured, tries)."""
        most = 1 + (step.retry.count if step.retry else 0)
        for number in range(1, most + 1):
            result = self._result(step, output, before if number == 1 else {}, phase, number)
            captured: dict[str, Any] = {}
            if result.state in {StepState.SUCCEEDED, StepState.WARNED} and not self.execution.dry_run:
                result, captured = self._judged(step, result)
            if result.state != StepState.FAILED or result.unstoppable or number == most:
                return result, captured, number
            pause = min(step.retry.backoff * 2 ** (number - 1), 3600)
            output.say(
                f"{output.redact(result.message)} Try {number + 1} of {most} in {definition.duration_text(pause)}."
            )
            if self._stop_of(phase).wait(min(pause, max(0.0, self.deadline - time.monotonic()))):
                return steps.Result(StepState.CANCELLED, "Stopped between two tries."), {}, number
            StepRun.objects.filter(pk=row.pk).update(tries=number + 1)
        raise AssertionError

    def _judged(self, step: Any, result: steps.Result) -> tuple[steps.Result, dict[str, Any]]:
        """What the step expects of its result, and what later steps take from it."""
        names = self.names() | {"result": result.data, "message": result.message}
        captured: dict[str, Any] = {}
        try:
            for text in step.expect:
                if not expressions.evaluate(expressions.parse(text), names):
                    checked = [*result.data.get("assertions", []), {"text": text, "holds": False}]
                    words = f"Expected {text}, which does not hold."
                    return replace(
                        result, state=StepState.FAILED, message=words, data=result.data | {"assertions": checked}
                    ), {}
            for name, text in step.capture.items():
                captured[name] = expressions.evaluate(expressions.parse(text), names)
        except expressions.ExpressionError as error:
            return replace(result, state=StepState.FAILED, message=f"Its result cannot be judged: {error}."), {}
        if step.expect:
            held = [{"text": text, "holds": True} for text in step.expect]
            result = replace(result, data=result.data | {"assertions": [*result.data.get("assertions", []), *held]})
        return result, captured

    def _stop_of(self, phase: str) -> threading.Event:
        """`finally` and undo go on when a run is cancelled; they stop when the lease is lost."""
        return self.heartbeat.stopped if phase == "step" else self.heartbeat.lost

    def _begun(self, index: int, step_id: str, phase: str) -> StepRun | steps.Result:
        """The row of a step that begins; or why it does not. An outage of the database waits here."""
        made: list[StepRun | steps.Result] = []

        def begin() -> None:
            made[:] = [self._begin_step(index, step_id, phase)]

        _until_stored("the beginning of a step", begin, self.heartbeat)
        return made[0] if made else steps.Result(StepState.CANCELLED, "The lease is another's.")

    @transaction.atomic
    def _begin_step(self, index: int, step_id: str, phase: str) -> StepRun | steps.Result:
        """Made only while the lease holds by the database's own clock, and nobody cancelled the run."""
        mine = Execution.objects.select_for_update().filter(
            pk=self.execution.pk, attempt=self.attempt, state__in=HELD, lease_expires_at__gt=Now()
        )
        held = mine.first()
        if held is None:
            self.heartbeat.lose()
            return steps.Result(StepState.CANCELLED, "The lease is another's.")
        if phase == "step" and held.state == RunState.CANCELLING:
            return steps.Result(StepState.CANCELLED, "Cancelled before it began.")
        StepRun.objects.filter(execution=self.execution, phase=phase, index=index, state=StepState.WAITING).delete()
        row = StepRun.objects.create(
            execution=self.execution, attempt=self.attempt, index=index, step_id=step_id, phase=phase, started_at=Now()
        )
        events.publish(f"run.{self.execution.pk}", "state")
        return row

    def _result(
        self, step: Any, output: StepOutput, before: dict[str, Any], phase: str, number: int = 1
    ) -> steps.Result:
        """One try: the condition, the values filled in, then the kind's own work."""
        if phase == "step" and time.monotonic() >= self.deadline:
            return steps.Result(StepState.FAILED, "The time limit of the whole run is over.")
        stopped = self._stop_of(phase)
        if stopped.is_set():
            return steps.Result(StepState.CANCELLED, "Stopped before it began.")
        try:
            names = self.names()
            if getattr(step, "when", None) and not expressions.evaluate(expressions.parse(step.when), names):
                return steps.Result(StepState.SKIPPED, f"Left out: {step.when} does not hold.")
            return self._act(step, output, before, phase, names, number)
        except (steps.StepError, expressions.ExpressionError) as error:
            return steps.Result(StepState.FAILED, str(error)[:500])
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            trace = "".join(format_tb(error.__traceback__))
            log.error("run %s, step %s broke: %s\n%s", self.execution.pk, step.id, type(error).__name__, trace)
            return steps.Result(
                StepState.FAILED, f"The step kind {step.uses} broke: {type(error).__name__}: {error}"[:500]
            )

    def _act(
        self, step: Any, output: StepOutput, before: dict[str, Any], phase: str, names: dict[str, Any], number: int
    ) -> steps.Result:
        kind = steps.kinds()[step.uses]
        with_, preview = step.with_, False
        if self.execution.dry_run:
            plan = getattr(step, "plan", None)
            if plan == "skip":
                return steps.Result(StepState.SKIPPED, "Left out of a dry run, as its definition says.")
            if plan is not None:
                with_ = plan
            elif getattr(step, "effect", "none") != "none" or not kind.only_reads:
                preview = True
        target, opened = self.scope.target_of(step, names)
        self.output.redact = self.scope.redact
        deadline = time.monotonic() + step.timeout
        context = steps.Context(
            execution_id=self.execution.pk,
            step_id=step.id,
            with_=filled(kind, with_, names),
            params=self.scope.params,
            connections=opened,
            target=target,
            output=output,
            stopped=self._stop_of(phase),
            deadline=min(self.deadline, deadline) if phase == "step" else deadline,
            attempt=self.attempt,
            number=number,
            requested_by=self.execution.requested_by_id,
            ticket=self.execution.ticket_id,
            dry_run=self.execution.dry_run,
            before=before,
        )
        with _ticking(output):
            if preview:
                found = kind.preview(context)
                return found or steps.Result(StepState.SKIPPED, "Left out of the dry run: unpreviewable.")
            result = kind.run(context)
        if self.output.over.is_set() and result.state != StepState.WAITING:
            return replace(result, state=StepState.FAILED, message="It wrote more than the run may keep.")
        return result

    def _end_step(self, row: StepRun, result: steps.Result, tries: int) -> None:
        """Write a step's end while the lease holds; an outage of the database waits here."""
        mine = StepRun.objects.filter(pk=row.pk, state=StepState.RUNNING)
        row.state, row.message, row.result, row.tries = result.state, result.message[:500], result.data, tries
        facts = {
            "state": row.state,
            "message": row.message,
            "result": row.result,
            "captured": row.captured,
            "tries": tries,
        }
        finished = None if result.state == StepState.WAITING else Now()
        _until_stored("the end of a step", lambda: mine.update(**facts, finished_at=finished), self.heartbeat)
        events.publish(f"run.{self.execution.pk}", "state")
        _until_stored("its output", self.output.flush_or_raise, self.heartbeat)

    # ------------------------------------------------------------------ after the steps
    def _undo(self) -> None:
        """Undo the steps that were done, last first, where the definition asks for it."""
        if self.definition.on_failure != "undo" or self.execution.dry_run:
            return
        by_id = {step.id: step for step in self.definition.steps}
        undone = set(
            StepRun.objects.filter(
                execution=self.execution, phase="undo", state__in=DONE, attempt__gte=self.execution.fresh_from
            ).values_list("step_id", flat=True)
        )
        wrong = []
        for step_id in reversed(list(dict.fromkeys(self.order))):
            step = by_id.get(step_id)
            if step is None or step.undo is None or self.states.get(step_id) == StepState.SKIPPED or step_id in undone:
                continue
            result = self._undo_one(step)
            if result.state == StepState.FAILED:
                wrong.append(f"{step.title}: {result.message}")
        if wrong:
            self.failure = f"{self.failure} The undo failed: {' '.join(wrong)}"

    def _undo_one(self, step: Any) -> steps.Result:
        output = self.output.step(step.id)
        index = [one.id for one in self.definition.steps].index(step.id)
        row = self._begun(index, step.id, "undo")
        if isinstance(row, steps.Result):
            return row
        output.say(f"undo: {step.undo.title or step.title}")
        act = _Undoing(step)
        result = kept(self._result(act, output, {}, "undo"), output.redact)
        if result.message:
            output.say(result.message)
        self._end_step(row, result, 1)
        return result

    def _finally(self) -> list[str]:
        """Run the steps of `finally` in their order; returns what went wrong with them."""
        wrong = []
        begun = Execution.objects.filter(pk=self.execution.pk, steps__isnull=False).exists()
        if not begun:
            return []  # nothing was done, so there is nothing to clean up
        for step in self.definition.finally_:
            result = self._step(step, phase="finally")
            if result.state == StepState.FAILED:
                wrong.append(f"{step.title}: {result.message}")
            self.rows[step.id] = StepRun(
                step_id=step.id, state=result.state, message=result.message, result=result.data
            )
        return wrong


class _Undoing:
    """The undo of a step, as something that can be run."""

    def __init__(self, step: Any) -> None:
        undo = step.undo
        self.id, self.uses, self.with_, self.timeout, self.on = (
            step.id,
            undo.uses,
            undo.with_,
            undo.timeout,
            undo.on or step.on,
        )
        self.effect = "idempotent"


@contextmanager
def _ticking(output: StepOutput) -> Iterator[None]:
    """Stores output of step kinds that block, in their place."""
    done = threading.Event()

    def tick() -> None:
        try:
            while not done.wait(0.2):
                output.tick()
        finally:
            connection.close()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=10)
