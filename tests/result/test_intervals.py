"""What was measured by interval, as the results file has it."""

from __future__ import annotations

import numpy as np
import pytest

from loadcheck.measure import Outcome
from loadcheck.measure.grid import Grid
from loadcheck.measure.histogram import Histogram, layout
from loadcheck.measure.intervals import DIGITS, decode
from loadcheck.measure.record import Record
from loadcheck.result import document as intervals
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Stage
from loadcheck.workflow.exchange import Exchange, Request
from loadcheck.workflow.runtime.plan import Role
from tests.steps import ORIGIN, step

BEGIN, MS, S = 77_000_000_000, 1_000_000, 1_000_000_000


STEPS = (step("upload"), step("follow", 1, dependent=True), step("count", 2, Role.OBSERVER))


def exchange(index: int, sent_ns: int, done_ns: int, *, success: bool = True) -> Exchange:
    made = Exchange(Request(index, ORIGIN, b"", b""), sent_ns=sent_ns, done_ns=done_ns)
    made.status, made.success = (200, True) if success else (503, False)
    return made


@pytest.fixture
def record() -> Record:
    """Return 20 s with a copy a second: every fifth fails, the rest take longer and longer."""
    record = Record(STEPS, 0, 2, grid=Grid([8, 12]))
    record.record_query(exchange(2, BEGIN - S, BEGIN - S + MS))
    record.begin(BEGIN)
    for number in range(20):
        due_ns = BEGIN + number * S + 5
        record.due += 1
        if due_ns >= record.grid.next_ns:
            record.grid.enter(number, due_ns)
        if number == 7:
            record.skip(number, number + 1)
            continue
        record.start(number)
        success = number % 5 != 0
        done_ns = due_ns + (3 + number) * S
        record.record_send(due_ns, due_ns + 2 * MS)
        record.steps[0].add(exchange(0, due_ns + 2 * MS, done_ns, success=success), due_ns)
        if success:
            record.steps[1].add(exchange(1, done_ns, done_ns + MS), due_ns)
        record.settle(number, Outcome.ACKNOWLEDGED if success else Outcome.INDETERMINATE)
    record.record_query(exchange(2, BEGIN + 9 * S, BEGIN + 9 * S + MS))
    record.record_query(exchange(2, BEGIN + 9 * S, BEGIN + 9 * S + MS, success=False))
    record.end(BEGIN + 20 * S)
    record.record_query(exchange(2, BEGIN + 25 * S, BEGIN + 25 * S + MS))
    return record


def test_copies_are_counted_in_the_interval_they_were_due_in(record: Record) -> None:
    found = intervals.intervals(record)
    assert found["from_s"] == list(range(20))
    assert found["to_s"] == list(range(1, 21))
    assert found["due"] == [1] * 20
    assert found["started"] == [int(number != 7) for number in range(20)]
    assert found["skipped"] == [int(number == 7) for number in range(20)]
    assert found["acknowledged"] == [int(number % 5 != 0 and number != 7) for number in range(20)]
    assert found["indeterminate"] == [int(number % 5 == 0) for number in range(20)]
    assert found["rejected"] == [0] * 20


def test_late_answers_belong_to_where_their_copies_were_due(record: Record) -> None:
    upload = intervals.intervals(record)["steps"]["upload"]
    assert upload["succeeded"] == [int(n % 5 != 0 and n != 7) for n in range(20)]
    assert upload["failed"] == [int(n % 5 == 0) for n in range(20)]
    rows = decode(upload["response_time"])
    buckets = layout(DIGITS)
    for number in (1, 19):
        (place,) = np.flatnonzero(rows[number])
        micros = (3 + number) * 1_000_000
        assert buckets.lowest_us[place] <= micros <= buckets.highest_us[place]
    assert upload["response_time"][0] is None


def test_a_step_that_follows_has_no_response_time_but_its_copys_interval(record: Record) -> None:
    follow = intervals.intervals(record)["steps"]["follow"]
    assert follow["response_time"] is None
    assert follow["succeeded"] == [int(n % 5 != 0 and n != 7) for n in range(20)]


def test_queries_are_where_they_were_sent_and_none_outside_of_the_load(record: Record) -> None:
    count = intervals.intervals(record)["steps"]["count"]
    assert count["succeeded"] == [int(number == 9) for number in range(20)]
    assert count["failed"] == [int(number == 9) for number in range(20)]
    assert record.steps[2].succeeded == 3


def test_the_intervals_together_are_the_whole_at_their_precision(record: Record) -> None:
    found = intervals.intervals(record)
    whole = record.steps[0].response_time
    assert whole is not None
    fine = Histogram.decode(whole.encode()).counts().astype(np.int64)
    coarse = np.zeros(layout(DIGITS).size, dtype=np.int64)
    np.add.at(coarse, layout(3).coarser(layout(DIGITS)), fine)
    merged = decode(found["steps"]["upload"]["response_time"]).sum(axis=0)
    assert (merged == coarse).all()
    assert decode(found["lateness"]).sum() == record.lateness.count == 19


def test_a_load_that_never_began_has_no_intervals() -> None:
    found = intervals.intervals(Record(STEPS, 0, 2, grid=Grid([8])))
    assert (found["from_s"], found["due"], found["lateness"]) == ([], [], [])


def test_stages_lie_one_after_the_other_as_far_as_they_were_begun() -> None:
    load = OpenLoad(
        stages=tuple(
            Stage(name=name, duration_s=length_s, rate=1, end_rate=2)
            for name, length_s in (("quiet", 4), ("burst", 2), ("after", 4))
        )
    )
    found = intervals.stages(load, 5.0)
    assert [(stage["name"], stage["from_s"], stage["to_s"]) for stage in found] == [
        ("quiet", 0, 4),
        ("burst", 4, 6),
    ]
    assert [stage["name"] for stage in intervals.stages(load, 0.0)] == ["quiet"]
    assert len(intervals.stages(load, 10.0)) == 3


def test_a_closed_load_has_no_stages() -> None:
    assert intervals.stages(ClosedLoad(concurrency=1, copies=5, duration_s=None), 1.0) == []
