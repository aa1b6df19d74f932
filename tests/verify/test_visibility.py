"""The lag between two curves: bounds that hold whatever the order in which users become visible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck.verify.evidence import Observation
from loadcheck.verify.query_client import BucketCounts, read_tally
from loadcheck.verify.visibility import (
    AckCurve,
    KnownLosses,
    OrderCounts,
    SendOrder,
    visibility,
)
from loadcheck.workflow.identity import SEQUENCE, Buckets, size

S = 1_000_000_000


def seen(at_s: float, uniques: int | None, *, answered_s: float | None = None) -> Observation:
    answered = at_s + 0.01 if answered_s is None else answered_s
    return Observation(
        asked_ns=int(at_s * S),
        answered_ns=int(answered * S),
        as_of_ns=int(at_s * S),
        uniques=uniques,
    )


def curve(*points: tuple[float, int]) -> AckCurve:
    acks = AckCurve()
    for at_s, acknowledged in points:
        acks.add(int(at_s * S), acknowledged)
    return acks


def test_everybody_at_once() -> None:
    acks = curve((0, 0), (1.0, 0), (1.05, 100))
    lag = visibility(acks, [seen(1.5, 0), seen(2, 0), seen(3, 100)], acknowledged=100)
    assert lag is not None
    assert lag.never == 0
    assert math.isclose(lag.percentile_s(50) or 0, 3.01 - 1.0, abs_tol=1e-3)
    assert math.isclose(lag.percentile_s(50, lower=True) or 0, 2 - 1.05)
    assert math.isclose(lag.to_json()["resolution_s"], (3.01 - 1.0) - (2 - 1.05), abs_tol=1e-3)


def test_who_is_not_counted_yet_has_waited_no_longer_than_the_last_answer_tells() -> None:
    acks, answers = curve((0, 0), (1, 100)), [seen(2, 40)]
    late = visibility(acks, answers, acknowledged=100)
    lost = visibility(acks, answers, acknowledged=100, lost=KnownLosses(number=60))
    assert late is not None
    assert lost is not None
    assert (late.percentile_s(50), lost.percentile_s(50)) == (math.inf, math.inf)
    assert (late.percentile_s(50, lower=True), lost.percentile_s(50, lower=True)) == (1.0, math.inf)


def test_who_is_never_counted_has_an_infinite_lag() -> None:
    lag = visibility(curve((0, 0), (1, 100)), [seen(2, 96)], acknowledged=100)
    assert lag is not None
    assert lag.never == 4
    assert math.isfinite(lag.percentile_s(95) or 0)
    assert lag.percentile_s(99) == math.inf
    assert lag.to_json()["p99_s"] is None
    assert lag.to_json()["never"] == 4


def test_an_outage_makes_nobody_else_late() -> None:
    # a hundred a second for ten seconds; those of the fourth are lost, the others take one second
    acks = curve(*((at / 10, at * 10) for at in range(101)))
    counted = [min(at * 10, 1000) - min(max(at * 10 - 300, 0), 100) for at in range(101)]
    observations = [
        seen(1 + at / 10, count, answered_s=1 + at / 10) for at, count in enumerate(counted)
    ]
    lost = np.arange(301, 401)
    blind = visibility(acks, observations, acknowledged=1000)
    told = visibility(acks, observations, acknowledged=1000, lost=KnownLosses(ranks=lost))
    assert blind is not None
    assert told is not None
    highest, known = blind.percentile_s(80) or 0, told.percentile_s(80) or 0
    assert 1 <= known < highest - 2
    assert (told.never, told.percentile_s(95)) == (100, math.inf)


def test_a_count_that_falls_again_was_not_yet_visible() -> None:
    acks = curve((0, 0), (1, 10))
    steady = visibility(acks, [seen(2, 10), seen(9, 10)], acknowledged=10)
    flicker = visibility(acks, [seen(2, 10), seen(5, 4), seen(9, 10)], acknowledged=10)
    assert steady is not None
    assert flicker is not None
    assert (steady.percentile_s(100) or 0) < 3
    assert (flicker.percentile_s(100) or 0) > 8


def test_a_refused_question_widens_the_interval_and_is_no_zero() -> None:
    acks = curve((0, 0), (1, 10))
    lag = visibility(acks, [seen(1.5, 0), seen(2, None), seen(8, 10)], acknowledged=10)
    assert lag is not None
    assert lag.to_json()["resolution_s"] > 6
    assert visibility(acks, [seen(2, None)], acknowledged=10) is None


def test_nothing_acknowledged_has_no_percentile() -> None:
    lag = visibility(curve((0, 0)), [seen(2, 0)], acknowledged=0)
    assert lag is not None
    assert lag.percentile_s(50) is None
    assert lag.never == 0


def test_a_curve_that_stands_still_stays_small() -> None:
    acks = AckCurve()
    for tick in range(1000):
        acks.add(tick, min(tick, 10))
    times, counts, *_ = acks.points()
    assert times.size < 20
    assert counts[-1] == 10
    assert times[-1] == 999
    assert (acks.before(5), acks.before(10**9), acks.before(-1)) == (5, 10, 0)


@dataclass(frozen=True)
class Trial:
    """What a service told of users whose true lags are known."""

    acks: AckCurve
    observations: list[Observation]
    order: SendOrder
    lags: npt.NDArray[np.float64]

    def wrong(self, *, ordered: bool) -> list[str]:
        """Return the percentiles whose interval does not contain the truth."""
        order = self.order if ordered else None
        number = self.lags.size
        found = visibility(self.acks, self.observations, acknowledged=number, order=order)
        assert found is not None
        lags = np.sort(self.lags)
        wrong = []
        for percentile in (1, 25, 50, 90, 95, 99, 100):
            truth = lags[max(1, math.ceil(percentile * number / 100)) - 1]
            upper, lower = (
                found.percentile_s(percentile),
                found.percentile_s(percentile, lower=True),
            )
            assert upper is not None
            assert lower is not None
            if not lower - 1e-6 <= truth <= upper + 1e-6 and not (lower == upper == math.inf):
                wrong.append(f"p{percentile}: {lower:.3f} … {upper:.3f}, and it is {truth:.3f}")
        return wrong

    def width_s(self, percentile: float, *, ordered: bool) -> float:
        """Return how far the bounds of a percentile lie apart."""
        order = self.order if ordered else None
        found = visibility(self.acks, self.observations, acknowledged=self.lags.size, order=order)
        assert found is not None
        upper, lower = found.percentile_s(percentile), found.percentile_s(percentile, lower=True)
        return (upper or 0) - (lower or 0)


def play(
    begun: npt.NDArray[np.float64],
    acked: npt.NDArray[np.float64],
    seen_at: npt.NDArray[np.float64],
    polls: Sequence[tuple[float, float, float]],
    splits: Sequence[tuple[float, float, float]],
) -> Trial:
    """Return what a run records.

    Args:
        begun: When each copy was begun, ascending.
        acked: When it was acknowledged.
        seen_at: When it became visible.
        polls: When the count was asked for, took its state, and was answered.
        splits: The same of the count by send order.
    """
    number, acks = begun.size, AckCurve()
    for tick in range(int(acked.max() / 0.05) + 3):
        at = tick * 0.05
        acks.add(int(at * S), int((acked <= at).sum()), int((begun <= at).sum()))
    observations = [
        Observation(
            asked_ns=int(asked * S),
            answered_ns=math.ceil(answered * S),
            as_of_ns=int(asked * S),
            uniques=int((seen_at <= state).sum()),
        )
        for asked, state, answered in polls
    ]
    buckets = Buckets(run_id="a" * 12, copies=number)
    column = buckets.column(np.arange(number), SEQUENCE)
    sent = np.bincount(column, minlength=size(SEQUENCE))
    answers = [
        OrderCounts(
            as_of_ns=int(asked * S),
            answered_ns=math.ceil(answered * S),
            counts=np.bincount(column[seen_at <= state], minlength=size(SEQUENCE)),
        )
        for asked, state, answered in splits
    ]
    order = SendOrder(
        answers=answers,
        first=np.array([buckets.first(at) for at in range(size(SEQUENCE))]),
        acknowledged=sent,
        possible=sent,
        lost=np.zeros_like(sent),
    )
    return Trial(acks, observations, order, seen_at - acked)


def heavy_tailed(seed: int, duration_s: float = 6.0) -> Trial:
    """Return a run of two hundred a second: lags lognormal, median one second, p99 twenty."""
    chance = np.random.default_rng(seed)
    number = int(200 * duration_s)
    begun = np.arange(number) / 200
    acked = begun + chance.lognormal(math.log(0.005), 1, number)
    seen_at = acked + chance.lognormal(0, math.log(20) / 2.326, number)

    def answers(every_s: float) -> list[tuple[float, float, float]]:
        found, at = [], chance.uniform(0, every_s)
        while at < seen_at.max() + every_s:
            took = 0.01 + chance.exponential(0.02)
            found.append((at, at + chance.uniform(0, took), at + took))
            at += took + every_s
        return found

    return play(begun, acked, seen_at, answers(1.0), answers(4.0))


def test_a_heavy_tail_lies_within_the_bounds() -> None:
    for seed in range(3):
        trial = heavy_tailed(seed)
        assert trial.wrong(ordered=bool(seed % 2)) == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_heavy_tail_lies_within_the_bounds_in_a_hundred_runs() -> None:
    trials = [heavy_tailed(seed, duration_s=4 + seed % 20) for seed in range(100)]
    for ordered in (False, True):
        assert sum(bool(trial.wrong(ordered=ordered)) for trial in trials) <= 1


def test_counts_by_send_order_tell_of_a_long_load_what_the_sum_hides() -> None:
    number = 6000
    begun = np.arange(number) / 100
    acked = begun + 0.004
    polls = [(at, at + 0.01, at + 0.02) for at in np.arange(0.3, 64, 1.0).tolist()]
    splits = [(at, at + 0.01, at + 0.02) for at in np.arange(0.7, 68, 4.0).tolist()]
    trial = play(begun, acked, acked + 0.2, polls, splits)
    assert trial.wrong(ordered=False) == trial.wrong(ordered=True) == []
    assert trial.width_s(99, ordered=False) > 10
    assert trial.width_s(99, ordered=True) < 5


def test_that_it_is_known_that_nobody_is_lost_leaves_no_counts_out() -> None:
    begun = np.arange(600) / 100
    polls = [(at, at + 0.01, at + 0.02) for at in np.arange(0.3, 8, 1.0).tolist()]
    trial = play(begun, begun + 0.004, begun + 0.2, polls, polls)
    unknown, nobody = (
        visibility(trial.acks, trial.observations, acknowledged=600, order=trial.order, lost=lost)
        for lost in (KnownLosses(), KnownLosses(ranks=np.zeros(0, dtype=np.int64)))
    )
    assert unknown is not None
    assert nobody is not None
    assert nobody.to_json() == unknown.to_json()
    assert trial.width_s(99, ordered=True) < trial.width_s(99, ordered=False)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.floats(0, 1), st.floats(-1, 12)), min_size=1, max_size=30
    ),
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1), st.floats(0, 1)), max_size=8),
    st.booleans(),
)
def test_the_bounds_hold_whatever_the_order(
    users: list[tuple[float, float, float]], asked: list[tuple[float, float, float]], ordered: bool
) -> None:
    """Users overtake each other, and some are counted before their acknowledgement is here."""
    users.sort()
    begun = np.array([at for at, _, _ in users])
    acked = begun + [0.001 + took for _, took, _ in users]
    seen_at = np.maximum(begun + 0.0005, acked + [lag for _, _, lag in users])
    polls = [(at, at + share * took, at + took) for at, took, share in sorted(asked)]
    polls.append((30.0, 30.0, 30.0))
    trial = play(begun, acked, seen_at, polls, polls)
    # a user that was visible before its acknowledgement has waited for nothing
    trial = replace(trial, lags=np.maximum(trial.lags, 0))
    assert trial.wrong(ordered=ordered) == []


def test_no_rows_that_may_be_incomplete_are_believed() -> None:
    rows: dict[str, Any] = {"labels": [[0, "s3"], [0, "s4"]], "values": [5, 7]}
    found = read_tally(SEQUENCE, rows, limit=1000)
    assert isinstance(found, BucketCounts)
    assert (found.counts[3], found.counts[4], found.total) == (5, 7, 12)
    assert isinstance(read_tally(SEQUENCE, rows, limit=2), str)
    for wrong in ({"values": [5]}, {"values": [5, 1e300]}, {"labels": ["s3", "(none)"]}):
        assert isinstance(read_tally(SEQUENCE, rows | wrong, limit=1000), str)
    empty = read_tally(SEQUENCE, {"labels": None, "values": None}, limit=1000)
    assert isinstance(empty, BucketCounts)
    assert empty.total == 0
