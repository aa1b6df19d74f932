"""What is recorded adds up, whoever recorded it, and survives the way to another process."""

from __future__ import annotations

import operator
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck.load.monitor import Monitor
from loadcheck.measure import Ledger, Outcome, Recorded
from loadcheck.measure.grid import Grid, OutcomeCounts
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.intervals import Delays, IntervalHistograms, StepTimes, Tally
from loadcheck.measure.record import Record, StageRecord, StageSpan, StepRecord
from loadcheck.measure.timeline import Stalls, Timeline
from loadcheck.verify.visibility import AckCurve
from loadcheck.workflow.exchange import Exchange, Failure, Request
from loadcheck.workflow.runtime.plan import Role
from tests.steps import ORIGIN, step

S = 1_000_000_000
STEPS = tuple(
    step(name, index, role)
    for index, (name, role) in enumerate([("upload", Role.COPY), ("count", Role.OBSERVER)])
)
SPAN = StageSpan(name="burst", begin_s=2, end_s=5, first=20, last=50)
LENGTH_S = 9


@dataclass(frozen=True)
class Copy:
    """What happened to one copy; instants since the load began."""

    number: int
    due_ns: int
    late_ns: int
    took_ns: int
    answer: int | Failure
    settled: bool


COPIES = st.lists(
    st.builds(
        Copy,
        number=st.integers(0, 90),
        due_ns=st.integers(0, LENGTH_S * S - 1),
        late_ns=st.integers(0, S // 4),
        took_ns=st.one_of(st.integers(0, S), st.just(5000 * S)),
        answer=st.sampled_from([200, 200, 200, 503, 429, Failure.TIMEOUT, Failure.LOCAL]),
        settled=st.booleans(),
    ),
    unique_by=operator.attrgetter("number"),
    max_size=12,
).map(lambda copies: sorted(copies, key=operator.attrgetter("number")))
"""In a closed load numbers are in the order in which copies fell due; here as well."""


def in_order(copies: Sequence[Copy]) -> list[Copy]:
    dues = sorted(copy.due_ns for copy in copies)
    return [
        Copy(copy.number, due_ns, copy.late_ns, copy.took_ns, copy.answer, copy.settled)
        for copy, due_ns in zip(copies, dues, strict=True)
    ]


def exchange(copy: Copy, begin_ns: int) -> Exchange:
    sent_ns = begin_ns + copy.due_ns + copy.late_ns
    made = Exchange(Request(0, ORIGIN, b"", b""), sent_ns=sent_ns, done_ns=sent_ns + copy.took_ns)
    if isinstance(copy.answer, Failure):
        made.failure, made.reason = copy.answer, f"{copy.answer.value} {copy.number % 3}"
    else:
        made.status, made.success = copy.answer, copy.answer == 200
        made.reason, made.body = "not 200", f"body {copy.number}".encode()
    return made


def record(
    copies: Sequence[Copy], *, begin_ns: int = 77 * S, known: bool = True, ends: bool = True
) -> Record:
    """Record copies as the runner does, by a clock that reads ``begin_ns`` when the load begins."""
    made = Record(STEPS, 0, 1, [SPAN] if known else (), Grid([LENGTH_S] if known else ()))
    made.begin(begin_ns)
    second = 0
    for due, copy in enumerate(in_order(copies)):
        due_ns = begin_ns + copy.due_ns
        while copy.due_ns >= (second + 1) * S:
            made.close_second(second)
            second += 1
        made.due = due + 1
        if due_ns >= made.grid.next_ns:
            made.grid.enter(due, due_ns)
        made.record_dispatch(due_ns, due_ns + copy.late_ns // 2)
        made.start(due)
        made.record_send(due_ns, due_ns + copy.late_ns)
        made.steps[0].add(exchange(copy, begin_ns), due_ns, due_ns + copy.late_ns // 2)
        if copy.answer == 200:
            made.last_ack_ns = copy.due_ns + copy.late_ns + copy.took_ns
        if copy.settled:
            made.settle(due, Outcome.ACKNOWLEDGED if copy.answer == 200 else Outcome.REJECTED)
        if copy.late_ns > S // 8:
            made.stalls.add(due_ns, due_ns + copy.late_ns)
    made.close_second(LENGTH_S - 1)
    if ends:
        made.end(begin_ns + LENGTH_S * S)
    numbers = np.array([copy.number for copy in copies], dtype=np.int64)
    made.renumber(lambda own: numbers[own])
    return made


def filled(kind: type, copies: Sequence[Copy], begin_ns: int = 77 * S) -> Any:
    """Return a record of a kind that holds what some copies left in it."""
    if kind in (Monitor, AckCurve):
        return beside(kind, copies, begin_ns)
    known = kind in (Histogram, Ledger, Stalls, Timeline, StepRecord, StageRecord, Record)
    made = record(copies, begin_ns=begin_ns, known=known)
    step = made.steps[0]
    found: dict[type, Callable[[], Any]] = {
        Histogram: lambda: made.lateness,
        Ledger: lambda: made.ledger,
        Stalls: lambda: made.stalls,
        Timeline: lambda: made.timeline,
        Grid: lambda: made.grid,
        OutcomeCounts: made.outcomes,
        IntervalHistograms: lambda: step.times.intervals("service_time"),
        StepTimes: lambda: step.times,
        Delays: lambda: made.delays,
        Tally: lambda: step.failures,
        StepRecord: lambda: step,
        StageRecord: lambda: made.stages[0],
        Record: lambda: made,
    }
    return found[kind]()


def beside(kind: type, copies: Sequence[Copy], begin_ns: int) -> Monitor | AckCurve:
    """Return what is recorded beside the copies."""
    monitor, curve = Monitor(), AckCurve()
    monitor.stalls.begin(begin_ns)
    curve.begin(begin_ns)
    for number, copy in enumerate(in_order(copies)):
        monitor.loop_lag.record(copy.late_ns)
        monitor.gc_pauses.record(copy.took_ns)
        monitor.stalls.add(begin_ns + copy.due_ns, begin_ns + copy.due_ns + copy.late_ns)
        curve.add(begin_ns + copy.due_ns, number // 2)
    return monitor if kind is Monitor else curve


KINDS = [
    Histogram,
    Ledger,
    Stalls,
    Timeline,
    Grid,
    OutcomeCounts,
    IntervalHistograms,
    StepTimes,
    Delays,
    Tally,
    StepRecord,
    StageRecord,
    Record,
    Monitor,
    AckCurve,
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=operator.attrgetter("__name__"))
few = settings(max_examples=5)


def test_every_kind_of_record_is_looked_at() -> None:
    own = {kind for kind in Recorded.__subclasses__() if kind.__module__.startswith("loadcheck.")}
    assert own == set(KINDS)


@each_kind
@few
@given(one=COPIES, two=COPIES, three=COPIES)
def test_the_order_of_adding_makes_no_difference(
    kind: type, one: list[Copy], two: list[Copy], three: list[Copy]
) -> None:
    a, b, c = (filled(kind, copies) for copies in (one, two, three))
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)


@each_kind
@few
@given(one=COPIES, two=COPIES)
def test_another_process_reads_what_was_recorded(
    kind: type, one: list[Copy], two: list[Copy]
) -> None:
    a, b = filled(kind, one), filled(kind, two)
    sent = pickle.loads(pickle.dumps(a))
    assert sent == a
    assert sent + pickle.loads(pickle.dumps(b)) == a + b
    assert pickle.loads(pickle.dumps(a + b)) == a + b


@each_kind
@few
@given(copies=COPIES)
def test_nothing_depends_on_the_clock_of_the_process(kind: type, copies: list[Copy]) -> None:
    assert filled(kind, copies) == filled(kind, copies, begin_ns=123_456_789_012)


@each_kind
def test_different_records_differ(kind: type) -> None:
    copies = [Copy(number, number * S // 10, S // 5, S, 200, settled=True) for number in range(60)]
    copies += [Copy(number, number * S // 10, 0, S, 503, settled=True) for number in range(60, 80)]
    if kind is not Grid:  # knows only how long the load is
        assert filled(kind, copies) != filled(kind, copies[:30])
    assert filled(kind, copies) != object()


def parts_of(copies: Sequence[Copy], number: int) -> list[list[Copy]]:
    return [list(copies[part::number]) for part in range(number)]


def added(records: Sequence[Any]) -> Any:
    return reduce(operator.add, records)


@settings(max_examples=12)
@given(COPIES, st.integers(1, 4), st.booleans())
def test_generators_together_record_what_one_would_have(
    copies: list[Copy], number: int, known: bool
) -> None:
    copies = in_order(copies)
    whole = record(copies, known=known)
    # each has a clock of its own
    shards = [
        record(part, begin_ns=77 * S + 1000 * index, known=known)
        for index, part in enumerate(parts_of(copies, number))
    ]
    merged = added(shards)
    for name in ("delays", "dispatch_lag", "ledger", "grid", "due", "started", "load_ns"):
        assert getattr(merged, name) == getattr(whole, name), name
    for one, alone in zip(merged.steps, whole.steps, strict=True):
        # what a stall took from a time depends on whose stall it was
        names = ("response_time", "service_time", "failures", "failed", "answers", "reasons")
        assert one.times.intervals("response_time") == alone.times.intervals("response_time")
        for name in (*names, "shortages"):
            assert getattr(one, name) == getattr(alone, name), name
    if known:
        (stage,), (expected,) = merged.stages, whole.stages
        assert (stage.lateness, stage.dispatch_lag) == (expected.lateness, expected.dispatch_lag)
    for name in ("due", "started", "acknowledged", "rejected"):
        assert merged.timeline.column(name) == whole.timeline.column(name), name
    for name in ("p50_ms", "p99_ms", "max_ms", "lateness_p99_ms"):
        for one, other in zip(
            merged.timeline.column(name), whole.timeline.column(name), strict=True
        ):
            assert (one is None) == (other is None)
            if one is not None:
                assert one == pytest.approx(other, rel=1e-3, abs=2e-3)


@settings(max_examples=12)
@given(COPIES, st.integers(1, 4), st.booleans())
def test_each_interval_has_the_copies_of_all_generators(
    copies: list[Copy], number: int, known: bool
) -> None:
    # a generator that is late in a closed load: of its copies lower numbers fall due later
    begin_ns = 77 * S
    shards = []
    for index, part in enumerate(parts_of(copies, number)):
        made = record(part, begin_ns=begin_ns * (index + 1), known=known)
        shards.append(made)
    merged = added(shards)
    columns = merged.outcomes().columns()
    places = merged.grid.edges_s()
    dues = [copy.due_ns / S for part in parts_of(copies, number) for copy in in_order(part)]
    expected, _ = np.histogram(dues, bins=places) if dues else (np.zeros(len(places) - 1), 0)
    assert columns["due"] == expected.tolist()


def test_a_second_that_only_one_generator_has_come_to_is_as_it_says() -> None:
    one, other = record([Copy(1, 0, 0, S, 200, settled=True)]), Record(STEPS, 0)
    assert (one.timeline + other.timeline).to_json() == one.timeline.to_json()


def test_a_timeline_without_samples_cannot_be_added() -> None:
    with pytest.raises(ValueError, match="kept no samples"):
        Timeline(keeps_samples=False) + Timeline()


@pytest.mark.parametrize(
    "make",
    [
        lambda name: Grid([float(len(name))]),
        lambda name: StepRecord(name, has_due_time=True),
        lambda name: StageRecord(
            StageSpan(name=name, begin_s=0, end_s=1, first=0, last=1), steps=()
        ),
        lambda name: Record(STEPS, 0, stages=[SPAN] if name == "one" else ()),
    ],
)
def test_records_of_different_things_are_refused(make: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match=r"do(es)? not merge|do not merge|of different"):
        make("one") + make("another")


def test_of_many_reasons_the_most_frequent_are_named() -> None:
    steps = []
    for shard in range(3):
        step = StepRecord("upload", has_due_time=True)
        step.reasons = Counter({f"reason {shard}-{why}": why + 1 for why in range(20)})
        step.reasons["other reasons"] = 5
        steps.append(step)
    merged = added(steps)
    reasons = merged.main_reasons()
    assert len(reasons) == 21
    assert sum(reasons.values()) == merged.reasons.total() == 645
    assert reasons["reason 0-19"] == 20
    assert steps[0].main_reasons() == dict(steps[0].reasons)


@given(
    shards=st.lists(st.lists(st.integers(0, 20 * S), max_size=8), min_size=1, max_size=3),
    error_ns=st.integers(0, S // 3),
    off=st.sampled_from([-1, 0, 1]),
)
def test_acknowledgements_of_several_generators_are_bounded_by_their_curves(
    shards: list[list[int]], error_ns: int, off: int
) -> None:
    curves = []
    for index, instants in enumerate(shards):
        curve = AckCurve()
        # its clock is off by as much as it may be, and not as those of the others
        curve.begin(1000 * (index + 1) - off * (-1) ** index * error_ns)
        # looked at every second and a bit
        for look in range(0, 22 * S, S + index * 12345):
            curve.add(1000 * (index + 1) + look, sum(instant <= look for instant in instants))
        curves.append(curve.blurred(error_ns))
    merged = pickle.loads(pickle.dumps(added(curves)))
    times, at_least, at_most, possible, _ = merged.points()
    assert np.array_equal(possible, at_most)
    assert np.all(np.diff(times) > 0)
    for now_ns, low, high in zip(times.tolist(), at_least, at_most, strict=True):
        truth = sum(instant <= now_ns for instants in shards for instant in instants)
        assert low <= truth <= high
    assert at_least[-1] == at_most[-1] == sum(map(len, shards))


def test_stalls_before_the_load_began_lie_before_it() -> None:
    stalls = Stalls()
    stalls.add(70 * S, 71 * S)
    stalls.begin(77 * S)
    stalls.add(78 * S, 79 * S)
    assert [pause.at_ns for pause in stalls.pauses] == [-7 * S, S]
    lost = stalls.within(np.array([69 * S]), np.array([80 * S]))
    assert lost is not None
    assert lost.tolist() == [2 * S]
