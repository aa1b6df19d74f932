from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.measure import Ledger, Outcome
from loadcheck.measure.grid import MOST_INTERVALS, Grid

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
    ("length_s", "intervals"),
    [
        (0.05, 1),
        (0.3, 3),
        (3, 30),
        (4, 20),
        (15, 30),
        (16, 16),
        (30, 30),
        (300, 300),
        (301, 151),
        (1800, 300),
    ],
)
def test_intervals_are_a_second_long_or_what_keeps_their_number_reasonable(
    length_s: float, intervals: int
) -> None:
    grid = begun(length_s)
    run(grid, [0.0], length_s)
    assert len(grid.edges_s()) - 1 == intervals


def test_more_stages_than_intervals_have_one_each() -> None:
    assert begun(*([0.5] * 400)).capacity == 400


@pytest.mark.parametrize(
    ("instant_s", "expected"), [(-0.1, -1), (0, 0), (1.99, 19), (2, 20), (3, -1)]
)
def test_what_lies_outside_of_the_load_is_in_no_interval(instant_s: float, expected: int) -> None:
    assert place(begun(20, 10), BEGIN + round(10 * instant_s * S)) == expected


def test_before_the_load_has_begun_there_are_no_intervals() -> None:
    grid = Grid([3])
    assert place(grid, BEGIN) == -1
    assert grid.edges_s() == []
    assert grid.outcomes(Ledger(), 0).columns()["due"] == []


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
    counts = grid.outcomes(ledger, len(dues_s)).columns()
    dues_ns = BEGIN + np.rint(np.array(dues_s) * S).astype(np.int64)
    places = grid.places(dues_ns)
    number = len(grid.edges_s()) - 1
    assert counts["due"] == np.bincount(places, minlength=number).tolist()
    assert counts["started"] == np.bincount(places[::2], minlength=number).tolist()
    assert counts["skipped"] == [0] * number


ENDS = tuple(Outcome)


@given(
    dues_s=st.lists(st.floats(0, 90), min_size=1, max_size=60).map(sorted),
    lasting=st.lists(st.integers(0, 50), min_size=60, max_size=60),
    stretches_s=st.sampled_from([(), (91.0,)]),
)
def test_asking_while_a_load_goes_on_changes_no_count(
    dues_s: list[float], lasting: list[int], stretches_s: tuple[float, ...]
) -> None:
    asked, alone, ledger = begun(*stretches_s), begun(*stretches_s), Ledger()
    for number, due_s in enumerate(dues_s):
        for grid in (asked, alone):
            if BEGIN + round(due_s * S) >= grid.next_ns:
                grid.enter(number, BEGIN + round(due_s * S))
        ledger.started.add(number)
        for other in range(number):
            if other + lasting[other] == number:
                ledger.settle(other, ENDS[other % 3])
        asked.outcomes(ledger, number + 1)
    for grid in (asked, alone):
        grid.end(BEGIN + 91 * S)
    ledger.close()
    assert asked.outcomes(ledger, len(dues_s)) == alone.outcomes(ledger, len(dues_s))


class Watched(Ledger):
    """Counts how often one of its sets is looked at."""

    looks = 0

    def __getattribute__(self, name: str) -> Any:
        Watched.looks += name == "started"
        return super().__getattribute__(name)


def test_an_interval_whose_copies_have_ended_is_counted_once() -> None:
    grid, ledger = begun(300), Watched()
    for number in range(200):
        grid.enter(number, BEGIN + number * S)
        ledger.started.add(number)
        ledger.settle(number, Outcome.ACKNOWLEDGED)
        grid.outcomes(ledger, number + 1)
    before = Watched.looks
    grid.outcomes(ledger, 200)
    assert Watched.looks - before == 1, "the last one goes on"


def test_intervals_double_when_a_load_of_unknown_length_goes_on() -> None:
    grid = begun()
    assert place(grid, BEGIN + 37 * S) == 37 * 8
    assert place(grid, BEGIN + 38 * S) == 38 * 4
    assert (grid.doublings, place(grid, BEGIN + 37 * S)) == (1, 37 * 4)


@pytest.mark.parametrize(
    ("length_s", "width_s"), [(0.5, 0.125), (4, 0.25), (10, 0.5), (30, 1), (290, 1), (301, 2)]
)
def test_a_load_of_unknown_length_ends_with_a_reasonable_number(
    length_s: float, width_s: float
) -> None:
    grid = begun()
    run(grid, [0.0, length_s / 2], length_s)
    edges = grid.edges_s()
    assert edges[1] == width_s
    assert edges[-1] == length_s
    assert sum(grid.outcomes(Ledger(), 2).columns()["due"]) == 2


def test_a_load_that_was_stopped_early_has_the_intervals_that_it_came_to() -> None:
    grid = begun(20)
    run(grid, [0.0, 1.0, 3.2], 3.4)
    assert grid.edges_s() == [0, 1, 2, 3, 3.4]
    assert grid.outcomes(Ledger(), 3).columns()["due"] == [1, 1, 0, 1]


def test_a_load_whose_end_nobody_told_ends_with_the_last_copy_that_was_due() -> None:
    grid = begun(20)
    grid.enter(0, BEGIN)
    grid.enter(4, BEGIN + 2 * S)
    assert grid.edges_s() == [0, 1, 2, 3]
    assert grid.outcomes(Ledger(), 5).columns()["due"] == [4, 0, 1]


def test_a_schedule_without_copies_has_intervals_all_the_same() -> None:
    grid = begun(20)
    run(grid, [], 20)
    assert grid.outcomes(Ledger(), 0).columns()["due"] == [0] * 20


def test_a_query_after_the_end_of_a_load_of_unknown_length_stretches_nothing() -> None:
    grid = begun()
    run(grid, [0.0, 100.5], 200.5)
    assert place(grid, BEGIN + 9000 * S) == -1
    assert grid.edges_s()[-2:] == [200, 200.5]
