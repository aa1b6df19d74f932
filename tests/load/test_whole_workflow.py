"""Copies of several steps as a whole: from due to the end of the last step."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

from loadcheck.load.retry import Backoff
from loadcheck.load.runner import Rules
from loadcheck.measure.changes import moving, still
from loadcheck.measure.record import Record, StageSpan
from loadcheck.workflow.exchange import Exchange, Gap, Request, Wait
from tests.load import test_runner
from tests.load.test_runner import ORIGIN, OneStep, TwoSteps, run, step


def test_it_goes_from_due_to_the_end_of_the_last_step() -> None:
    ran = run(
        TwoSteps(), lambda request, _: (0.2 if request.step else 0.3, 200), think=lambda *_: 1.0
    )
    whole = ran.record.workflow
    assert whole is not None
    assert (whole.attempts, whole.succeeded) == (100, 100)
    assert whole.response_time is not None
    for percentile in (0, 50, 99, 100):
        assert whole.response_time.percentile_ms(percentile) == pytest.approx(500, rel=0.02)
    assert ran.record.steps[1].service_time.percentile_ms(50) == pytest.approx(200, rel=0.01)


def test_a_copy_that_failed_is_an_error_and_no_time() -> None:
    def confirming(request: Request, _: int) -> tuple[float, int]:
        return 0.1, 400 if request.step and int(request.body) % 4 == 0 else 200

    ran = run(TwoSteps(), confirming)
    whole = ran.record.workflow
    assert whole is not None
    assert (whole.attempts, whole.succeeded) == (100, 75)
    assert whole.response_time is not None
    assert whole.response_time.count == 75
    assert whole.error_rate == 0.25
    assert whole.failures is not None
    assert sum(whole.failures.counts(len(ran.record.grid.edges_s()) - 1)) == 25


def test_one_step_is_the_whole_and_nothing_more_is_kept() -> None:
    assert run(OneStep(), lambda *_: (0.2, 200)).record.workflow is None


def test_shards_add_up_and_stages_keep_their_own() -> None:
    span = StageSpan(name="a", begin_s=0.0, end_s=5.0, first=0, last=50)
    steps = (step(0, "send"), step(1, "workflow", dependent=True))
    records = []
    for _ in range(2):
        record = Record(steps, 0, None, [span])
        record.begin(10**9)
        assert record.workflow is not None
        record.workflow.complete(10**9, 10**9, 2 * 10**9)
        record.workflow.complete(8 * 10**9, 8 * 10**9, 9 * 10**9)
        record.workflow.give_up(10**9)
        record.end(20 * 10**9)
        records.append(moving(still(record)))
    both = records[0] + records[1]
    assert both.workflow.step_id == "workflow@copy"  # a step has the name
    assert (both.workflow.attempts, both.workflow.succeeded) == (6, 4)
    assert both.workflow.response_time.count == 4
    assert both.stages[0].workflow.attempts == 4
    assert both.stages[0].workflow.response_time.count == 2


class Thinking:
    """A plan of two steps."""

    steps = TwoSteps.steps

    def copy(
        self, number: int, time_ms: int, retry: Backoff
    ) -> Generator[Request | Wait, Exchange, bool]:
        for index in (0, 1):
            exchange = yield Request(index, ORIGIN, b"POST / HTTP/1.1\r\n", b"")
            exchange.success = True
        return True


def test_what_a_copy_thinks_is_no_part_of_it() -> None:
    ran = run(
        Thinking(), lambda request, _: (0.2 if request.step else 0.3, 200), think=lambda *_: 1.0
    )
    whole = ran.record.workflow
    assert whole is not None
    assert whole.response_time is not None
    assert whole.succeeded == 100
    assert whole.response_time.percentile_ms(99) == pytest.approx(500, rel=0.02)


class Uploads(Thinking):
    """A plan of two uploads, a minute apart, each of two steps."""

    def copy(
        self, number: int, time_ms: int, retry: Backoff
    ) -> Generator[Request | Wait, Exchange, bool]:
        yield from super().copy(number, time_ms, retry)
        yield Gap(60.0)
        return (yield from super().copy(number, time_ms, retry))


def test_each_of_several_uploads_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Record

    def recording(*given: Any) -> Record:
        record = made(*given)
        record.most_uploads = 2
        return record

    monkeypatch.setattr(test_runner, "Record", recording)
    monkeypatch.setattr(test_runner, "Rules", partial(Rules, uploads=2))
    asked: list[tuple[int, int]] = []

    def think(upload: int, turn: int) -> float:
        asked.append((upload, turn))
        return 1.0 + upload % 2

    ran = run(
        Uploads(), lambda request, _: (0.2 if request.step else 0.3, 200), drain_s=200, think=think
    )
    # each upload thinks once, by its own number
    assert sorted(asked) == [(upload, 0) for upload in range(200)]
    whole = ran.record.workflow
    assert whole is not None
    assert whole.response_time is not None
    assert (whole.attempts, whole.succeeded) == (200, 200)
    for percentile in (0, 99, 100):
        assert whole.response_time.percentile_ms(percentile) == pytest.approx(500, rel=0.02)
