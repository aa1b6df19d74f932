"""JSON Pointer, by the examples of RFC 6901 section 5, and what the overlay puts where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.documents.document import (
    MISSING,
    compile_pointer,
    format_pointer,
    look_up,
    parse_pointer,
)
from loadcheck.workflow.compile.inputs import put

DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
    "~1": 9,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/~01", 9),
        ("/foo/2", MISSING),
        ("/foo/-", MISSING),
        ("/foo/-1", MISSING),
        ("/foo/00", MISSING),
        ("/foo/bar", MISSING),
        ("/foo/0/x", MISSING),
        ("/absent/x", MISSING),
    ],
)
def test_the_examples_of_the_rfc(pointer: str, value: Any) -> None:
    tokens = parse_pointer(pointer)
    assert look_up(DOCUMENT, tokens) == value
    assert compile_pointer(tokens)(DOCUMENT) == value


@pytest.mark.parametrize("pointer", ["foo", "/a~b", "/~", "/~2"])
def test_what_is_no_pointer(pointer: str) -> None:
    with pytest.raises(ValueError, match="JSON Pointer"):
        parse_pointer(pointer)


@given(st.lists(st.text()))
def test_the_round_trip(tokens: list[str]) -> None:
    assert parse_pointer(format_pointer(tokens)) == tuple(tokens)


NAMES = st.text(min_size=1).filter(lambda name: name not in {"-", "0"})


@given(st.lists(NAMES, min_size=1, max_size=5), st.integers())
def test_what_was_put_is_found(tokens: list[str], value: int) -> None:
    before: dict[str, Any] = {}
    tree = put(before, tokens, value)
    assert look_up(tree, tokens) == value
    assert before == {}


@pytest.mark.parametrize(
    ("tree", "pointer", "expected"),
    [
        ({"a": [1]}, "/a/-", {"a": [1, "x"]}),
        ({"a": [1]}, "/a/1", {"a": [1, "x"]}),
        ({"a": [1, 2]}, "/a/0", {"a": ["x", 2]}),
        ({}, "/a/-/b", {"a": [{"b": "x"}]}),
        ({}, "/a/0/b", {"a": [{"b": "x"}]}),
        ({}, "/a/b/-", {"a": {"b": ["x"]}}),
        ({"a": None}, "/a/b", {"a": {"b": "x"}}),
        (None, "/-", ["x"]),
        ({"a": 1}, "", "x"),
    ],
)
def test_what_is_made_on_the_way(tree: Any, pointer: str, expected: Any) -> None:
    assert put(tree, parse_pointer(pointer), "x") == expected
