"""What can be known before the first byte: who a run is, when it asks, whether it may leave."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from loadcheck import scenario as scenarios
from loadcheck.errors import ConsentError, ScenarioError
from loadcheck.pipeline.prepare import (
    PLACEHOLDER_TARGET,
    PLACEHOLDER_URL,
    is_loopback,
    new_run,
    prepare,
    secret_values,
)
from loadcheck.pipeline.run import rehearse
from loadcheck.scenario import Scenario

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
KEYS = {"AMPLITUDE_API_KEY": "a+key/with=signs", "AMPLITUDE_SECRET_KEY": 'se"crét & co'}


def load(name: str, *overrides: str) -> Scenario:
    return scenarios.load(SCENARIOS / f"{name}.toml", overrides=overrides, env=KEYS)


def prepared(scenario: Scenario) -> Any:
    run = new_run(scenario, datetime.now(UTC), PLACEHOLDER_TARGET, seed=1)
    return prepare(scenario, run=run, servers={"*": PLACEHOLDER_URL}, seed=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.example.com",
        "localhost.example.com",
        "0.0.0.0",  # an address that is not this machine's alone
        "::",
        "10.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.1",
        "api2.amplitude.com",
        "",
    ],
)
def test_not_certainly_this_machine(host: str) -> None:
    assert not is_loopback(host)


def test_leaving_this_machine_needs_consent() -> None:
    with pytest.raises(ConsentError, match="40 events of as many new users") as raised:
        rehearse(load("live"), 1, consent=False)
    assert "--live" in str(raised.value)
    rehearse(load("live"), 1, consent=True)
    rehearse(load("smoke"), 1, consent=False)


@pytest.mark.parametrize(
    ("now", "days"),
    [
        (datetime(2026, 1, 2, 12, tzinfo=UTC), ("20260101", "20260103")),
        (datetime(2026, 1, 2, 23, 59, 59, tzinfo=UTC), ("20260101", "20260104")),
        (datetime(2026, 1, 2, 0, 0, 0, tzinfo=UTC), ("20260101", "20260103")),
        (datetime(2026, 12, 31, 12, tzinfo=UTC), ("20261230", "20270101")),
    ],
)
def test_the_window_is_wide_enough_for_every_time_zone(
    now: datetime, days: tuple[str, str]
) -> None:
    run = new_run(load("smoke"), now, {}, seed=1)
    assert (run.start_day, run.end_day) == days


def test_every_run_has_an_id_of_its_own() -> None:
    scenario, now = load("smoke"), datetime.now(UTC)
    ids = {new_run(scenario, now, {}, seed=1).id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(each) == 12 and each.isalnum() for each in ids)


def test_the_seed_decides_how_many_copies_there_are() -> None:
    scenario, now = load("ramp"), datetime.now(UTC)
    counts = [new_run(scenario, now, {}, seed=seed).copies for seed in (1, 1, 2)]
    assert counts[0] == counts[1] != counts[2]


def test_secrets_are_known_in_every_spelling() -> None:
    scenario = load("live")
    hidden = secret_values(scenario, new_run(scenario, datetime.now(UTC), {}, seed=1))
    for spelling in (
        "a+key/with=signs",
        "a%2Bkey%2Fwith%3Dsigns",
        "a%2Bkey/with%3Dsigns",
        'se"crét & co',
        'se\\"crét & co',
        'se\\"cr\\u00e9t & co',
        "se%22cr%C3%A9t+%26+co",
        "se%22cr%C3%A9t%20%26%20co",
    ):
        assert spelling in hidden


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["verify.ingest=nobody"], 'verify.ingest: there is no step "nobody" that sends a request'),
        (["overlay=[{step='uploadEvent', at='query.a', value=1}]"], 'did you mean "uploadEvents"?'),
        (["verify.step=uploadEvents"], '"uploadEvents" is no observer step'),
        (["limits.nobody.rate=1"], "is no step that copies run"),
        (["target.visibility_dealy=1s"], 'did you mean "visibility_delay"?'),
        (['thresholds=["uploadEvent.p99 < 1s"]'], 'did you mean "uploadEvents.p99"?'),
    ],
)
def test_what_does_not_fit_the_workflow_is_told(overrides: list[str], message: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        prepared(load("smoke", *overrides))
    assert message in str(raised.value)


def test_steps_are_found_by_what_they_do() -> None:
    found = prepared(load("smoke"))
    assert (found.ingest.step_id, found.observer.step_id) == ("uploadEvents", "segmentEvent")
    assert found.isolation == "filter"
    assert prepared(load("influxdb")).isolation in ("filter", "baseline")


def test_without_verification_nobody_is_asked() -> None:
    found = prepared(load("smoke", "verify.enabled=false", "thresholds=[]"))
    assert (found.observer, found.questions, found.controls) == (None, None, None)
