from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.measure import Grid, Ledger
from loadcheck.measure.grid import MOST_INTERVALS

BEGIN, S = 77_000_000_000, 1_000_000_000


def place(grid: Grid, instant_ns: int) -> int:
    return int(grid.places(np.array([instant_ns], dtype=np.int64))[0])


def begun(*stretches_s: float) -> Grid:
    grid = Grid(stretches_s)
    grid.begin(BEGIN)
    return grid


def run(grid: Grid, dues_s: list[float], end_s: float) -> None:
    """Let copies fall due, in order, as the runner does."""
    for number, due_s in enumerate(dues_s):
        due_ns = BEGIN + round(due_s * S)
        if due_ns >= grid.next_ns:
            grid.enter(number, due_ns)
    grid.end(BEGIN + round(end_s * S))


@given(st.lists(st.floats(0.05, 4000), min_size=1, max_size=30))
def test_stretches_end_where_intervals_end(stretches_s: list[float]) -> None:
    grid = begun(*stretches_s)
    run(grid, [0.0], sum(stretches_s) + 1)
    edges = grid.edges_s()
    ends = list(itertools.accumulate(stretches_s))
    assert all(any(edge == pytest.approx(end, abs=1e-8) for edge in edges) for end in ends)
    assert edges == sorted(set(edges))
    assert len(edges) - 1 <= MOST_INTERVALS


@pytest.mark.parametrize(
    ("length_s", "intervals"), [(0.3, 1), (1, 1), (30, 30), (300, 300), (301, 151), (1800, 300)]
)
def test_intervals_are_a_second_long_or_as_much_longer_as_their_number_asks(
    length_s: float, intervals: int
) -> None:
    grid = begun(length_s)
    run(grid, [0.0], length_s)
    assert len(grid.edges_s()) - 1 == intervals


def test_more_stages_than_intervals_have_one_each() -> None:
    assert begun(*([0.5] * 400)).capacity == 400


@pytest.mark.parametrize(
    ("instant_s", "expected"), [(-0.1, -1), (0, 0), (1.99, 1), (2, 2), (3, -1)]
)
def test_what_lies_outside_of_the_load_is_in_no_interval(instant_s: float, expected: int) -> None:
    assert place(begun(2, 1), BEGIN + round(instant_s * S)) == expected


def test_before_the_load_has_begun_there_are_no_intervals() -> None:
    grid = Grid([3])
    assert place(grid, BEGIN) == -1
    assert grid.edges_s() == []
    assert grid.counts(Ledger(), 0)["due"] == []


@given(
    dues_s=st.lists(st.floats(0, 5000), min_size=1, max_size=200).map(sorted),
    stretches_s=st.sampled_from([(), (5001.0,), (1000.0, 17.3, 4000.0)]),
)
def test_every_copy_is_counted_in_the_interval_it_was_due_in(
    dues_s: list[float], stretches_s: tuple[float, ...]
) -> None:
    grid = begun(*stretches_s)
    run(grid, dues_s, 5002)
    ledger = Ledger()
    for number in range(0, len(dues_s), 2):
        ledger.started.add(number)
    counts = grid.counts(ledger, len(dues_s))
    dues_ns = BEGIN + np.rint(np.array(dues_s) * S).astype(np.int64)
    places = grid.places(dues_ns)
    number = len(grid.edges_s()) - 1
    assert counts["due"] == np.bincount(places, minlength=number).tolist()
    assert counts["started"] == np.bincount(places[::2], minlength=number).tolist()
    assert counts["skipped"] == [0] * number


def test_intervals_double_when_a_load_of_unknown_length_goes_on() -> None:
    grid = begun()
    assert place(grid, BEGIN + 299 * S) == 299
    assert place(grid, BEGIN + 300 * S) == 150
    assert (grid.doublings, place(grid, BEGIN + 299 * S)) == (1, 149)


def test_a_load_that_was_stopped_early_has_the_intervals_that_it_came_to() -> None:
    grid = begun(10)
    run(grid, [0.0, 1.0, 3.2], 3.4)
    assert grid.edges_s() == [0, 1, 2, 3, 3.4]
    assert grid.counts(Ledger(), 3)["due"] == [1, 1, 0, 1]


def test_a_load_whose_end_nobody_told_ends_with_the_last_copy_that_was_due() -> None:
    grid = begun(10)
    grid.enter(0, BEGIN)
    grid.enter(4, BEGIN + 2 * S)
    assert grid.edges_s() == [0, 1, 2, 3]
    assert grid.counts(Ledger(), 5)["due"] == [4, 0, 1]


def test_a_schedule_without_copies_has_intervals_all_the_same() -> None:
    grid = begun(2)
    run(grid, [], 2)
    assert grid.counts(Ledger(), 0)["due"] == [0, 0]


def test_a_query_after_the_end_of_a_load_of_unknown_length_stretches_nothing() -> None:
    grid = begun()
    run(grid, [0.0, 1.5], 2.5)
    assert place(grid, BEGIN + 9000 * S) == -1
    assert grid.edges_s() == [0, 1, 2, 2.5]
