from __future__ import annotations

import base64
import math
import struct
import zlib

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.measure.histogram import Histogram, percentiles_of

HOUR_NS = 3_600_000_000_000
durations = st.integers(min_value=0, max_value=HOUR_NS)


def histogram(samples: list[int]) -> Histogram:
    result = Histogram()
    for sample in samples:
        result.record(sample)
    return result


def nearest_rank(samples: list[int], percentile: float) -> int:
    ordered = sorted(samples)
    return ordered[max(1, math.ceil(round(percentile * len(ordered) / 100, 6))) - 1]


@given(st.lists(durations, min_size=1, max_size=60), st.floats(min_value=0, max_value=100))
def test_a_percentile_is_the_nearest_rank_to_three_digits(
    samples: list[int], percentile: float
) -> None:
    expected_ms = nearest_rank(samples, percentile) / 1e6
    found_ms = histogram(samples).percentile_ms(percentile)
    assert found_ms == pytest.approx(expected_ms, rel=1.1e-3, abs=1.1e-3)


@given(st.lists(durations, max_size=60), st.lists(durations, max_size=60))
def test_merging_equals_recording_everything_in_one(left: list[int], right: list[int]) -> None:
    merged, whole = histogram(left) + histogram(right), histogram(left + right)
    assert merged.encode() == whole.encode()
    assert (merged.count, merged.min_ns, merged.max_ns) == (whole.count, whole.min_ns, whole.max_ns)


many = st.lists(st.integers(-1, 2 * HOUR_NS), min_size=1, max_size=60)


@given(many, many)
def test_adding_to_two_equals_adding_to_each(before: list[int], samples: list[int]) -> None:
    one, other, expected = Histogram(), histogram(before), histogram(before + samples)
    one.add(np.array(samples), other)
    assert one == histogram(samples)
    assert other == expected


@given(st.lists(durations, max_size=60))
def test_buckets_are_those_of_the_hdrhistogram_package(samples: list[int]) -> None:
    reference = HdrHistogram(1, 3_600_000_000, 3)
    for sample in samples:
        assert reference.record_value((sample + 500) // 1000)
    read = HdrHistogram.decode(histogram(samples).encode().encode())
    assert read.get_total_count() == reference.get_total_count()
    assert list(read.counts) == list(reference.counts)


@given(st.lists(durations, min_size=1, max_size=60))
def test_decoding_gives_back_the_percentiles(samples: list[int]) -> None:
    before = histogram(samples)
    after = Histogram.decode(before.encode())
    assert after.count == before.count
    for percentile in (50, 99, 100):
        left, right = after.percentile_ms(percentile), before.percentile_ms(percentile)
        assert left == pytest.approx(right, rel=1.1e-3, abs=1.1e-3)


def test_many_samples_pass_through_the_buffer() -> None:
    result = histogram(list(range(0, 5_000_000, 1000)))
    assert result.count == 5000
    assert result.percentile_ms(50) == pytest.approx(2.5, rel=1e-3)


def test_samples_above_the_range_are_counted_and_end_up_in_the_maximum() -> None:
    result = histogram([1_000_000] * 9 + [2 * HOUR_NS])
    assert result.count == 10
    assert result.above_range == 1
    assert result.percentile_ms(90) == pytest.approx(1.0, rel=1e-3)
    assert result.percentile_ms(99) == 2 * HOUR_NS / 1e6


def test_a_percentile_is_never_above_the_true_maximum() -> None:
    # the bucket that holds 100,001 µs stands for values up to 100,095 µs
    assert histogram([100_001_000]).percentile_ms(100) == 100.001


def test_no_sample_has_no_percentile() -> None:
    assert Histogram().percentile_ms(50) is None


def test_an_interval_sees_only_what_came_after_it_began() -> None:
    result = histogram([1_000_000] * 100)
    seen = result.counts()
    result.record(9_000_000)
    (median_ms,) = percentiles_of(result.gain(seen), (50,), max_ns=result.max_ns)
    assert median_ms == pytest.approx(9.0, rel=1e-3)
    assert (seen == result.counts()).all()
    assert percentiles_of(result.gain(seen), (50,), max_ns=result.max_ns) == [None]


@pytest.mark.parametrize("text", ["", "HISTFAAAA", "not base64 at all"])
def test_decoding_something_else_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="HdrHistogram"):
        Histogram.decode(text)


def test_what_inflates_without_end_is_no_histogram() -> None:
    head = struct.pack(">iiiiqqd", 0x1C849303 | 0x10, 1 << 30, 0, 3, 1, 3_600_000_000, 1.0)
    bomb = zlib.compress(head + bytes(50_000_000), 9)
    packed = struct.pack(">ii", 0x1C849304 | 0x10, len(bomb)) + bomb
    with pytest.raises(ValueError, match="too long"):
        Histogram.decode(base64.b64encode(packed).decode())


@pytest.mark.parametrize("digits", [0, 5, 9])
def test_another_precision_is_refused_before_it_takes_memory(digits: int) -> None:
    plain = struct.pack(">iiiiqqd", 0x1C849303 | 0x10, 1, 0, digits, 1, 2**62, 1.0) + bytes(1)
    data = zlib.compress(plain)
    packed = struct.pack(">ii", 0x1C849304 | 0x10, len(data)) + data
    with pytest.raises(ValueError, match="of another range"):
        Histogram.decode(base64.b64encode(packed).decode())
