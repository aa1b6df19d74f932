"""Variants of the shipped service: the batch API, and what a project may be set to."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import SCENARIOS, Loadcheck

KEYS = {"AMPLITUDE_API_KEY": "k" * 32, "AMPLITUDE_SECRET_KEY": "s" * 32}
SCENARIO = """
workflow = "{workflow}"
[target]
kind = "emulator"
limits = "documented"
{target}
[inputs]
eventType = "probe"
[load]
model = "open"
rate = 400
duration = "1s"
{load}
[verify]
every = "200ms"
quiet = "600ms"
deadline = "4s"
{more}
"""


def written(
    folder: Path,
    target: str = "",
    load: str = "copies_per_request = 20",
    more: str = "",
    workflow: str = "amplitude-batch",
) -> Path:
    path = folder / "variant.toml"
    path.write_text(SCENARIO.format(workflow=workflow, target=target, load=load, more=more))
    return path


@pytest.mark.parametrize("lost", [0, 9])
def test_the_batch_api(loadcheck: Loadcheck, tmp_path: Path, lost: int) -> None:
    """Users who share uploads; the lost are named."""
    faults = f"faults.drop = {{ count = {lost}, among = 400 }}" if lost else ""
    ended = loadcheck("run", written(tmp_path, faults))
    assert ended.code == (1 if lost else 0), ended.stdout + ended.stderr
    result = ended.result
    assert result["copies"]["acknowledged"] == 400
    assert result["consistency"]["lost_at_least"] == lost
    named = result["consistency"]["localized"]
    assert len(named["lost"] if named else ()) == lost


def test_the_http_v2_api_takes_less_of_a_user(loadcheck: Loadcheck, tmp_path: Path) -> None:
    """1,000 events of one user at once, under documented limits."""
    load = "events_per_copy = 1000\n[retry]\nattempts = 1"
    for workflow, outcome in (("amplitude", "rejected"), ("amplitude-batch", "acknowledged")):
        scenario = written(tmp_path, load=load, workflow=workflow)
        ended = loadcheck("run", scenario, "--set", "load.rate=4", "-o", f"{workflow}.json")
        copies = orjson.loads((tmp_path / f"{workflow}.json").read_bytes())["copies"]
        assert copies[outcome] == 4, ended.stdout + ended.stderr


@pytest.mark.long
def test_workers_take_it_too(loadcheck: Loadcheck, tmp_path: Path) -> None:
    """They find it by its name, as the shipped ones."""
    ended = loadcheck("run", written(tmp_path), "--workers", "2")
    assert ended.code == 0, ended.stdout + ended.stderr
    assert ended.result["workflow"]["name"] == "amplitude-batch"


def test_plan_knows_the_limits_of_the_batch_api(loadcheck: Loadcheck) -> None:
    batch = SCENARIOS / "amplitude-batch.toml"
    planned = loadcheck("plan", batch, "--json", "--set", 'target.region="eu"', env=KEYS)
    assert planned.code == 0, planned.stderr
    document = orjson.loads(planned.stdout)
    limits = {each["limit"]: each["allowed"] for each in document["limits"]}
    wanted = {
        "events_per_s": 100_000,
        "user_events_per_s": 1000,
        "user_events_per_day": 500_000,
        "events_per_request": 2000,
        "request_bytes": 20_000_000,
    }
    assert wanted.items() <= limits.items()
    assert "api.eu.amplitude.com" in planned.stdout


@pytest.mark.parametrize(
    ("settings", "fit"),
    [
        (
            ["load.events_per_copy=3", "service.limits.user_events_per_day=2"],
            "load.events_per_copy = 2",
        ),
        (
            [
                'sessions={uploads=4, gap="1s"}',
                "service.limits.user_events_per_day=3",
                "load.max_in_flight=2000",
            ],
            "fewer sessions.uploads or sessions.returning",
        ),
    ],
)
def test_what_breaks_them_is_refused(loadcheck: Loadcheck, settings: list[str], fit: str) -> None:
    batch = SCENARIOS / "amplitude-batch.toml"
    changes = [f"--set={each}" for each in (*settings, "load.copies_per_request=1")]
    refused = loadcheck("plan", batch, *changes, env=KEYS)
    assert refused.code == 2, refused.stdout
    assert fit in refused.stderr
