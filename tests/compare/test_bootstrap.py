from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.compare.bootstrap import (
    FEWEST_INTERVALS,
    Counts,
    Draws,
    Floats,
    RandomVariation,
    autocorrelation_inflation,
    correlation,
    draw,
    percentiles,
)
from loadcheck.measure.histogram import layout

BUCKETS = layout(2)


def counted(*rows: list[int]) -> Counts:
    """Return histograms of values in microseconds."""
    counts = np.zeros((len(rows), BUCKETS.size), dtype=np.uint32)
    for row, values in zip(counts, rows, strict=True):
        np.add.at(row, BUCKETS.places(np.array(values, dtype=np.int64)), 1)
    return counts


def deviation(draws: Draws, drawn: Floats, level: Floats) -> float:
    spread = draws.spread(drawn, level)
    assert spread is not None
    return spread.deviation()


def wandering(size: int, memory: float, random: np.random.Generator) -> list[float]:
    level, state = [], random.standard_normal()
    for _ in range(size):
        state = memory * state + random.standard_normal() * math.sqrt(1 - memory**2)
        level.append(state)
    return level


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4).filter(
        lambda sizes: sum(sizes) >= FEWEST_INTERVALS
    )
)
def test_each_draw_takes_as_many_intervals_of_each_stage_as_there_are(sizes: list[int]) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    draws = draw(strata, np.random.default_rng(1), draws=20)
    if draws is None:
        assert max(sizes) == 1
        return
    for stage, size in enumerate(sizes):
        assert (draws.weights[:, strata == stage].sum(axis=1) == size).all()


@pytest.mark.parametrize("sizes", [[3], [1, 1, 1, 1, 1, 1]])
def test_too_few_intervals_cannot_be_drawn_from(sizes: list[int]) -> None:
    assert draw(np.repeat(np.arange(len(sizes)), sizes), np.random.default_rng(1)) is None


@given(st.lists(st.integers(0, 3_000_000), min_size=1, max_size=200), st.floats(1, 100))
def test_percentiles_are_those_of_the_samples_to_a_bucket(
    values: list[int], percentile: float
) -> None:
    (found,) = percentiles(counted(values), BUCKETS, (percentile,))[0]
    rank = max(1, math.ceil(round(percentile * len(values) / 100, 6)))
    expected = sorted(values)[rank - 1]
    assert found == pytest.approx(expected, rel=0.01, abs=1.01)


def test_weights_merge_intervals() -> None:
    counts = counted([1000] * 3, [9000])
    weights = np.array([[1, 0], [0, 1], [1, 1], [0, 9], [0, 0]], dtype=np.float32)
    medians = percentiles(counts, BUCKETS, (50.0,), weights)[:, 0]
    assert medians[:4] == pytest.approx([1000, 9000, 1000, 9000], rel=0.01)
    assert np.isnan(medians[4])


def test_intervals_without_samples_have_no_percentile() -> None:
    assert np.isnan(percentiles(counted([], []), BUCKETS, (50.0,))).all()
    assert np.isnan(percentiles(counted([], [5]), BUCKETS, (50.0,))[0, 0])


def test_counts_too_large_for_single_precision_are_added_exactly() -> None:
    counts = counted([1000], [2000], [3000]) * np.uint32(20_000_001)
    weights = np.array([[1, 1, 1], [3, 0, 2]], dtype=np.float32)
    medians = percentiles(counts, BUCKETS, (50.0,), weights)[:, 0]
    assert medians == pytest.approx([2000, 1000], rel=0.01)


def test_the_deviation_is_that_of_independent_intervals() -> None:
    random = np.random.default_rng(5)
    found = []
    for _ in range(60):
        level = random.standard_normal(40)
        draws = draw(np.zeros(40, dtype=np.int64), random)
        assert draws is not None
        found.append(deviation(draws, draws.weights @ level / 40, level))
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(1 / math.sqrt(40), rel=0.25)


def test_the_deviation_holds_what_neighbours_share() -> None:
    random = np.random.default_rng(6)
    found, means = [], []
    for _ in range(150):
        level = np.array(wandering(60, 0.6, random))
        draws = draw(np.zeros(60, dtype=np.int64), random, draws=200)
        assert draws is not None
        found.append(deviation(draws, draws.weights @ level / 60, level))
        means.append(level.mean())
    # independent intervals would give half as much
    ratio = np.sqrt(np.mean(np.square(found))) / np.std(means)
    assert 0.85 < ratio < 1.6


def test_what_differs_between_stages_is_no_chance() -> None:
    strata = np.repeat([0, 1], 20)
    level = np.where(strata == 0, 1.0, 100.0) + np.tile([0.0, 0.1], 20)
    draws = draw(strata, np.random.default_rng(1))
    assert draws is not None
    assert deviation(draws, draws.weights @ level / 40, level) < 0.1


def test_draws_that_tell_nothing_have_no_deviation() -> None:
    draws = draw(np.zeros(10, dtype=np.int64), np.random.default_rng(1))
    assert draws is not None
    assert draws.spread(np.array([1.0, np.nan]), np.ones(10)) is None
    assert draws.spread(np.array([1.0, 2.0]), np.full(10, np.nan)) is None


def test_what_a_second_run_shows_makes_a_correlation_surer() -> None:
    def one(correlation: float) -> RandomVariation:
        return RandomVariation(
            observed_sd=1,
            correlation=correlation,
            number=30,
            stages=((30, 5),),
            degrees_of_freedom=5,
        )

    assert one(0.3).deviation(one(0.3)) < one(0.3).deviation()
    assert one(0.0).deviation(one(0.8)) == one(0.8).deviation(one(0.0))
    assert one(0.2).deviation() > one(0.0).deviation() > 1


def test_correlation_is_found_within_stages_only() -> None:
    strata = np.repeat([0, 1], 50)
    random = np.random.default_rng(2)
    level = random.standard_normal(100) + 50 * strata
    assert abs(correlation(level, strata)) < 0.4
    assert correlation(level, np.zeros(100, dtype=np.int64)) > 0.9
    assert correlation(np.ones(50), np.zeros(50, dtype=np.int64)) == 0
    assert correlation(np.full(50, np.nan), np.zeros(50, dtype=np.int64)) == 0


@given(st.floats(0, 0.95), st.integers(2, 400))
def test_blocks_never_show_too_much(rho: float, size: int) -> None:
    assert autocorrelation_inflation(rho, size, max(1, -(-size // 6))) >= 1


def test_without_correlation_blocks_hide_their_number_less_one() -> None:
    assert autocorrelation_inflation(0, 60, 10) == pytest.approx(6 / 5)
    assert autocorrelation_inflation(0.5, 3, 3) == 1
