"""Copies that take their time, under virtual time."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.data.order import Spread
from loadcheck.load.pacer import OpenPacer
from loadcheck.load.retry import Backoff
from loadcheck.load.runner import Clock, Rules, Runner, wait_queue
from loadcheck.load.slices import Slice, SlicedPlan, WaitTime
from loadcheck.measure.record import Record
from loadcheck.scenario.model import ClosedLoad, Retry
from tests.load.stages import stage
from tests.load.test_runner import FakeTransport, OneStep, Ran, TwoSteps, at_once, now_ns, run

LOGNORMAL = Spread(kind="lognormal", first=2.0, second=20.0)


def thinking(spread: Spread, seed: int = 1) -> WaitTime:
    return spread.of(seed, "think")


def seconds(ran: Ran) -> dict[bytes, list[float]]:
    found: dict[bytes, list[float]] = {}
    for instant, body in ran.transport.sent:
        found.setdefault(body, []).append(instant - ran.began_s)
    return found


def test_a_thought_is_part_of_no_latency_and_takes_no_place_in_flight() -> None:
    ran = run(
        TwoSteps(),
        at_once,
        think=thinking(Spread(first=10.0)),
        rate=10,
        duration_s=10,
        max_in_flight=2,
    )
    record = ran.record
    assert (record.started, record.acknowledged, record.skipped) == (100, 100, 0)
    assert record.max_in_flight <= 2
    assert record.in_flight == 0
    for times in seconds(ran).values():
        assert times[1] - times[0] == pytest.approx(10.0, abs=0.01)
    for step in record.steps:
        assert step.service_time.count == 100
        assert step.service_time.percentile_ms(100) == pytest.approx(1, rel=0.1)


def test_thoughts_are_drawn_from_the_seed_and_the_number_of_the_copy() -> None:
    first, again, other = (
        {
            body: times[1] - times[0]
            for body, times in seconds(
                run(TwoSteps(), at_once, think=thinking(LOGNORMAL, seed), drain_s=9e3)
            ).items()
        }
        for seed in (1, 1, 2)
    )
    assert first == pytest.approx(again, abs=0.01)
    assert first != pytest.approx(other, abs=0.1)
    assert len({round(wait, 3) for wait in first.values()}) > 90


def test_who_is_sent_by_one_of_two_workers_thinks_as_long_as_by_one_process() -> None:
    def waits(plan: Any, think: WaitTime, rate: float) -> dict[bytes, float]:
        times = seconds(run(plan, at_once, think=think, rate=rate, duration_s=10, drain_s=9e3))
        return {body: times[body][1] - times[body][0] for body in times}

    alone = waits(TwoSteps(), thinking(LOGNORMAL), 10)
    both: dict[bytes, float] = {}
    for index in range(2):
        part_of = Slice(index=index, of=2)
        plan: Any = SlicedPlan(cast("Any", TwoSteps()), part_of)
        plan.steps = TwoSteps.steps
        part = waits(plan, part_of.waits(thinking(LOGNORMAL), 1), 5)
        assert len(part) == 50
        both |= part
    assert both == pytest.approx(alone, abs=0.01)


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 500), st.integers(0, 3))
def test_the_uploads_of_all_workers_wait_as_those_of_one_process(
    of: int, uploads: int, upload: int, turn: int
) -> None:
    copy, place = divmod(upload, uploads)
    part = Slice(index=copy % of, of=of)
    wait = part.waits(lambda number, turn: number + turn / 10, uploads)
    assert wait(copy // of * uploads + place, turn) == upload + turn / 10


@pytest.mark.parametrize(
    "spread",
    [
        Spread(kind="uniform", first=1.0, second=3.0),
        Spread(kind="normal", first=5.0, second=1.0),
        LOGNORMAL,
        Spread(first=2.0),
    ],
)
def test_what_is_drawn_has_the_mean_that_is_told(spread: Spread) -> None:
    draw = spread.of(3, "think")
    drawn = [draw(number, turn) for number in range(10_000) for turn in (0, 1)]
    assert fmean(drawn) == pytest.approx(spread.mean, rel=0.05)
    assert sorted(drawn)[19_800] == pytest.approx(spread.quantile(0.99), rel=0.1)


def test_a_stop_ends_those_who_think_at_once_with_what_is_known_of_them() -> None:
    async def stop(runner: Runner) -> None:
        await trio.sleep(5)
        runner.stop()

    ran = run(
        TwoSteps(), at_once, think=thinking(Spread(first=60.0)), rate=10, beside=stop, drain_s=1000
    )
    assert ran.took_s < 6
    # the first step was the one that counts: it was acknowledged
    assert ran.record.acknowledged == ran.record.started
    assert len(ran.transport.sent) == ran.record.started
    assert ran.record.in_flight == 0


def test_a_stop_in_a_closed_load_starts_nobody_in_the_place_of_those_who_think() -> None:
    async def stop(runner: Runner) -> None:
        await trio.sleep(5)
        runner.stop()

    closed = {"concurrency": 20, "copies": 1000}
    ran = run(TwoSteps(), at_once, think=thinking(Spread(first=60.0)), closed=closed, beside=stop)
    assert (ran.record.started, ran.record.acknowledged) == (20, 20)
    assert ran.took_s < 6


def test_the_end_of_the_schedule_lets_those_who_think_go_on() -> None:
    ran = run(TwoSteps(), at_once, think=thinking(Spread(first=20.0)), rate=10, duration_s=10)
    assert len(ran.transport.sent) == 200


def test_a_drain_that_is_too_short_cuts_them_off() -> None:
    ran = run(
        TwoSteps(), at_once, think=thinking(Spread(first=20.0)), rate=10, duration_s=10, drain_s=5
    )
    assert 100 <= len(ran.transport.sent) < 160
    assert ran.record.acknowledged == 100


def test_a_frozen_process_sends_nothing_after_its_lease() -> None:
    async def end(runner: Runner) -> None:
        await trio.sleep(5)
        runner.lease_ns = runner.begin_ns + 6_000_000_000

    ran = run(TwoSteps(), at_once, think=thinking(Spread(first=3.0)), rate=10, beside=end)
    assert max(instant for instant, _ in ran.transport.sent) - ran.began_s < 6.1
    assert ran.record.in_flight == 0


def test_neither_a_retry_nor_a_plan_of_one_step_thinks() -> None:
    ran = run(
        OneStep(),
        lambda _, before: (0.001, 200 if before % 2 else 503),
        think=thinking(Spread(first=50.0)),
        attempts=9,
    )
    assert ran.record.retries >= 50
    assert ran.record.acknowledged == 100
    assert ran.took_s < 20


def test_whoever_still_thinks_when_the_load_was_abandoned_is_not_woken_by_its_timer() -> None:
    calls: list[Callable[[], None]] = []
    waiting = wait_queue(now_ns, lambda _, call: calls.append(call))
    clock = Clock(now_ns=now_ns, spin_ns=0, waiting=waiting)

    async def main() -> tuple[int, int]:
        plan: Any = TwoSteps()
        async with trio.open_nursery() as nursery:
            transport = FakeTransport(nursery, at_once)
            think = thinking(Spread(first=5.0))
            rules = Rules(backoff=Backoff(Retry(attempts=1), seed=1), think=think)
            runner = Runner(plan, transport, Record(plan.steps, 0), rules, clock)
            with trio.move_on_after(3):
                pacer = OpenPacer(stages=[stage(10, 10, 10)])
                await runner.run_open(pacer, max_in_flight=1000, drain_s=60)
            sent = len(transport.sent)
            await trio.sleep(10)
            assert calls
            for call in calls:
                call()
            await trio.sleep(1)
            return sent, len(transport.sent)

    sent, later = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sent == later > 10


def test_loads_that_share_a_queue_end_apart() -> None:
    async def main() -> tuple[Record, Record, int]:
        records = [Record(TwoSteps.steps, 0) for _ in range(2)]
        timers: list[float] = []
        async with trio.open_nursery() as nursery:
            transport = FakeTransport(nursery, at_once)

            async def ring(seconds: float, call: Callable[[], None]) -> None:
                await trio.sleep(seconds)
                call()

            def later(seconds: float, call: Callable[[], None]) -> None:
                timers.append(seconds)
                nursery.start_soon(ring, seconds, call)

            clock = Clock(now_ns=now_ns, spin_ns=0, waiting=wait_queue(now_ns, later))
            think = thinking(Spread(first=2.0))
            rules = Rules(backoff=Backoff(Retry(attempts=1), seed=1), think=think)
            plan: Any = TwoSteps()
            first, second = (Runner(plan, transport, each, rules, clock) for each in records)

            async def abandoned() -> None:
                with trio.move_on_after(3.5):
                    await first.run_closed(ClosedLoad(concurrency=5, copies=10_000), drain_s=60)

            nursery.start_soon(abandoned)
            await second.run_closed(ClosedLoad(concurrency=5, copies=50), drain_s=60)
            nursery.cancel_scope.cancel()
        return records[0], records[1], len(timers)

    cut, whole, timers = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert whole.acknowledged == 50
    assert (cut.started, cut.acknowledged) == (10, 5)
    assert timers < 50


def test_a_fault_in_a_copy_that_is_woken_ends_the_run() -> None:
    class Broken(TwoSteps):
        def copy(self, number: int, time_ms: int, retry: Any) -> Any:
            try:
                yield from super().copy(number, time_ms, retry)
            finally:
                if number == 0:
                    raise RuntimeError("broken")

    async def expire(runner: Runner) -> None:
        await trio.sleep(3)
        runner.lease_ns = now_ns()

    with pytest.raises(BaseExceptionGroup) as caught:
        run(Broken(), at_once, think=thinking(Spread(first=5.0)), duration_s=4, beside=expire)
    # by way of the runner: not out of whatever timer woke it
    assert [*map(str, caught.value.exceptions)] == ["broken"]
