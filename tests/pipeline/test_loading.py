"""What of a scenario reaches the load engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck import scenario as scenarios
from loadcheck.load.pacer import max_in_flight, max_requests, planned_copies
from loadcheck.load.retry import Backoff
from loadcheck.scenario.model import Scenario
from loadcheck.workflow.exchange import Exchange, Origin, Request

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def load(name: str, *overrides: str) -> Scenario:
    return scenarios.load(SCENARIOS / f"{name}.toml", overrides=overrides)


def answer(status: int) -> Exchange:
    request = Request(0, Origin("http", "127.0.0.1", 80), b"POST / HTTP/1.1\r\n", b"")
    return Exchange(request).answered(status)


def test_the_burst_asks_for_what_its_stages_add_up_to() -> None:
    assert planned_copies(load("burst").load, seed=1) == 4 * 200 + 8 * 2500 + 4 * 200


def test_a_closed_load_bounded_by_time_asks_for_no_number() -> None:
    timed = load("closed", "load={model='closed', concurrency=4, duration='2s'}")
    assert planned_copies(timed.load, seed=1) is None
    counted = load("closed", "load={model='closed', concurrency=4, copies=70}")
    assert planned_copies(counted.load, seed=1) == 70


@pytest.mark.parametrize(("together", "requests"), [(1, 100), (10, 10), (30, 4), (100, 1), (99, 2)])
def test_a_request_that_is_not_full_needs_a_connection_too(together: int, requests: int) -> None:
    scenario = load(
        "closed",
        f"load={{model='closed', concurrency=100, copies=500, copies_per_request={together}}}",
    )
    assert max_in_flight(scenario.load) == 100
    assert max_requests(scenario.load) == requests


def test_an_open_load_is_bounded_by_max_in_flight() -> None:
    assert max_in_flight(load("burst", "load.max_in_flight=77").load) == 77


def test_a_retry_waits_within_the_scenarios_bounds_and_gives_up_in_time() -> None:
    scenario = load("smoke", "retry={attempts=3, backoff='100ms', max_backoff='150ms', on=['429']}")
    policy = Backoff(scenario.retry, seed=5)
    first, second = policy(answer(429), 1), policy(answer(429), 2)
    assert first is not None
    assert second is not None
    assert 0.05 <= first <= 0.1
    assert 0.075 <= second <= 0.15
    assert policy(answer(429), 3) is None
    assert policy(answer(503), 1) is None
