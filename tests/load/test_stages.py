"""What belongs to a stage: the copies that fell due in it, however late their answers come."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.load.pacer import OpenPacer, stage_spans
from loadcheck.measure.record import Record, StageSpan
from loadcheck.scenario.model import Stage
from loadcheck.workflow.exchange import Exchange, Request
from loadcheck.workflow.runtime.plan import Role
from tests.load.stages import stage
from tests.steps import ORIGIN, step

MS, S = 1_000_000, 1_000_000_000
BEGIN = 77 * S


STEPS = (step("step0"), step("step1", 1, Role.OBSERVER))
BURST = StageSpan(name="burst", begin_s=2, end_s=5, first=20, last=320)


def exchange(index: int, sent_ns: int, done_ns: int, *, success: bool = True) -> Exchange:
    request = Request(index, ORIGIN, b"POST / HTTP/1.1\r\n", b"")
    made = Exchange(request, sent_ns=sent_ns, done_ns=done_ns)
    made.status, made.success = 200 if success else 503, success
    return made


@pytest.fixture
def record() -> Record:
    record = Record(STEPS, 0, 1, [BURST])
    record.begin(BEGIN)
    return record


@pytest.mark.parametrize(("due_s", "inside"), [(1.999, 0), (2, 1), (4.999, 1), (5, 0)])
def test_an_answer_belongs_to_the_stage_its_copy_was_due_in(
    record: Record, due_s: float, inside: int
) -> None:
    due_ns = BEGIN + round(due_s * S)
    record.steps[0].add(exchange(0, due_ns + MS, due_ns + 60 * S), due_ns)
    record.steps[0].add(exchange(0, due_ns + MS, due_ns + S, success=False), due_ns)
    record.record_dispatch(due_ns, due_ns + MS)
    record.record_send(due_ns, due_ns + 2 * MS)
    (stage,) = record.stages
    assert record.steps[0].attempts == 2
    assert record.steps[0].response_time is not None
    assert stage.steps[0].response_time is not None
    assert record.steps[0].response_time.count == 1
    assert stage.steps[0].response_time.count == inside
    assert (stage.steps[0].attempts, stage.steps[0].failed.count) == (2 * inside, inside)
    assert (stage.lateness.count, stage.dispatch_lag.count) == (inside, inside)
    assert (record.lateness.max_ns, record.dispatch_lag.max_ns) == (2 * MS, MS)


def test_a_query_belongs_to_the_stage_it_was_sent_in(record: Record) -> None:
    record.record_query(exchange(1, BEGIN + 3 * S, BEGIN + 9 * S))
    record.record_query(exchange(1, BEGIN + 6 * S, BEGIN + 7 * S))
    assert record.steps[1].attempts == 2
    assert record.stages[0].steps[1].attempts == 1


def test_a_load_of_which_no_stage_is_asked_for_measures_none() -> None:
    pacer = OpenPacer(stages=[stage(1, 10, 10)])
    assert stage_spans(pacer, ()) == ()
    assert Record(STEPS, 0, 1).stages == ()


STAGES = st.lists(
    st.builds(
        stage,
        duration_s=st.floats(0.05, 5),
        rate=st.floats(1, 200),
        end_rate=st.floats(1, 200),
    ),
    min_size=1,
    max_size=4,
)


@given(stages=STAGES, arrivals=st.sampled_from(["constant", "poisson"]))
def test_numbers_and_instants_agree_on_who_belongs_to_a_stage(
    stages: list[Stage], arrivals: Literal["constant", "poisson"]
) -> None:
    stages = [replace(stage, name=str(number)) for number, stage in enumerate(stages)]
    pacer = OpenPacer(stages=stages, arrivals=arrivals, seed=3)
    spans = stage_spans(pacer, {stage.name for stage in stages})
    dues = [due for chunk in pacer.chunks() for due in chunk.tolist()]
    assert spans[0].first == 0
    assert spans[-1].last == len(dues) == pacer.planned
    for span, after in itertools.pairwise(spans):
        assert span.last == after.first
    for span in spans:
        begin_ns, end_ns = round(span.begin_s * 1e9), round(span.end_s * 1e9)
        # rounding to nanoseconds may put the copy on a boundary to either side of it
        assert all(begin_ns - 1 <= due <= end_ns for due in dues[span.first : span.last])
