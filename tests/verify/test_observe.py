"""The observer under virtual time, asking a service of a few lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
import trio
import trio.testing

from loadcheck.verify.observe import Observation, Observer, SettleResult
from loadcheck.verify.query_client import QueryClient
from loadcheck.workflow.exchange import Exchange, Origin, Pause, Request
from loadcheck.workflow.runtime.plan import Answer

REQUEST = Request(0, Origin("http", "127.0.0.1", 80), b"GET / HTTP/1.1\r\n", b"")


class FakeQuery:
    """Sends one request and reads its answer as the count."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, number: int) -> Generator[Request | Pause, Exchange, Answer]:
        exchange = yield REQUEST
        exchange.success = exchange.status == 200
        exchange.reason = "" if exchange.success else f"status {exchange.status}"
        value = exchange.json() if exchange.success else None
        return Answer(success=exchange.success, values={self.name: value}, exchange=exchange)


Service = Callable[[float], tuple[int, bytes]]
"""Seconds since the start → status, body."""


def now_ns() -> int:
    return round(trio.current_time() * 1e9)


def observe(service: Service, use: Callable[[Observer], Any], *, totals: bool = False) -> Any:
    async def main() -> Any:
        began = trio.current_time()

        async def send(request: Request) -> Exchange:
            sent = now_ns()
            status, body = service(trio.current_time() - began)
            await trio.sleep(0.01)
            return Exchange(request, sent_ns=sent, done_ns=now_ns(), status=status, body=body)

        observer = Observer(
            uniques=FakeQuery("uniques"),  # type: ignore[arg-type]
            totals=FakeQuery("totals") if totals else None,  # type: ignore[arg-type]
            asker=QueryClient(send=send, sent=lambda _: None, clock=now_ns),
            every_s=1,
            seen=lambda _: None,
        )
        return await use(observer)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def settle(
    service: Service,
    *,
    lower: int = 80,
    totals: bool = False,
    short: Callable[[], Awaitable[object]] | None = None,
) -> SettleResult:
    async def use(observer: Observer) -> SettleResult:
        return await observer.settle(
            lower=lower, upper=100, since_ns=now_ns(), quiet_s=10, deadline_s=60, short=short
        )

    settlement: SettleResult = observe(service, use, totals=totals)
    return settlement


def test_at_the_upper_bound_it_has_settled_at_once() -> None:
    settlement = settle(lambda _: (200, b"100"))
    assert settlement.settled
    assert settlement.waited_s < 0.1


def test_it_waits_while_the_count_moves_and_then_for_the_quiet_period() -> None:
    settlement = settle(lambda t: (200, b"%d" % min(90, int(t * 3))))
    assert settlement.settled
    assert settlement.last is not None
    assert settlement.last.uniques == 90
    assert 39 < settlement.waited_s < 43


def test_the_missing_get_until_the_deadline_even_if_the_count_stands_still() -> None:
    settlement = settle(lambda t: (200, b"100" if t > 50 else b"70"))
    assert settlement.settled
    assert settlement.last is not None
    assert settlement.last.uniques == 100
    assert 50 < settlement.waited_s < 52
    settlement = settle(lambda _: (200, b"70"))
    assert settlement.settled
    assert 60 <= settlement.waited_s < 62


def test_controls_are_called_for_once_when_users_have_been_missing_for_a_while() -> None:
    called = []

    async def short() -> None:
        called.append(trio.current_time())

    settle(lambda _: (200, b"70"), short=short)
    assert len(called) == 1
    settle(lambda _: (200, b"90"), short=short)
    assert len(called) == 1


def test_controls_are_called_for_even_if_one_answer_takes_until_the_deadline() -> None:
    called = []

    async def use(observer: Observer) -> SettleResult:
        async def short() -> None:
            called.append(trio.current_time())

        return await observer.settle(
            lower=80,
            upper=100,
            since_ns=now_ns() - 61 * 10**9,
            quiet_s=10,
            deadline_s=60,
            short=short,
        )

    settlement: SettleResult = observe(lambda _: (200, b"70"), use)
    assert settlement.waited_s > 60
    assert len(called) == 1


def test_a_count_that_never_rests_is_not_settled() -> None:
    settlement = settle(lambda t: (200, b"%d" % int(t)))
    assert not settlement.settled
    assert settlement.last is not None
    assert 60 <= settlement.waited_s < 62


@pytest.mark.parametrize(
    "answer",
    [
        (429, b""),
        (500, b""),
        (200, b"null"),
        (200, b'"90"'),
        (200, b"-1"),
        (200, b"1.5"),
        (200, b"true"),
    ],
    ids=str,
)
def test_a_refused_or_senseless_answer_is_no_count_and_never_zero(
    answer: tuple[int, bytes],
) -> None:
    settlement = settle(lambda _: answer)
    assert settlement.last is None
    assert not settlement.settled


def test_refusals_slow_the_questions_down() -> None:
    async def use(observer: Observer) -> list[Observation]:
        with trio.move_on_after(60):
            await observer.watch()
        return observer.observations

    refused = observe(lambda _: (429, b""), use)
    answered = observe(lambda _: (200, b"1"), use)
    assert len(answered) == 60
    assert len(refused) < 8
    assert all(observation.error == "status 429" for observation in refused)


def test_an_answer_to_a_question_from_before_the_last_acknowledgement_does_not_count() -> None:
    async def use(observer: Observer) -> SettleResult:
        # the last acknowledgement lies five seconds ahead: until then nothing can settle
        return await observer.settle(
            lower=100, upper=100, since_ns=now_ns() + 5_000_000_000, quiet_s=1, deadline_s=60
        )

    settlement: SettleResult = observe(lambda t: (200, b"100"), use)
    assert settlement.last is not None
    assert settlement.settled
    assert settlement.waited_s >= 0


def test_totals_are_asked_once_the_uniques_have_settled() -> None:
    settlement = settle(lambda _: (200, b"100"), totals=True)
    assert settlement.last is not None
    assert (settlement.last.uniques, settlement.last.totals) == (100, 100)


def test_totals_that_move_with_the_users_are_told_apart_from_duplicates() -> None:
    def growing(seconds: float) -> tuple[int, bytes]:
        return 200, str(int(seconds * 1000)).encode()

    settlement = settle(growing, totals=True)
    assert settlement.adrift
    assert settlement.last is not None
    assert settlement.last.uniques is not None
    assert settlement.last.totals is None


def test_before_anybody_is_accused_the_cache_is_got_past() -> None:
    async def use(observer: Observer) -> tuple[SettleResult, SettleResult]:
        stale = await observer.settle(
            lower=80, upper=100, since_ns=now_ns(), quiet_s=2, deadline_s=5, short=None
        )
        return stale, await observer.confirm(stale, Fresh("uniques"), None)  # type: ignore[arg-type]

    class Fresh(FakeQuery):
        def run(self, number: int) -> Generator[Request | Pause, Exchange, Answer]:
            exchange = yield REQUEST
            return Answer(success=True, values={self.name: 99}, exchange=exchange)

    stale, fresh = observe(lambda _: (200, b"7"), use)
    assert (stale.last.uniques, fresh.last.uniques) == (7, 99)
    assert not fresh.adrift


def test_a_whole_number_may_be_written_as_a_float() -> None:
    settlement = settle(lambda _: (200, b"100.0"))
    assert settlement.last is not None
    assert settlement.last.uniques == 100
