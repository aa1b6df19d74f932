"""The configuration: what is meant, and every problem at once."""

from __future__ import annotations

import textwrap
import tomllib
from typing import Any

import pytest

from loadcheck.emulator import config
from loadcheck.emulator.config import ConfigError, parse, parse_faults
from loadcheck.emulator.config.keys import KEYS
from loadcheck.emulator.config.model import milliseconds


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("500ms", 500),
        ("2s", 2000),
        ("1.5s", 1500),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
        (2, 2000),
        (0.25, 250),
        ("2", None),
        ("2 parsecs", None),
        ("", None),
        (-1, None),
        (True, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_durations(written: object, ms: float | None) -> None:
    assert milliseconds(written) == ms


def problems(table: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse(table)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return {
        problem.path: f"{problem.message}; {problem.remedy}" for problem in caught.value.problems
    }


def test_the_defaults() -> None:
    config = parse({})
    assert (config.limits_name, config.cache, config.faults) == ("off", False, ())
    assert config.httpapi.user_events_per_s is None
    assert config.httpapi.max_events == 2000
    assert len(config.api_key) == len(config.secret_key) == 32
    assert config.api_key != parse({}).api_key


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        {
            "visibility_dely": "2s",
            "limits": "of",
            "seed": "x",
            "time_zone": "Mars/Olympus",
            "api_key": "",
            "cache": True,
            "silenced_devices": "device-1",
            "block_bots": 1,
            "visibility_delay": {"min": "2s", "max": "1s"},
        }
    )
    assert found == {
        "visibility_dely": 'unknown key; did you mean "visibility_delay"?',
        "limits": "found 'of'; did you mean \"off\"?",
        "seed": "found 'x'; expected a whole number of at least 0",
        "time_zone": "found 'Mars/Olympus'; expected an IANA name such as \"Europe/Berlin\"",
        "api_key": "found ''; expected text",
        "cache": 'found True; expected "documented" or "off"',
        "silenced_devices": "found 'device-1'; expected a list of texts",
        "block_bots": "found 1; expected true or false",
        "visibility_delay": "max is below min; expected max of at least min",
    }


@pytest.mark.parametrize(
    ("faults", "path", "words"),
    [
        ({"dorp": {}}, "faults.dorp", 'did you mean "drop"?'),
        ({"drop": 7}, "faults.drop", "expected a table such as"),
        ({"drop": []}, "faults.drop", "expected a table such as"),
        ({"drop": {"rate": 2}}, "faults.drop.rate", "from 0 to 1"),
        ({"drop": {"among": 3}}, "faults.drop.among", "without count"),
        ({"drop": {"count": 3, "among": 2}}, "faults.drop.count", "more than among"),
        ({"drop": {"count": 3, "rate": 0.1}}, "faults.drop.rate", "both rate and count"),
        ({"drop": {"count": 3, "among": 9, "first": 1}}, "faults.drop.first", "both among"),
        ({"drop": {"every": "2s"}}, "faults.drop.every", "without lasting"),
        ({"drop": {"statsu": 1}}, "faults.drop.statsu", "unknown key"),
        ({"slow": [{}, {"delay": "x"}]}, "faults.slow.1.delay", "expected a duration"),
        ({"slow": {"delay": {"median": "2s", "p99": "1s"}}}, "faults.slow.delay", "below"),
        ({"slow": {"delay": {}}}, "faults.slow.delay", "empty table"),
        ({"refuse": {"status": 200}}, "faults.refuse.status", "from 400 to 599"),
        ({"refuse": {"on": "upload"}}, "faults.refuse.on", 'did you mean "uploads"?'),
        ({"frozen_counts": {"rate": 0.5}}, "faults.frozen_counts.rate", "unknown key"),
    ],
)
def test_faults_that_cannot_be(faults: dict[str, Any], path: str, words: str) -> None:
    found = problems({"faults": faults})
    assert list(found) == [path]
    assert words in found[path]


def test_the_example_in_the_documentation_holds_every_key() -> None:
    _, _, example = (config.__doc__ or "").partition("code-block:: toml\n")
    table = tomllib.loads(textwrap.dedent(example.partition("\nThe kinds")[0]))
    parsed = parse(table)
    assert len(parsed.faults) == 9
    assert parsed.custom_events == {"Bought": ("buy", "subscribe")}
    assert table.keys() == set(KEYS)


def test_faults_of_a_kind_may_be_several() -> None:
    one, two = parse_faults({"slow": [{"rate": 0.5}, {"rate": 0.5, "on": "queries"}]}, 1)
    assert (one.on, two.on) == ("uploads", "queries")
    assert one.seed != two.seed


def test_limits_can_be_changed_one_by_one() -> None:
    config = parse({"limits": {"httpapi": {"user_events_per_s": "off", "max_events": 10}}})
    assert config.limits_name == "documented, with changes"
    assert config.httpapi.user_events_per_s is None
    assert config.httpapi.max_events == 10
    assert config.httpapi.project_events_per_s == 1000
    assert config.batch.user_events_per_s == 1000
    assert problems({"limits": {"htpapi": {}, "batch": {"max_events": -1}}}).keys() == {
        "limits.htpapi",
        "limits.batch.max_events",
    }
