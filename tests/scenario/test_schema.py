"""The JSON Schema of scenarios says what the reader says."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadcheck.emulator.config import KEYS, ConfigError
from loadcheck.emulator.config import parse as parse_emulator
from loadcheck.errors import ScenarioError
from loadcheck.scenario import grammar, load
from loadcheck.scenario.model import Scenario
from loadcheck.scenario.schema import json_schema, keys

Reads = Callable[[Mapping[str, Any]], Scenario]

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "scenarios").glob("*.toml"))
SCHEMA = json_schema(KEYS)
VALID = jsonschema_rs.validator_for(SCHEMA)
ENV = {"AMPLITUDE_API_KEY": "a" * 32, "AMPLITUDE_SECRET_KEY": "b" * 32}

FULL = """
name = "full"
seed = 7
workflow = { document = "amplitude", strict = true, sources = { a = "http://127.0.0.1/o.yml" } }
thresholds = ["lost == 0", { check = "error_rate < 5%", abort = true, grace = "10s" }]
[target]
kind = "live"
servers = { "*" = "http://127.0.0.1:8765" }
transport = "httpx"
http2 = true
compress = "gzip"
[target.tls]
verify = false
[inputs]
a = 1
b = { env = "AMPLITUDE_API_KEY", secret = true }
c = { basic = { username = "u", password = { env = "AMPLITUDE_SECRET_KEY" } } }
d = { anything = [1, { env = "x" }] }
[load]
model = "open"
arrivals = "poisson"
max_in_flight = 1e3
preconnect = 0
stages = [{ name = "a", duration = "1m30s", rate = 0 }, { duration = 5, ramp_to = 2.5 }]
[retry]
attempts = 1
backoff = "0s"
max_backoff = 0
on = ["429", "5xx", "timeout"]
[timeouts]
request = "1.5s"
drain = 0
[limits.uploadEvents]
concurrency = 4
[verify]
uniques = "$response.body#/a"
totals = { value = "$.b", overlay = [{ at = "query.m", value = 1 }] }
approximate = "1 %"
absent = 0
[verify.split]
limit = 50
[delete]
endpoint = "/gone?run={$run.id}"
body = { users = "{$users}" }
every = 0
[delete.jobs]
job = "$.day"
path = "/jobs"
days = "$[*].day"
states = "$[*].state"
done = "done"
[capacity]
precision = "10%"
budget = ["5m", 2_000_000]
climb = 2
[profiles.staging.target]
servers = { "*" = "http://127.0.0.1:9" }
"""


def errors(document: Mapping[str, Any]) -> list[str]:
    return [
        f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in VALID.iter_errors(document)
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_is_valid(path: Path) -> None:
    assert errors(tomllib.loads(path.read_text())) == []


def test_every_kind_of_value_is_valid(tmp_path: Path) -> None:
    assert errors(tomllib.loads(FULL)) == []
    (tmp_path / "s.toml").write_text(FULL)
    assert load(tmp_path / "s.toml", env=ENV, profile="staging").seed == 7


def test_it_is_a_schema_with_a_meaning_for_every_key() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    told = keys(KEYS)
    assert [path for path, shape in told.items() if len(shape.get("description", "")) < 8] == []
    assert all(shape["description"][-1] == "." for shape in told.values())


def test_defaults_and_examples_are_valid() -> None:
    for path, shape in keys(KEYS).items():
        own = jsonschema_rs.validator_for({**shape})
        shown = [*shape.get("examples", ()), *([shape["default"]] if "default" in shape else ())]
        assert all(own.is_valid(value) for value in shown), (path, shown)


# Each value is wrong for every key whose shape it does not fit; what fits is left alone.
WRONG: tuple[Any, ...] = (
    True,
    -1,
    1.5,
    10**18,
    "",
    "no such word",
    [],
    [5],
    [{}],
    {},
    {"nmae": 1},
    {"env": 5},
)


def places(document: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every table."""
    yield path
    for name, value in document.items():
        if isinstance(value, dict):
            yield from places(value, (*path, name))


def changed(text: str, path: tuple[str, ...], value: Any) -> dict[str, Any]:
    document = tomllib.loads(text)
    table = document
    for name in path[:-1]:
        if not isinstance(table.get(name), dict):
            table[name] = {}
        table = table[name]
    table[path[-1]] = value
    return document


def refused(loads: Reads, document: Mapping[str, Any]) -> list[str]:
    try:
        loads(document)
    except ScenarioError as error:
        return [problem.key for problem in error.problems]
    return []


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    from loadcheck.documents.toml import as_toml  # noqa: PLC0415

    def reads(document: Mapping[str, Any]) -> Scenario:
        lines = [f'"{name}" = {as_toml(value)}' for name, value in document.items()]
        (tmp_path / "s.toml").write_text("\n".join(lines))
        return load(tmp_path / "s.toml", env=ENV)

    return reads


OWN = [tuple(path.split(".")) for path in keys() if not any(mark in path for mark in "[<")]
CLOSED = FULL.replace("workflow = {", 'description = "x"\nworkflow = {')


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from(OWN), value=st.sampled_from(WRONG))
def test_a_key_of_the_wrong_type_is_refused_by_both(
    path: tuple[str, ...], value: Any, reads: Reads
) -> None:
    document = changed(FULL, path, value)
    told = [key for key in refused(reads, document) if key.startswith(".".join(path))]
    if errors(document):
        # what [target] says to the emulator is read by the emulator
        emulated = path == ("target",) and isinstance(value, dict)
        assert emulated or refused(reads, document), errors(document)
    elif isinstance(value, bool | str | list | dict) or value == -1:
        beyond = (
            "contradicts",
            "is missing",
            "no file",
            "changes nothing",
            "allows no host at all",
        )  # what one key alone does not say
        assert not told or _needs_more(reads, document, beyond), (told, document)


def _needs_more(
    loads: Reads,
    document: Mapping[str, Any],
    words: tuple[str, ...],
) -> bool:
    with pytest.raises(ScenarioError) as caught:
        loads(document)
    return all(
        any(word in problem.message for word in words) or "no " in problem.message
        for problem in caught.value.problems
    )


@pytest.mark.parametrize("path", list(places(tomllib.loads(FULL))), ids=".".join)
def test_an_unknown_key_is_refused_by_both(path: tuple[str, ...], reads: Reads) -> None:
    free = {("inputs",), ("inputs", "d"), ("limits",), ("workflow", "sources"), ("profiles",)}
    document = changed(FULL, (*path, "unheardof"), "x")
    if path in free or path in (("target", "servers"), ("delete", "body")):
        return
    assert errors(document), path
    if path[:1] != ("profiles",) or len(path) < 3:  # a profile is read when it is used
        assert refused(reads, document)


def test_the_emulator_refuses_what_the_schema_does() -> None:
    for name, shape in KEYS.items():
        own = jsonschema_rs.validator_for({**shape})
        for value in (*WRONG, "5s", "off", {"median": "1s"}, {"drop": {"rate": 2}}):
            problems = _emulator_problems({name: value})
            if any("without" in each or "below" in each for each in problems):
                continue  # what several keys together make wrong
            assert own.is_valid(value) == (not problems) or name == "time_zone", (name, value)


def _emulator_problems(table: Mapping[str, Any]) -> list[str]:
    try:
        parse_emulator(table)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_every_table_of_the_grammar_is_in_it() -> None:
    assert set(SCHEMA["properties"]) == set(grammar.TOP)
    assert set(grammar.TABLES) == {
        "workflow", "target", "load", "retry",
        "sessions", "timeouts", "users", "verify", "capacity",
        "setup", "teardown", "delete", "service", "guard", "together",
    }  # fmt: skip


def test_the_keys_of_the_emulator_are_known_by_name() -> None:
    assert set(KEYS) == grammar.EMULATOR
