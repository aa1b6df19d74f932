"""The observer under virtual time, asking a service of a few lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
import trio
import trio.testing

from loadcheck.verify import SentCounts
from loadcheck.verify.evidence import Observation, Standing, Terms
from loadcheck.verify.queries import CountQueries, Observer
from loadcheck.verify.query_client import QueryChannel, QueryClient
from loadcheck.workflow.exchange import Exchange, Origin, Request, Wait
from loadcheck.workflow.runtime.plan import QueryAnswer

REQUEST = Request(0, Origin("http", "127.0.0.1", 80), b"GET / HTTP/1.1\r\n", b"")


class FakeQuery:
    """Sends one request and reads its answer as the count."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, number: int) -> Generator[Request | Wait, Exchange, QueryAnswer]:
        exchange = yield REQUEST
        exchange.success = exchange.status == 200
        exchange.reason = "" if exchange.success else f"status {exchange.status}"
        value = exchange.json() if exchange.success else None
        return QueryAnswer(success=exchange.success, values={self.name: value}, exchange=exchange)


Service = Callable[[float], tuple[int, bytes]]
"""Seconds since the start → status, body."""


def now_ns() -> int:
    return round(trio.current_time() * 1e9)


def observe(
    service: Service,
    use: Callable[[Observer], Any],
    *,
    totals: bool = False,
    absent: int | None = None,
) -> Any:
    async def main() -> Any:
        began = trio.current_time()

        async def send(request: Request) -> Exchange:
            sent = now_ns()
            status, body = service(trio.current_time() - began)
            await trio.sleep(0.01)
            return Exchange(request, sent_ns=sent, done_ns=now_ns()).answered(status, body=body)

        observer = Observer(
            CountQueries(
                uniques=FakeQuery("uniques"),  # type: ignore[arg-type]
                totals=FakeQuery("totals") if totals else None,  # type: ignore[arg-type]
            ),
            QueryClient(QueryChannel(send=send), absent=absent, clock=now_ns),
            every_s=1,
            seen=lambda _: None,
        )
        return await use(observer)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


S = 1_000_000_000


def terms(since_ns: int, *, lower: int = 80, quiet_s: int = 10, deadline_s: int = 60) -> Terms:
    sent = SentCounts(started=100, acknowledged=lower, indeterminate=100 - lower, rejected=0)
    return Terms(
        sent=sent,
        since_ns=since_ns,
        deadline_ns=since_ns + deadline_s * S,
        quiet_ns=quiet_s * S,
    )


def settle(
    service: Service,
    *,
    lower: int = 80,
    totals: bool = False,
    on_shortfall: Callable[[], Awaitable[object]] | None = None,
) -> tuple[Standing, float]:
    """Return how the count stands in the end, and after how many seconds."""

    async def use(observer: Observer) -> tuple[Standing, float]:
        began = trio.current_time()
        stands = await observer.settle(terms(now_ns(), lower=lower), on_shortfall=on_shortfall)
        return stands, trio.current_time() - began

    found: tuple[Standing, float] = observe(service, use, totals=totals)
    return found


def uniques(stands: Standing) -> int | None:
    assert stands.final is not None
    return stands.final.uniques


def test_at_the_upper_bound_it_has_settled_at_once() -> None:
    stands, took_s = settle(lambda _: (200, b"100"))
    assert stands.settled
    assert took_s < 0.1


def test_it_waits_while_the_count_moves_and_then_for_the_quiet_period() -> None:
    stands, took_s = settle(lambda t: (200, b"%d" % min(90, int(t * 3))))
    assert stands.settled
    assert uniques(stands) == 90
    assert 39 < took_s < 43


def test_the_missing_get_until_the_deadline_even_if_the_count_stands_still() -> None:
    stands, took_s = settle(lambda t: (200, b"100" if t > 50 else b"70"))
    assert stands.settled
    assert uniques(stands) == 100
    assert 50 < took_s < 52
    stands, took_s = settle(lambda _: (200, b"70"))
    assert stands.settled
    assert stands.timely
    assert 60 <= took_s < 62


def test_answers_that_contradict_each_other_get_until_the_deadline() -> None:
    stands, took_s = settle(lambda t: (200, b"95" if t < 1 else b"94" if t < 3 else b"100"))
    assert (stands.dipped, stands.conflict, uniques(stands)) == (True, False, 100)
    assert 60 <= took_s < 62
    stands, took_s = settle(lambda t: (200, b"94" if int(t) % 2 else b"98"))
    assert stands.conflict
    assert 60 <= took_s < 62


@pytest.mark.parametrize("answers", ["refused", "silent"])
def test_10_asking_ends_soon_after_the_deadline_whatever_the_service_does(answers: str) -> None:
    async def use(observer: Observer) -> float:
        began = trio.current_time()
        await observer.settle(terms(now_ns(), quiet_s=1, deadline_s=2))
        return trio.current_time() - began

    def service(t: float) -> tuple[int, bytes]:
        return (200, b"70" if t < 0.5 else b"null") if answers == "silent" else (500, b"")

    took_s = observe(service, use, totals=True)
    assert took_s < 2 + 5 + 4.1  # the pause doubles to four seconds at the most


def test_controls_are_called_for_once_when_users_have_been_missing_for_a_while() -> None:
    called = []

    async def short() -> None:
        called.append(trio.current_time())

    settle(lambda _: (200, b"70"), on_shortfall=short)
    assert len(called) == 1
    settle(lambda _: (200, b"90"), on_shortfall=short)
    assert len(called) == 1


def test_controls_are_called_for_even_if_one_answer_takes_until_the_deadline() -> None:
    called = []

    async def use(observer: Observer) -> None:
        async def short() -> None:
            called.append(trio.current_time())

        await observer.settle(terms(now_ns() - 61 * S), on_shortfall=short)

    observe(lambda _: (200, b"70"), use)
    assert len(called) == 1


def test_a_count_that_never_rests_is_not_settled() -> None:
    stands, took_s = settle(lambda t: (200, b"%d" % int(t)))
    assert not stands.settled
    assert stands.final is not None
    assert 60 <= took_s < 62


@pytest.mark.parametrize(
    "answer",
    [
        (429, b""),
        (500, b""),
        (200, b"null"),
        (200, b'"90 users"'),
        (200, b"-1"),
        (200, b"1.5"),
        (200, b"true"),
        (200, b"1e300"),
        (200, b"1e21"),
        (200, b"10000000000000000000"),
        (200, b'"10000000000000000000"'),
        (200, b'"\xd9\xa3"'),
    ],
    ids=str,
)
def test_a_refused_or_senseless_answer_is_no_count_and_never_zero(
    answer: tuple[int, bytes],
) -> None:
    stands, _ = settle(lambda _: answer)
    assert stands.final is None
    assert not stands.settled


@pytest.mark.parametrize("answer", [b"100.0", b'"100"', b"1e2"])
def test_a_count_may_be_written_as_a_float_or_a_decimal_string(answer: bytes) -> None:
    stands, _ = settle(lambda _: (200, answer))
    assert uniques(stands) == 100


def test_refusals_slow_the_questions_down_and_answers_without_a_count_do_not() -> None:
    async def use(observer: Observer) -> list[Observation]:
        with trio.move_on_after(60):
            await observer.poll()
        return observer.observations

    refused = observe(lambda _: (429, b""), use)
    assert len(refused) < 8
    assert all(observation.error == "status 429" for observation in refused)
    assert len(observe(lambda _: (200, b"1"), use)) == 60
    assert len(observe(lambda _: (200, b"null"), use)) == 60
    assert len(observe(lambda _: (400, b""), use)) == 60


def test_what_an_answer_without_a_count_means_can_be_said() -> None:
    async def use(observer: Observer) -> Observation:
        return await observer.ask()

    def asked(absent: int | None, answer: bytes) -> Observation:
        found: Observation = observe(lambda _: (200, answer), use, absent=absent)
        return found

    assert asked(None, b"null").uniques is None
    assert (asked(0, b"null").uniques, asked(0, b"null").error) == (0, "")
    assert asked(0, b"-1").uniques is None
    assert asked(0, b"7").uniques == 7


def test_an_answer_to_a_question_from_before_the_last_acknowledgement_does_not_count() -> None:
    async def use(observer: Observer) -> Standing:
        # the last acknowledgement lies five seconds ahead: until then nothing can settle
        return await observer.settle(terms(now_ns() + 5 * S, lower=100, quiet_s=1))

    stands: Standing = observe(lambda t: (200, b"100"), use)
    assert stands.final is not None
    assert stands.settled


def test_totals_are_asked_once_the_uniques_have_settled() -> None:
    stands, _ = settle(lambda _: (200, b"100"), totals=True)
    assert (uniques(stands), stands.totals) == (100, 100)


def test_totals_that_move_with_the_users_are_told_apart_from_duplicates() -> None:
    def growing(seconds: float) -> tuple[int, bytes]:
        return 200, str(int(seconds * 1000)).encode()

    stands, _ = settle(growing, totals=True)
    assert stands.totals_unstable
    assert stands.totals is None


def test_events_that_cannot_be_had_leave_the_count_of_users() -> None:
    async def use(observer: Observer) -> Observation:
        return await observer.ask(totals=True)

    asked: list[float] = []

    def service(t: float) -> tuple[int, bytes]:
        asked.append(t)
        return (500, b"") if len(asked) == 1 else (200, b"100")

    found: Observation = observe(service, use, totals=True)
    assert (found.uniques, found.totals) == (100, None)
    assert found.error == "no count of events: status 500"


def test_before_anybody_is_accused_the_cache_is_got_past() -> None:
    class Fresh(FakeQuery):
        def run(self, number: int) -> Generator[Request | Wait, Exchange, QueryAnswer]:
            exchange = yield REQUEST
            return QueryAnswer(success=True, values={self.name: 99}, exchange=exchange)

    async def use(observer: Observer) -> list[int | None]:
        stale = await observer.settle(terms(now_ns(), quiet_s=2, deadline_s=5))
        observer.ask_by(CountQueries(uniques=Fresh("uniques"), totals=None))  # type: ignore[arg-type]
        fresh = await observer.settle_totals(terms(0))
        return [uniques(stale), uniques(fresh)]

    assert observe(lambda _: (200, b"7"), use) == [7, 99]
