from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.documents import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5.0),
        ("0s", 0.0),
        ("2m", 120.0),
        ("1h30m", 5400.0),
        ("1h1m1s1ms", 3661.001),
        ("1.5h", 5400.0),
        ("0.1s", 0.1),
        ("90m", 5400.0),
    ],
)
def test_parse(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "s", "5 s", " 5s", "5S", "5sec", "-5s", "+5s", "1m1h", "1s1s", ".5s", "5.s"),
        *("1e3s", "inf", "nan", "٣s", "5s\n", "9" * 400 + "s", "9" * 5000 + "s"),
    ],
)
def test_refuse(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(not a duration|Exceeds the limit)"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "500ms"), (5, "5s"), (5400, "1h30m"), (3661.001, "1h1m1s1ms")],
)
def test_format(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**10))
def test_what_is_formatted_parses(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.text(alphabet="0123456789hms.", max_size=12))
def test_what_parses_formats_to_its_milliseconds(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert parse_duration(format_duration(seconds)) == round(seconds * 1000) / 1000
