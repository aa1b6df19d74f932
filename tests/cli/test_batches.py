"""Copies that share uploads, against the real emulator: outcomes stay those of copies."""

from __future__ import annotations

import base64
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator
from pyroaring import BitMap

from loadcheck.result.schema import json_schema
from loadcheck.result.store import read
from loadcheck.scenario.layers import shipped
from tests.cli.conftest import Loadcheck

SCENARIO = """
workflow = "amplitude"
[target]
kind = "emulator"
{target}
[inputs]
eventType = "probe"
eventProperties = {{ scenario = "batches" }}
[load]
model = "open"
{load}
[retry]
attempts = 20
backoff = "20ms"
max_backoff = "100ms"
[verify]
every = "200ms"
quiet = "1s"
deadline = "6s"
{more}
"""
LOAD = "rate = 4000\nduration = 2.001\ncopies_per_request = 10"


def scenario(folder: Path, target: str = "", load: str = LOAD, more: str = "") -> Path:
    path = folder / "batches.toml"
    path.write_text(SCENARIO.format(target=target, load=load, more=more))
    return path


@pytest.mark.long
def test_planted_losses_are_named_to_the_user(loadcheck: Loadcheck, tmp_path: Path) -> None:
    faults = 'visibility_delay = "50ms"\nfaults.drop = { count = 23, among = 8000 }'
    ended = loadcheck("run", scenario(tmp_path, faults))
    assert ended.code == 1
    result = ended.result
    Draft202012Validator(json_schema()).validate(result)
    assert result["copies"]["started"] == result["copies"]["acknowledged"] == 8004
    assert result["steps"]["uploadEvents"]["attempts"] == 801
    assert result["consistency"]["lost_at_least"] == 23
    localized = result["consistency"]["localized"]
    assert localized["exact"]
    assert len({entry["copy"] for entry in localized["lost"]}) == 23


def test_lost_answers_and_refusals_for_now_do_not_count_twice(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    faults = (
        "faults.reset_after_commit = { rate = 0.05 }\nfaults.throttle = { rate = 0.05 }\n"
        "faults.error_before_commit = { rate = 0.05 }\nfaults.duplicate = { count = 5 }"
    )
    events = LOAD + "\nevents_per_copy = 2"
    ended = loadcheck("run", scenario(tmp_path, faults, events))
    result = ended.result
    users = result["copies"]["acknowledged"]
    assert users + result["copies"]["skipped"] == 8004  # a busy machine skips some
    assert result["load"]["retries"] > 0
    seen = result["consistency"]
    assert (seen["uniques"], seen["lost_at_least"], seen["unexpected"]) == (users, 0, 0)
    assert seen["totals"] == 2 * users + 5
    assert seen["duplicated"] == 5


def test_those_refused_by_name_are_rejected_and_the_others_are_not(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    """Ids of fewer than five characters are refused: u0 to u999."""
    short = '[[overlay]]\nstep = "uploadEvents"\nat = "body#/events/0/user_id"\n'
    short += 'value = "u{$copy.number}"'
    load = "rate = 1000\nduration = 1.5\ncopies_per_request = 7"
    ended = loadcheck("run", scenario(tmp_path, load=load, more=short))
    result = read(next((tmp_path / "results").glob("*.json")))
    assert ended.code == 0, ended.stderr
    assert result["copies"]["rejected"] == 1000
    assert result["copies"]["acknowledged"] == 500
    rejected = BitMap.deserialize(base64.b64decode(result["ledger"]["rejected"]))
    assert list(rejected) == list(range(1000))
    # all that share a request with a valid one are resent until that one is alone
    assert result["load"]["resends"] > 800
    assert result["consistency"]["uniques"] == 500


def test_a_closed_load_shares_requests_too(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(tmp_path)
    text = path.read_text().replace('model = "open"', 'model = "closed"')
    path.write_text(text.replace(LOAD, "concurrency = 50\ncopies = 1234\ncopies_per_request = 25"))
    ended = loadcheck("run", path)
    assert ended.code == 0, ended.stderr
    assert ended.result["copies"]["acknowledged"] == 1234
    assert ended.result["steps"]["uploadEvents"]["attempts"] == 50


def test_check_shows_the_first_request(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(tmp_path)
    ended = loadcheck("check", path, "--json")
    shown = orjson.loads(ended.stdout)
    assert (shown["load"]["copies_per_request"], shown["load"]["requests"]) == (10, 801)
    assert len(orjson.loads(shown["first_request"]["body"])["events"]) == 10
    assert "in requests of 10" in loadcheck("check", path).stdout


@pytest.mark.parametrize(
    ("workflow", "load", "words"),
    [
        ("amplitude", "copies_per_request = 0", "found 0; expected a whole number from 1"),
        ("amplitude", "copies_per_request = 2001", "is more than max_in_flight (2,000)"),
        ("amplitude", "max_in_flight = 5\ncopies_per_request = 6", "contradicts load.max_in"),
        ("influxdb", "copies_per_request = 2", "name the place of the events in a request"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(
    loadcheck: Loadcheck, tmp_path: Path, workflow: str, load: str, words: str
) -> None:
    path = scenario(tmp_path, load=f"rate = 10\nduration = 1\n{load}")
    text = path.read_text().replace('"amplitude"', f'"{workflow}"')
    if workflow == "influxdb":
        text = text.replace("eventType", "measurement").replace(
            'eventProperties = { scenario = "batches" }', 'database = "d"'
        )
        profile = (shipped()["influxdb"] / "profile.toml").read_text()
        (tmp_path / "own.toml").write_text(profile.partition("[verify.batch]")[0])
        text = text.replace('"influxdb"', '{ document = "influxdb", profile = "own.toml" }', 1)
    path.write_text(text)
    ended = loadcheck("check", path)
    assert ended.code == 2
    assert "batches.toml:" in ended.stderr
    assert words in ended.stderr
