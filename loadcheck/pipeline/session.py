"""State of one run, from saved intent to verdict."""

from __future__ import annotations

import contextlib
import gc
import signal
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from loadcheck.errors import InputError, ResultFileError
from loadcheck.load.monitor import Monitor, each_second
from loadcheck.load.pacer import Warmup
from loadcheck.load.retry import backoff
from loadcheck.load.runner import Runner
from loadcheck.load.transport import LoadTransport
from loadcheck.load.transport.httpx_ import HttpxTransport
from loadcheck.measure.record import Record, StageSpan
from loadcheck.pipeline import warnings
from loadcheck.pipeline.identity import end_day
from loadcheck.pipeline.prepare import grid_of, limits_of, stages_of
from loadcheck.pipeline.target import refusal, warmups_of
from loadcheck.result import document
from loadcheck.result import document as intervals
from loadcheck.result.writer import ResultWriter
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Scenario
from loadcheck.verify.abort import Aborted, AbortPolicy, ThresholdAbort
from loadcheck.verify.check import broken
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.controls import ControlResult
from loadcheck.verify.evidence import Observation
from loadcheck.verify.figures import Rates, RunFigures
from loadcheck.verify.findings import conclude
from loadcheck.verify.judge import Judgement, judge
from loadcheck.verify.progress import Phase, Progress
from loadcheck.verify.query_client import QueryBudget
from loadcheck.verify.session import Verification, Verified, moments
from loadcheck.verify.thresholds import Judged, Threshold
from loadcheck.verify.verdict import Finding, SentCounts
from loadcheck.workflow.identity import Buckets

_GC_THRESHOLD = 50_000

Watch = Callable[[Progress], Coroutine[Any, Any, None]]
"""Shows a run to somebody; called once, cancelled when the run has ended."""

AbortPolicyFactory = Callable[[Sequence[Threshold], Sequence[StageSpan]], AbortPolicy]
"""Makes of a run's thresholds and stages what may stop its load early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRun:
    """A run that has ended.

    Attributes:
        document: The results document, as saved.
        path: Where it was saved.
        interrupted: Whether a signal ended it early.
        unsaved: Why the document is not on disk; None if it is.
        fault: What broke the load, a fault of ours; None if nothing did.
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


class RunSession:
    """The state of one run between its intent and its verdict.

    Attributes:
        begun: Whether the intent is saved: from then on the run is judged and saved in every case.
    """

    def __init__(
        self,
        scenario: Scenario,
        prepared: CompiledScenario,
        book: ResultWriter,
        transport: LoadTransport,
        asking: HttpxTransport,
        seed: int,
        run_id: str,
        copies: int | None,
        watching: AbortPolicyFactory = ThresholdAbort,
        allowance: QueryBudget | None = None,
        until: Callable[[str], CompiledScenario] | None = None,
    ) -> None:
        self._scenario = scenario
        self._until = until
        self._prepared = prepared
        self._book = book
        self._transport = transport
        self._planned = prepared.planned
        self._record = record = Record(
            prepared.plan.steps,
            prepared.ingest.index,
            prepared.observer.index if prepared.observer else None,
            stages_of(scenario, prepared),
            grid_of(scenario),
        )
        self._runner = Runner(
            prepared.plan,
            ingest=prepared.ingest.index,
            transport=transport,
            record=record,
            backoff=backoff(scenario, seed),
            limits=limits_of(scenario, prepared.plan),
            together=scenario.load.copies_per_request,
        )
        load = scenario.load
        # nobody adds the record of the only process to another
        record.timeline.keeps_samples = False
        self._progress = Progress(
            name=scenario.name,
            run_id=run_id,
            record=record,
            planned=self._planned,
            pacer=prepared.pacer,
            duration_s=prepared.pacer.duration_s
            if prepared.pacer
            else (load.duration_s if isinstance(load, ClosedLoad) else None),
            stages=[
                (stage["name"], stage["to_s"]) for stage in intervals.stages(load, float("inf"))
            ],
            checked=prepared.questions is not None,
            deadline_s=scenario.verify.deadline_s,
            thresholds=self._judge_so_far,
        )
        self._verification = (
            Verification(
                scenario,
                prepared,
                Buckets(run_id=run_id, copies=copies),
                send=asking.send,
                seen=self._seen,
                sent=record.asked,
                seed=seed,
                allowance=allowance,
            )
            if prepared.questions is not None
            else None
        )
        self._monitor = Monitor(record.stages, record.stalls)
        spans = [stage.span for stage in record.stages]
        self._watchdog = watching(prepared.thresholds, spans)
        self._aborted: Aborted | None = None
        self._interrupted = False
        self.begun = False
        self._broken: list[Finding] = []
        self._fault: Exception | None = None
        self._end_day = str(book.document["run"]["end_day"])

    async def through(self, watch: Watch, signals: AsyncIterator[signal.Signals]) -> None:
        """Do everything that needs the network, up to the second of the signals.

        Once the intent is saved a run is judged and saved whatever breaks.
        """
        self._book.document.update(document.moving(self._record, self._planned))
        await self._book.save_intent()
        self.begun = True
        async with anyio.create_task_group() as around:
            around.start_soon(self._show, watch)
            with anyio.CancelScope() as scope:
                around.start_soon(self._heed, signals, scope)
                self._book.trouble = await refusal(self._scenario, self._prepared.plan)
                if self._book.trouble is None:
                    await self._attempt("asking", self._ask_before)
                    await self._attempt("load", self._load)
                    await self._attempt("asking", self._settle)
            around.cancel_scope.cancel()
        self._progress.phase = Phase.DONE

    async def _show(self, watch: Watch) -> None:
        """Let somebody see the run; what breaks there is noted and harms nothing else."""
        try:
            await watch(self._progress)
        except Exception as error:  # noqa: BLE001  # the run is saved in every case
            self._progress.notes.append(
                f"the live view ended early: {type(error).__name__}: {error}"
            )

    async def _attempt(self, name: str, stretch: Callable[[], Awaitable[None]]) -> None:
        """Do a part of the run; if a fault of ours breaks it, say so and go on without it."""
        try:
            await stretch()
        except Exception as error:  # noqa: BLE001  # the run is saved in every case
            self.fail(name, error)

    def fail(self, name: str, error: Exception) -> None:
        """Note that a part of the run broke: what it was to prove is unknown."""
        self._broken.append(broken(name, error))
        if name == "load":
            self._fault = error
            if self._runner.begin_ns and not self._record.load_ns:
                self._record.end(time.monotonic_ns())

    async def finish(self) -> CompletedRun:
        """Judge what was recorded, and save it."""
        record, book = self._record, self._book
        record.close()
        verified = self._conclude()
        if verified is None:
            # nobody was asked: nothing is known, and why has been said
            seen, _ = conclude(None, None, sent=self._sent(), controlled=ControlResult())
        else:
            seen = verified.consistency
        rates, monitor = self._rates(), self._monitor
        figures = RunFigures(
            record=record,
            monitor=monitor,
            rates=rates,
            pacer=self._prepared.pacer,
            consistency=seen,
            lag=verified.visibility if verified else None,
        )
        judgement = judge(
            self._prepared,
            figures,
            [*(verified.findings if verified is not None else ()), *self._broken],
            trouble=book.trouble,
            aborted=self._aborted,
            checked=self._verification is not None,
        )
        pacer = self._prepared.pacer
        book.document["run"] |= {
            "ended_at": document.utc_now(),
            "interrupted": self._interrupted,
            "aborted": self._aborted.to_json() if self._aborted is not None else None,
            "error": book.trouble,
        }
        book.document |= document.moving(record, self._planned)
        book.enter(
            {
                "verdict": judgement.verdict.value,
                **document.measured(
                    record,
                    monitor,
                    self._prepared.plan.steps,
                    rates,
                    pacer.peak_rate if pacer else None,
                ),
                "stages": intervals.stages(self._scenario.load, rates.duration_s),
                "intervals": intervals.intervals(record),
                "consistency": document.consistency(
                    seen, self._verification, verified, self._runner.begin_ns
                ),
                "thresholds": [judged.to_json() for judged in judgement.judged],
                "findings": [finding.to_json() for finding in judgement.findings],
                "warnings": [
                    *book.document["warnings"],
                    *warnings.of_run(
                        self._prepared.plan,
                        record,
                        missed=book.missed,
                        notes=self._progress.notes,
                    ),
                ],
            }
        )
        await book.try_save("complete", durable=True)
        book.file.close()
        return CompletedRun(
            document=book.document,
            path=book.file.path,
            interrupted=self._interrupted,
            unsaved=book.unsaved,
            fault=self._fault,
            figures=figures,
            judgement=judgement,
        )

    def _conclude(self) -> Verified | None:
        """Return what the counts prove; None if nobody was asked for them, or a fault hides it."""
        verification, record = self._verification, self._record
        if verification is None or (self._book.trouble is not None and not record.due):
            return None
        began_at = self._book.document["run"].get("load_began_at")
        due = moments(record.timeline.column("due"), began_at)
        try:
            return verification.conclude(self._sent(), due)
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing is proven
            self.fail("consistency", error)
            return None

    # the stretches of a run

    async def _ask_before(self) -> None:
        if self._verification is not None:
            await self._verification.before()
            self._book.document["run"]["baseline"] = self._verification.baseline

    async def _load(self) -> None:
        scenario, runner, progress = self._scenario, self._runner, self._progress
        if self._interrupted:
            return
        progress.phase = Phase.LOAD
        load, drain_s = scenario.load, scenario.timeouts.drain_s
        warm, origin = self._transport.warm, self._prepared.ingest.origin
        ahead = warmups_of(scenario)
        for warmup in ahead:
            if not warmup.at_s:
                await warm(origin, warmup.connections)
        # a pass of the collector takes long: seconds are counted from after it
        with _calm_collector():
            async with anyio.create_task_group() as beside:
                progress.begin_ns = time.monotonic_ns()
                self._book.document["run"]["load_began_at"] = document.utc_now()
                beside.start_soon(self._keep_time, progress.begin_ns)
                if self._verification is not None:
                    verification = self._verification
                    beside.start_soon(verification.sample, self._come_so_far)
                    for asks in (verification.observer.watch, verification.watch_order):
                        beside.start_soon(self._attempt, "asking", asks)
                beside.start_soon(self._monitor.watch_loop)
                for warmup in ahead:
                    if warmup.at_s:
                        beside.start_soon(self._warm_later, warmup)
                with self._monitor.watching():
                    if isinstance(load, OpenLoad):
                        assert self._prepared.pacer is not None
                        await runner.run_open(
                            self._prepared.pacer, max_in_flight=load.max_in_flight, drain_s=drain_s
                        )
                    else:
                        await runner.run_closed(
                            concurrency=load.concurrency,
                            copies=load.copies,
                            duration_s=load.duration_s,
                            drain_s=drain_s,
                        )
                beside.cancel_scope.cancel()
        self._record.stale_retries = self._transport.stale_retries
        elapsed_s = (time.monotonic_ns() - progress.begin_ns) / 1e9
        if elapsed_s > len(self._record.timeline):
            self._record.close_second(int(elapsed_s))

    async def _settle(self) -> None:
        self._progress.phase = Phase.SETTLE
        record, verification = self._record, self._verification
        # of users who were all refused nobody is awaited
        awaited = record.acknowledged or record.indeterminate or record.in_flight
        if verification is not None and awaited:
            since_ns = record.last_ack_ns
            since_ns = 0 if since_ns is None else self._runner.begin_ns + since_ns
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._attempt, "asking", verification.watch_order)
                await verification.after(self._sent(), record.ledger, since_ns)
                beside.cancel_scope.cancel()
            await verification.end_order()

    def _come_so_far(self) -> tuple[int, int, int]:
        """Return the copies acknowledged, those that can have arrived, and those begun."""
        record = self._record
        begun = record.started + record.skipped
        return record.acknowledged, record.started - record.rejected, begun

    def _sent(self) -> SentCounts:
        record = self._record
        return SentCounts(
            started=record.started,
            acknowledged=record.acknowledged,
            indeterminate=record.indeterminate,
            rejected=record.rejected,
            events_per_copy=self._scenario.load.events_per_copy,
            sent_again=record.stale_retries,
        )

    # what goes on beside them

    async def _warm_later(self, warmup: Warmup) -> None:
        """Open connections ahead of a stage whose rate rises."""
        await anyio.sleep(warmup.at_s)
        await self._transport.warm(self._prepared.ingest.origin, warmup.connections)

    async def _keep_time(self, begin_ns: int) -> None:
        """Close the timeline's seconds and save what is known so far."""
        async with anyio.create_task_group() as saving:
            busy = False

            async def save() -> None:
                nonlocal busy
                self._book.document.update(document.moving(self._record, self._planned))
                try:
                    await self._book.try_save("running", durable=False)
                finally:
                    busy = False

            def close(second: int) -> None:
                nonlocal busy
                self._record.close_second(second)
                self._look_whether_to_abort()
                if not busy:
                    busy = True
                    saving.start_soon(save)
                if self._until is not None and end_day(self._scenario, _now()) > self._end_day:
                    self._end_day = end_day(self._scenario, _now())
                    saving.start_soon(self._widen, self._end_day, self._until)

            await each_second(begin_ns, close)

    async def _widen(self, day: str, until: Callable[[str], CompiledScenario]) -> None:
        """Let the queries reach to a later day: the load lasts longer than was known."""
        try:
            prepared = await anyio.to_thread.run_sync(until, day)
        except InputError as error:  # a file that the scenario names is gone
            self._progress.notes.append(f"the queries end before the load does: {error}")
            return
        if self._verification is not None:
            self._verification.ask_by(prepared)
        self._book.document["run"]["end_day"] = day

    def _figures_so_far(self) -> RunFigures:
        return RunFigures(
            record=self._record,
            monitor=self._monitor,
            rates=self._rates(),
            pacer=self._prepared.pacer,
        )

    def _judge_so_far(self) -> list[Judged]:
        figures = self._figures_so_far()
        return [threshold.judge(figures) for threshold in self._prepared.thresholds]

    def _look_whether_to_abort(self) -> None:
        if not self._watchdog.watches or self._aborted is not None or self._record.load_ns:
            return
        self._aborted = self._watchdog.look(self._figures_so_far(), self._progress.elapsed_s)
        if self._aborted is not None:
            self._progress.aborted = True
            self._runner.stop()

    async def _heed(self, signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        """The first signal ends the load, the second ends the waiting."""
        async for _ in signals:
            if self._interrupted:
                scope.cancel()
            self._interrupted = True
            self._progress.interrupt()
            self._runner.stop()

    def _seen(self, observation: Observation) -> None:
        self._progress.observation = observation
        if observation.uniques is not None:
            before = self._verification.baseline if self._verification is not None else None
            self._record.uniques = observation.uniques - (before or 0)

    def _rates(self) -> Rates:
        record, pacer = self._record, self._prepared.pacer
        so_far_ns = time.monotonic_ns() - self._runner.begin_ns if self._runner.begin_ns else 0
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


def _now() -> datetime:
    return datetime.now(UTC)


@contextlib.contextmanager
def _calm_collector() -> Iterator[None]:
    """Keep the garbage collector's long passes out of the load: a pause would look like latency."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
