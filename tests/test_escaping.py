"""What comes from outside is shown, and does nothing."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.errors import (
    all_of,
    cell,
    many,
    printable,
    printable_document,
    printable_json,
)

ACTING = {"Cc", "Cf", "Zl", "Zp", "Cs"}


def test_every_character_that_acts_or_hides_is_spelt_out() -> None:
    every = map(chr, range(sys.maxunicode + 1))
    acting = [each for each in every if unicodedata.category(each) in ACTING]
    assert [each for each in acting if printable(each) == each] == []


@pytest.mark.parametrize("text", ["plain", "é ü 漢字 👍 –…“”", "a\\b", "~!@#$%^&*()"])
def test_what_can_be_seen_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nPASS\r\t", "a\\nPASS\\r\\t"),
        ("exe\u202egpj", "exe\\u202egpj"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("\U000e0041", "\\U000e0041"),
        ("\udce9", "\\udce9"),
    ],
)
def test_how_it_is_spelt(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_lines_stay_where_a_text_has_them() -> None:
    assert printable("a\n\x1bb\r\n", lines=True) == "a\n\\x1bb\\r\n"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=4)
    ),
)


@given(json_values)
def test_json_means_the_same_and_shows_nothing_raw(value: Any) -> None:
    shown = printable_json(value, orjson.OPT_INDENT_2)
    assert json.loads(shown) == value
    assert printable(shown.decode(), lines=True) == shown.decode()


def test_bytes_of_a_file_name_that_are_no_text_are_spelt_in_json() -> None:
    value = {"caf\udce9": ["a\udcff\nb", ("\udce9",)], "plain": 1}
    expected = {"caf\\udce9": ["a\\udcff\nb", ["\\udce9"]], "plain": 1}
    assert json.loads(printable_json(value)) == expected


@given(json_values)
def test_a_document_is_printable_all_over(value: Any) -> None:
    text = json.dumps(printable_document(value), ensure_ascii=False)
    assert printable(text) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =x", "' =x"),
        ("-cmd|x", "'-cmd|x"),
        ("-12.5", "-12.5"),
        ("+3e-5", "+3e-5"),
        ("plain", "plain"),
        ("a\nb", "a\\nb"),
        (3, 3),
        (None, None),
    ],
)
def test_no_cell_is_a_formula(value: object, shown: object) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("number", "words", "told"),
    [
        (1, "copies were", "1 copy was"),
        (1, "acknowledged users", "1 acknowledged user"),
        (1.0, "queries", "1 query"),
        ("1", "batches have", "1 batch has"),
        (0, "events are", "0 events are"),
        (1_001, "retries", "1,001 retries"),
        (None, "events", "– events"),
    ],
)
def test_one_is_told_as_one(number: float | str | None, words: str, told: str) -> None:
    assert many(number, words) == told


def test_all_of_one_is_the_only_one() -> None:
    assert all_of(1, "users were", start=True) == "The only user was"
    assert all_of(12, "users were") == "all 12 users were"
