"""A run of several flows: each counted and judged on its own, all begun and judged together."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial, reduce
from operator import add
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

from loadcheck.errors import Problem, ResultFileError, SaveError
from loadcheck.load.engine import loop_waiting
from loadcheck.load.runner import Begin
from loadcheck.measure import known_sum
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.record import WORKFLOW, StageSpan
from loadcheck.pipeline import Options, execute, opened
from loadcheck.pipeline.labels import new_id, with_facts
from loadcheck.pipeline.merge import ALL_FLOWS, MergedFigures
from loadcheck.pipeline.once import SharedSteps, alike
from loadcheck.pipeline.prepare import thresholds_together
from loadcheck.pipeline.session import CUT_SHORT, CompletedRun, RunContext
from loadcheck.result import OUTCOMES
from loadcheck.result.document import histogram
from loadcheck.result.store import ResultFile, default_name, of_flow
from loadcheck.scenario.model import Scenario, Threshold
from loadcheck.verify import OWN_CHECKS, Verdict, overall, worst
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.figures import MixFigures, RunFigures
from loadcheck.verify.metrics import COUNTED, BoundedFigure, Metric, MetricNames
from loadcheck.verify.naming import UserNames
from loadcheck.verify.progress import ProgressView
from loadcheck.verify.query_client import QueryBudget
from loadcheck.verify.thresholds import (
    Aborted,
    Figures,
    Judged,
    ParsedThreshold,
    ThresholdAbort,
    parse,
)
from loadcheck.workflow.runtime.plan import Role

_AHEAD_NS = 50_000_000
"""Time between the last flow being ready and the beginning of all."""
_FIRST_USERS = 1000
_HEARD = 16
"""Limit of the signals that wait for a flow to handle them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedMix:
    """A mix that has ended.

    Attributes:
        flows: Its flows' runs, in the scenario's order.
        consistent: What the counts of all prove; None if they were not queried.
        verdict: What everything together proves.
    """

    flows: Sequence[CompletedRun]
    consistent: Verdict | None
    verdict: Verdict

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended one of them early."""
        return any(flow.interrupted for flow in self.flows)


async def run_mix(scenario: Scenario, options: Options, watch: ProgressView) -> CompletedMix:
    """Run the flows of a mix at once and save the result of each.

    Args:
        scenario: The mix.
        options: Options of the command line; ``output`` names a file for each flow, see
            :func:`~loadcheck.result.store.of_flow`.
        watch: Shows the progress of one flow; called for each.

    Raises:
        InputError: Something in the input cannot be used; nothing was sent.
        TargetError: The embedded emulator did not start.
    """
    limits, id_ = thresholds_together(scenario), new_id()
    flows = [
        replace(
            await anyio.to_thread.run_sync(with_facts, flow),
            part=None if flow.part is None else replace(flow.part, id=id_),
        )
        for flow in scenario.flows
    ]
    now = datetime.now(UTC)
    async with opened(scenario, flows, options) as (compiled, context):
        return await _together(compiled, limits, _claimed(compiled, options, now), watch, context)


def _claimed(
    compiled: Sequence[CompiledScenario], options: Options, now: datetime
) -> list[ResultFile]:
    """Return the results files; none is left claimed if one cannot be."""
    files: list[ResultFile] = []
    try:
        for each in compiled:
            part = each.scenario.part
            if options.output is None or part is None:
                path = options.results / default_name(each.scenario.name, now, each.run.id)
            else:
                path = of_flow(options.output, part.flow)
            files.append(ResultFile(path, replace=options.replace))
    except ResultFileError:
        for file in files:
            file.close()
        raise
    return files


async def _together(
    compiled: Sequence[CompiledScenario],
    limits: Sequence[ParsedThreshold],
    files: Sequence[ResultFile],
    watch: ProgressView,
    context: RunContext,
) -> CompletedMix:
    runs: dict[int, CompletedRun] = {}
    errors: list[Exception] = []
    opening, barrier = StartBarrier(len(compiled)), StartBarrier(len(compiled))
    budgets, shared = _Budgets(), alike(compiled)
    same_users = have_same_users(compiled)
    whole = _MixThresholds(compiled, limits, same_users=same_users)
    waiting = loop_waiting()
    async with anyio.create_task_group() as around:
        fan = _SignalFan(context.signals, len(compiled) + 1)
        around.start_soon(fan.pump)
        async with _torn_down(shared, fan.heard(-1)), anyio.create_task_group() as tasks:

            async def one(place: int) -> None:
                own = replace(
                    context,
                    signals=fan.heard(place),
                    allowance=budgets.of(compiled[place]),
                    opened=partial(opening.ready, place),
                    barrier=partial(barrier.ready, place),
                    abort=partial(_FlowAbort, whole, place),
                    shared=shared[place],
                    waiting=waiting,
                    together=partial(whole.join, place) if limits else None,
                    preflight={} if place else context.preflight,  # once for all
                )
                try:
                    runs[place] = await execute(compiled[place], files[place], watch, own)
                except Exception as error:  # noqa: BLE001  # raised again, once all have ended
                    errors.append(error)
                    tasks.cancel_scope.cancel()
                finally:
                    barrier.leave(place)
                    whole.leave(place)

            for place in range(len(compiled)):
                tasks.start_soon(one, place)
        around.cancel_scope.cancel()
    if errors:
        raise errors[0]
    ended = [runs[place] for place in range(len(compiled))]
    return _judged(ended, shared, whole)


@asynccontextmanager
async def _torn_down(
    shared: Sequence[SharedSteps], signals: MemoryObjectReceiveStream[signal.Signals]
) -> AsyncIterator[None]:
    """Run the tear-downs of all flows after a block; the third signal cuts them short.

    So does the second one received meanwhile, as in a run of one flow.
    """
    try:
        yield
    finally:
        before = signals.statistics().current_buffer_used
        most = max(before + 1, min(CUT_SHORT, before + 2))
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as around:

                async def handle_signals() -> None:
                    heard = 0
                    async for _ in signals:
                        heard += 1
                        if heard >= most:
                            around.cancel_scope.cancel()

                around.start_soon(handle_signals)
                for each in dict.fromkeys(shared):
                    await each.tear_down()
                around.cancel_scope.cancel()


def have_same_users(flows: Sequence[CompiledScenario]) -> bool:
    """Return whether flows send for the same users, judged by the first of each."""
    seen: set[str] = set()
    for flow in flows:
        names = UserNames(flow.plan, flow.ingest, flow.scenario.verify.user)
        most = _FIRST_USERS if flow.planned is None else min(flow.planned, _FIRST_USERS)
        own = {names.of(number) for number in range(most)}
        if seen & own:
            return True
        seen |= own
    return False


class _MixThresholds:
    """Thresholds on all flows together; checked during the load where they may stop it.

    Args:
        compiled: The flows.
        limits: The thresholds.
        same_users: Whether they send for the same users.

    Attributes:
        limits: The thresholds.
        same_users: Whether they send for the same users.
        aborted: Why their loads are stopped; None if they are not.
    """

    def __init__(
        self,
        compiled: Sequence[CompiledScenario],
        limits: Sequence[ParsedThreshold],
        *,
        same_users: bool,
    ) -> None:
        self.limits = limits
        self.same_users = same_users
        self.aborted: Aborted | None = None
        self._rule = ThresholdAbort(limits, ())
        self._seen: list[RunFigures | None] = [None] * len(compiled)
        self._now: list[Callable[[], RunFigures] | None] = [None] * len(compiled)
        self._under_way = list(range(len(compiled)))
        self._steps = [
            {step.step_id for step in each.plan.steps if step.role is Role.COPY}
            for each in compiled
        ]

    @property
    def is_active(self) -> bool:
        """Whether there is anything to check during the load."""
        return self._rule.is_active

    def check(self, place: int, figures: RunFigures, elapsed_s: float) -> Aborted | None:
        """Return why the loads are to be stopped, by each flow's latest figures; None: they go on.

        Args:
            place: The flow that reports.
            figures: Its figures now.
            elapsed_s: Seconds since the load began.
        """
        self._seen[place] = figures
        flows = [each for each in self._seen if each is not None]
        if self.aborted is None and len(flows) == len(self._seen):
            found = self._rule.check(self._figures(flows), elapsed_s)
            if found is not None and found.judged is not None:
                threshold = found.judged.threshold
                named = replace(threshold, check=_named(threshold.check))
                self.aborted = replace(found, judged=replace(found.judged, threshold=named))
        return self.aborted

    def join(self, place: int, now: Callable[[], RunFigures]) -> Callable[[], Sequence[Judged]]:
        """Add a flow, by what returns its figures; return what judges all flows so far.

        It is for the live view. Only the first flow still running reports: otherwise the judgement
        would be made and shown once for each.
        """
        self._now[place] = now

        def so_far() -> Sequence[Judged]:
            flows = [each() for each in self._now if each is not None]
            if self._under_way[:1] != [place] or len(flows) < len(self._now):
                return ()
            figures = self._figures(flows)
            return [limit.judge(figures) for limit in self.limits]

        return so_far

    def leave(self, place: int) -> None:
        """Note that a flow has ended."""
        self._under_way.remove(place)

    def judge(self, flows: Sequence[RunFigures]) -> list[dict[str, Any]]:
        """Return the judged thresholds, in the form of the results files."""
        figures = self._figures(flows)
        judged = [limit.judge(figures).to_json() for limit in self.limits]
        stopped = None if self.aborted is None else self.aborted.judged
        if stopped is not None:
            # copies still in flight may have brought the figure back within the limit
            judged = [
                {**stopped.to_json(), "expression": each["expression"]}
                if stopped.threshold.check == _named(each["expression"])
                and each["verdict"] != "fail"
                else each
                for each in judged
            ]
        return judged

    def _figures(self, flows: Sequence[RunFigures]) -> MixFigures:
        return MixFigures(flows=flows, steps=self._steps, same_users=self.same_users)


def _named(expression: str) -> str:
    """Return the name of a threshold on all flows, among those on one."""
    return f"together: {expression}"


class _FlowAbort:
    """Checks the thresholds on one flow, and those on all together, during the load."""

    def __init__(
        self,
        whole: _MixThresholds,
        place: int,
        thresholds: Sequence[ParsedThreshold],
        stages: Sequence[StageSpan],
    ) -> None:
        self._whole, self._place = whole, place
        self._own = ThresholdAbort(thresholds, stages)

    @property
    def is_active(self) -> bool:
        """Whether there is anything to check."""
        return self._own.is_active or self._whole.is_active

    def check(self, figures: RunFigures, elapsed_s: float) -> Aborted | None:
        """Return why the load is to be stopped now; None if it is to go on."""
        own = self._own.check(figures, elapsed_s)
        return own or self._whole.check(self._place, figures, elapsed_s)


def _judged(
    flows: Sequence[CompletedRun], shared: Sequence[SharedSteps], whole: _MixThresholds
) -> CompletedMix:
    """Return the completed mix; its section on all flows is added to each flow's file."""
    checked = [flow.judgement.consistent for flow in flows]
    known = [each for each in checked if each is not None]
    consistent = worst(known) if known else None
    figures = [flow.figures for flow in flows]
    section, verdict = _section(
        [flow.document for flow in flows],
        measured_together(figures),
        whole.judge(figures),
        consistent,
        same_users=whole.same_users,
    )
    saved = []
    for flow, once in zip(flows, shared, strict=True):
        document = {
            **flow.document,
            "run": {**flow.document["run"], **once.summary()},
            "warnings": [*flow.document["warnings"], *once.notes],
            "mix": {**flow.document["mix"], "together": section},
        }
        if flow.unsaved is None:
            # if it cannot be added, the terminal still shows it, and the flow's own result is saved
            with (
                suppress(ResultFileError, SaveError),
                ResultFile(flow.path, replace=True) as file,
            ):
                file.save(document)
        saved.append(replace(flow, document=document))
    return CompletedMix(flows=saved, consistent=consistent, verdict=verdict)


def _section(
    documents: Sequence[Mapping[str, Any]],
    measured: Mapping[str, Any],
    thresholds: Sequence[Mapping[str, Any]],
    consistent: Verdict | None,
    *,
    same_users: bool,
) -> tuple[dict[str, Any], Verdict]:
    """Return the section on all flows together for the results files, and the verdict.

    Args:
        documents: The flows' results.
        measured: Rates and times of all together, as far as they are known.
        thresholds: The judged thresholds on all together.
        consistent: What the counts of all prove; None if they were not queried.
        same_users: Whether they send for the same users, whom each flow then counts.
    """
    judged = [Verdict(each["verdict"]) for each in (*documents, *thresholds)]
    verdict = overall(consistent, judged)
    section = {**together(documents), **measured}
    if same_users:
        section["consistency"] |= dict.fromkeys(("uniques", "lower", "upper"))
    return section | {"verdict": verdict.value, "thresholds": [*thresholds]}, verdict


@dataclass(frozen=True, slots=True)
class _Sums:
    """Counts of all flows together, from their current results."""

    documents: Sequence[Mapping[str, Any]]
    same_users: bool

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        """Return the figure; None if it is not known for every flow."""
        if metric.name == "uniques" and self.same_users:
            return None
        total = known_sum(_counted(document, metric.name) for document in self.documents)
        return BoundedFigure.exactly(total)


def _counted(document: Mapping[str, Any], name: str) -> Any:
    """Return a count of one flow: from the export, if the last reconciliation had one."""
    exports = [one.get("export") for one in document.get("reconciliations", ())]
    exact = (exports[-1] if exports else None) or {}
    key = "recovered_at_most" if name == "recovered" else name
    return exact.get(name, document.get("consistency", {}).get(key))


def judge_again(
    documents: Sequence[Mapping[str, Any]],
    whole: Mapping[str, Any] | None = None,
    hidden: Collection[str] = (),
) -> tuple[list[dict[str, Any]], Verdict]:
    """Return the results of a mix with their section on all flows made anew, and its verdict.

    Thresholds on counts are judged again; the others stay as they were. A mix that was killed has
    no figures for them.

    Args:
        documents: Results of its flows, reconciled, or each merged from several machines.
        whole: All flows of several machines added up, by which the other thresholds are judged.
        hidden: Thresholds whose figure the generator's own delay has hidden on one machine.
    """
    mix = documents[0]["mix"]
    before: Mapping[str, Any] = mix.get("together") or {}
    measured = {name: before[name] for name in ("load", "response_time") if name in before}
    ids = [str((each["scenario"].get("users") or {}).get("id", "{run}")) for each in documents]
    same_users = any("{run}" not in id_ for id_ in ids)
    if whole is not None:
        load = {name: whole["load"][name] for name in ("reached_rate", "duration_s")}
        measured = {"load": load, "response_time": whole["steps"][ALL_FLOWS]["response_time"]}
    stored = {each["expression"]: each for each in before.get("thresholds", ())}
    words = MetricNames(steps=[WORKFLOW], together=True)
    counts = _Sums(documents, same_users)
    judged = []
    for expression in mix.get("limits", ()):
        limit = parse(Threshold(check=expression), words)
        if isinstance(limit, Problem):  # of another version
            continue
        figures: Figures = counts
        if limit.metric.name not in COUNTED:
            figures = _NoFigures() if whole is None else MergedFigures(whole)
            if whole is None and expression in stored:
                judged.append(stored[expression])
                continue
        again = limit.judge(figures)
        if expression in hidden:
            again = replace(again, verdict=Verdict.UNKNOWN)
        judged.append(again.to_json())
    consistent = worst(_consistent(each) for each in documents)
    section, verdict = _section(documents, measured, judged, consistent, same_users=same_users)
    return [{**each, "mix": {**each["mix"], "together": section}} for each in documents], verdict


class _NoFigures:
    """The figures of a run that was killed: none."""

    def measure(self, _: Metric, /) -> None:
        """Return None: nothing is known."""


def _consistent(document: Mapping[str, Any]) -> Verdict:
    found = [each for each in document.get("findings", ()) if each["check"] not in OWN_CHECKS]
    return worst(Verdict(each["verdict"]) for each in found)


_COUNTS = ("planned", *OUTCOMES)
_SEEN = ("uniques", "totals", "lower", "upper", "lost_at_least", "duplicated", "missing_events")


def together(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of several flows' results; None where one of them is unknown."""
    copies = {name: known_sum(each["copies"].get(name) for each in documents) for name in _COUNTS}
    seen = [each.get("consistency", {}) for each in documents]
    return {
        "copies": copies,
        "consistency": {name: known_sum(each.get(name) for each in seen) for name in _SEEN},
    }


def measured_together(flows: Sequence[RunFigures]) -> dict[str, Any]:
    """Return rates and times of several flows: percentiles are of all requests, not averages."""
    steps = [step for flow in flows for step in flow.record.steps]
    times = [step.response_time for step in steps if step.response_time is not None]
    duration_s = max((flow.rates.duration_s for flow in flows), default=0.0)
    started = sum(flow.record.started for flow in flows)
    return {
        "load": {
            "reached_rate": started / duration_s if duration_s else 0.0,
            "duration_s": duration_s,
        },
        "response_time": histogram(reduce(add, times, Histogram())),
    }


class StartBarrier:
    """Lets several flows begin at one instant, or none of them.

    Args:
        flows: How many are awaited.
    """

    def __init__(self, flows: int) -> None:
        self._awaited = set(range(flows))
        self._open = anyio.Event()
        self._begin: Begin | None = None

    async def ready(self, place: int) -> Begin | None:
        """Return when the load begins, once all are ready; None if one has ended before."""
        self._awaited.discard(place)
        if not self._awaited and not self._open.is_set():
            ahead_ms = _AHEAD_NS // 1_000_000
            self._begin = Begin(
                time.monotonic_ns() + _AHEAD_NS, time.time_ns() // 1_000_000 + ahead_ms
            )
            self._open.set()
        await self._open.wait()
        return self._begin

    def leave(self, place: int) -> None:
        """Note that a flow has ended; if it was not even ready, none begins."""
        if place in self._awaited:
            self._open.set()


class _SignalFan:
    """Passes each signal on to every flow."""

    def __init__(self, source: AsyncIterator[signal.Signals], flows: int) -> None:
        self._source = source
        self._streams = [
            anyio.create_memory_object_stream[signal.Signals](_HEARD) for _ in range(flows)
        ]

    def heard(self, place: int) -> MemoryObjectReceiveStream[signal.Signals]:
        """Return the signals for one flow."""
        return self._streams[place][1]

    async def pump(self) -> None:
        """Pass signals on until cancelled."""
        try:
            async for each in self._source:
                for stream, _ in self._streams:
                    if stream.statistics().current_buffer_used < _HEARD:
                        stream.send_nowait(each)
        finally:
            for stream, end in self._streams:
                stream.close()
                end.close()


class _Budgets:
    """One query budget for all flows that query the same service."""

    def __init__(self) -> None:
        self._made: dict[tuple[float, float], QueryBudget] = {}

    def of(self, compiled: CompiledScenario) -> QueryBudget | None:
        """Return the budget that a flow shares; None if the service has none."""
        budget = compiled.scenario.verify.budget
        if budget is None:
            return None
        key = (budget.cost, budget.window_s)
        return self._made.setdefault(key, QueryBudget(budget.cost, budget.window_s))
