"""Searches for the highest rate at which everything holds; each probe is a run.

An embedded emulator is started only once: a real service is not restarted between two rates either,
and has to recover from the probe before.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectSendStream

from loadcheck.documents import format_duration
from loadcheck.errors import InputError, ResultFileError, SaveError, ScenarioError, innermost
from loadcheck.pipeline import Options, execute, open_signals, prepare_run, seed_of
from loadcheck.pipeline.capacity import document
from loadcheck.pipeline.capacity.judge import judge_probe
from loadcheck.pipeline.capacity.probe import EarlyFailDetector, ProbeTemplate, probing
from loadcheck.pipeline.capacity.search import Ending, ProbeVerdict, Search, SearchGoal
from loadcheck.pipeline.labels import new_id, with_facts
from loadcheck.pipeline.plan import require_guarded_search
from loadcheck.pipeline.session import RunContext
from loadcheck.pipeline.target import Address, addressed, emulator_for
from loadcheck.result import document as documents
from loadcheck.result.document import ResultSink, ResultWriter
from loadcheck.result.store import ResultFile, default_name
from loadcheck.scenario.model import OpenLoad, Scenario
from loadcheck.scenario.shapes import MAX_RATE
from loadcheck.secrets import redactor
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.progress import ProgressView
from loadcheck.verify.query_client import QueryBudget
from loadcheck.workflow.runtime.plan import Role

_FIRST_RATE = 100.0
"""Rate at which the search begins if the load is closed and so has none."""
_AT_LEAST_S = 0.05
"""Shortest rest between two probes, in which a signal is noticed."""
_SETTLING_S = 3.0
"""Assumed time per probe beyond its load, until one has been measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions(Options):
    """Command-line options of a capacity search.

    Attributes:
        keep: Directory for the results file of every probe; None: they are not kept.
    """

    keep: Path | None = None


class SearchView(Protocol):
    """Shows a search to the user."""

    def watch(self, number: int, rate: float, /) -> ProgressView:
        """Return the view of a probe while it goes on."""

    def show_probe(self, probe: Mapping[str, Any], /) -> None:
        """Show the result of a probe."""

    def interrupted(self, signals: int, /) -> None:
        """Show that a signal was received, the first or a later one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A search that is over.

    Attributes:
        document: Its document, as saved.
        path: Where it was saved.
        interrupted: Whether a signal ended it early.
        inconsistent: Whether the lowest rate broke because what arrived was not what was sent.
        unsaved: Why the document is not on disk; None if it is.
    """

    document: Mapping[str, Any]
    path: Path
    interrupted: bool
    inconsistent: bool
    unsaved: ResultFileError | None


async def search(scenario: Scenario, options: SearchOptions, view: SearchView) -> Searched:
    """Search for the highest rate at which everything holds, and save the result.

    Args:
        scenario: What a copy does and what must hold.
        options: Options of the command line.
        view: Shows the search.

    Raises:
        InputError: Something in the input cannot be used; nothing was sent or written.
        TargetError: The embedded emulator did not start.
    """
    scenario = await anyio.to_thread.run_sync(with_facts, scenario)
    seed = seed_of(scenario, options)
    with addressed(scenario) as address:
        return await _search(scenario, address, seed, options, view)


async def _search(
    scenario: Scenario, address: Address, seed: int, options: SearchOptions, view: SearchView
) -> Searched:
    compiled = prepare_run(
        scenario,
        address,
        seed,
        options.workers,
        consent=options.consent,
        copies=lambda _: scenario.capacity.budget_events,
    )
    require_guarded_search(compiled)
    aim = aim_of(scenario)
    shared = probing(scenario, compiled.thresholds)
    least_s, budget_s = shared.load_s(aim.lowest), scenario.capacity.budget_s
    if budget_s is not None and budget_s < least_s:
        raise ScenarioError(
            scenario.problem(
                "capacity.budget",
                f"{format_duration(budget_s)} is less than the load of one probe takes",
                f"expected at least {format_duration(math.ceil(least_s))}, and many times that",
            )
        )
    prepare_run(shared.at(aim.lowest), address, seed, options.workers, consent=options.consent)
    now, search_id = datetime.now(UTC), new_id()
    name = default_name(f"{scenario.name}-capacity", now, search_id)
    file = ResultFile(options.output or options.results / name, replace=options.replace)
    intent = document.intent(shared, compiled, aim, search_id=search_id, seed=seed)
    writer = ResultWriter(file, intent, redactor(scenario.secrets))
    if options.keep is not None:
        ResultFile(options.keep / name).close()  # fail now if nothing can be kept there
    capacity = CapacitySearch(shared, aim, writer, options, view)

    def compile_probe(rate: float) -> CompiledScenario:
        return prepare_run(shared.at(rate), address, seed, options.workers, consent=options.consent)

    try:
        async with (
            emulator_for(scenario, address, seed) as emulator,
            anyio.create_task_group() as around,
        ):
            sender, stops = anyio.create_memory_object_stream[signal.Signals](math.inf)
            around.start_soon(capacity.handle_signals, sender)
            around.start_soon(capacity.keep_time, sender)
            with sender, stops:
                steps = [step for step in compiled.plan.steps if step.role is Role.COPY]
                alone = steps[0].step_id if len(steps) == 1 else None
                context = RunContext(
                    emulator=emulator,
                    signals=stops,
                    allowance=_allowance(scenario),
                    abort=partial(EarlyFailDetector, alone=alone),
                    address=address,
                    workers=options.workers,
                )
                await capacity.run_probes(context, compile_probe)
                around.cancel_scope.cancel()
    except BaseException as error:
        if capacity.begun:
            await capacity.fail(error)
        file.close()
        raise
    try:
        return await capacity.finish()
    finally:
        file.close()


def aim_of(scenario: Scenario) -> SearchGoal:
    """Return the goal of the search.

    Raises:
        ScenarioError: The highest rate is not above the one to begin with.
    """
    given, load = scenario.capacity, scenario.load
    lowest = given.lowest
    if lowest is None and isinstance(load, OpenLoad):
        rates = (rate for stage in load.stages for rate in (stage.rate, stage.end_rate))
        lowest = min(rate for rate in rates if rate > 0)
    lowest = lowest or _FIRST_RATE
    if given.highest is not None and given.highest <= lowest:
        raise ScenarioError(
            scenario.problem(
                "capacity.to",
                f"is not above {lowest:g}, the lowest rate of the load",
                "say where to begin with capacity.from, or --from",
            )
        )
    return SearchGoal(
        lowest=lowest,
        highest=given.highest or MAX_RATE,
        precision=given.precision,
        probes=given.probes,
        climb=given.climb,
    )


class _NullSink:
    """Takes the results documents of probes that are not kept."""

    path = Path()

    def save(self, document: dict[str, Any], *, durable: bool = True) -> None:
        """Save nothing: the result of a probe is in the file of the search."""

    def close(self) -> None:
        """Do nothing."""


class CapacitySearch:
    """The state of a search while it goes on.

    Attributes:
        begun: Whether the intent was saved, so that something may have been sent.
    """

    def __init__(
        self,
        shared: ProbeTemplate,
        aim: SearchGoal,
        writer: ResultWriter,
        options: SearchOptions,
        view: SearchView,
    ) -> None:
        self._probing = shared
        self._aim = aim
        self._writer = writer
        self._options = options
        self._view = view
        self._search = Search(aim, self._is_affordable)
        self._document = writer.document
        self._probes: list[dict[str, Any]] = []
        self._began_s = time.monotonic()
        self._beyond_load_s = _SETTLING_S
        self._events = 0
        self._interrupted = self._out_of_time = False
        self._inconsistent = False
        self._error: str | None = None
        self.begun = False

    # beside the probes

    async def handle_signals(self, sender: MemoryObjectSendStream[signal.Signals]) -> None:
        """Pass signals on until cancelled."""
        heard = 0
        with open_signals() as signals:
            async for received in signals:
                self._interrupted = True
                heard += 1
                self._view.interrupted(heard)
                sender.send_nowait(received)

    async def keep_time(self, sender: MemoryObjectSendStream[signal.Signals]) -> None:
        """Stop everything when the time budget is used up, as two signals would."""
        budget_s = self._probing.scenario.capacity.budget_s
        if budget_s is None:
            return
        await anyio.sleep(max(0.0, budget_s - self._took_s))
        self._out_of_time = True
        for _ in range(2):
            sender.send_nowait(signal.SIGTERM)

    # the probes

    async def run_probes(
        self, context: RunContext, compile_probe: Callable[[float], CompiledScenario]
    ) -> None:
        """Probe until the search is over."""
        while not self._is_over(context) and (rate := self._search.next()) is not None:
            try:
                await self._probe(rate, compile_probe(rate), context)
            except InputError as error:
                if not self.begun or isinstance(error, ResultFileError):
                    raise
                # earlier probes have sent something: what they found is kept
                self._error = str(error)
            await self.save()
            if not self._is_over(context) and self._search.next() is not None:
                await _rest(self._pause_s(context.allowance), context.signals)

    def _is_over(self, context: RunContext) -> bool:
        """Return whether something from outside has ended the search."""
        if context.emulator is not None and not context.emulator.alive:
            self._error = "the embedded emulator ended before the search did"
        return self._interrupted or self._out_of_time or self._error is not None

    def _pause_s(self, allowance: QueryBudget | None) -> float:
        """Return how long to wait for the target to recover and the query budget to free up."""
        pause_s = self._probing.scenario.capacity.recovery_s
        if self._probes[-1]["verdict"] != ProbeVerdict.HELD.value:
            pause_s *= 2
        budget = self._probing.scenario.verify.budget
        if allowance is None or budget is None:
            return pause_s
        return max(pause_s, allowance.wait_s(budget.cost // 2))

    async def _probe(self, rate: float, compiled: CompiledScenario, context: RunContext) -> None:
        number, began_s = len(self._probes) + 1, time.monotonic()
        watch = self._view.watch(number, rate)
        if not self.begun:  # what the first probe's workers lack leaves no file
            context = replace(context, opened=self._save_intent)
        finished = await execute(compiled, self._place(compiled.run.id), watch, context)
        took_s = time.monotonic() - began_s
        if finished.fault is not None:
            raise finished.fault
        judgement = None if finished.interrupted else judge_probe(finished, self._probing, rate)
        if not finished.figures.record.due:
            # not even one copy fell due: the target could not be reached
            self._error = finished.document["run"]["error"] or self._error
        again = bool(self._search.votes(rate))
        if judgement is not None:
            self._search.record(judgement.seen(rate))
            self._inconsistent = judgement.inconsistent
            if judgement.held is ProbeVerdict.HELD:
                self._beyond_load_s = took_s - finished.document["load"]["duration_s"]
        # with what a lost worker may have sent
        self._events += finished.document["spent"]["events"]
        entry = document.probe(
            document.Probed(
                number=number,
                rate=rate,
                again=again,
                finished=finished,
                judgement=judgement,
                took_s=took_s,
            ),
            self._probing,
        )
        entry = redactor(compiled.secrets).document(entry, documents.own_words())
        self._probes.append(entry)
        self._view.show_probe(entry)

    def _place(self, run_id: str) -> ResultSink:
        if self._options.keep is None:
            return _NullSink()
        name = default_name(self._probing.scenario.name, datetime.now(UTC), run_id)
        try:
            return ResultFile(self._options.keep / name)
        except ResultFileError as error:
            # something may have been sent already: the search goes on without this file
            self._document["warnings"] = [*self._document["warnings"], str(error)]
            return _NullSink()

    @property
    def _took_s(self) -> float:
        return time.monotonic() - self._began_s

    def _is_affordable(self, rate: float) -> bool:
        capacity = self._probing.scenario.capacity
        if capacity.budget_events is not None:
            left = capacity.budget_events - self._events
            if self._probing.events(rate, self._document["run"]["seed"]) > left:
                return False
        if capacity.budget_s is None:
            return True
        takes_s = capacity.recovery_s + self._probing.load_s(rate) + self._beyond_load_s
        return takes_s <= capacity.budget_s - self._took_s

    # what is kept

    async def _save_intent(self) -> None:
        """Save the intent of the search, before anything is sent.

        Raises:
            ResultFileError: It cannot be written.
        """
        self._update()
        self._document["run"]["phase"] = "running"
        try:
            await anyio.to_thread.run_sync(self._writer.file.save, self._document)
        except SaveError as error:
            raise ResultFileError(error.problems) from error
        self.begun = True

    async def save(self, phase: str = "running") -> None:
        """Save what is known; a full disk must not end a search that has begun."""
        self._update()
        await self._writer.try_save(phase, durable=True)

    def _update(self) -> None:
        self._document |= {
            "verdict": document.verdict(self._search),
            "answer": document.answer(self._search, self._aim, self._probes),
            "curve": document.curve(self._probes),
            "probes": list(self._probes),
        }
        self._document["search"] |= {"took_s": round(self._took_s, 3), "events": self._events}

    async def fail(self, error: BaseException) -> None:
        """Save what is known, and the error that ended the search, which is raised again."""
        first = innermost(error)
        if isinstance(first, anyio.get_cancelled_exc_class()):
            self._interrupted = True
        else:
            self._error = str(first) or type(first).__name__
        with anyio.CancelScope(shield=True):
            await self.finish()

    async def finish(self) -> Searched:
        """Record why the search is over, and save it."""
        if self._out_of_time and not self._interrupted:
            self._search.end(Ending.BUDGET)
        elif self._interrupted or self._error is not None:
            self._search.end(Ending.INTERRUPTED)
        self._document["run"] |= {
            "ended_at": documents.utc_now(),
            "interrupted": self._interrupted,
            "error": redactor(self._probing.scenario.secrets).document(self._error),
        }
        await self.save("complete")
        return Searched(
            document=self._document,
            path=self._writer.file.path,
            interrupted=self._interrupted,
            inconsistent=self._inconsistent and self._search.bounds[0] is None,
            unsaved=self._writer.unsaved,
        )


def _allowance(scenario: Scenario) -> QueryBudget | None:
    """Return the query budget that all probes share; None if each may use all of it."""
    budget = scenario.verify.budget
    if budget is None or scenario.target.kind == "emulator":
        return None
    return QueryBudget(budget.cost, budget.window_s)


async def _rest(seconds: float, stops: AsyncIterator[signal.Signals]) -> None:
    """Wait until the time is up or a signal comes."""
    with anyio.move_on_after(max(seconds, _AT_LEAST_S)):
        async for _ in stops:
            return
