"""The words of the schemas, and what the check against them says."""

from __future__ import annotations

from typing import Any

import pytest

from loadcheck import result
from loadcheck.result import violations


def test_a_document_that_fits_has_no_departures() -> None:
    schema = result.open_object("", {"n": result.count("")})
    assert violations({"n": 0, "of a later version": 1}, schema) == []


@pytest.mark.parametrize(
    ("shape", "fits", "departs"),
    [
        (result.count(""), [0, 7], [-1, 0.5, None, "1"]),
        (result.amount(""), [0, 0.5], [-0.1, None]),
        (result.number(""), [-1.5], [None, "1"]),
        (result.flag(""), [True], [0, None]),
        (result.maybe(result.count("")), [None, 3], [-1, "3"]),
        (result.list_of("", result.text("")), [[], ["a"]], [[1], "a"]),
        (result.closed_object("", a=result.text("")), [{"a": ""}], [{}, {"a": "", "b": 1}]),
        (result.open_object("", {"a?": result.text("")}), [{}, {"b": 1}], [{"a": 1}]),
    ],
)
def test_what_fits_and_what_departs(
    shape: result.Shape, fits: list[Any], departs: list[Any]
) -> None:
    assert [value for value in fits if violations(value, shape)] == []
    assert [value for value in departs if not violations(value, shape)] == []


def test_a_departure_names_its_place() -> None:
    schema = result.open_object("", {"steps": result.list_of("", result.count(""))})
    ((path, message),) = violations({"steps": [1, -4]}, schema)
    assert path == "steps.1"
    assert "-4" in message


def test_many_departures_and_long_ones_are_cut() -> None:
    schema = result.list_of("", result.count(""))
    found = violations(["x" * 5000] * 30, schema)
    assert len(found) == 10
    assert all(len(message) < 250 and "…" in message for _, message in found)
