"""The lag between two curves: bounds that hold whatever the order in which users become visible."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.verify.observe import Observation
from loadcheck.verify.visibility import AckCurve, visibility

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
    assert math.isclose(lag.percentile_s(50) or 0, 3.01 - 1.0)
    assert math.isclose(lag.percentile_s(50, lower=True) or 0, 2 - 1.05)
    assert math.isclose(lag.resolution_s or 0, 2.01 - 0.95)


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
    told = visibility(acks, observations, acknowledged=1000, lost=lost)
    assert blind is not None
    assert told is not None
    assert (blind.percentile_s(80) or 0) > 1.9
    assert 1 <= (told.percentile_s(80) or 0) <= 1.2
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
    assert (lag.resolution_s or 0) > 6
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
    times, counts, _ = acks.points()
    assert times.size < 20
    assert counts[-1] == 10
    assert times[-1] == 999
    assert (acks.before(5), acks.before(10**9), acks.before(-1)) == (5, 10, 0)


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 20)), min_size=1, max_size=40),
    st.lists(st.floats(0, 80), min_size=1, max_size=15, unique=True),
)
def test_the_bounds_hold_the_truth(users: list[tuple[float, float]], polls: list[float]) -> None:
    """With visibility in the order of acknowledgement, each true lag lies between its bounds."""
    acked = sorted(at for at, _ in users)
    delay = users[0][1]
    acks = AckCurve()
    for tick in range(1001):
        acks.add(int(tick * 0.05 * S), sum(at <= tick * 0.05 for at in acked))
    observations = [
        seen(at, sum(ack + delay <= at for ack in acked), answered_s=at) for at in sorted(polls)
    ]
    lag = visibility(acks, observations, acknowledged=len(acked))
    assert lag is not None
    for percentile in (1, 50, 95, 100):
        upper, lower = lag.percentile_s(percentile), lag.percentile_s(percentile, lower=True)
        assert upper is not None
        assert lower is not None
        assert delay <= upper + 1e-6
        assert lower - 1e-6 <= delay or lower == math.inf
