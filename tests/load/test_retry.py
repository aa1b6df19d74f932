from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from loadcheck.load.retry import Backoff, retry_after_s
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request

REQUEST = Request(0, Origin("http", "127.0.0.1", 80), b"POST / HTTP/1.1\r\n", b"{}")


def answer(status: int, **headers: str) -> Exchange:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Exchange(REQUEST, status=status, headers=pairs)


def backoff(attempts: int = 10, on: tuple[str, ...] = ("429", "5xx", "timeout")) -> Backoff:
    return Backoff(attempts=attempts, backoff_s=0.1, max_backoff_s=1.0, on=on, seed=1)


def test_the_wait_doubles_up_to_its_cap_less_up_to_a_half() -> None:
    waits = [backoff()(answer(503), attempt) for attempt in range(1, 8)]
    for wait, full in zip(waits, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0], strict=True):
        assert wait is not None
        assert full / 2 <= wait <= full


def test_the_last_attempt_is_the_last() -> None:
    assert backoff(attempts=3)(answer(503), 2) is not None
    assert backoff(attempts=3)(answer(503), 3) is None


@pytest.mark.parametrize(
    ("exchange", "again"),
    [
        (answer(429), True),
        (answer(500), True),
        (answer(599), True),
        (answer(400), False),
        (answer(200), False),
        (Exchange(REQUEST, failure=Failure.TIMEOUT), True),
        (Exchange(REQUEST, failure=Failure.CONNECT), False),
        (Exchange(REQUEST, failure=Failure.LOST), False),
    ],
)
def test_only_what_is_listed_is_tried_again(exchange: Exchange, again: bool) -> None:
    assert (backoff()(exchange, 1) is not None) is again


def test_a_closed_backoff_gives_up() -> None:
    policy = backoff()
    policy.closed = True
    assert policy(answer(503), 1) is None


def test_retry_after_overrules_the_backoff() -> None:
    assert backoff()(answer(429, retry_after="7"), 1) == 7
    assert backoff()(answer(429, retry_after="86400"), 1) == 300


def test_retry_after_as_a_date() -> None:
    after = retry_after_s(answer(429, retry_after=formatdate(time.time() + 20, usegmt=True)))
    assert after == pytest.approx(20, abs=2)
    assert retry_after_s(answer(429, retry_after=formatdate(0, usegmt=True))) == 0


def test_a_retry_after_that_makes_no_sense_is_left_alone() -> None:
    assert retry_after_s(answer(429, retry_after="soon")) is None


@pytest.mark.parametrize("written", [b"\xb2", b"1e9", b"-5", b"", b"Mon, 99 Foo"])
def test_a_retry_after_that_says_nothing_is_no_error(written: bytes) -> None:
    exchange = Exchange(REQUEST, status=429, headers=[(b"Retry-After", written)])
    assert retry_after_s(exchange) is None
