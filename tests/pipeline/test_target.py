"""The other end of a run: what it supplies, and the ways to it."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadcheck import scenario as scenarios
from loadcheck.pipeline import warnings
from loadcheck.pipeline.target import addressed, emulator_for
from loadcheck.scenario.model import Scenario
from loadcheck.workflow.exchange import Origin

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
KEYS = {"AMPLITUDE_API_KEY": "k-1234", "AMPLITUDE_SECRET_KEY": "s-1234"}
AWAY, HERE = Origin("https", "api.example", 443), Origin("https", "127.0.0.1", 443)


def load(name: str, *overrides: str) -> Scenario:
    return scenarios.load(SCENARIOS / f"{name}.toml", overrides=overrides, env=KEYS)


def route_warnings(scenario: Scenario, origin: Origin) -> list[str]:
    plan: Any = SimpleNamespace(warnings=["first"], steps=())
    ingest = SimpleNamespace(origin=origin)
    compiled: Any = SimpleNamespace(
        plan=plan, ingest=ingest, scenario=scenario, verification=None, thresholds=()
    )
    first, *said = warnings.of_intent(compiled)
    assert first == "first"
    return said


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.anyio
async def test_a_live_target_is_not_started_and_supplies_nothing() -> None:
    scenario = load("live")
    with addressed(scenario) as address:
        assert (address.servers, address.supplied) == ({}, {})
        async with emulator_for(scenario, address, 1) as emulator:
            assert emulator is None


@pytest.mark.anyio
async def test_the_emulator_supplies_its_keys_and_ends_with_the_block() -> None:
    scenario = load("smoke")
    with addressed(scenario) as address:
        given = address.supplied
        async with emulator_for(scenario, address, 1) as emulator:
            assert emulator is not None
            assert emulator.alive
            assert address.servers == {"*": emulator.url}
            assert (emulator.api_key, emulator.secret_key) == (given["apiKey"], given["secretKey"])
    assert base64.b64decode(given["basicAuth"]).decode() == (
        f"{given['apiKey']}:{given['secretKey']}"
    )
    assert not emulator.alive


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_copies_pass_by_is_told(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert route_warnings(load("live"), AWAY) == []
    monkeypatch.setenv(variable, "http://user:pass-word@proxy.example:3128")
    [warning] = route_warnings(load("live"), AWAY)
    assert 'target.transport = "httpx"' in warning
    assert "pass-word" not in warning


def test_a_proxy_that_does_not_matter_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert route_warnings(load("smoke"), AWAY) == []
    assert route_warnings(load("live", "target.transport=httpx"), AWAY) == []
    assert route_warnings(load("live"), HERE) == []
    monkeypatch.setenv("no_proxy", "api.example")
    assert route_warnings(load("live"), AWAY) == []


def test_a_proxy_for_another_scheme_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert route_warnings(load("live"), AWAY) == []
