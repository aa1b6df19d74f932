"""State of one run, from saved intent to verdict."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.abc

from loadcheck.emulator.process import Running
from loadcheck.errors import InputError, ResultFileError
from loadcheck.load.engine import Listener, LoadEngine
from loadcheck.load.runner import Begin, Waiting
from loadcheck.measure.record import StageSpan
from loadcheck.pipeline import warnings
from loadcheck.pipeline.labels import end_day
from loadcheck.pipeline.once import SharedSteps
from loadcheck.pipeline.shards import Workers
from loadcheck.pipeline.shards.coordinator import ShardedEngine
from loadcheck.pipeline.target import Address, refusal
from loadcheck.result import document
from loadcheck.result.document import ResultWriter
from loadcheck.scenario.model import ClosedLoad
from loadcheck.verify import Consistency, Finding, SentCounts
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.evidence import Observation
from loadcheck.verify.figures import Rates, RunFigures
from loadcheck.verify.guard import GuardMonitor
from loadcheck.verify.judge import Judgement, RunEvidence, broken, judge
from loadcheck.verify.people import Arrivals, People
from loadcheck.verify.progress import Outline, Phase, Progress, ProgressView
from loadcheck.verify.query_client import QueryBudget, QueryChannel
from loadcheck.verify.session import Verification, VerificationResult, moments
from loadcheck.verify.thresholds import (
    Aborted,
    AbortPolicy,
    Judged,
    ParsedThreshold,
    ThresholdAbort,
)

CUT_SHORT = 3
"""Number of signals that end even the tear-down."""
_NAMED = 5
"""Number of missing users that are named while the run goes on."""


Barrier = Callable[[], Awaitable[Begin | None]]
"""Returns when the load begins; None if it does not."""

AbortPolicyFactory = Callable[[Sequence[ParsedThreshold], Sequence[StageSpan]], AbortPolicy]
"""Makes the policy that may stop a load early, from the run's thresholds and stages."""
MixJudge = Callable[[Callable[[], RunFigures]], Callable[[], Sequence[Judged]]]
"""Takes a callable that returns the figures of a flow; returns one that judges all flows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRun:
    """A run that has ended.

    Attributes:
        document: The results document, as saved.
        path: Where it was saved.
        interrupted: Whether a signal ended it early.
        unsaved: Why the document is not on disk; None if it is.
        fault: What broke the load, an error of loadcheck itself; None if nothing did.
        figures: What was measured.
        judgement: What it proves.
    """

    document: Mapping[str, Any]
    path: Path
    interrupted: bool
    unsaved: ResultFileError | None
    fault: Exception | None
    figures: RunFigures
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a run shares with others against the same target.

    Attributes:
        emulator: The embedded one, if it is the target.
        signals: Received process signals, while the receiver is open.
        allowance: The service's query budget, if they share it; None: each may use all of it.
        abort: Makes the policy that may stop the load early.
        address: Where requests go.
        workers: The workers that send the load, if this process does not.
        opened: Awaited when all is ready, before the intent is saved; None: nothing is.
        barrier: Returns when the load begins, once others are ready as well, or None if one of them
            cannot begin. Without a barrier it begins at once.
        shared: The set-up and tear-down that this run shares with others; None: it has its own.
        preflight: What the preflight just before has sent and queried, counted.
        waiting: Copies in their think time, of all runs that share it; None: the run has its own.
        together: Judges the flows of a mix together, if it is one of them.
    """

    emulator: Running | None
    signals: AsyncIterator[signal.Signals]
    allowance: QueryBudget | None = None
    abort: AbortPolicyFactory = ThresholdAbort
    address: Address = field(default_factory=Address)
    workers: Workers = field(default_factory=Workers)
    opened: Callable[[], Awaitable[object]] | None = None
    barrier: Barrier | None = None
    shared: SharedSteps | None = None
    preflight: Mapping[str, int] = field(default_factory=dict)
    waiting: Waiting | None = None
    together: MixJudge | None = None


class RunTally:
    """The figures of a run so far.

    Args:
        compiled: The compiled scenario.
        engine: Sends the load.
        verification: Queries the count; None if the run is not verified.
        preflight: What the preflight just before has sent and queried, counted.
    """

    def __init__(
        self,
        compiled: CompiledScenario,
        engine: LoadEngine | ShardedEngine,
        verification: Verification | None,
        preflight: Mapping[str, int],
    ) -> None:
        visits = compiled.run.visits
        self._compiled = compiled
        self._engine = engine
        self._record = engine.record
        self._verification = verification
        self._preflight = preflight
        self._arrivals = None if visits is None else Arrivals(visits)

    def come_so_far(self) -> tuple[int, int, int]:
        """Return the copies acknowledged, those that can have arrived, and the numbers used."""
        record = self._record
        if self._arrivals is not None:
            return self._arrivals.look(record)
        return record.acknowledged, record.possible, record.started_at_most + record.skipped

    def sent(self) -> SentCounts:
        """Return how many users there are by outcome, and their events."""
        record = self._record
        copies = SentCounts(
            started=record.started,
            acknowledged=record.acknowledged,
            indeterminate=record.indeterminate,
            rejected=record.rejected,
            events_per_copy=self._compiled.load.load.events_per_copy,
            sent_again=record.stale_retries,
        )
        return self.people().counts(copies)

    def people(self) -> People:
        """Return the users behind the copies."""
        record = self._record
        return People.behind(record.ledger, record.uploads, self._compiled.run.visits)

    def sent_users(self) -> int:
        """Return how many users were sent, those included that a lost worker may have sent."""
        users = self.people().ledger
        return int(users.started.union_cardinality(users.indeterminate))

    def sections(self, users: int) -> dict[str, Any]:
        """Return the sections saved every second, at a cost that does not grow with the copies."""
        spent = {"spent": self.spent(users)}
        return document.progress_sections(self._record, self._compiled.planned) | spent

    def users(self) -> int:
        """Return an upper bound on the users sent so far."""
        record = self._record
        return record.started_at_most if self._arrivals is None else self._arrivals.look(record)[1]

    def queries(self) -> dict[str, int]:
        """Return how many queries were made, and what they cost."""
        asked = (0, 0) if self._verification is None else self._verification.asked
        return dict(zip(("queries", "query_cost"), asked, strict=True))

    def spent(self, users: int) -> dict[str, Any]:
        """Return what the run has sent and queried so far, given its number of users."""
        record, verification = self._record, self._verification
        visits, each = self._compiled.run.visits, self._compiled.load.load.events_per_copy
        several = visits is not None and visits.most > 1
        made = record.uploads if several else record.ledger
        return {
            "users": users,
            "events": each * made.started.union_cardinality(made.indeterminate),
            "controls": 0 if verification is None else verification.controls_sent,
            **self.queries(),
            **({"preflight": dict(self._preflight)} if self._preflight else {}),
        }

    def figures(self) -> RunFigures:
        """Return what was measured."""
        return RunFigures(
            record=self._record,
            monitor=self._engine.monitor,
            rates=self._rates(),
            pacer=self._compiled.pacer,
        )

    def thresholds(self) -> list[Judged]:
        """Return the thresholds as if the load ended now."""
        figures = self.figures()
        return [threshold.judge(figures) for threshold in self._compiled.thresholds]

    def asked(self, first: int) -> dict[str, Any]:
        """Return the answers to queries so far, for display; observations from ``first`` on."""
        verification, begin_ns = self._verification, self._engine.begin_ns
        if verification is None or not begin_ns:
            return {}
        seen = verification.observations[first:]
        located = verification.localized
        return {
            "observations": [
                document.observed(each, begin_ns)
                # workers report how acknowledgements came at the end
                | {
                    "acknowledged": None
                    if isinstance(self._engine, ShardedEngine)
                    else verification.acks.before(each.asked_ns)
                }
                for each in seen
            ],
            "controls": verification.controlled.to_json(),
            "lost": None
            if located is None
            else {
                "at_least": located.lost_at_least,
                "duplicated": located.duplicated_at_least,
                "names": [verification.name(number) for number in located.lost[:_NAMED]],
            },
        }

    def _rates(self) -> Rates:
        record, pacer = self._record, self._compiled.pacer
        so_far_ns = time.monotonic_ns() - self._engine.begin_ns if self._engine.begin_ns else 0
        duration_s = (record.load_ns or so_far_ns) / 1e9
        if pacer is None or not duration_s:
            asked = None
        else:
            stretch_s = min(duration_s, pacer.duration_s)
            asked = pacer.expected_at(stretch_s) / stretch_s
        return Rates(
            asked=asked,
            reached=record.started / duration_s if duration_s else 0.0,
            duration_s=duration_s,
        )


class RunSession:
    """The state of one run between its intent and its verdict.

    Args:
        compiled: The compiled scenario.
        writer: Receives the results document.
        engine: Sends the load.
        channel: Carries the queries.
        context: What it shares with others.

    Attributes:
        begun: Whether the intent is saved: from then on the run is judged and saved in every case.
    """

    def __init__(
        self,
        compiled: CompiledScenario,
        writer: ResultWriter,
        engine: LoadEngine | ShardedEngine,
        channel: QueryChannel,
        context: RunContext,
    ) -> None:
        self._compiled = compiled
        self._writer = writer
        self._engine = engine
        self._sharded = engine if isinstance(engine, ShardedEngine) else None
        self._barrier = context.barrier
        self._shared, self._alone = context.shared or SharedSteps(compiled), context.shared is None
        self._setting_up = anyio.CancelScope()
        self._record = record = engine.record
        self._verification = (
            None
            if compiled.verification is None
            else Verification(compiled.verification, channel, self._on_observation)
        )
        self._tally = tally = RunTally(compiled, engine, self._verification, context.preflight)
        self._progress = Progress(_outline(compiled), record, tally.thresholds)
        self._progress.users = lambda: tally.come_so_far()[0]
        self._progress.document = writer.document
        self._progress.asked = tally.asked
        self._progress.spent = tally.queries
        if self._sharded is not None:
            self._progress.workers = self._sharded.summary
        if context.together is not None:
            self._progress.together = context.together(tally.figures)
        self._abort = context.abort(compiled.thresholds, [stage.span for stage in record.stages])
        scenario = compiled.scenario
        self._guard = GuardMonitor(scenario.guard, Path(scenario.file).parent)
        self._aborted: Aborted | None = None
        self._interrupted = False
        self.begun = False
        self._saving = False
        self._background: anyio.abc.TaskGroup | None = None
        self._broken: list[Finding] = []
        self._fault: Exception | None = None
        self._end_day = compiled.run.end_day

    async def save_intent(self) -> None:
        """Save the intent of the run.

        Raises:
            ResultFileError: It cannot be saved, so nothing may be sent.
        """
        self._writer.document.update(self._tally.sections(self._tally.users()))
        await self._writer.save_intent()
        self.begun = True

    @contextlib.asynccontextmanager
    async def attended(
        self, watch: ProgressView, signals: AsyncIterator[signal.Signals]
    ) -> AsyncIterator[None]:
        """Show the run and handle signals for the length of a block; the second one ends it."""
        async with anyio.create_task_group() as around:
            around.start_soon(self._show, watch)
            with anyio.CancelScope() as scope:
                around.start_soon(self._handle_signals, signals, scope)
                yield
            around.cancel_scope.cancel()
        self._progress.phase = Phase.DONE

    async def reaches_target(self) -> bool:
        """Return whether the target takes connections; if not, note why."""
        self._writer.target_error = await refusal(self._compiled)
        return self._writer.target_error is None

    async def set_up(self) -> bool:
        """Run the set-up; return whether the load may begin."""
        try:
            with self._setting_up:
                spread = None if self._sharded is None else self._sharded.share
                why = await self._shared.set_up(self._compiled, spread)
                self._writer.target_error = why or None
            if self._setting_up.cancelled_caught:
                self._writer.target_error = "the set-up was interrupted; nothing was sent"
        except Exception as error:  # noqa: BLE001  # the run is saved in every case
            self.fail("setup", error)
            return False
        finally:
            self._writer.hide(self._compiled.secrets)
        return self._writer.target_error is None

    @contextlib.asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Renew the set-up's outputs before they expire, for the length of a block."""
        async with anyio.create_task_group() as background:
            background.start_soon(self.attempt, "setup", self._shared.keep_renewed)
            yield
            background.cancel_scope.cancel()

    async def tear_down(self, signals: AsyncIterator[signal.Signals] | None = None) -> None:
        """Run the tear-down; the run's third signal cuts it short, or the second one meanwhile.

        A tear-down that several runs share is not run here, but after the last of them.
        """
        if not self._alone:
            return
        before = self._progress.signals
        async with anyio.create_task_group() as around:

            async def handle_signals() -> None:
                assert signals is not None
                async for _ in signals:
                    self._interrupted = True
                    self._progress.signals += 1
                    heard = self._progress.signals
                    if heard >= CUT_SHORT or heard - before > 1:
                        around.cancel_scope.cancel()

            if signals is not None:
                around.start_soon(handle_signals)
            await self.attempt("teardown", self._shared.tear_down)
            around.cancel_scope.cancel()
        self._progress.notes += self._shared.notes
        self._writer.hide(self._compiled.secrets)

    async def _show(self, watch: ProgressView) -> None:
        """Run the live view; an error in it is noted and harms nothing else."""
        try:
            await watch(self._progress)
        except Exception as error:  # noqa: BLE001  # the run is saved in every case
            self._progress.notes.append(
                f"the live view ended early: {type(error).__name__}: {error}"
            )

    async def attempt(self, name: str, stretch: Callable[[], Awaitable[None]]) -> None:
        """Do a part of the run; if loadcheck itself fails in it, note that and go on without it."""
        try:
            await stretch()
        except Exception as error:  # noqa: BLE001  # the run is saved in every case
            self.fail(name, error)

    def fail(self, name: str, error: Exception) -> None:
        """Note that a part of the run broke: what it was to prove is unknown."""
        self._broken.append(broken(name, error))
        if name == "load":
            self._fault = error
            self._engine.close()

    def judge(self) -> tuple[RunFigures, VerificationResult | None, Judgement]:
        """Compare the counts with the ledger, and the figures with the thresholds."""
        self._record.close()
        verified = self._conclude()
        # without queries nothing is known, and the reason has been given
        seen = Consistency.unasked(self._tally.sent()) if verified is None else verified.consistency
        lag = None if verified is None else verified.visibility
        figures = replace(self._tally.figures(), consistency=seen, lag=lag)
        judgement = judge(
            self._compiled.thresholds,
            RunEvidence(
                figures=figures,
                trouble=self._writer.target_error,
                aborted=self._aborted,
                lost=() if self._sharded is None else self._sharded.lost,
            ),
            [*(() if verified is None else verified.findings), *self._broken],
            checked=self._verification is not None,
        )
        return figures, verified, judgement

    async def save(
        self, figures: RunFigures, verified: VerificationResult | None, judgement: Judgement
    ) -> CompletedRun:
        """Save the verdict, and what it rests on."""
        record, writer, compiled = self._record, self._writer, self._compiled
        writer.document["run"] |= {
            "ended_at": document.utc_now(),
            "interrupted": self._interrupted,
            "aborted": self._aborted.to_json() if self._aborted is not None else None,
            "error": writer.target_error,
            **self._shared.summary(),
        }
        if self._sharded is not None:
            writer.document["run"]["workers"] = self._sharded.summary()
        writer.document |= self._tally.sections(self._tally.sent_users())
        load = document.load_sections(figures, compiled.plan.steps)
        said = warnings.of_run(
            compiled.plan, record, failed_saves=writer.failed_saves, notes=self._progress.notes
        )
        begin_ns, consistency = self._engine.begin_ns, figures.consistency
        assert consistency is not None
        writer.update(
            {
                "verdict": judgement.verdict.value,
                **load,
                "stages": document.stages(compiled.load.load, figures.rates.duration_s),
                "intervals": document.intervals(record),
                "consistency": document.consistency(
                    consistency, self._verification, verified, begin_ns
                ),
                "thresholds": [judged.to_json() for judged in judgement.judged],
                "findings": [finding.to_json() for finding in judgement.findings],
                "warnings": [*writer.document["warnings"], *said],
            }
        )
        await writer.try_save("complete", durable=True)
        writer.file.close()
        return CompletedRun(
            document=writer.document,
            path=writer.file.path,
            interrupted=self._interrupted,
            unsaved=writer.unsaved,
            fault=self._fault,
            figures=figures,
            judgement=judgement,
        )

    def _conclude(self) -> VerificationResult | None:
        """Return what the counts prove; None if none were queried, or an error prevents it."""
        verification, record = self._verification, self._record
        if verification is None or (self._writer.target_error is not None and not record.due):
            return None
        began_at = self._writer.document["run"].get("load_began_at")
        due = moments(record.timeline.column("due"), began_at, self._compiled.run.visits)
        try:
            return verification.conclude(self._tally.sent(), due)
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing is proven
            self.fail("consistency", error)
            return None

    # the phases of a run

    async def ask_before(self) -> None:
        """Query the count before anything is sent."""
        if self._verification is not None:
            await self._verification.ask_baseline()
            self._writer.document["run"]["baseline"] = self._verification.baseline

    async def send(self) -> None:
        """Send the load, querying meanwhile; return when every copy has ended or been given up."""
        if self._interrupted:
            return
        self._progress.phase = Phase.LOAD
        if self._sharded is not None:
            # what is noted from now on is shown at once
            self._progress.notes += self._sharded.notes
            self._sharded.notes = self._progress.notes
            self._sharded.announce = self._progress.announce
        await self._engine.warm()
        async with anyio.create_task_group() as background:
            self._background = background
            try:
                listener = Listener(began=self._began, second=self._second_over)
                begin = None if self._barrier is None else await self._barrier()
                if self._barrier is not None and begin is None:
                    self._writer.target_error = "another flow of the mix could not begin"
                elif self._sharded is None and begin is not None:
                    assert isinstance(self._engine, LoadEngine)
                    await self._engine.run(listener, begin)
                else:
                    await self._engine.run(listener)
            finally:
                self._take_over()
            background.cancel_scope.cancel()

    def _take_over(self) -> None:
        """Take over the acknowledgements over time, which only the workers have recorded."""
        sharded, verification = self._sharded, self._verification
        if sharded is not None and verification is not None and sharded.acks is not None:
            verification.acks = sharded.acks
            sessions = self._compiled.scenario.sessions
            # several workers may send one user: which acknowledged it first is not known
            verification.shows_lag = sessions is None or not sessions.returning

    def _began(self) -> None:
        """Start what goes on beside the load."""
        self._progress.begin_ns = self._engine.begin_ns
        # workers learn in advance when it begins
        ahead_ns = max(0, self._engine.begin_ns - time.monotonic_ns())
        self._writer.document["run"]["load_began_at"] = document.utc_now(ahead_ns)
        if self._sharded is not None:
            self._writer.document["run"]["workers"] = self._sharded.summary()
        verification, background = self._verification, self._background
        if verification is not None and background is not None:
            if self._sharded is None:  # workers sample for themselves, each by its own clock
                background.start_soon(verification.sample_acks, self._tally.come_so_far)
            for asks in (verification.observer.poll, verification.poll_order):
                background.start_soon(self.attempt, "asking", asks)

    def _second_over(self, _second: int) -> None:
        """Check the load so far, and save interim results."""
        self._abort_if_broken()
        background = self._background
        assert background is not None
        if not self._saving:
            self._saving = True
            background.start_soon(self._save)
        last = end_day(self._compiled.scenario, _now())
        if last > self._end_day and self._verification is not None:
            self._end_day = last
            background.start_soon(self._widen, self._verification, last)

    async def _save(self) -> None:
        self._writer.document.update(self._tally.sections(self._tally.users()))
        try:
            await self._writer.try_save("running", durable=False)
        finally:
            self._saving = False

    async def _widen(self, verification: Verification, day: str) -> None:
        """Extend the queries to a later day: the load lasts longer than was known."""
        try:
            await verification.ask_until(day)
        except InputError as error:  # a file that the scenario names is gone
            self._progress.notes.append(f"the queries end before the load does: {error}")
            return
        self._writer.document["run"]["end_day"] = day

    async def settle(self) -> None:
        """Query until the count has settled, or the deadline has passed."""
        self._progress.phase = Phase.SETTLE
        record, verification = self._record, self._verification
        # if all users were refused there is nobody to wait for
        awaited = record.acknowledged or record.indeterminate or record.in_flight
        if verification is not None and awaited:
            since_ns = record.last_ack_ns
            since_ns = 0 if since_ns is None else self._engine.begin_ns + since_ns
            async with anyio.create_task_group() as background:
                background.start_soon(self.attempt, "asking", verification.poll_order)
                await verification.settle_and_localize(
                    self._tally.sent(), self._tally.people(), since_ns
                )
                background.cancel_scope.cancel()
            await verification.end_order()

    def _abort_if_broken(self) -> None:
        if self._aborted is not None or self._record.load_ns:
            return
        elapsed_s = self._progress.elapsed_s
        if self._guard.is_active:
            self._aborted = self._guard.check(self._record, elapsed_s)
        if self._aborted is None and self._abort.is_active:
            self._aborted = self._abort.check(self._tally.figures(), elapsed_s)
        if self._aborted is not None:
            self._progress.aborted = True
            self._writer.document["run"]["aborted"] = self._aborted.to_json()
            self._engine.stop()

    async def _handle_signals(
        self, signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope
    ) -> None:
        """End the load at the first signal, and the waiting at the second."""
        async for _ in signals:
            if self._interrupted:
                scope.cancel()
            self._interrupted = True
            self._progress.interrupt()
            self._setting_up.cancel()
            self._engine.stop()

    def _on_observation(self, observation: Observation) -> None:
        self._progress.observation = observation
        if observation.uniques is not None:
            before = self._verification.baseline if self._verification is not None else None
            self._record.uniques = observation.uniques - (before or 0)


def _outline(compiled: CompiledScenario) -> Outline:
    load, pacer = compiled.load.load, compiled.pacer
    until_s = load.duration_s if isinstance(load, ClosedLoad) else None
    return Outline(
        name=compiled.scenario.name,
        labels=compiled.scenario.labels,
        run_id=compiled.run.id,
        planned=compiled.planned,
        pacer=pacer,
        duration_s=until_s if pacer is None else pacer.duration_s,
        stages=[(stage["name"], stage["to_s"]) for stage in document.stages(load, math.inf)],
        checked=compiled.verification is not None,
        deadline_s=compiled.scenario.verify.deadline_s,
        flow=compiled.scenario.part.flow if compiled.scenario.part else "",
    )


def _now() -> datetime:
    return datetime.now(UTC)
