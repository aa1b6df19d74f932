from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.documents.document import annotate, dotted
from loadcheck.scenario.layers import Override, override, parse_override

DOCUMENT = {"load": {"stages": [{"rate": 1}, {"rate": 2}]}, "seed": 1, "thresholds": ["a"]}


def apply(*options: str) -> tuple[Any, list[str]]:
    changes = [parse_override(option) for option in options]
    document, problems = override(
        annotate(DOCUMENT, file="s.toml"), [each for each in changes if isinstance(each, Override)]
    )
    misread = [each for each in changes if not isinstance(each, Override)]
    return document.plain(), [str(problem) for problem in [*misread, *problems]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500", 500),
        ("1e3", 1000.0),
        ("true", True),
        ("5s", "5s"),
        ("two words", "two words"),
        ('"500"', "500"),
        ("", ""),
        ("a=b", "a=b"),
        (" 7 ", 7),
        ("[1, 'a']", [1, "a"]),
        ('{ env = "X" }', {"env": "X"}),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00", "12:30:00"),
        ("5\nseed = 9", "5\nseed = 9"),
        ("9" * 5000, "9" * 5000),
        ("é", "é"),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert apply(f"new={text}") == ({**DOCUMENT, "new": value}, [])


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("seed=7", {"seed": 7}),
        ("load.stages.1.rate=9", {"load": {"stages": [{"rate": 1}, {"rate": 9}]}}),
        ("load.stages.0=9", {"load": {"stages": [9, {"rate": 2}]}}),
        ("thresholds.0=b", {"thresholds": ["b"]}),
        ("thresholds=[]", {"thresholds": []}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
        ('a."b.c"=1', {"a": {"b.c": 1}}),
        (" a . 'b c' = 1", {"a": {"b c": 1}}),
        ('"a\\tb"=1', {"a\tb": 1}),
        ("load.0=1", {"load": {"stages": [{"rate": 1}, {"rate": 2}], "0": 1}}),
    ],
)
def test_paths(option: str, expected: dict[str, Any]) -> None:
    assert apply(option) == ({**DOCUMENT, **expected}, [])


def test_the_last_one_rules() -> None:
    assert apply("seed=7", "seed=8")[0]["seed"] == 8


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("seed", "there is no =; expected PATH=VALUE, such as load.rate=500"),
        ("", "there is no =; expected PATH=VALUE, such as load.rate=500"),
        ("=5", "the part before = is not a dotted key; expected PATH=VALUE, such as load.rate=500"),
        (
            "load..rate=5",
            "the part before = is not a dotted key; expected PATH=VALUE, such as load.rate=500",
        ),
        (
            "a b=5",
            "the part before = is not a dotted key; expected PATH=VALUE, such as load.rate=500",
        ),
        (
            ".".join("a" * 50) + "=1",
            "the part before = is not a dotted key; expected PATH=VALUE, such as load.rate=500",
        ),
        (
            '"\\q"=1',
            "the part before = is not a dotted key; expected PATH=VALUE, such as load.rate=500",
        ),
        ("seed=[1", "seed: the value is not TOML: unclosed array; close the bracket"),
        ('seed="1', "seed: the value is not TOML: unterminated string; close the quotation mark"),
        ("seed=" + "[" * 9999, "seed: the value nests too deeply; expected at most 40 levels"),
        ("seed.x=1", "seed.x: seed is neither a table nor an array; leave out what follows seed"),
        (
            "thresholds.1=a",
            'thresholds.1: thresholds has no entry "1"; expected a number from 0 to 0',
        ),
        (
            "load.stages.-1.rate=1",
            'load.stages.-1.rate: load.stages has no entry "-1"; expected a number from 0 to 1',
        ),
        (
            "load.stages.peak.rate=1",
            'load.stages.peak.rate: load.stages has no entry "peak"; expected a number from 0 to 1',
        ),
    ],
)
def test_what_does_not_fit(option: str, expected: str) -> None:
    assert apply(option) == (DOCUMENT, [f"--set {option}: {expected}"])


def test_the_value_of_an_input_is_not_repeated() -> None:
    assert apply("inputs.key=[hunter2", "inputs.a=1", "inputs.a.b=hunter2")[1] == [
        (
            "--set inputs.key=…: inputs.key: the value is not TOML: invalid value; "
            "expected text in quotes, a number, true, false, an array or a table"
        ),
        (
            "--set inputs.a.b=…: inputs.a.b: inputs.a is neither a table nor an array; "
            "leave out what follows inputs.a"
        ),
    ]


def test_an_argument_that_is_not_utf8() -> None:
    assert apply("name=\udcff") == (
        DOCUMENT,
        ["--set name=?: is not UTF-8; expected PATH=VALUE, such as load.rate=500"],
    )


def test_an_empty_array_has_no_entry() -> None:
    assert apply("thresholds=[]", "thresholds.0=a")[1] == [
        '--set thresholds.0=a: thresholds.0: thresholds has no entry "0"; it is empty'
    ]


def test_what_was_set_names_the_option() -> None:
    change = parse_override("a.b={ c = 1 }")
    assert isinstance(change, Override)
    document, _ = override(annotate({}, file="s.toml"), [change])
    places = {dotted(path): node.place for path, node in document.walk() if path}
    assert {key: (place.file, place.line) for key, place in places.items()} == dict.fromkeys(
        ("a", "a.b", "a.b.c"), ("--set a.b={ c = 1 }", None)
    )


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4), st.integers())
def test_any_path_can_be_set(path: list[str], value: int) -> None:
    key = ".".join(json.dumps(part, ensure_ascii=False).replace("\x7f", "\\u007f") for part in path)
    change = parse_override(f"{key}={value}")
    assert isinstance(change, Override)
    document, problems = override(annotate({}, file="s.toml"), [change])
    expected: Any = value
    for part in reversed(path):
        expected = {part: expected}
    assert (document.plain(), problems) == (expected, [])


@pytest.mark.parametrize("key", ["extends", "profiles.ci.load.rate"])
def test_what_only_the_file_is_read_for_cannot_be_set(key: str) -> None:
    document, problems = apply(f"{key}=1")
    assert document == DOCUMENT
    assert [f"{key}: is read from the scenario's file only" in each for each in problems] == [True]
