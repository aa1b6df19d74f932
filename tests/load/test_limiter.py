"""Gates under virtual time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.load.limiter import StepLimiter, WaitQueue
from loadcheck.load.transport import Sink
from loadcheck.scenario.model import Limit
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request


def request(number: int) -> Request:
    return Request(0, Origin("http", "127.0.0.1", 80), b"GET / HTTP/1.1\r\n", b"%d" % number)


def pass_through(
    limit: Limit, count: int, *, takes_s: float, close_after_s: float | None = None
) -> tuple[list[float], list[Exchange], int]:
    """Return when each of some requests was sent, what came back, and the most under way."""

    async def main() -> tuple[list[float], list[Exchange], int]:
        sent: list[float] = []
        back: list[Exchange] = []
        most = under_way = 0
        began = trio.current_time()

        async def answer(request: Request, sink: Sink) -> None:
            nonlocal under_way
            await trio.sleep(takes_s)
            under_way -= 1
            sink(Exchange(request).answered(200))

        async with trio.open_nursery() as nursery:

            def submit(request: Request, sink: Sink) -> None:
                nonlocal under_way, most
                sent.append(trio.current_time() - began)
                under_way += 1
                most = max(most, under_way)
                nursery.start_soon(answer, request, sink)

            gate = StepLimiter(limit, submit, lambda: round(trio.current_time() * 1e9))
            nursery.start_soon(gate.serve)
            for number in range(count):
                gate.submit(request(number), back.append)
            assert not back
            if close_after_s is not None:
                await trio.sleep(close_after_s)
                gate.close()
            with trio.fail_after(1000):
                while len(back) < count:  # noqa: ASYNC110  # a sink is no place to wait in
                    await trio.sleep(0.01)
            assert gate.waiting == 0
            nursery.cancel_scope.cancel()
        return sent, back, most

    run: Callable[..., tuple[list[float], list[Exchange], int]] = trio.run
    return run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_no_more_than_the_limit_are_under_way_and_they_keep_their_order() -> None:
    sent, back, most = pass_through(Limit(concurrency=3), 12, takes_s=1)
    assert most == 3
    assert sent == pytest.approx([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], abs=0.01)
    # those sent together may come back in any order
    numbers = [int(exchange.request.body) for exchange in back]
    assert [sorted(numbers[n : n + 3]) for n in range(0, 12, 3)] == [
        list(range(n, n + 3)) for n in range(0, 12, 3)
    ]


def test_a_rate_is_kept_however_many_come_at_once() -> None:
    sent, _, _ = pass_through(Limit(rate=4), 9, takes_s=0.01)
    assert sent == pytest.approx([n / 4 for n in range(9)], abs=0.01)


def test_both_limits_hold_together() -> None:
    sent, _, most = pass_through(Limit(concurrency=1, rate=10), 4, takes_s=1)
    assert most == 1
    assert sent == pytest.approx([0, 1, 2, 3], abs=0.02)


def test_what_waits_when_it_closes_comes_back_as_never_sent() -> None:
    sent, back, _ = pass_through(Limit(concurrency=1), 5, takes_s=10, close_after_s=1)
    assert len(sent) == 1
    assert sorted(str(exchange.failure) for exchange in back) == [str(Failure.CONNECT)] * 4 + [
        "None"
    ]
    assert all(exchange.sent_ns == 0 for exchange in back if exchange.failure)


def test_closing_does_not_wait_for_the_next_of_a_low_rate() -> None:
    # the next would be sent after 10,000 s, longer than the helper waits
    sent, back, _ = pass_through(Limit(rate=0.0001), 3, takes_s=1, close_after_s=2)
    assert sent == pytest.approx([0])
    assert [exchange.failure for exchange in back] == [None, Failure.CONNECT, Failure.CONNECT]


class Timers:
    """An event loop's timers under a clock that goes on from one to the next."""

    def __init__(self, early_ns: int = 0) -> None:
        self.now_ns = 0
        self.most = 0
        self._early_ns = early_ns
        self._set: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._count += 1
        at_ns = self.now_ns + max(0, round(seconds * 1e9) - self._early_ns)
        heapq.heappush(self._set, (at_ns, self._count, call))
        self.most = max(self.most, len(self._set))

    def run(self, until_ns: int = 1 << 62) -> None:
        while self._set and self._set[0][0] <= until_ns:
            at_ns, _, call = heapq.heappop(self._set)
            self.now_ns = max(self.now_ns, at_ns)
            call()


WAITS = st.lists(st.tuples(st.integers(0, 50_000_000), st.integers(0, 20_000_000)), max_size=40)


@given(waits=WAITS, early_ns=st.integers(0, 900_000))
def test_who_waits_is_woken_in_order_never_too_early_and_soon_after(
    waits: list[tuple[int, int]], early_ns: int
) -> None:
    timers = Timers(early_ns)
    woken: list[tuple[int, int]] = []

    def wake(instants: Sequence[int]) -> None:
        woken.extend((at, timers.now_ns) for at in instants)

    queue = WaitQueue[int](lambda: timers.now_ns, wake, timers.later)
    for begin_ns, length_ns in sorted(waits):
        timers.run(begin_ns)
        timers.now_ns = max(timers.now_ns, begin_ns)
        queue.add(begin_ns + length_ns, begin_ns + length_ns)
    timers.run()
    assert sorted(at for at, _ in woken) == sorted(sum(wait) for wait in waits)
    for at_ns, now_ns in woken:
        assert 0 <= now_ns - at_ns <= 2_000_000
    for (first, then), (second, _) in itertools.pairwise(woken):
        # those who are due within a tick are woken together; or the later one came when it had gone
        assert first <= second + 262_144 or then <= second


def test_those_who_are_due_together_have_one_timer() -> None:
    timers = Timers()
    woken: list[int] = []
    queue = WaitQueue[int](lambda: timers.now_ns, woken.extend, timers.later)
    for number in range(1000):
        queue.add(10_000_000 + number * 100, number)
    assert timers.most == 1
    timers.run()
    assert woken == list(range(1000))


def test_a_crowd_that_is_due_at_once_lets_the_loop_have_its_turn() -> None:
    timers = Timers()
    woken: list[int] = []
    queue = WaitQueue[int](lambda: timers.now_ns, woken.extend, timers.later)
    for number in range(200):
        queue.add(5_000_000, number)
    timers.run(6_000_000)
    turns = []
    for number in range(200):
        queue.add(timers.now_ns, number)
    timers.later(0, lambda: turns.append(len(woken)))
    timers.run()
    assert len(woken) == 400
    assert turns[0] < 400


def test_who_is_woken_may_wait_again_and_nobody_is_woken_after_the_end() -> None:
    timers = Timers()
    woken: list[int] = []

    def wake(numbers: Sequence[int]) -> None:
        (number,) = numbers
        woken.append(number)
        if number < 5:
            queue.add(timers.now_ns, number + 1)
        else:
            queue.add(timers.now_ns + 1_000_000, 99)
            queue.close()

    queue = WaitQueue[int](lambda: timers.now_ns, wake, timers.later)
    queue.add(1_000_000, 1)
    queue.add(60_000_000, 98)
    timers.run()
    assert woken == [1, 2, 3, 4, 5]
