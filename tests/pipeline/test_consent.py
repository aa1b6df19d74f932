"""What may leave this machine, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck import scenario as scenarios
from loadcheck.errors import ConsentError
from loadcheck.pipeline.run import rehearse
from loadcheck.pipeline.target import is_loopback
from loadcheck.scenario import Scenario

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
KEYS = {"AMPLITUDE_API_KEY": "a-key", "AMPLITUDE_SECRET_KEY": "secret"}


def load(name: str) -> Scenario:
    return scenarios.load(SCENARIOS / f"{name}.toml", env=KEYS)


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
