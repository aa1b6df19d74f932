"""Who a run is, when it asks, and what of it stays secret."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadcheck import scenario as scenarios
from loadcheck.pipeline.labels import new_run
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import redactor
from tests.compiled import compiled

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
KEYS = {"AMPLITUDE_API_KEY": "a+key/with=signs", "AMPLITUDE_SECRET_KEY": 'se"crét & co'}


def load(name: str) -> Scenario:
    return scenarios.load(SCENARIOS / f"{name}.toml", env=KEYS)


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
    hidden = redactor(compiled(scenario).secrets)
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
        assert hidden.text(f"<{spelling}>") == "<***>"
