from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.compare import figures
from loadcheck.compare.bootstrap import RandomVariation, two_sided
from loadcheck.compare.evidence import Bounds, Evidence, Measured, Share, Unknown
from loadcheck.compare.judge import CONFIDENCE, MOST_RUNS, FigureComparison, judge, runs_needed
from loadcheck.result.schema_others import Change

P50 = figures.time_of_step("up", "response_time", "p50")
LOST = figures.counted("lost")
ERRORS = figures.errors_of_step("up")


def times(value: float, deviation: float = 0.005, **more: float) -> Measured:
    return Measured(
        value=value, spread=spread(deviation), generator_delay=more.get("generator_delay", 0.0)
    )


def spread(deviation: float) -> RandomVariation:
    """Return one of so many independent intervals that nothing is added for caution."""
    return RandomVariation(
        observed_sd=deviation,
        correlation=-0.5,
        number=10**9,
        stages=((10**5, 1),),
        degrees_of_freedom=10,
    )


def one(figure: figures.Figure, base: Evidence, candidate: Evidence) -> FigureComparison:
    return judge(figure, [base], [candidate], 0.05)


def share(hits: int, trials: int, effective: float | None = None) -> Share:
    return Share(hits=hits, trials=trials, effective=effective or trials)


@pytest.mark.parametrize(
    ("candidate", "word"),
    [(20.0, "same"), (20.5, "same"), (21.0, "unsure"), (22.0, "worse"), (18.0, "better")],
)
def test_the_word_is_about_the_whole_interval(candidate: float, word: str) -> None:
    judged = one(P50, times(20.0), times(candidate))
    assert judged.word is Change(word)
    assert judged.low is not None
    assert judged.high is not None
    assert judged.difference is not None
    assert judged.low < judged.difference < judged.high
    assert judged.method == "intervals"


def test_more_is_better_for_a_rate() -> None:
    assert one(figures.RATE, times(1000), times(800)).word is Change.WORSE
    assert one(figures.RATE, times(800), times(1000)).word is Change.BETTER


@given(st.floats(1, 1e4), st.floats(1, 1e4), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_the_other_way_round_it_is_the_opposite(a: float, b: float, x: float, y: float) -> None:
    left = judge(P50, [times(a, x)], [times(b, y)], 0.0)
    right = judge(P50, [times(b, y)], [times(a, x)], 0.0)
    opposite = {Change.WORSE: Change.BETTER, Change.BETTER: Change.WORSE}
    if Change.SAME not in (left.word, right.word) and min(a, b) > 10:
        floored = abs(a - b) <= 3 * P50.floor
        assert floored or right.word is opposite.get(left.word, left.word)


def test_a_difference_below_the_floor_is_none() -> None:
    judged = one(P50, times(0.3), times(0.35))
    assert (judged.word, judged.margin) == (Change.SAME, P50.floor)


def test_what_may_be_the_generators_own_delay_widens_the_interval() -> None:
    assert one(P50, times(20), times(22)).word is Change.WORSE
    assert one(P50, times(20), times(22, generator_delay=2.0)).word is Change.UNSURE
    assert one(P50, times(20, generator_delay=2.0), times(22)).word is Change.WORSE


def test_no_time_can_fall_by_more_than_all_of_it() -> None:
    judged = one(P50, times(20), times(22, generator_delay=90.0))
    assert judged.low == -20
    assert judged.high is not None
    assert judged.high > 2


def test_a_run_without_intervals_leaves_one_unsure() -> None:
    silent = Measured(value=20.0, trouble="the file has no intervals")
    judged = one(P50, silent, times(40.0))
    assert (judged.word, judged.low, judged.method) == (Change.UNSURE, None, "none")
    assert judged.why == "the file has no intervals"
    assert (judged.base, judged.candidate) == (20.0, 40.0)


def test_several_runs_without_intervals_tell_by_what_they_differ() -> None:
    base = [Measured(value=value, trouble="no intervals") for value in (20.0, 20.1, 19.9)]
    candidate = [Measured(value=value, trouble="no intervals") for value in (25.0, 25.2, 24.9)]
    judged = judge(P50, base, candidate, 0.05)
    assert (judged.word, judged.method) == (Change.WORSE, "runs")


def test_runs_that_differ_among_themselves_are_not_told_apart() -> None:
    base = [times(value) for value in (20.0, 24.0, 18.0)]
    candidate = [times(value) for value in (22.0, 25.0, 20.0)]
    assert judge(P50, base, candidate, 0.05).word is Change.UNSURE
    assert one(P50, base[0], candidate[0]).word is Change.WORSE


def test_one_candidate_beside_many_runs_of_the_base() -> None:
    base = [times(value) for value in (20.0, 20.2, 19.9, 20.1, 19.8)]
    assert judge(P50, base, [times(23.0)], 0.05).word is Change.WORSE
    assert judge(P50, base, [times(20.1)], 0.05).word is Change.SAME


def test_runs_that_agree_by_luck_are_no_surer_than_each_of_them() -> None:
    lucky = [times(20.0, 0.05) for _ in range(3)]
    judged = judge(P50, lucky, lucky, 0.05)
    assert judged.word is Change.UNSURE


def test_between_runs_the_interval_is_students() -> None:
    base, candidate = [10.0, 10.4, 9.8, 10.2], [10.3, 10.9, 10.6, 10.1]
    judged = judge(P50, [times(v, 0.0) for v in base], [times(v, 0.0) for v in candidate], 0.05)
    logs = [np.log(base), np.log(candidate)]
    parts = [side.var(ddof=1) / side.size for side in logs]
    freedom = sum(parts) ** 2 / sum(part**2 / 3 for part in parts)
    assert judged.low is not None
    assert judged.base is not None
    low = math.log1p(judged.low / judged.base)
    reach = logs[1].mean() - logs[0].mean() - low
    assert reach == pytest.approx(two_sided(0.95, freedom) * math.sqrt(sum(parts)))


def test_a_share_of_nobody_on_both_sides_is_the_same() -> None:
    assert one(ERRORS, share(0, 1000), share(0, 1000)).word is Change.SAME


@pytest.mark.parametrize(
    ("base", "candidate", "word"),
    [
        (share(0, 30_000), share(30, 30_000), "worse"),
        (share(30, 30_000), share(0, 30_000), "better"),
        (share(0, 3000), share(1, 3000), "unsure"),
        (share(0, 1_000_000), share(1, 1_000_000), "same"),
        (share(500, 1000), share(505, 1000), "unsure"),
        (share(0, 30_000), share(30, 30_000, 900), "unsure"),  # all in one burst
        (share(0, 100), share(100, 100), "worse"),
        (share(5 * 10**199, 10**200), share(5 * 10**199, 10**200), "same"),  # of no service
    ],
)
def test_shares(base: Share, candidate: Share, word: str) -> None:
    assert one(ERRORS, base, candidate).word is Change(word)


def test_newcombes_interval_is_the_published_one() -> None:
    # R. G. Newcombe 1998, table II, method 10: 56/70 and 48/80
    judged = judge(ERRORS, [share(48, 80)], [share(56, 70)], 0.05)
    assert judged.low == pytest.approx(0.0524, abs=1e-4)
    assert judged.high == pytest.approx(0.3339, abs=1e-4)


def test_runs_whose_shares_scatter_count_for_fewer() -> None:
    scattered = [share(0, 10_000), share(60, 10_000), share(0, 10_000)]
    level = [share(21, 10_000), share(19, 10_000), share(20, 10_000)]
    candidate = [share(40, 10_000), share(41, 10_000), share(39, 10_000)]
    assert judge(ERRORS, level, candidate, 0.05).word is Change.WORSE
    assert judge(ERRORS, scattered, candidate, 0.05).word is Change.UNSURE


@pytest.mark.parametrize(
    ("base", "candidate", "word"),
    [
        ((0, 0), (0, 0), "same"),
        ((0, 0), (1, 1), "worse"),
        ((3, 3), (0, 0), "better"),
        ((0, 2), (1, 4), "unsure"),
        ((0, 2), (3, 4), "worse"),
        ((0, 1), (0, 1), "unsure"),
    ],
)
def test_what_is_counted_is_compared_by_proven_bounds(
    base: tuple[int, int], candidate: tuple[int, int], word: str
) -> None:
    left, right = (Bounds(lower=low, upper=high) for low, high in (base, candidate))
    judged = one(LOST, left, right)
    assert (judged.word, judged.method) == (Change(word), "exact")


def test_of_several_runs_the_worst_count_speaks() -> None:
    base = [Bounds(lower=n, upper=n) for n in (0, 2, 0)]
    assert judge(LOST, base, [Bounds(lower=2, upper=2)], 0.05).word is Change.SAME
    assert judge(LOST, base, [Bounds(lower=3, upper=3)], 0.05).word is Change.WORSE


def test_a_lag_is_worse_beyond_both_its_bounds_and_the_tolerance() -> None:
    visible = figures.visible("p95")
    base = Bounds(lower=300, upper=600)
    assert one(visible, base, Bounds(lower=620, upper=900)).word is Change.UNSURE
    assert one(visible, base, Bounds(lower=640, upper=900)).word is Change.WORSE


def test_what_a_run_does_not_tell_is_unsure_and_says_why() -> None:
    judged = one(LOST, Bounds(lower=0, upper=0), Unknown(trouble="not known"))
    assert (judged.word, judged.why, judged.difference) == (Change.UNSURE, "not known", None)


def test_what_runs_tell_in_different_ways_is_unsure() -> None:
    judged = one(P50, times(20), Bounds(lower=0, upper=0))
    assert (judged.word, judged.why) == (Change.UNSURE, "the runs report it in different ways")


def test_a_time_of_nothing_is_compared_by_sums() -> None:
    lateness = figures.lateness("p50")
    base = Measured(value=0.0, spread=spread(0.001), logarithmic=False)
    candidate = Measured(value=5.0, spread=spread(0.001), logarithmic=False)
    assert one(lateness, base, candidate).word is Change.WORSE


@pytest.mark.parametrize(("deviation", "needed"), [(0.001, 2), (0.02, 3), (0.05, 9), (5.0, 21)])
def test_how_many_runs_would_settle_it(deviation: float, needed: int) -> None:
    found = runs_needed(deviation, 0.05)
    assert found == needed
    if found <= MOST_RUNS:
        reach = two_sided(CONFIDENCE, 2 * found - 2) * deviation * (2 / found) ** 0.5
        assert reach <= 0.05


def test_an_interval_that_says_nothing_is_not_shown_but_how_many_runs_are_needed() -> None:
    base = [Measured(value=value, trouble="no intervals") for value in (20.0, 26.0)]
    candidate = [Measured(value=30.0, trouble="no intervals")]
    judged = judge(P50, base, candidate, 0.05)
    assert (judged.word, judged.low, judged.high) == (Change.UNSURE, None, None)
    assert judged.why == "needs over 20 runs"
    assert judged.runs_needed == MOST_RUNS + 1
    base = [Measured(value=value, trouble="no intervals") for value in (20.0, 20.4, 19.6)]
    judged = judge(P50, base, [Measured(value=20.6, trouble="no intervals")], 0.05)
    assert (judged.word, judged.why) == (Change.UNSURE, "")
    assert 2 <= (judged.runs_needed or 0) <= MOST_RUNS
