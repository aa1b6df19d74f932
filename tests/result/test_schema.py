"""The shape of a results file: what is accepted, and where a departure is told to be."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from loadcheck.result.schema import json_schema, problems
from loadcheck.result.schema_others import capacity_schema
from loadcheck.result.store import upgraded

EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example-burst.json"
WHOLE = upgraded(orjson.loads(EXAMPLE.read_bytes()), 0)
REQUIRED = json_schema()["required"]


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(WHOLE)


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and all in it."""
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from schemas(each)


@pytest.mark.parametrize("make", [json_schema, capacity_schema])
def test_it_is_a_schema(make: Any) -> None:
    schema = make()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_required_member_is_described() -> None:
    for each in schemas(json_schema()):
        if isinstance(each.get("required"), list) and isinstance(each.get("properties"), dict):
            assert set(each["required"]) <= set(each["properties"])


def test_a_whole_run_fits(document: dict[str, Any]) -> None:
    assert problems(document) == []


def test_two_validators_agree_on_it(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(document)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_section_that_is_missing_is_named(document: dict[str, Any], name: str) -> None:
    del document[name]
    assert [message for path, message in problems(document) if path == "" and name in message]


@pytest.mark.parametrize("name", sorted(set(WHOLE) & set(json_schema()["properties"])))
def test_a_section_of_the_wrong_type_is_placed(document: dict[str, Any], name: str) -> None:
    document[name] = 3.5
    assert [path for path, _ in problems(document)] == [name]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("verdict", "passed"),
        ("schema", "loadcheck.result/0"),
        ("copies.started", -1),
        ("copies.acknowledged", "20000"),
        ("copies.rejected", 0.5),
        ("copies.indeterminate", None),
        ("generator.lateness.count", -1),
        ("generator.lateness.p99_ms", -0.1),
        ("steps.uploadEvents.service_time.hdr", None),
        ("steps.uploadEvents.answers.200", "many"),
        ("steps.uploadEvents.role", "observers"),
        ("consistency.lower", -1),
        ("consistency.settled", "yes"),
        ("run.interrupted", 0),
        ("thresholds.0.verdict", "maybe"),
        ("thresholds.0.expression", None),
        ("warnings.0", 3),
    ],
)
def test_a_value_that_does_not_fit_is_placed(
    document: dict[str, Any], path: str, value: Any
) -> None:
    document["warnings"] = ["a warning"]
    *way, last = [
        int(part) if part.isdecimal() and part != "200" else part for part in path.split(".")
    ]
    place: Any = document
    for part in way:
        place = place[part]
    place[last] = value
    assert [where for where, _ in problems(document)] == [path]


@pytest.mark.parametrize("document", [None, [], "text", 3, True])
def test_what_is_no_object_is_told(document: Any) -> None:
    assert [path for path, _ in problems(document)] == [""]


def test_a_file_that_is_wrong_throughout_is_told_of_ten_times_at_most() -> None:
    assert len(problems(dict.fromkeys(json_schema()["properties"], 3.5))) == 10


def test_a_message_quotes_no_whole_document(document: dict[str, Any]) -> None:
    document["copies"] = ["x" * 5000]
    ((path, message),) = problems(document)
    assert path == "copies"
    assert len(message) <= 201
