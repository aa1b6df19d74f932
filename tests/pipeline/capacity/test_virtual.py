"""The whole search in virtual time: the real runner, a target that is a queue before one server."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from loadcheck.load.monitor import Monitor, each_second
from loadcheck.load.pacer import OpenPacer, stage_spans
from loadcheck.load.retry import Backoff
from loadcheck.load.runner import Clock, Rules, Runner
from loadcheck.measure.record import Record
from loadcheck.pipeline.capacity.judge import judge_probe
from loadcheck.pipeline.capacity.probe import MEASURED, EarlyFailDetector, ProbeTemplate, probing
from loadcheck.pipeline.capacity.search import Ending, ProbeVerdict, Search, SearchGoal
from loadcheck.scenario.model import (
    Capacity,
    OpenLoad,
    Retry,
    Scenario,
    Stage,
    Target,
    Threshold,
    Timeouts,
    Verify,
    WorkflowReference,
)
from loadcheck.verify import Verdict
from loadcheck.verify.figures import Rates, RunFigures
from loadcheck.verify.metrics import MetricNames
from loadcheck.verify.thresholds import Aborted, parse_all
from loadcheck.workflow.exchange import Request
from tests.load.test_runner import FakeTransport, OneStep, now_ns


def scenario(*checks: str, max_in_flight: int = 2000, **capacity: Any) -> Scenario:
    return Scenario(
        name="virtual",
        description="",
        file="virtual.toml",
        workflow=WorkflowReference(document=Path("w.yml"), name="w.yml"),
        target=Target(kind="live"),
        inputs={},
        load=OpenLoad(
            stages=(Stage(name="steady", duration_s=1, rate=10, end_rate=10),),
            max_in_flight=max_in_flight,
        ),
        retry=Retry(),
        timeouts=Timeouts(),
        verify=Verify(),
        overlay=(),
        thresholds=tuple(Threshold(check=check) for check in checks),
        seed=None,
        document={"load": {"model": "open", "rate": 10, "duration": "1s"}},
        capacity=Capacity(samples=50, **capacity),
    )


def words(given: Scenario) -> MetricNames:
    assert isinstance(given.load, OpenLoad)
    return MetricNames(steps=["send"], stages=[stage.name for stage in given.load.stages])


def shared(given: Scenario) -> ProbeTemplate:
    thresholds, problems = parse_all(given.thresholds, words(given))
    assert not problems
    return probing(given, thresholds)


@dataclass
class Queue:
    """One server; an answer takes ``base_s`` longer."""

    rate: float
    base_s: float = 0.005
    error_every: int = 0
    chance: random.Random | None = None
    free_s: float = 0.0

    def __call__(self, request: Request, before: int) -> tuple[float, int]:
        now_s = trio.current_time()
        takes_s = 1 / self.rate if self.chance is None else self.chance.expovariate(self.rate)
        self.free_s = max(now_s, self.free_s) + takes_s
        failed = self.error_every and before % self.error_every == 0
        return self.free_s - now_s + self.base_s, 400 if failed else 200


def probe(target: Queue, common: ProbeTemplate, rate: float, *, stalled: bool = False) -> Any:
    """Run a probe and return what the pipeline would hand to the judge.

    Args:
        target: What is probed.
        common: What all probes share.
        rate: Its own.
        stalled: Whether the generator's event loop is never served in time.
    """
    given = common.at(rate)
    assert isinstance(given.load, OpenLoad)

    async def main() -> Any:
        async with trio.open_nursery() as nursery:
            load = given.load
            assert isinstance(load, OpenLoad)
            pacer = OpenPacer(stages=load.stages, arrivals=load.arrivals, seed=5)
            record = Record(OneStep.steps, 0, None, stage_spans(pacer, {MEASURED}))
            monitor = Monitor(record.stages)
            if stalled:
                record.stalls.add(now_ns(), now_ns() + 10**13)
            thresholds, problems = parse_all(given.thresholds, words(given))
            assert not problems
            target.free_s = 0.0
            runner = Runner(
                OneStep(),  # type: ignore[arg-type]
                FakeTransport(nursery, target),
                record,
                Rules(backoff=Backoff(Retry(attempts=1), seed=1)),
                Clock(now_ns=now_ns, spin_ns=0),
            )
            watchdog = EarlyFailDetector(
                thresholds, [stage.span for stage in record.stages], alone="send"
            )
            stopped: Aborted | None = None

            def figures() -> RunFigures:
                duration_s = (record.load_ns or now_ns() - runner.begin_ns) / 1e9
                rates = Rates(asked=rate, reached=rate, duration_s=duration_s)
                return RunFigures(record=record, monitor=monitor, rates=rates, pacer=pacer)

            def close(second: int) -> None:
                nonlocal stopped
                record.close_second(second)
                if stopped is None and not record.load_ns:
                    stopped = watchdog.check(figures(), second + 1)
                    if stopped is not None:
                        runner.stop()

            nursery.start_soon(each_second, now_ns(), close, now_ns)
            await runner.run_open(pacer, max_in_flight=load.max_in_flight, drain_s=1000)
            nursery.cancel_scope.cancel()
        judged = [threshold.judge(figures()) for threshold in thresholds]
        return SimpleNamespace(
            judgement=SimpleNamespace(consistent=Verdict.PASS, findings=[], judged=judged),
            figures=figures(),
            document={"run": {}},
            stopped_at_s=stopped.at_s if stopped else None,
        )

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def searched(target: Queue, common: ProbeTemplate) -> Search:
    search = Search(SearchGoal(lowest=5, highest=10_000, precision=0.04, probes=12))
    while (rate := search.next()) is not None:
        search.record(judge_probe(probe(target, common, rate), common, rate).seen(rate))
    return search


@pytest.mark.parametrize("capacity", [17, 60, 143])
def test_a_planted_capacity_is_found(capacity: float) -> None:
    search = searched(Queue(capacity), shared(scenario("send.p99 < 250ms")))
    low, high = search.bounds
    assert search.ending is Ending.PRECISE
    assert low is not None
    assert high is not None
    assert low == pytest.approx(capacity, rel=0.05)
    assert high > capacity
    assert len(search.seen) <= 12


def test_a_latency_that_rises_long_before_the_queue_never_ends() -> None:
    # M/M/1: the 99th percentile of the response time is ln 100 / (capacity - rate)
    given = scenario("send.p99 < 250ms", probe_s=40.0)
    assert isinstance(given.load, OpenLoad)
    common = shared(replace(given, load=replace(given.load, arrivals="poisson")))
    search = searched(Queue(100, base_s=0, chance=random.Random(7)), common)
    low, high = search.bounds
    assert low is not None
    assert high is not None
    assert low == pytest.approx(100 - math.log(100) / 0.25, rel=0.12)
    assert high < 100
    assert len(search.seen) <= 12


def test_it_is_found_without_any_threshold_of_ones_own() -> None:
    low, _ = searched(Queue(60), shared(scenario())).bounds
    assert low == pytest.approx(60, rel=0.05)


def test_below_its_capacity_a_target_holds() -> None:
    common = shared(scenario("send.p99 < 250ms"))
    judgement = judge_probe(probe(Queue(60), common, 58), common, 58)
    assert (judgement.held, judgement.close, judgement.carried) == (ProbeVerdict.HELD, False, None)
    assert judgement.growth == pytest.approx(0, abs=0.01)


def test_a_queue_that_grows_breaks_although_no_threshold_is_broken_yet() -> None:
    common = shared(scenario("send.p99 < 10s"))
    judgement = judge_probe(probe(Queue(60), common, 66), common, 66)
    assert (judgement.held, judgement.because) == (ProbeVerdict.BROKE, "keeps up")
    assert judgement.growth == pytest.approx(0.09, abs=0.02)
    assert not judgement.close
    assert judgement.carried == pytest.approx(60, abs=2)


def test_a_slow_answer_is_no_queue() -> None:
    common = shared(scenario("send.p99 < 10s", warmup_s=4.0))
    judgement = judge_probe(probe(Queue(1000, base_s=3), common, 50), common, 50)
    assert judgement.held is ProbeVerdict.HELD


def test_the_first_threshold_that_breaks_is_named_as_it_was_written() -> None:
    common = shared(scenario("send.p50 < 9s", "send.p99 < 250ms"))
    judgement = judge_probe(probe(Queue(60), common, 180), common, 180)
    assert (judgement.held, judgement.because) == (ProbeVerdict.BROKE, "send.p99 < 250ms")
    assert judgement.unit == "ms"
    assert judgement.measured is not None
    assert judgement.measured > 250
    assert judgement.carried == pytest.approx(60, abs=2)


def test_a_hopeless_probe_is_stopped_early() -> None:
    common = shared(scenario("send.p99 < 250ms"))
    ran = probe(Queue(60), common, 180)
    assert ran.stopped_at_s is not None
    assert ran.stopped_at_s <= 4
    assert probe(Queue(60), common, 50).stopped_at_s is None


def test_errors_break_it_although_nobody_asked() -> None:
    common = shared(scenario("send.p99 < 250ms"))
    judgement = judge_probe(probe(Queue(1000, error_every=20), common, 50), common, 50)
    assert (judgement.held, judgement.because) == (ProbeVerdict.BROKE, "error_rate <= 1%")
    assert not judgement.close
    allowed = shared(scenario("send.p99 < 250ms", "error_rate < 10%"))
    assert (
        judge_probe(probe(Queue(1000, error_every=20), allowed, 50), allowed, 50).held
        is ProbeVerdict.HELD
    )


def test_too_many_in_flight_break_it() -> None:
    common = shared(scenario("send.p99 < 9s", max_in_flight=30))
    judgement = judge_probe(probe(Queue(60), common, 90), common, 90)
    assert (judgement.held, judgement.because) == (ProbeVerdict.BROKE, "skipped == 0")
    assert judgement.carried == pytest.approx(60, abs=2)


def test_what_did_not_arrive_breaks_it() -> None:
    common = shared(scenario())
    ran = probe(Queue(60), common, 50)
    finding = SimpleNamespace(check="lost", verdict=Verdict.FAIL)
    ran.judgement.consistent, ran.judgement.findings = Verdict.FAIL, [finding]
    judgement = judge_probe(ran, common, 50)
    assert (judgement.held, judgement.because) == (ProbeVerdict.BROKE, "lost")
    assert judgement.inconsistent
    assert not judgement.close


def test_no_evidence_is_no_proof_that_it_holds() -> None:
    common = shared(scenario())
    ran = probe(Queue(60), common, 50)
    ran.judgement.consistent = Verdict.UNKNOWN
    assert judge_probe(ran, common, 50).held is ProbeVerdict.UNPROVEN
    unasked = replace(common, scenario=replace(common.scenario, verify=Verify(enabled=False)))
    assert judge_probe(ran, unasked, 50).held is ProbeVerdict.HELD


def test_a_generator_that_could_not_keep_up_proves_nothing() -> None:
    common = shared(scenario())
    ran = probe(Queue(60), common, 50)
    ran.judgement.findings = [SimpleNamespace(check="generator", verdict=Verdict.UNKNOWN)]
    judgement = judge_probe(ran, common, 50)
    assert (judgement.held, judgement.because) == (ProbeVerdict.UNPROVEN, "generator")


def test_a_latency_that_is_our_own_proves_nothing() -> None:
    common = shared(scenario("send.p99 < 250ms"))
    ran = probe(Queue(60, base_s=0.3), common, 50)
    assert judge_probe(ran, common, 50).held is ProbeVerdict.BROKE
    judgement = judge_probe(probe(Queue(60, base_s=0.3), common, 50, stalled=True), common, 50)
    assert (judgement.held, judgement.because) == (ProbeVerdict.UNPROVEN, "generator")


def test_a_schedule_that_was_not_kept_is_the_generators_limit() -> None:
    common = shared(scenario("send.p99 < 250ms"))
    ran = probe(Queue(60), common, 180)
    assert judge_probe(ran, common, 180).held is ProbeVerdict.BROKE
    ran.figures.record.due //= 2
    judgement = judge_probe(ran, common, 180)
    assert (judgement.held, judgement.because) == (ProbeVerdict.UNPROVEN, "generator")


def test_copies_skipped_because_we_stood_still_are_not_the_targets_fault() -> None:
    common = shared(scenario("send.p99 < 9s", max_in_flight=30))
    ran = probe(Queue(60), common, 90)
    assert judge_probe(ran, common, 90).because == "skipped == 0"
    ran.figures.record.dispatch_lag.record(500_000_000)
    judgement = judge_probe(ran, common, 90)
    assert (judgement.held, judgement.because) == (ProbeVerdict.UNPROVEN, "generator")


def test_one_pause_of_ours_does_not_excuse_what_is_skipped_all_the_time() -> None:
    common = shared(scenario("send.p99 < 9s", max_in_flight=30))
    ran = probe(Queue(60), common, 900)
    ran.figures.record.dispatch_lag.record(50_000_000)
    judgement = judge_probe(ran, common, 900)
    assert (judgement.held, judgement.because) == (ProbeVerdict.BROKE, "skipped == 0")
