from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.documents.document import annotate, dotted, merge_tree

JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)
TABLE = st.dictionaries(st.sampled_from(["a", "b", "overlay", "inputs"]), JSON)


def merged(lower: Any, upper: Any) -> Any:
    return merge_tree(annotate(lower, file="profile"), annotate(upper, file="scenario")).plain()


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2}}, {"a": {"b": 2, "c": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 2}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"overlay": [1]}, {"overlay": [2]}, {"overlay": [1, 2]}),
        ({"a": {"overlay": [1]}}, {"a": {"overlay": [2]}}, {"a": {"overlay": [2]}}),
        (
            {"inputs": {"a": {"x": 1}, "b": 1}},
            {"inputs": {"a": {"y": 2}}},
            {"inputs": {"a": {"y": 2}, "b": 1}},
        ),
    ],
)
def test_lay_over(lower: Any, upper: Any, expected: Any) -> None:
    assert merged(lower, upper) == expected


def test_what_was_laid_over_still_knows_its_place() -> None:
    lower = annotate({"overlay": [{"at": 1}]}, file="profile", lines={("overlay", 0, "at"): 4})
    upper = annotate({"overlay": [{"at": 2}]}, file="scenario", lines={("overlay", 0, "at"): 9})
    places = {dotted(path): node.place for path, node in merge_tree(lower, upper).walk()}
    first, second = places["overlay.0.at"], places["overlay.1.at"]
    assert (first.file, first.line, first.key) == ("profile", 4, "overlay.0.at")
    assert (second.file, second.line, second.key) == ("scenario", 9, "overlay.0.at")


@given(TABLE)
def test_laying_over_nothing_changes_nothing(table: Any) -> None:
    assert merged({}, table) == table
    assert merged(table, {}) == table


@given(TABLE, TABLE)
def test_every_key_of_both_is_there_and_the_upper_rules(lower: Any, upper: Any) -> None:
    result = merged(lower, upper)
    assert result.keys() == lower.keys() | upper.keys()
    for key, value in upper.items():
        if not isinstance(value, dict | list):
            assert result[key] == value


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("load", "stages", 1, "rate"), "load.stages.1.rate"),
        (("inputs", "a b"), 'inputs."a b"'),
        (("a.b", ""), '"a.b".""'),
        (("line\nbreak", 'q"'), '"line\\nbreak"."q\\""'),
    ],
)
def test_dotted(path: tuple[str | int, ...], expected: str) -> None:
    assert dotted(path) == expected
