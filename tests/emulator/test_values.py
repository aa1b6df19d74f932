"""Values keep their type."""

from __future__ import annotations

from typing import Any

import pytest

from loadcheck.emulator.store import Values

VALUES: list[Any] = [1, 1.0, "1", True, "true", None, "", [1], [1.0], {"a": 1}, 0, False, -0.5]


def test_equal_values_of_different_types_are_different() -> None:
    values = Values()
    numbers = [values.add(value) for value in VALUES]
    assert numbers == list(range(len(VALUES)))
    assert [values.add(value) for value in VALUES] == numbers
    for number, value in enumerate(VALUES):
        assert values[number] == value
        assert type(values[number]) is type(value)


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("1", [1, "1"]),
        ("1.0", [1.0]),
        ("true", [True, "true"]),
        ("false", [False]),
        ("(none)", [None]),
        ("-0.5", [-0.5]),
        ("+1", []),
        ("nan", []),
        ("x", []),
    ],
)
def test_labels_find_all_types(label: str, found: list[Any]) -> None:
    values = Values()
    for value in VALUES:
        values.add(value)
    assert {repr(values[number]) for number in values.labelled(label)} == {
        repr(value) for value in found
    }
