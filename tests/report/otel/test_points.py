from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk.metrics")

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource

from loadcheck.measure.histogram import Histogram
from loadcheck.report.metrics import Distribution, Snapshot
from loadcheck.report.otel import points

MS = 1_000_000


def taken(times: Histogram) -> Distribution:
    return Distribution(counts=times.counts(), least_ns=times.min_ns, most_ns=times.max_ns)


def shot(time_ns: int, times: Histogram | None = None, **totals: int) -> Snapshot:
    return Snapshot(
        time_ns=time_ns,
        totals={("loadcheck.copies", (("loadcheck.outcome", k),)): v for k, v in totals.items()},
        levels={("loadcheck.copies.in_flight", ()): 7},
        times={} if times is None else {("loadcheck.lateness", ()): taken(times)},
    )


def by_name(
    now: Snapshot, since: Snapshot | None = None, *, exponential: bool = False
) -> dict[str, Any]:
    data = points.metrics(now, since, began_ns=5, resource=Resource({}), exponential=exponential)
    return {m.name: m.data for m in data.resource_metrics[0].scope_metrics[0].metrics}


def test_counts_are_cumulative_from_the_beginning() -> None:
    found = by_name(shot(20, acknowledged=3, rejected=1))["loadcheck.copies"]
    assert found.is_monotonic
    assert found.aggregation_temporality.name == "CUMULATIVE"
    assert [(dict(p.attributes), p.value) for p in found.data_points] == [
        ({"loadcheck.outcome": "acknowledged"}, 3),
        ({"loadcheck.outcome": "rejected"}, 1),
    ]
    assert {(p.start_time_unix_nano, p.time_unix_nano) for p in found.data_points} == {(5, 20)}


def test_counts_are_those_since_the_last_time_if_asked_for() -> None:
    found = by_name(shot(20, acknowledged=5), shot(10, acknowledged=3))["loadcheck.copies"]
    assert found.aggregation_temporality.name == "DELTA"
    assert [p.value for p in found.data_points] == [2]
    assert {(p.start_time_unix_nano, p.time_unix_nano) for p in found.data_points} == {(10, 20)}


def test_levels_are_what_they_are() -> None:
    point = by_name(shot(20))["loadcheck.copies.in_flight"].data_points[0]
    assert point.value == 7


def filled(*durations_ns: int) -> Histogram:
    times = Histogram()
    for duration_ns in durations_ns:
        times.record(duration_ns)
    return times


def test_fixed_buckets_include_their_upper_bound() -> None:
    found = by_name(shot(20, filled(1 * MS, 1 * MS + 1000, 2 * MS, 90_000 * MS)))
    point = found["loadcheck.lateness"].data_points[0]
    inside = dict(zip([*point.explicit_bounds, None], point.bucket_counts, strict=True))
    assert {bound: n for bound, n in inside.items() if n} == {0.001: 1, 0.0025: 2, None: 1}
    assert (point.count, point.min, point.max) == (4, 0.001, 90.0)
    assert point.sum == pytest.approx(90.004, rel=0.001)


def test_a_histogram_of_an_interval_holds_only_what_came_in_it() -> None:
    times = filled(1 * MS, 50 * MS)
    before = shot(10, times)
    for _ in range(3):
        times.record(4 * MS)
    point = by_name(shot(20, times), before)["loadcheck.lateness"].data_points[0]
    assert point.count == 3
    assert point.min == point.max == pytest.approx(0.004, rel=0.001)
    assert point.sum == pytest.approx(0.012, rel=0.001)


def test_a_histogram_without_samples_is_not_sent() -> None:
    assert "loadcheck.lateness" not in by_name(shot(20, Histogram()))
    times = filled(MS)
    assert "loadcheck.lateness" not in by_name(shot(20, times), shot(10, times))


@given(st.lists(st.integers(0, 3_600_000_000_000), min_size=1, max_size=50))
def test_exponential_buckets_hold_what_was_measured(durations_ns: list[int]) -> None:
    found = by_name(shot(20, filled(*durations_ns)), exponential=True)
    point = found["loadcheck.lateness"].data_points[0]
    base = 2.0 ** (2.0**-point.scale)
    assert point.count == len(durations_ns)
    assert point.zero_count + sum(point.positive.bucket_counts) == point.count
    assert len(point.positive.bucket_counts) <= 160
    upper = 0
    for place, number in enumerate(point.positive.bucket_counts):
        upper += number
        bound_ns = base ** (point.positive.offset + place + 1) * 1e9
        # a bucket of ours is wide by a thousandth, and no sample is nearer than half a microsecond
        low = sum(d <= bound_ns * 0.998 - 600 for d in durations_ns)
        high = sum(d <= bound_ns * 1.002 + 600 for d in durations_ns)
        assert low <= point.zero_count + upper <= high
