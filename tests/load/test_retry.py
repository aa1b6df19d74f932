from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from loadcheck.load.retry import Backoff
from loadcheck.scenario.model import Retry
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request

REQUEST = Request(0, Origin("http", "127.0.0.1", 80), b"POST / HTTP/1.1\r\n", b"{}")


def answer(status: int, **headers: str) -> Exchange:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Exchange(REQUEST).answered(status, pairs or ())


def backoff(attempts: int = 10, on: tuple[str, ...] = ("429", "5xx", "timeout")) -> Backoff:
    return Backoff(Retry(attempts=attempts, backoff_s=0.1, max_backoff_s=1.0, on=on), seed=1)


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
    after = backoff()(answer(429, retry_after=formatdate(time.time() + 20, usegmt=True)), 1)
    assert after == pytest.approx(20, abs=2)
    assert backoff()(answer(429, retry_after=formatdate(0, usegmt=True)), 1) == 0


@pytest.mark.parametrize(
    "value", ["soon", "", "-1", "1.5", "\N{SUPERSCRIPT TWO}", "Wed, 21 Oct 9999999999 07:28:00 GMT"]
)
def test_a_retry_after_that_makes_no_sense_is_left_alone(value: str) -> None:
    odd = answer(429)
    odd.headers = [(b"retry-after", value.encode("latin-1"))]
    assert backoff()(odd, 1) == backoff()(answer(429), 1)
