"""What several shards tell comes to what one process would have recorded, and bounds the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from loadcheck.load.monitor import Monitor
from loadcheck.load.pacer import OpenPacer
from loadcheck.load.slices import Slice, SlicedPacer
from loadcheck.measure import Outcome
from loadcheck.measure.changes import BrokenChangeError, change, decode, digest, encode, still
from loadcheck.measure.grid import Grid
from loadcheck.measure.record import Record
from loadcheck.pipeline.shards.merged import Loss, MergedRecord, ShardRecord
from loadcheck.scenario.model import OpenLoad, Stage
from loadcheck.verify.figures import Rates, RunFigures
from loadcheck.verify.metrics import Metric, MetricKind
from loadcheck.verify.visibility import AckCurve
from tests.measure.test_merge import LENGTH_S, SPAN, STEPS, Copy, S, exchange, in_order

COPIES = st.lists(
    st.builds(
        Copy,
        number=st.just(0),
        due_ns=st.integers(0, LENGTH_S * S - 1),
        late_ns=st.integers(0, S // 4),
        took_ns=st.integers(0, 2 * S),
        answer=st.sampled_from([200, 200, 200, 503, 429]),
        settled=st.booleans(),
    ),
    max_size=30,
).map(lambda copies: [replace(copy, number=n) for n, copy in enumerate(in_order(copies))])


def empty() -> Record:
    return Record(STEPS, 0, 1, [SPAN], Grid([LENGTH_S]))


def total(column: Sequence[Any]) -> int:
    return sum(column)


class Shard:
    """Records its copies up to some second, and tells what has changed."""

    def __init__(self, copies: Sequence[Copy], part: Slice, begin_ns: int) -> None:
        self.own = [
            copy for copy in copies if part.count(copy.number + 1) > part.count(copy.number)
        ]
        self.begin_ns = begin_ns
        self.told = ShardRecord(part)
        self.sequence = 0
        self.tree: Any = None

    def record(self, until_s: int) -> Record:
        made, begin_ns, second = empty(), self.begin_ns, 0
        made.begin(begin_ns)
        for number, copy in enumerate(self.own):
            if copy.due_ns >= until_s * S:
                break
            due_ns = begin_ns + copy.due_ns
            while copy.due_ns >= (second + 1) * S:
                made.close_second(second)
                second += 1
            made.due = number + 1
            if due_ns >= made.grid.next_ns:
                made.grid.enter(number, due_ns)
            made.record_dispatch(due_ns, due_ns + copy.late_ns // 2)
            made.start(number)
            made.record_send(due_ns, due_ns + copy.late_ns)
            made.steps[0].add(exchange(copy, begin_ns), due_ns, due_ns + copy.late_ns // 2)
            if copy.settled:
                taken = copy.answer == 200
                made.settle(number, Outcome.ACKNOWLEDGED if taken else Outcome.REJECTED)
        while second < until_s:
            made.close_second(second)
            second += 1
        if until_s == LENGTH_S:
            made.end(begin_ns + LENGTH_S * S)
        return made

    def tell(self, until_s: int) -> dict[str, Any]:
        made = self.record(until_s)
        tree = still((made, Monitor(), AckCurve(), Counter[str]()))
        message = {
            "is": "snap",
            "sequence": self.sequence,
            "rows": len(made.timeline),
            "change": change(self.tree, tree),
        }
        if until_s == LENGTH_S:
            message |= {"is": "done", "digest": digest(tree)}
        self.tree, self.sequence = tree, self.sequence + 1
        return decode(encode(message))  # type: ignore[no-any-return]


def shards_of(copies: Sequence[Copy], of: int) -> list[Shard]:
    # each has a clock of its own
    return [Shard(copies, Slice(index=k, of=of), (77 + 1000 * k) * S) for k in range(of)]


@settings(max_examples=5)
@given(copies=COPIES, of=st.integers(1, 4), cuts=st.sets(st.integers(1, LENGTH_S - 1), max_size=2))
def test_shards_together_tell_what_one_would_have_recorded(
    copies: list[Copy], of: int, cuts: set[int]
) -> None:
    shards, whole = shards_of(copies, of), Shard(copies, Slice(index=0, of=1), 5 * S)
    merged = MergedRecord(empty, [shard.told for shard in shards])
    merged.begin(99 * S)
    alone = empty()
    for until_s in [*sorted(cuts), LENGTH_S]:
        for shard in shards:
            shard.told.take(shard.tell(until_s))
        while merged.join_second([]):
            pass
        merged.show()
        alone = whole.record(until_s)
        assert len(merged.timeline) == until_s
        same(merged, alone)
        # what each second adds comes to the totals
        assert total(merged.timeline.column("due")) == merged.due
        assert total(merged.timeline.column("acknowledged")) == merged.acknowledged
    merged.conclude(empty)
    same(merged, alone)
    for name in ("grid", "delays", "load_ns"):
        assert getattr(merged, name) == getattr(alone, name), name
    assert merged.outcomes() == alone.outcomes()
    for step, expected in zip(merged.steps, alone.steps, strict=True):
        assert step.times == expected.times
        assert step.failures == expected.failures
        assert step.examples.keys() == expected.examples.keys()


def same(merged: Record, alone: Record) -> None:
    for name in ("ledger", "dispatch_lag", "due", "started", "acknowledged", "rejected"):
        assert getattr(merged, name) == getattr(alone, name), name
    assert merged.lateness == alone.lateness
    assert merged.in_flight == alone.in_flight
    assert merged.stages[0].lateness == alone.stages[0].lateness
    for step, expected in zip(merged.steps, alone.steps, strict=True):
        for name in ("response_time", "service_time", "failed", "throttled", "answers", "reasons"):
            assert getattr(step, name) == getattr(expected, name), name
    for name in ("due", "started", "acknowledged", "rejected", "in_flight"):
        assert merged.timeline.column(name) == alone.timeline.column(name), name
    for name in ("p50_ms", "p99_ms", "max_ms"):
        rows = zip(merged.timeline.column(name), alone.timeline.column(name), strict=True)
        for one, other in rows:
            assert one == (None if other is None else pytest.approx(other, rel=1e-3, abs=2e-3))


@settings(max_examples=10)
@given(
    copies=COPIES,
    of=st.integers(1, 4),
    told_s=st.integers(0, LENGTH_S - 1),
    died_ns=st.integers(0, LENGTH_S * S - 1),
)
def test_of_a_lost_shard_the_truth_lies_between_the_bounds(
    copies: list[Copy], of: int, told_s: int, died_ns: int
) -> None:
    died_ns = max(died_ns, told_s * S)
    shards = shards_of(copies, of)
    merged = MergedRecord(empty, [shard.told for shard in shards])
    merged.begin(99 * S)
    lost = shards[0]
    for shard in shards[1:]:
        shard.told.take(shard.tell(LENGTH_S))
    if told_s:
        lost.told.take(lost.tell(told_s))
    # whatever fell due before its death may have been sent, and taken
    due = sum(copy.due_ns <= died_ns for copy in lost.own)
    assert lost.told.unaccounted(due) >= 0
    unknown = lost.told.unaccounted(due)
    lost.told.lost = Loss(heard_ns=told_s * S, ended_ns=died_ns, due=due)
    merged.conclude(empty)
    truth = BitMap(copy.number for copy in lost.own[:due] if copy.answer == 200)
    for shard in shards[1:]:
        truth |= BitMap(copy.number for copy in shard.own if copy.answer == 200)
    ledger = merged.ledger
    possible = ledger.acknowledged | ledger.indeterminate | ledger.open()
    assert ledger.acknowledged <= truth <= possible
    assert ledger.acknowledged.isdisjoint(ledger.indeterminate)
    # and the counts say the same as the sets
    assert merged.started == len(ledger.started)
    assert merged.due == len(ledger.started | ledger.skipped | ledger.indeterminate)
    assert merged.possible == len(possible)
    # what is told as sent was sent: no rate is of copies that may have been
    known = sum(copy.due_ns < told_s * S for copy in lost.own)
    others = sum(len(shard.own) for shard in shards[1:])
    assert merged.started == known + others
    length_s = merged.load_ns / S
    rates = Rates(asked=None, reached=merged.started / length_s, duration_s=length_s)
    figures = RunFigures(record=merged, monitor=Monitor(), rates=rates)
    for stage, first, last in (("", 0, len(copies)), (SPAN.name, SPAN.first, SPAN.last)):

        def among(numbers: BitMap, first: int = first, last: int = last) -> int:
            return int(numbers.range_cardinality(first, last))

        known = among(ledger.started)
        started = figures.measure(Metric(name="started", kind=MetricKind.COUNT, stage=stage))
        if started is not None:
            most = among(ledger.started | ledger.indeterminate)
            assert started == (known, known, most)
        # and none of errors holds what nobody knows to have been an attempt
        wrong = figures.measure(Metric(name="error_rate", kind=MetricKind.RATIO, stage=stage))
        ended = known - among(ledger.open())
        expected = (ended - among(ledger.acknowledged)) / ended if ended else None
        assert (None if wrong is None else wrong.value) == expected
    assert merged.indeterminate == len(ledger.indeterminate)
    assert len(ledger.indeterminate & BitMap(copy.number for copy in lost.own)) == unknown
    assert total(merged.timeline.column("due")) == merged.due
    assert total(merged.timeline.column("started")) == merged.started
    columns = merged.outcomes().columns()
    assert sum(columns["due"]) == merged.due
    assert sum(columns["indeterminate"]) == merged.indeterminate
    # how long copies were started for certain, whenever that one died
    assert merged.load_ns == max(1, (LENGTH_S if of > 1 else told_s) * S)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_what_a_lost_shard_did_not_report_is_due_when_it_fell_due(
    arrivals: Literal["constant", "poisson"],
) -> None:
    stages = (Stage(name="x", duration_s=LENGTH_S, rate=700, end_rate=1100),)
    pacer = OpenPacer(stages=stages, arrivals=arrivals, seed=7)
    told = ShardRecord(Slice(index=1, of=3))
    due = told.started_by(LENGTH_S * S, OpenLoad(stages=stages), pacer)
    own = np.concatenate([*SlicedPacer.of(pacer, told.part).chunks()])[:due]
    other = ShardRecord(Slice(index=0, of=3))
    shard = shards_of([Copy(0, 0, 0, S, 200, settled=True)], 1)[0]
    other.take(shard.tell(LENGTH_S))
    merged = MergedRecord(empty, [other, told])
    told.lost = Loss(heard_ns=0, ended_ns=LENGTH_S * S, due=due, whole=pacer)
    merged.conclude(empty)
    expected = np.bincount(own // S, minlength=LENGTH_S)
    assert (expected > 0).all()
    expected[0] += 1  # the other's
    assert merged.timeline.column("due")[:LENGTH_S] == expected.tolist()
    assert total(merged.timeline.column("due")) == merged.due
    by_interval = merged.outcomes().columns()["due"]
    assert sum(by_interval) == merged.due
    assert max(by_interval) <= max(expected)


def test_a_message_that_is_missing_is_noticed() -> None:
    (shard,) = shards_of([Copy(0, 0, 0, S, 200, settled=True)], 1)
    first, second = shard.tell(1), shard.tell(2)
    with pytest.raises(BrokenChangeError, match="message 1 came where 0 was due"):
        shard.told.take(second)
    shard.told.take(first)
    with pytest.raises(BrokenChangeError, match="do not add up to what was recorded"):
        shard.told.take({**second, "is": "done", "digest": "other"})


@given(of=st.integers(1, 5), at_ns=st.integers(0, 12 * S), together=st.integers(1, 3))
def test_what_may_have_been_started_by_all_is_what_was_due(
    of: int, at_ns: int, together: int
) -> None:
    load = OpenLoad(stages=(Stage(name="x", duration_s=10, rate=7, end_rate=11),))
    pacer = OpenPacer(stages=load.stages)
    slices = [Slice(index=k, of=of, together=together) for k in range(of)]
    due = sum(ShardRecord(part).started_by(at_ns, load, pacer) for part in slices)
    assert due == pacer.due_before(at_ns / 1e9)
