from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.measure.grid import Grid
from loadcheck.measure.histogram import Histogram, layout
from loadcheck.measure.intervals import DIGITS, Delays, Matrix, StepTimes, Tally, decode, encode
from loadcheck.measure.timeline import Stalls

BEGIN, S = 77_000_000_000, 1_000_000_000
HOUR_NS = 3600 * S
samples = st.lists(st.tuples(st.integers(0, 20 * S), st.integers(0, HOUR_NS)), max_size=80)


def coarse(histogram: Histogram) -> npt.NDArray[np.int64]:
    """Return a histogram's counts at the precision of intervals."""
    fine, buckets = layout(3), layout(DIGITS)
    counts = np.zeros(buckets.size, dtype=np.int64)
    np.add.at(counts, fine.coarser(buckets), histogram.counts().astype(np.int64))
    return counts


def rows(times: StepTimes, name: str) -> Matrix:
    histograms = times.intervals(name)
    assert histograms is not None
    return histograms.rows()


@given(samples)
def test_the_intervals_of_a_stage_merge_to_exactly_what_the_stage_measured(
    samples: list[tuple[int, int]],
) -> None:
    grid = Grid([4.5, 15.5])
    grid.begin(BEGIN)
    times = StepTimes(grid, has_due_time=True)
    first, second = (StepTimes(None, has_due_time=True) for _ in range(2))
    for offset_ns, duration_ns in samples:
        due_ns = BEGIN + min(offset_ns, 20 * S - 1)
        stage = first if due_ns < BEGIN + 4.5 * S else second
        for each in (times, stage):
            each.waiting += (due_ns, due_ns, due_ns + 1000, due_ns + duration_ns)
    for name in ("response_time", "service_time"):
        merged = rows(times, name)
        for stage, part in ((first, merged[:5]), (second, merged[5:])):
            assert (part.sum(axis=0) == coarse(getattr(stage, name))).all()
        assert (merged.sum(axis=0) == coarse(getattr(times, name))).all()


@given(st.lists(st.tuples(st.integers(0, 3000 * S), st.integers(0, S)), max_size=60))
def test_doubled_intervals_hold_what_wide_ones_would(samples: list[tuple[int, int]]) -> None:
    grid = Grid()
    grid.begin(BEGIN)
    delays = Delays(grid)
    tally = Tally(grid)
    expected = np.zeros(MOST, dtype=np.int64)
    for offset_ns, delay_ns in samples:
        delays.waiting += (BEGIN + offset_ns, BEGIN + offset_ns + delay_ns)
        tally.record(BEGIN + offset_ns)
        delays.intervals()  # counted before the next doubling
        tally.counts(0)
    grid.places(np.array([BEGIN + 3000 * S]))  # 16 s are seven doublings
    for offset_ns, _ in samples:
        expected[offset_ns // (16 * S)] += 1
    assert tally.counts(MOST) == expected.tolist()
    assert delays.intervals().rows().sum(axis=1).tolist() == expected.tolist()


MOST = 300


def test_what_belongs_to_no_interval_is_in_the_whole_only() -> None:
    grid = Grid([20])
    times, tally = StepTimes(grid, has_due_time=False), Tally(grid)
    times.waiting += (BEGIN - 5, BEGIN - 5, BEGIN - 5, BEGIN)
    grid.begin(BEGIN)
    for since_s in (-1, 0, 1, 20, 90):
        sent_ns = BEGIN + since_s * S
        times.waiting += (sent_ns, sent_ns, sent_ns, sent_ns + 1_000_000)
        tally.record(sent_ns)
    assert times.response_time is None
    assert times.intervals("response_time") is None
    assert times.service_time.count == 6
    assert rows(times, "service_time").sum(axis=1).tolist() == [1, 1] + [0] * 18
    assert tally.counts(2) == [1, 1]


def test_what_lasts_longer_than_an_hour_counts_as_an_hour() -> None:
    grid = Grid([1])
    grid.begin(BEGIN)
    delays = Delays(grid)
    delays.waiting += (BEGIN, BEGIN + 5 * HOUR_NS)
    assert delays.total.above_range == 1
    row = delays.intervals().rows()[0]
    assert np.flatnonzero(row).tolist() == layout(DIGITS).places(np.array([3_600_000_000])).tolist()


def test_thousands_of_samples_pass_through() -> None:
    grid = Grid([20])
    grid.begin(BEGIN)
    times = StepTimes(grid, has_due_time=True)
    for number in range(5000):
        due_ns = BEGIN + number * 1_000_000
        times.waiting += (due_ns, due_ns, due_ns + 1000, due_ns + 2_000_000)
    assert rows(times, "response_time").sum(axis=1).tolist() == [1000] * 5 + [0] * 15
    assert times.response_time is not None
    assert times.response_time.percentile_ms(50) == pytest.approx(2.0, rel=1e-3)


def test_of_each_time_the_part_that_may_be_our_own_is_known() -> None:
    stalls = Stalls()
    times = StepTimes(None, has_due_time=True, stalls=stalls)
    stalls.add(BEGIN + 2 * S, BEGIN + 8 * S)
    # started 1 s late, sent 0.5 s later, and under way while we stood still for 6 s
    times.waiting += (BEGIN, BEGIN + S, BEGIN + S * 3 // 2, BEGIN + 9 * S)
    assert times.response_time is not None
    assert times.response_time_low is not None
    assert times.response_time.max_ns == 9 * S
    assert times.response_time_low.max_ns == 2 * S
    assert times.service_time.max_ns == S * 15 // 2
    assert times.service_time_low.max_ns == S * 3 // 2


def test_a_stall_counts_before_anybody_has_noticed_it() -> None:
    stalls = Stalls()
    times = StepTimes(None, has_due_time=True, stalls=stalls)
    stalls.next_turn_ns = BEGIN + S
    times.waiting += (BEGIN, BEGIN, BEGIN, BEGIN + 7 * S)
    assert times.service_time_low.max_ns == S
    stalls.add(BEGIN + S, BEGIN + 7 * S + 5)  # the one that should have had its turn
    assert [pause.length_ns for pause in stalls.pauses] == [6 * S + 5]


@given(st.lists(st.integers(0, layout(DIGITS).size - 1), min_size=1))
def test_what_is_encoded_can_be_read_by_the_hdrhistogram_package(places: list[int]) -> None:
    from hdrh.histogram import HdrHistogram  # noqa: PLC0415

    counts = np.bincount(places, minlength=layout(DIGITS).size).astype(np.uint32)
    text = encode(counts)
    read = HdrHistogram.decode(text.encode())
    assert read.get_total_count() == len(places)
    assert (decode([None, text]) == np.array([np.zeros_like(counts), counts])).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an HdrHistogram"),
        ("HISTFAAAA", "not an HdrHistogram"),
        ("nonsense é", "not an HdrHistogram"),
        (Histogram().encode(), "another range, or not of 2 digits"),
    ],
)
def test_what_is_no_interval_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode([text])
