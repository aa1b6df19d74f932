from __future__ import annotations

import itertools

import pytest

from loadcheck.load.retry import attempt_outcome, merge
from loadcheck.measure import Outcome
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request

ACK, REJ, IND = Outcome.ACKNOWLEDGED, Outcome.REJECTED, Outcome.INDETERMINATE
REQUEST = Request(0, Origin("http", "127.0.0.1", 80), b"POST / HTTP/1.1\r\n", b"{}")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, REJ) for status in (400, 401, 403, 404, 413, 422, 429, 499, 503)),
        *((status, IND) for status in (200, 202, 204, 301, 307, 408, 500, 502, 504, 599)),
    ],
)
def test_an_answer_that_did_not_meet_the_criteria(status: int, outcome: Outcome) -> None:
    assert attempt_outcome(Exchange(REQUEST).answered(status)) is outcome


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (Failure.CONNECT, REJ),
        (Failure.TIMEOUT, IND),
        (Failure.LOST, IND),
        (Failure.UNREADABLE, IND),
    ],
)
def test_no_answer(failure: Failure, outcome: Outcome) -> None:
    assert attempt_outcome(Exchange(REQUEST, failure=failure)) is outcome


def test_every_failure_has_an_outcome() -> None:
    for failure in Failure:
        assert attempt_outcome(Exchange(REQUEST, failure=failure)) in (REJ, IND)


def test_success_is_an_acknowledgement() -> None:
    exchange = Exchange(REQUEST).answered(200)
    exchange.success = True
    assert attempt_outcome(exchange) is ACK


@pytest.mark.parametrize("attempts", list(itertools.product(Outcome, repeat=3)))
def test_several_attempts_prove_the_strongest(attempts: tuple[Outcome, ...]) -> None:
    merged: Outcome | None = None
    for attempt in attempts:
        merged = merge(merged, attempt)
    expected = ACK if ACK in attempts else IND if IND in attempts else REJ
    assert merged is expected
