from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.report import words


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "–"),
        (0, "0 µs"),
        (0.0634, "63 µs"),
        (0.9994, "999 µs"),
        (1, "1 ms"),
        (5.678, "5.68 ms"),
        (56.78, "56.8 ms"),
        (567.8, "568 ms"),
        (5678, "5.68 s"),
        (59_990, "59.99 s"),
        (65_000, "1:05"),
        (7_205_000, "2:00:05"),
    ],
)
def test_a_duration_has_three_digits_and_a_fitting_unit(
    milliseconds: float | None, text: str
) -> None:
    assert words.duration(milliseconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (16.04, "16.0 s"), (59.9, "59.9 s"), (60, "1:00"), (3599.6, "1:00:00")],
)
def test_a_length_of_time(seconds: float, text: str) -> None:
    assert words.clock(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(None, "–"), (0, "0"), (21_600, "21,600"), (1e9, "1,000,000,000")]
)
def test_thousands_are_set_off(number: float | None, text: str) -> None:
    assert words.count(number) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "–"), (0, "0/s"), (0.25, "0.25/s"), (9.87, "9.87/s"), (2500, "2,500/s")],
)
def test_a_rate(rate: float | None, text: str) -> None:
    assert words.rate(rate) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(None, "–"), (0, "0 %"), (1, "100 %"), (0.99996, "100 %"), (0.001, "0.1 %")]
)
def test_a_share(ratio: float | None, text: str) -> None:
    assert words.share(ratio) == text


@given(st.floats(0, 3.6e6))
def test_every_duration_is_short(milliseconds: float) -> None:
    assert len(words.duration(milliseconds)) <= len("999.9 ms") + 1
