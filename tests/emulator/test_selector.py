"""Whom a fault hits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.emulator.config import Selection
from loadcheck.emulator.faults import Selector


def hits(selection: Selection, subjects: int, seed: int = 1) -> list[int]:
    selector = Selector(selection, seed)
    return [number for number in range(subjects) if selector.picks(0)]


@given(st.integers(0, 50), st.integers(0, 50), st.integers())
def test_exactly_so_many_among_the_first(count: int, more: int, seed: int) -> None:
    found = hits(Selection(count=count, among=count + more), 200, seed)
    assert len(found) == count
    assert all(number < count + more for number in found)


def test_another_seed_chooses_others_and_the_same_the_same() -> None:
    selection = Selection(count=10, among=1000)
    assert hits(selection, 1000, 1) == hits(selection, 1000, 1) != hits(selection, 1000, 2)


def test_in_a_row() -> None:
    assert hits(Selection(count=3), 100) == [0, 1, 2]
    assert hits(Selection(count=3, first=10), 100) == [10, 11, 12]


def test_by_chance() -> None:
    assert 800 < len(hits(Selection(rate=0.1), 10_000)) < 1200
    assert hits(Selection(rate=0.0), 100) == []
    assert len(hits(Selection(rate=1.0), 100)) == 100


def test_everybody() -> None:
    assert len(hits(Selection(), 100)) == 100


@pytest.mark.parametrize(
    ("selection", "open_at"),
    [
        (Selection(after_ms=2), [2, 3, 4, 5, 6, 7, 8, 9]),
        (Selection(after_ms=2, lasting_ms=3), [2, 3, 4]),
        (Selection(lasting_ms=2, every_ms=5), [0, 1, 5, 6]),
        (Selection(after_ms=1, lasting_ms=1, every_ms=3), [1, 4, 7]),
        (Selection(after_ms=5, lasting_ms=9, count=2), [5, 6]),
    ],
)
def test_windows(selection: Selection, open_at: list[int]) -> None:
    selector = Selector(selection, 1)
    assert [ms for ms in range(10) if selector.picks(ms)] == open_at


def test_a_window_knows_its_ends() -> None:
    selector = Selector(Selection(after_ms=10, lasting_ms=5, every_ms=20), 1)
    assert selector.window_start_ms(32) == 30
    assert selector.window_left_ms(32) == 3
    assert selector.window_start_ms(36) is None
    assert Selector(Selection(after_ms=10), 1).window_left_ms(12) is None
