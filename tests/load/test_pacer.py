from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.load.pacer import OpenPacer
from loadcheck.scenario.model import Stage
from tests.load.stages import stage


def constant(duration_s: float, rate: float) -> Stage:
    return stage(duration_s, rate, rate)


def due_s(pacer: OpenPacer) -> list[float]:
    return [due / 1e9 for chunk in pacer.chunks() for due in chunk.tolist()]


rates = st.floats(min_value=0, max_value=2000)
stages = st.lists(
    st.builds(stage, st.floats(min_value=0.01, max_value=10), rates, rates), min_size=1, max_size=4
)


def test_a_constant_rate_is_evenly_spaced_from_zero() -> None:
    assert due_s(OpenPacer(stages=[constant(1, 4)])) == [0, 0.25, 0.5, 0.75]


def test_stages_follow_one_another() -> None:
    pacer = OpenPacer(stages=[constant(1, 2), constant(1, 4), constant(1, 1)])
    assert due_s(pacer) == [0, 0.5, 1, 1.25, 1.5, 1.75, 2]


def test_a_pause_is_a_stage_without_copies() -> None:
    pacer = OpenPacer(stages=[constant(1, 2), constant(5, 0), constant(1, 2)])
    assert due_s(pacer) == [0, 0.5, 6, 6.5]


def test_a_ramp_is_due_where_the_integral_of_the_rate_is_whole() -> None:
    # N(t) = t²/2 · 2 = t²
    pacer = OpenPacer(stages=[stage(3, 0, 6)])
    assert due_s(pacer) == pytest.approx([np.sqrt(n) for n in range(9)], abs=1e-8)


def test_a_ramp_down_to_nothing() -> None:
    dues = due_s(OpenPacer(stages=[stage(2, 4, 0)]))
    # N(t) = 4t - t²
    assert dues == pytest.approx([2 - np.sqrt(4 - n) for n in range(4)], abs=1e-8)


@pytest.mark.parametrize(
    ("given_stages", "planned"),
    [
        ([constant(4, 200), constant(8, 2500), constant(4, 200)], 21_600),
        ([constant(0.1, 30)], 3),
        ([constant(1, 0.5)], 1),
        ([constant(3, 0)], 0),
        ([stage(10, 0, 100)], 500),
        ([constant(0.7, 10), constant(0.3, 10)], 10),
    ],
)
def test_the_number_of_copies_is_exact(given_stages: list[Stage], planned: int) -> None:
    pacer = OpenPacer(stages=given_stages)
    assert pacer.planned == planned
    assert len(due_s(pacer)) == planned


@given(stages)
def test_due_times_never_go_back_and_stay_inside_the_schedule(given_stages: list[Stage]) -> None:
    pacer = OpenPacer(stages=given_stages)
    dues = due_s(pacer)
    assert dues == sorted(dues)
    assert len(dues) == pacer.planned
    if dues:
        assert dues[0] >= 0
        assert dues[-1] <= pacer.duration_s + 1e-9


@given(stages, st.integers(min_value=0, max_value=50))
def test_as_many_are_due_by_any_instant_as_the_integral_says(
    given_stages: list[Stage], tenth: int
) -> None:
    pacer = OpenPacer(stages=given_stages)
    instant_s = pacer.duration_s * tenth / 50
    counted = sum(due <= instant_s for due in due_s(pacer))
    assert abs(counted - pacer.expected_at(instant_s)) <= 1.001


@given(stages, st.integers(min_value=0, max_value=2**32))
def test_poisson_arrivals_are_repeatable_and_counted_beforehand(
    given_stages: list[Stage], seed: int
) -> None:
    pacer = OpenPacer(stages=given_stages, arrivals="poisson", seed=seed)
    dues = due_s(pacer)
    assert dues == due_s(pacer) == sorted(dues)
    assert len(dues) == pacer.planned


def test_poisson_arrivals_are_exact_in_the_mean_in_every_stretch() -> None:
    shape = [constant(2, 100), stage(2, 100, 500), constant(1, 500)]
    counts = np.zeros(5)
    runs = 400
    for seed in range(runs):
        dues = due_s(OpenPacer(stages=shape, arrivals="poisson", seed=seed))
        counts += np.histogram(dues, bins=5, range=(0, 5))[0]
    expected = np.array([100, 100, 200, 400, 500])
    # five standard errors of a Poisson count's mean
    assert np.all(np.abs(counts / runs - expected) < 5 * np.sqrt(expected / runs))


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(due_s(OpenPacer(stages=[constant(100, 200)], arrivals="poisson", seed=1)))
    assert np.mean(gaps) == pytest.approx(1 / 200, rel=0.05)
    assert np.std(gaps) == pytest.approx(1 / 200, rel=0.05)


def test_the_rate_asked_for_follows_the_ramp() -> None:
    pacer = OpenPacer(stages=[constant(2, 10), stage(10, 10, 110)])
    assert [pacer.rate_at(s) for s in (0, 1.9, 2, 7, 11.99, 12, -1)] == pytest.approx(
        [10, 10, 10, 60, 109.9, 0, 0]
    )
    assert pacer.peak_rate == 110
