"""What would be sent, told without sending it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadcheck import scenario as scenarios
from loadcheck.errors import InputError
from loadcheck.pipeline.preview import preview
from tests.pipeline import services

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
KEYS = {"AMPLITUDE_API_KEY": "k-e+y/1234", "AMPLITUDE_SECRET_KEY": 'se"crét & co'}


def shown(name: str, *overrides: str) -> dict[str, Any]:
    loaded = scenarios.load(
        SCENARIOS / f"{name}.toml", overrides=overrides, env=KEYS | services.KEYS
    )
    return preview(loaded, seed=1)


def test_the_first_request_is_whole() -> None:
    found = shown("smoke")
    request = found["first_request"]
    (event,) = json.loads(request["body"])["events"]
    assert (request["method"], request["url"]) == ("POST", "http://emulator/2/httpapi")
    assert event["user_id"].endswith("-0000000")
    assert event["event_properties"]["loadcheck_run"] == event["insert_id"].partition("-")[0]
    assert request["bytes"] > len(request["body"])


def test_the_first_query_asks_for_this_run_only() -> None:
    found = shown("smoke")
    run = json.loads(found["first_request"]["body"])["events"][0]["event_properties"]
    assert run["loadcheck_run"] in found["first_query"]["url"]


def test_a_load_that_its_workers_cannot_share_is_found_beforehand() -> None:
    few = "load.max_in_flight=2"
    with pytest.raises(InputError, match="2 copies in flight cannot be divided among 3 workers"):
        shown("smoke", few, "load.workers=3")
    # how many these are is known where they run
    assert shown("smoke", few, "load.workers='auto'")


@pytest.mark.parametrize("name", ["live", "smoke"])
def test_no_secret_is_shown(name: str) -> None:
    found = shown(name)
    text = json.dumps(found) + json.dumps(found, ensure_ascii=False)
    for secret in KEYS.values():
        assert secret not in text
        assert json.dumps(secret)[1:-1] not in text
    assert found["first_request"]["body"].startswith('{"api_key":"***"')


def test_a_secret_in_an_overlay_is_not_shown() -> None:
    edit = "{step='uploadEvents', at='header.X-Key', value='a k-e+y/1234 b'}"
    found = shown("live", f"overlay=[{edit}]")
    assert found["overlay"][-1]["value"] == "a *** b"
    assert ["X-Key", "a *** b"] in found["first_request"]["headers"]


def test_only_a_live_target_leaves_this_machine() -> None:
    assert shown("live")["leaves_this_machine"]
    assert not shown("smoke")["leaves_this_machine"]


@pytest.mark.parametrize(
    ("overrides", "copies", "requests", "events"),
    [
        ([], 200, 200, 200),
        (["load.events_per_copy=3"], 200, 200, 600),
        (["load.copies_per_request=7"], 200, 29, 200),
        (["load.copies_per_request=7", "load.events_per_copy=2"], 200, 29, 400),
    ],
)
def test_users_events_and_requests_are_told(
    overrides: list[str], copies: int, requests: int, events: int
) -> None:
    load = shown("smoke", *overrides)["load"]
    assert (load["copies"], load["requests"], load["events"]) == (copies, requests, events)


def test_requests_of_several_copies_carry_them() -> None:
    body = json.loads(shown("smoke", "load.copies_per_request=7")["first_request"]["body"])
    assert len({event["user_id"] for event in body["events"]}) == 7


def test_a_closed_load_has_no_rate() -> None:
    load = shown("closed")["load"]
    assert (load["model"], load["peak_rate"], load["concurrency"]) == ("closed", None, 50)


def test_what_the_buckets_cost_is_told() -> None:
    whole, bare = shown("smoke"), shown("smoke", "verify.localize=false")
    assert bare["buckets"] is None
    added = whole["first_request"]["bytes"] - bare["first_request"]["bytes"]
    assert whole["buckets"]["added_bytes"] == added > 0
    assert len(whole["buckets"]["places"]) == 6
    assert (whole["buckets"]["queries"], whole["buckets"]["cost"]) == (1, 15)
    about = shown("smoke", "verify.approximate=1%")
    assert (about["buckets"], about["approximate"]) == (None, 0.01)
    assert shown("smoke", "load.events_per_copy=3")["buckets"]["queries"] == 2


def test_without_verification_there_is_no_query() -> None:
    found = shown("smoke", "verify.enabled=false", "thresholds=[]")
    assert (found["observer"], found["first_query"]) == (None, None)


def test_a_secret_that_is_a_word_of_ours_leaves_the_preview_readable() -> None:
    words = {"AMPLITUDE_API_KEY": "steps", "AMPLITUDE_SECRET_KEY": "observer"}
    seen = preview(scenarios.load(SCENARIOS / "live.toml", env=words))
    assert {step["role"] for step in seen["steps"]} == {"per-copy", "observer"}


@pytest.mark.parametrize("name", [path.stem for path in sorted(SCENARIOS.glob("*.toml"))])
def test_what_is_shipped_is_warned_of_nothing(name: str) -> None:
    assert shown(name)["warnings"] == []
