"""The runner under virtual time: a fake transport, trio's clock, and plans of a few lines."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing

from loadcheck.load.pacer import OpenPacer, levels
from loadcheck.load.retry import Backoff
from loadcheck.load.runner import Clock, Rules, Runner
from loadcheck.load.slices import WaitTime
from loadcheck.load.transport import Sink
from loadcheck.measure.record import Record
from loadcheck.scenario.model import ClosedLoad, Retry, Users
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request, Wait
from loadcheck.workflow.runtime.plan import Role, StepPlan
from tests.load.stages import stage

UNABLE = -1
"""The status of a request that this machine cannot send."""
ORIGIN = Origin("http", "127.0.0.1", 80)

Answering = Callable[[Request, int], tuple[float, int]]
"""Request and how many came before it → seconds to answer, status (0: connection lost)."""


def step(index: int, step_id: str, *, dependent: bool = False) -> StepPlan:
    return StepPlan(
        step_id=step_id,
        index=index,
        role=Role.COPY,
        method="POST",
        origin=ORIGIN,
        path="/",
        uses=frozenset(),
        dependent=dependent,
    )


class OneStep:
    """A plan with one step, retried as the policy says."""

    steps = (step(0, "send"),)

    def copy(
        self, number: int, time_ms: int, retry: Backoff
    ) -> Generator[Request | Wait, Exchange, bool]:
        request = Request(0, ORIGIN, b"POST / HTTP/1.1\r\n", str(number).encode())
        attempt = 1
        while True:
            exchange = yield request
            exchange.success = exchange.status == 200
            if exchange.success:
                return True
            wait = retry(exchange, attempt)
            if wait is None:
                return False
            yield Wait(wait)
            attempt += 1


class TwoSteps:
    """A plan whose second step follows the first."""

    steps = (step(0, "send"), step(1, "confirm", dependent=True))

    def copy(
        self, number: int, time_ms: int, retry: Backoff
    ) -> Generator[Request | Wait, Exchange, bool]:
        for index in (0, 1):
            exchange = yield Request(index, ORIGIN, b"POST / HTTP/1.1\r\n", str(number).encode())
            exchange.success = exchange.status == 200
            if not exchange.success:
                return False
        return True


class FakeTransport:
    """Answers after some virtual seconds."""

    def __init__(self, nursery: trio.Nursery, answering: Answering) -> None:
        self._nursery = nursery
        self._answering = answering
        self._scopes: list[trio.CancelScope] = []
        self.sent: list[tuple[float, bytes]] = []

    def submit(self, request: Request, sink: Sink) -> None:
        self._nursery.start_soon(self._answer, request, sink)

    async def _answer(self, request: Request, sink: Sink) -> None:
        exchange = Exchange(request, sent_ns=now_ns())
        seconds, status = self._answering(request, len(self.sent))
        self.sent.append((trio.current_time(), request.body))
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            await trio.sleep(seconds)
            exchange.status = status
        exchange.done_ns = now_ns()
        if status == UNABLE:
            exchange.status, exchange.sent_ns, exchange.failure = 0, 0, Failure.LOCAL
        if scope.cancelled_caught or status == 0:
            exchange.failure = Failure.LOST
        sink(exchange)

    def abort(self) -> None:
        for scope in self._scopes:
            scope.cancel()


def now_ns() -> int:
    # not from 0, which would stand for "never sent"
    return round(trio.current_time() * 1e9) + 1


@dataclass
class Ran:
    record: Record
    transport: FakeTransport
    began_s: float
    took_s: float


def run(
    plan: Any,
    answering: Answering,
    *,
    rate: float = 10,
    duration_s: float = 10,
    max_in_flight: int = 1000,
    drain_s: float = 30,
    attempts: int = 3,
    closed: dict[str, Any] | None = None,
    beside: Callable[[Runner], Any] | None = None,
    together: int = 1,
    clock: Clock | None = None,
    think: WaitTime | None = None,
) -> Ran:
    async def main() -> Ran:
        async with trio.open_nursery() as nursery:
            transport = FakeTransport(nursery, answering)
            record = Record(plan.steps, 0)
            on = ("5xx", "429", "connection")
            retry = Retry(attempts=attempts, backoff_s=1, max_backoff_s=1, on=on)
            rules = Rules(backoff=Backoff(retry, seed=1), together=together, think=think)
            runner = Runner(
                plan, transport, record, rules, clock or Clock(now_ns=now_ns, spin_ns=0)
            )
            began = trio.current_time()
            if beside is not None:
                nursery.start_soon(beside, runner)
            if closed is not None:
                load = ClosedLoad(**closed)
                users = levels(load) if load.ramp else None
                await runner.run_closed(load, drain_s=drain_s, users=users)
            else:
                pacer = OpenPacer(stages=[stage(duration_s, rate, rate)])
                await runner.run_open(pacer, max_in_flight=max_in_flight, drain_s=drain_s)
            took = trio.current_time() - began
            nursery.cancel_scope.cancel()
        record.close()
        return Ran(record, transport, began, took)

    result: Ran = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return result


def at_once(request: Request, before: int) -> tuple[float, int]:
    return 0.001, 200


def test_copies_start_when_due_although_none_has_been_answered() -> None:
    ran = run(OneStep(), lambda *_: (60, 200), rate=10, duration_s=10, drain_s=100)
    starts = [instant - ran.began_s for instant, _ in ran.transport.sent]
    assert starts == pytest.approx([n / 10 for n in range(100)], abs=0.002)
    assert ran.record.max_in_flight == 100
    assert ran.record.acknowledged == 100


def test_response_time_begins_when_due_service_time_when_sent() -> None:
    ran = run(OneStep(), lambda *_: (0.25, 200))
    send = ran.record.steps[0]
    assert send.response_time is not None
    assert send.service_time.percentile_ms(50) == pytest.approx(250, rel=0.01)
    assert send.response_time.percentile_ms(50) == pytest.approx(250, rel=0.02)
    assert send.response_time.count == send.service_time.count == 100


def test_what_falls_due_beyond_max_in_flight_is_skipped_and_counted() -> None:
    ran = run(OneStep(), lambda *_: (60, 200), rate=10, duration_s=10, max_in_flight=30, drain_s=99)
    assert (ran.record.due, ran.record.started, ran.record.skipped) == (100, 30, 70)
    assert list(ran.record.ledger.skipped) == list(range(30, 100))
    assert ran.record.max_in_flight == 30


def test_a_retry_sends_the_same_bytes_and_its_copy_is_acknowledged_once() -> None:
    def flaky(request: Request, before: int) -> tuple[float, int]:
        return 0.1, 503 if before == 0 else 200

    ran = run(OneStep(), flaky, rate=1, duration_s=1)
    assert [body for _, body in ran.transport.sent] == [b"0", b"0"]
    assert (ran.record.acknowledged, ran.record.retries) == (1, 1)
    response = ran.record.steps[0].response_time
    assert response is not None
    # two attempts of 0.1 s and a wait of 0.5 to 1 s
    assert 0.7e3 <= (response.percentile_ms(50) or 0) <= 1.21e3


@pytest.mark.parametrize(
    ("status", "column"),
    [(503, "rejected"), (429, "rejected"), (500, "indeterminate"), (0, "indeterminate")],
)
def test_a_target_that_refuses_for_ever(status: int, column: str) -> None:
    ran = run(OneStep(), lambda *_: (0.01, status))
    assert getattr(ran.record, column) == 100
    assert ran.record.acknowledged == 0
    assert ran.record.steps[0].service_time.count == 0


def test_what_this_machine_cannot_send_is_no_error_of_the_targets() -> None:
    def short(request: Request, before: int) -> tuple[float, int]:
        return 0.01, UNABLE if int(request.body) < 30 else 500 if request.body == b"99" else 200

    record = run(OneStep(), short, attempts=1).record
    assert list(record.unsent) == list(range(30))
    assert (record.rejected, record.acknowledged, record.indeterminate) == (30, 69, 1)
    assert record.steps[0].error_rate == pytest.approx(1 / 70)
    assert record.steps[0].shortages.total() == 30


def test_who_was_sent_later_is_not_unsent() -> None:
    came: list[bytes] = []

    def short(request: Request, before: int) -> tuple[float, int]:
        came.append(request.body)
        return 0.01, UNABLE if came.count(request.body) == 1 else 200

    record = run(OneStep(), short, attempts=2).record
    assert (record.acknowledged, len(record.unsent)) == (100, 0)
    assert record.steps[0].error_rate == 0
    batch = run(Shared(), lambda *_: (0.01, UNABLE), attempts=1, together=7).record
    assert (batch.rejected, list(batch.unsent)) == (100, list(range(100)))


def test_a_load_that_only_time_bounds_does_not_outgrow_the_ledger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loadcheck.load.runner.MOST_COPIES", 30)
    for together in (1, 7):
        closed = {"concurrency": 7, "copies": None, "duration_s": 1e6}
        plan = OneStep() if together == 1 else Shared()
        ran = run(plan, at_once, closed=closed, together=together)
        assert (ran.record.started, ran.record.acknowledged) == (30, 30)


def test_429_is_mixed_into_neither_histogram() -> None:
    ran = run(OneStep(), lambda *_: (0.01, 429), attempts=1)
    send = ran.record.steps[0]
    assert (send.throttled.count, send.failed.count, send.service_time.count) == (100, 0, 0)


def test_copies_still_out_when_the_drain_is_over_are_indeterminate() -> None:
    ran = run(OneStep(), lambda *_: (1000, 200), drain_s=5)
    assert ran.took_s == pytest.approx(15, abs=0.1)
    assert ran.record.indeterminate == 100
    assert ran.record.in_flight == 0


def test_copies_that_wait_for_a_retry_when_the_drain_is_over_keep_what_is_proven() -> None:
    ran = run(OneStep(), lambda *_: (0.1, 503), attempts=10_000, drain_s=5)
    # whose attempt is under way at that moment may still take effect; the others certainly not
    assert ran.record.rejected + ran.record.indeterminate == 100
    assert ran.record.rejected > 80


class Stubborn:
    """A plan whose document repeats a failed step for ever, whatever the policy says."""

    steps = (step(0, "send"),)

    def copy(
        self, number: int, time_ms: int, retry: Backoff
    ) -> Generator[Request | Wait, Exchange, bool]:
        while True:
            exchange = yield Request(0, ORIGIN, b"POST / HTTP/1.1\r\n", str(number).encode())
            exchange.success = exchange.status == 200
            if exchange.success:
                return True
            yield Wait(60)


def test_a_retry_of_the_documents_own_does_not_outlast_the_drain() -> None:
    ran = run(Stubborn(), lambda *_: (1000, 200), drain_s=5)
    assert ran.record.indeterminate == 100
    assert ran.took_s == pytest.approx(15, abs=0.1)


def test_a_retry_without_a_wait_is_counted() -> None:
    def refusing_first(request: Request, before: int) -> tuple[float, int]:
        return 0.001, 503 if before % 2 == 0 else 200

    class AtOnce(OneStep):
        def copy(
            self, number: int, time_ms: int, retry: Backoff
        ) -> Generator[Request | Wait, Exchange, bool]:
            return super().copy(number, time_ms, lambda *_: 0.0)  # type: ignore[arg-type]

    ran = run(AtOnce(), refusing_first)
    assert ran.record.acknowledged == 100
    assert ran.record.retries == 100


def test_stop_ends_the_schedule_and_follows_what_is_under_way() -> None:
    async def stop(runner: Runner) -> None:
        await trio.sleep(3.05)
        runner.stop()

    ran = run(OneStep(), lambda *_: (2, 200), beside=stop)
    assert ran.record.started == 31
    assert ran.record.acknowledged == 31
    assert ran.took_s < 6


def test_stop_is_noticed_in_the_middle_of_a_long_wait() -> None:
    async def stop(runner: Runner) -> None:
        await trio.sleep(15)
        runner.stop()

    ran = run(OneStep(), at_once, rate=0.1, duration_s=100, beside=stop)
    assert 15 <= ran.took_s <= 15.2


def test_a_second_step_has_no_due_time_of_its_own() -> None:
    ran = run(TwoSteps(), lambda *_: (0.1, 200))
    first, second = ran.record.steps
    assert first.response_time is not None
    assert second.response_time is None
    assert second.service_time.count == 100


def test_the_outcome_is_the_ingest_steps_whatever_follows() -> None:
    def second_fails(request: Request, before: int) -> tuple[float, int]:
        return 0.1, 200 if request.step == 0 else 500

    ran = run(TwoSteps(), second_fails)
    assert ran.record.acknowledged == 100


@pytest.mark.parametrize(
    ("closed", "started", "took_s"),
    [
        ({"concurrency": 4, "copies": 20, "duration_s": None}, 20, 5),
        ({"concurrency": 4, "copies": None, "duration_s": 3.5}, 16, 4),
        ({"concurrency": 4, "copies": 1000, "duration_s": 1.5}, 8, 2),
        ({"concurrency": 10, "copies": 3, "duration_s": None}, 3, 1),
    ],
)
def test_a_closed_load_keeps_its_copies_in_flight(
    closed: dict[str, Any], started: int, took_s: float
) -> None:
    ran = run(OneStep(), lambda *_: (1, 200), closed=closed)
    assert ran.record.started == ran.record.acknowledged == started
    assert ran.took_s == pytest.approx(took_s, abs=0.05)
    assert ran.record.max_in_flight <= closed["concurrency"]


def test_a_closed_load_of_copies_that_cannot_send_anything_comes_to_its_end() -> None:
    class Unsendable(OneStep):
        def copy(
            self, number: int, time_ms: int, retry: Backoff
        ) -> Generator[Request | Wait, Exchange, bool]:
            yield from ()
            return False

    ran = run(Unsendable(), at_once, closed={"concurrency": 4, "copies": 5000, "duration_s": None})
    assert (ran.record.started, ran.record.rejected) == (5000, 5000)
    assert not ran.transport.sent


def test_a_fault_of_ours_ends_the_run_and_is_raised() -> None:
    class Broken(OneStep):
        def copy(
            self, number: int, time_ms: int, retry: Backoff
        ) -> Generator[Request | Wait, Exchange, bool]:
            yield Request(0, ORIGIN, b"POST / HTTP/1.1\r\n", b"")
            raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup) as caught:
        run(Broken(), at_once)
    assert caught.group_contains(ZeroDivisionError)


def test_an_hour_of_load_in_a_moment() -> None:
    ran = run(OneStep(), at_once, rate=1, duration_s=3600)
    assert ran.record.acknowledged == 3600
    assert (ran.record.lateness.percentile_ms(100) or 0) < 3


class Shared(OneStep):
    """A plan whose copies share requests; a 400 refuses the copies that are told to it."""

    def __init__(self, wrong: Sequence[int] = ()) -> None:
        self.wrong = set(wrong)
        self.batches: list[list[int]] = []

    def batch(
        self,
        numbers: Sequence[int],
        time_ms: int,
        retry: Backoff,
        refuse: Callable[[Sequence[int]], None],
    ) -> Generator[Request | Wait, Exchange, bool]:
        self.batches.append(list(numbers))
        attempt = 1
        while True:
            body = ",".join(map(str, numbers)).encode()
            exchange = yield Request(0, ORIGIN, b"POST / HTTP/1.1\r\n", body)
            exchange.success = exchange.status == 200
            if exchange.success:
                return True
            named = [place for place, number in enumerate(numbers) if number in self.wrong]
            if exchange.status == 400 and named:
                refuse(named)
                numbers = [number for number in numbers if number not in self.wrong]
                if numbers:
                    continue
            wait = retry(exchange, attempt)
            if wait is None:
                return False
            yield Wait(wait)
            attempt += 1


def test_copies_that_share_a_request_fall_due_with_the_first_of_them() -> None:
    plan = Shared()
    ran = run(plan, at_once, rate=10, duration_s=2.3, together=5)
    assert plan.batches == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14],
                            [15, 16, 17, 18, 19], [20, 21, 22]]  # fmt: skip
    starts = [instant - ran.began_s for instant, _ in ran.transport.sent]
    assert starts == pytest.approx([0, 0.5, 1, 1.5, 2], abs=0.002)
    record = ran.record
    assert (record.due, record.started, record.acknowledged) == (23, 23, 23)
    assert record.steps[0].attempts == record.lateness.count == 5
    assert record.max_in_flight == 5


def test_outcomes_are_of_copies_although_requests_are_shared() -> None:
    wrong = [2, 3, 11]

    def refusing(request: Request, before: int) -> tuple[float, int]:
        numbers = set(map(int, request.body.split(b",")))
        return 0.01, 400 if numbers & set(wrong) else 200

    ran = run(Shared(wrong), refusing, rate=10, duration_s=2, together=10)
    record = ran.record
    assert (record.acknowledged, record.rejected, record.indeterminate) == (17, 3, 0)
    assert list(record.ledger.rejected) == wrong
    assert (record.resends, record.retries) == (2, 0)
    assert record.in_flight == 0


def test_what_may_have_landed_before_a_refusal_by_name_stays_open() -> None:
    def lost_then_refused(request: Request, before: int) -> tuple[float, int]:
        return 0.01, (500, 400, 200)[before]

    ran = run(Shared([1]), lost_then_refused, rate=10, duration_s=0.3, together=3)
    assert list(ran.record.ledger.indeterminate) == [1]
    assert list(ran.record.ledger.acknowledged) == [0, 2]
    assert (ran.record.resends, ran.record.retries) == (1, 1)


def test_copies_that_share_a_request_are_skipped_together() -> None:
    ran = run(
        Shared(), lambda *_: (60, 200), rate=10, duration_s=3, max_in_flight=12, together=5,
        drain_s=99,
    )  # fmt: skip
    assert (ran.record.due, ran.record.started, ran.record.skipped) == (30, 10, 20)
    assert list(ran.record.ledger.skipped) == list(range(10, 30))


def test_a_drain_ends_all_copies_of_a_request() -> None:
    ran = run(Shared(), lambda *_: (1000, 200), rate=10, duration_s=1, together=4, drain_s=2)
    assert (ran.record.indeterminate, ran.record.in_flight) == (10, 0)


@pytest.mark.parametrize(("concurrency", "copies"), [(10, 23), (3, 9), (4, 1)])
def test_a_closed_load_of_shared_requests(concurrency: int, copies: int) -> None:
    plan = Shared()
    closed = {"concurrency": concurrency, "copies": copies, "duration_s": None}
    ran = run(plan, lambda *_: (1, 200), closed=closed, together=3)
    assert ran.record.acknowledged == copies
    assert sorted(n for batch in plan.batches for n in batch) == list(range(copies))
    assert max(map(len, plan.batches)) <= 3


def pausing(at_s: float, length_s: float) -> Callable[[Runner], Any]:
    """Let nothing but the clock go on for a while, once."""

    async def pause(runner: Runner) -> None:
        await trio.sleep(at_s)
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(length_s)

    return pause


@pytest.mark.parametrize("together", [1, 4])
def test_what_falls_due_in_a_pause_is_skipped_and_what_comes_later_is_on_time(
    together: int,
) -> None:
    ran = run(
        OneStep() if together == 1 else Shared(),
        at_once,
        rate=100,
        duration_s=10,
        together=together,
        beside=pausing(2.0025, 6),
    )
    record = ran.record
    starts = [instant - ran.began_s for instant, _ in ran.transport.sent]
    assert not [at for at in starts if 2.01 < at < 8]
    # nothing is sent faster than ever
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert min(gaps) > 0.009 * together
    assert record.due == 1000
    assert len(record.paused) == record.skipped == pytest.approx(600, abs=together)
    assert record.started == record.acknowledged == 1000 - record.skipped
    assert len(record.ledger.skipped) == record.skipped
    (pause,) = record.stalls.pauses
    assert pause.length_ns == pytest.approx(6e9, rel=0.01)
    assert (record.dispatch_lag.percentile_ms(100) or 0) < 10
    counts = record.grid.outcomes(record.ledger, record.due).columns()
    assert sum(counts["due"]) == 1000
    assert max(counts["due"]) <= 1000 / len(counts["due"]) + together


def test_what_falls_due_in_a_hiccup_is_sent_late_but_not_in_a_burst() -> None:
    ran = run(OneStep(), at_once, rate=100, duration_s=6, beside=pausing(1.0025, 0.45))
    assert (ran.record.skipped, ran.record.acknowledged) == (0, 600)
    assert ran.record.stalls.pauses == []
    assert ran.record.dispatch_lag.percentile_ms(100) == pytest.approx(442.5, abs=5)
    starts = [instant - ran.began_s for instant, _ in ran.transport.sent]
    for first, last in zip(starts, starts[30:], strict=False):
        # what was due in the last tenth of a second at once, then a quarter faster than ever
        assert last - first > 0.05
    # within two seconds all are on time again
    assert starts[-200:] == pytest.approx([n / 100 for n in range(400, 600)], abs=0.002)


def test_a_pause_over_the_end_skips_the_rest() -> None:
    ran = run(OneStep(), at_once, rate=100, duration_s=3, beside=pausing(1.0025, 60))
    assert (ran.record.due, ran.record.started) == (300, 101)
    assert len(ran.record.paused) == 199


def test_who_can_wait_exactly_never_turns_the_loop_meanwhile() -> None:
    waits = 0

    async def follow(instants: Iterator[int]) -> None:
        nonlocal waits
        for instant_ns in instants:
            waits += 1
            # a nanosecond is less than what a float of seconds tells apart
            await trio.sleep_until((instant_ns - 1) / 1e9)
            await trio.lowlevel.checkpoint()

    # in this time, which passes only while all sleep, turning the loop would never end
    clock = Clock(now_ns=now_ns, spin_ns=1 << 62, follow=follow)
    ran = run(OneStep(), at_once, rate=10, duration_s=3, clock=clock)
    assert (ran.record.started, ran.record.acknowledged) == (30, 30)
    assert ran.record.dispatch_lag.max_ns == 0
    assert waits <= 2 * 30 + 1


def test_the_loop_is_turned_before_a_copy_is_due_only() -> None:
    read = 0

    def creeping_ns() -> int:
        nonlocal read
        read += 1
        return now_ns() + 1000 * read  # time passes while the loop is turned, too

    ran = run(OneStep(), at_once, rate=1, duration_s=4, clock=Clock(now_ns=creeping_ns))
    assert ran.record.started == 4
    # a microsecond each, at most 1.5 ms before each of four copies and before the end
    assert read < 5 * 1500 + 1000


def test_users_of_a_closed_load_come_and_go() -> None:
    ramp = (
        Users(duration_s=10.0, concurrency=5),
        Users(duration_s=10.0, concurrency=5),
        Users(duration_s=10.0, concurrency=0),
        Users(duration_s=5.0, concurrency=0),
        Users(duration_s=5.0, concurrency=2),
    )
    closed = {"concurrency": 5, "ramp": ramp, "duration_s": 40.0}
    ran = run(OneStep(), lambda *_: (0.5, 200), closed=closed)
    starts = [instant - ran.began_s for instant, _ in ran.transport.sent]
    busy = [sum(at <= second < at + 0.5 for at in starts) for second in (1, 3, 9, 15, 25, 32, 39)]
    assert busy == [1, 2, 5, 5, 3, 0, 2]
    assert ran.record.max_in_flight == 5
    assert ran.took_s == pytest.approx(40.0, abs=0.6)
    assert ran.record.acknowledged == len(starts) == ran.record.due


def test_a_ramp_ends_with_its_copies() -> None:
    ramp = (Users(duration_s=10.0, concurrency=5), Users(duration_s=50.0, concurrency=5))
    closed = {"concurrency": 5, "ramp": ramp, "copies": 20, "duration_s": 60.0}
    ran = run(OneStep(), lambda *_: (0.5, 200), closed=closed)
    assert len(ran.transport.sent) == 20
    assert ran.took_s < 10
