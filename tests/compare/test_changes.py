"""Change points: found where they are, by seed, and not where nothing changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.compare.changes import FEWEST_RUNS, FigureHistory, Floats, find_changes
from tests.benchmarks.trend import drifts_told, false_alarms, history, steps_found


def series(
    values: Sequence[float] | Floats, *, logarithmic: bool = True, floor: float = 0.0
) -> FigureHistory:
    return FigureHistory(values=np.array(values, dtype=float), logarithmic=logarithmic, floor=floor)


def noisy(runs: int, seed: int = 0) -> list[float]:
    random = np.random.default_rng(seed)
    return list(20 * np.exp(0.01 * random.standard_normal(runs)))


def test_a_step_is_found_by_its_third_run_with_its_size() -> None:
    values = noisy(30)
    values[27:] = [1.1 * value for value in values[27:]]
    found = find_changes({"p50": series(values), "p99": series(noisy(30, 1))}, 0.03)
    (point,) = found["p50"].points
    assert (point.index, point.kind) == (27, "step")
    assert point.after / point.before == pytest.approx(1.1, abs=0.02)
    assert point.p <= 0.01
    assert found["p99"].points == []
    level = found["p50"]
    assert level.low is not None
    assert level.high is not None
    assert level.low < 22 < level.high


def test_the_level_is_of_the_runs_since_the_last_step_and_of_all_runs_of_a_drift() -> None:
    """The page of a trend says so below its table."""
    step, drift = np.array(noisy(30)), np.array(noisy(40, 1))
    step[20:] *= 1.2
    drift *= np.exp(np.linspace(0, 0.3, 40))
    stepped = find_changes({"p50": series(step)}, 0.03)["p50"]
    drifting = find_changes({"p50": series(drift)}, 0.03)["p50"]
    assert [point.kind for point in (*stepped.points, *drifting.points)] == ["step", "drift"]
    assert stepped.level == pytest.approx(np.exp(np.log(step[20:]).mean()))
    assert drifting.level == pytest.approx(np.exp(np.log(drift).mean()))


def test_a_stretch_that_stands_out_has_two_ends() -> None:
    values = noisy(60)
    values[25:35] = [1.1 * value for value in values[25:35]]
    points = find_changes({"p50": series(values)}, 0.03)["p50"].points
    assert [point.index for point in points] == [25, 35]
    assert points[0].after > points[0].before
    assert points[1].after < points[1].before


def test_a_run_that_stands_alone_is_an_outlier_and_no_change() -> None:
    values = noisy(30)
    values[12] *= 2
    values[20] /= 3
    found = find_changes({"p50": series(values)}, 0.03)["p50"]
    assert (found.points, list(found.outliers)) == ([], [12, 20])
    assert found.level == pytest.approx(20, rel=0.02)
    values[29] *= 2
    found = find_changes({"p50": series(values)}, 0.03)["p50"]
    assert 29 not in found.outliers, "the newest may be the first of more"
    assert found.points == []


@pytest.mark.parametrize("seed", [254, 319, 399])
def test_a_variation_that_grows_is_no_step(seed: int) -> None:
    """Three runs beside each other are far off by chance where runs vary three times as much."""
    row = 0.02 * np.random.default_rng(seed).standard_normal(30)
    row[16:] *= 3
    assert find_changes({"p50": series(20 * np.exp(row))}, 0.03)["p50"].points == []


def test_a_figure_that_varies_more_is_looked_at_where_another_one_changes() -> None:
    random = np.random.default_rng(0)
    steady, restless = (d * random.standard_normal(30) for d in (0.01, 0.03))
    steady[27:] += 0.1
    restless[27:] += 0.1
    p50, p99 = (series(20 * np.exp(row)) for row in (steady, restless))
    assert find_changes({"p99": p99}, 0.03)["p99"].points == []
    found = find_changes({"p50": p50, "p99": p99}, 0.03)
    assert [[point.index for point in one.points] for one in found.values()] == [[27], [27]]


def test_what_never_was_lost_and_now_is_is_found_by_its_third_run() -> None:
    values = series([0.0] * 20 + [5.0, 7.0, 6.0], logarithmic=False, floor=0.5)
    assert [point.index for point in find_changes({"lost": values}, 0.03)["lost"].points] == [20]


def test_what_is_within_the_tolerance_or_the_floor_is_no_change() -> None:
    values = [20.0 + 0.001 * (number % 3) for number in range(30)]
    values[15:] = [value * 1.02 for value in values[15:]]
    assert find_changes({"p50": series(values)}, 0.03)["p50"].points == []
    assert len(find_changes({"p50": series(values)}, 0.01)["p50"].points) == 1
    assert find_changes({"p50": series(values, floor=1.0)}, 0.01)["p50"].points == []


def test_constants_counts_and_gaps_are_taken_as_they_are() -> None:
    nan = float("nan")
    lost = [0.0] * 20 + [5.0, 7.0, 6.0, 5.0]
    gaps = [value if number % 4 else nan for number, value in enumerate(noisy(24))]
    found = find_changes(
        {
            "same": series([5.0] * 24),
            "none": series([nan] * 24),
            "few": series([nan] * 20 + [1.0, 2.0, 1.0, 2.0]),
            "lost": series(lost, logarithmic=False, floor=0.5),
            "gaps": series(gaps),
        },
        0.03,
    )
    assert [point.index for point in found["lost"].points] == [20]
    assert found["lost"].points[0].before == 0
    for key in ("same", "none", "few", "gaps"):
        assert found[key].points == [], key
    assert found["none"].level is None


def test_the_same_history_has_the_same_changes_and_needs_ten_runs() -> None:
    made, _ = history("step", np.random.default_rng(3), size=0.1)
    first, second = (find_changes(made, 0.03, seed=5) for _ in range(2))
    assert first == second
    short = noisy(FEWEST_RUNS - 1)
    short[5:] = [2 * value for value in short[5:]]
    assert find_changes({"p50": series(short)}, 0.03)["p50"].points == []


@given(st.lists(st.floats(0, 1e9), max_size=25), st.booleans())
def test_any_numbers_are_borne(values: list[float], logarithmic: bool) -> None:
    found = find_changes({"a": series(values, logarithmic=logarithmic)}, 0.03)["a"]
    indices = [point.index for point in found.points]
    assert indices == sorted(set(indices))
    assert all(0 < index < len(values) for index in indices)


@pytest.mark.long
def test_histories_without_a_change_show_none_and_steps_are_found() -> None:
    """The larger one is ``python -m tests.benchmarks.trend``."""
    alarms = false_alarms(80, seed=1)
    assert sum(alarms.values()) / len(alarms) <= 0.05, alarms
    assert false_alarms(100, seed=1, kinds=["variance"])["variance"] <= 0.06
    _, near = steps_found(60, seed=2, size=0.1)
    assert near >= 0.9
    assert steps_found(20, seed=3, size=0.2)[1] >= 0.95
    assert drifts_told(20, seed=4, size=0.2) >= 0.8
