"""Where measurements come together: nothing is counted twice, nothing is mixed."""

from __future__ import annotations

import pytest

from loadcheck.measure import Outcome
from loadcheck.measure.record import Record, StepRecord
from loadcheck.workflow.exchange import Exchange, Failure, Request
from loadcheck.workflow.runtime.plan import Role
from tests.steps import ORIGIN, step

MS = 1_000_000


def answered(status: int = 200, *, took_ms: int = 3, step: int = 0, body: bytes = b"") -> Exchange:
    exchange = Exchange(
        Request(step, ORIGIN, b"", b""),
        sent_ns=10 * MS,
        done_ns=(10 + took_ms) * MS,
    ).answered(status, body=body)
    exchange.success = status == 200
    exchange.reason = "" if exchange.success else "no"
    return exchange


def failed(failure: Failure) -> Exchange:
    exchange = Exchange(Request(0, ORIGIN, b"", b""), sent_ns=0, done_ns=0)
    exchange.failure, exchange.reason = failure, "why"
    return exchange


@pytest.fixture
def kept() -> StepRecord:
    return Record([step("up", 0)], ingest=0).steps[0]


def test_a_success_has_both_times(kept: StepRecord) -> None:
    kept.add(answered(took_ms=3), due_ns=5 * MS)
    assert kept.service_time.max_ns == 3 * MS
    assert kept.response_time is not None
    assert kept.response_time.max_ns == 8 * MS
    assert (kept.attempts, kept.succeeded, dict(kept.answers)) == (1, 1, {200: 1})


@pytest.mark.parametrize(("status", "histogram"), [(500, "failed"), (429, "throttled")])
def test_failures_flatter_no_percentile(kept: StepRecord, status: int, histogram: str) -> None:
    kept.add(answered(status), due_ns=5 * MS)
    assert kept.service_time.count == 0
    assert getattr(kept, histogram).count == 1
    assert kept.failed.count + kept.throttled.count == 1
    assert kept.succeeded == 0


def test_what_was_never_sent_has_no_time(kept: StepRecord) -> None:
    kept.add(failed(Failure.CONNECT), due_ns=5 * MS)
    assert kept.attempts == 1
    assert kept.failed.count == kept.service_time.count == 0
    assert dict(kept.reasons) == {"why": 1}


def test_kinds_of_reasons_are_bounded(kept: StepRecord) -> None:
    for index in range(100):
        exchange = answered(500)
        exchange.reason = f"reason {index}"
        kept.add(exchange)
    assert len(kept.reasons) == 21
    assert kept.reasons["other reasons"] == 80
    assert sum(kept.reasons.values()) == 100


def test_the_first_answer_of_each_status_is_kept_in_part(kept: StepRecord) -> None:
    kept.add(answered(503, body=b"x" * 10_000))
    kept.add(answered(503, body=b"y"))
    kept.add(answered(599, body=b"\xff"))
    assert kept.examples == {503: "x" * 4096, 599: "\ufffd"}
    assert "599: no" in kept.reasons


def test_every_copy_is_in_one_outcome() -> None:
    record = Record([step("up", 0)], ingest=0)
    for number in range(5):
        record.start(number)
    record.skip(5, 6)
    record.settle(0, Outcome.ACKNOWLEDGED)
    record.settle(1, Outcome.REJECTED)
    record.settle(2, Outcome.INDETERMINATE)
    assert (record.in_flight, record.max_in_flight) == (2, 5)
    record.close()
    assert (record.acknowledged, record.rejected, record.indeterminate) == (1, 1, 3)
    assert (record.started, record.skipped, record.in_flight) == (5, 1, 0)
    assert sorted(record.ledger.indeterminate) == [2, 3, 4]


def test_our_own_queries_of_a_step_that_copies_run_are_kept_apart() -> None:
    record = Record([step("up", 0), step("ask", 1, dependent=True)], ingest=0, observer=1)
    record.record_query(answered(step=1))
    assert record.queries is not None
    assert record.queries.step_id == "ask@observer"
    assert record.queries.attempts == 1
    assert record.steps[1].attempts == 0
    plain = Record([step("up", 0), step("ask", 1, Role.OBSERVER)], ingest=0, observer=1)
    plain.record_query(answered(step=1))
    assert plain.queries is None
    assert plain.steps[1].attempts == 1
