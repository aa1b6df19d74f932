"""What may leave this machine, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck import scenario as scenarios
from loadcheck.errors import ConsentError, InputError
from loadcheck.pipeline import prepare_run
from loadcheck.scenario.model import Scenario
from tests.compiled import address_of

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
KEYS = {"AMPLITUDE_API_KEY": "a-key", "AMPLITUDE_SECRET_KEY": "secret"}
HERE = 'target.servers={"*"="http://127.0.0.1:9"}'
WITH_HTTPX = 'target.transport="httpx"'


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def load(name: str, *overrides: str) -> Scenario:
    return scenarios.load(SCENARIOS / f"{name}.toml", overrides=overrides, env=KEYS)


def rehearse(scenario: Scenario, *, consent: bool) -> None:
    prepare_run(scenario, address_of(scenario), 1, consent=consent)


def refused(scenario: Scenario) -> str:
    with pytest.raises(ConsentError) as raised:
        rehearse(scenario, consent=False)
    assert "--live" in str(raised.value)
    return str(raised.value)


def test_leaving_this_machine_needs_consent() -> None:
    assert "40 events of as many new users" in refused(load("live"))
    rehearse(load("live"), consent=True)
    rehearse(load("smoke"), consent=False)
    rehearse(load("live", HERE), consent=False)


@pytest.mark.parametrize(
    "server",
    [
        "http://127.1",
        "http://0x7f000001",
        "http://localhost.",
        "http://2130706433",
        "http://0.0.0.0",
    ],
)
def test_what_is_not_certainly_this_machine_needs_consent(server: str) -> None:
    assert server in refused(load("live", f'target.servers={{"*"="{server}"}}'))


@pytest.mark.parametrize("server", [r"http://127.0.0.1\\@away.example", "http://127.0.0.1 .away"])
def test_a_url_that_readers_disagree_about_is_refused(server: str) -> None:
    with pytest.raises(InputError):
        load("live", f'target.servers={{"*"="{server}"}}')


def test_a_proxy_of_the_scenario_is_a_destination() -> None:
    proxy = 'target.proxy="http://proxy.example:3128"'
    told = refused(load("live", HERE, WITH_HTTPX, proxy))
    assert "http://proxy.example:3128 (the proxy that target.proxy names)" in told
    rehearse(load("live", HERE, WITH_HTTPX, 'target.proxy="http://[::1]:9"'), consent=False)


def test_a_proxy_of_the_environment_is_a_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass-word@proxy.example:3128")
    told = refused(load("live", WITH_HTTPX))
    assert "http://***@proxy.example:3128 (the proxy that HTTPS_PROXY names)" in told
    assert "pass-word" not in told
    assert "proxy" not in refused(load("live"))  # the wire transport takes none, nor do queries


def test_loopback_takes_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    rehearse(load("live", HERE, WITH_HTTPX), consent=False)


def test_a_proxy_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(InputError, match="ALL_PROXY: names a proxy .* speaks socks5"):
        rehearse(load("live", WITH_HTTPX), consent=True)
    rehearse(load("live", HERE, WITH_HTTPX), consent=False)


def test_a_collector_of_metrics_is_a_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")
    told = refused(load("smoke"))
    assert "http://collector.example:4318 (metrics, as OTEL_EXPORTER_OTLP_ENDPOINT asks)" in told
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:4318/v1/metrics")
    rehearse(load("smoke"), consent=False)


def test_a_description_of_another_machine_is_a_destination() -> None:
    elsewhere = 'workflow.sources={httpV2Api="https://specs.example/openapi.yml"}'
    with pytest.raises(InputError) as raised:
        rehearse(load("live", HERE, elsewhere), consent=False)
    assert "--live" in str(raised.value)
    assert "https://specs.example" in str(raised.value)
