"""A run that is watched on a page: the page says what the run does, and is no matter of its."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import orjson
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import Loadcheck
from tests.cli.test_interrupts import children, wait_for
from tests.cli.test_mixes import MIX
from tests.web.conftest import get

STEADY = ("--set", "load.duration=4", "--set", "load.rate=50")
_QUERIED = re.compile(r"(loadcheck_\w+)\{([^}]*)\}")
_LABEL = re.compile(r'(\w+)\s*(?:=~|!=|=)"')


def addresses(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return what a run says it serves; what it says later is read and dropped."""
    assert process.stderr is not None
    found = {}
    for line in process.stderr:
        name, _, url = line.strip().partition(": ")
        found[name] = url
        if name == "metrics":
            break
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return found


def labels_of(scraped: str) -> dict[str, set[str]]:
    """Return the labels of each metric that was scraped."""
    found: dict[str, set[str]] = {}
    for line in scraped.splitlines():
        match = re.match(r"(\w+)(?:\{(.*)\})? \S+$", line)
        if match and not line.startswith("#"):
            found.setdefault(match[1], set()).update(_LABEL.findall(match[2] or ""))
    return found


@pytest.mark.long
def test_a_run_is_watched_scraped_and_reported_at_one_address(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    process = loadcheck.start("run", smoke, *STEADY, "--web", "--metrics-port", free_port())
    urls = addresses(process)
    wait_for(lambda: "Target and achieved rate" in get(urls["live"]).text)
    wait_for(lambda: "loadcheck_users_counted " in get(urls["metrics"]).text)
    exposed = get(urls["metrics"]).text
    scraped = labels_of(exposed)
    # as Prometheus' own client reads it
    families = {family.name for family in text_string_to_metric_families(exposed)}
    assert {"loadcheck_copies", "loadcheck_response_time_seconds", "target_info"} <= families
    events = urls["live"].replace("/?", "/events?")
    with httpx.Client(trust_env=False, timeout=60) as client, client.stream("GET", events) as told:
        assert "event: done" in "".join(told.iter_text())
    # the run waits a moment for those who look at its page
    assert "This page is complete" in get(urls["live"]).text
    assert process.wait(60) == 0
    the_dashboard_finds_all(loadcheck, scraped, {"loadcheck_flow"})


def the_dashboard_finds_all(
    loadcheck: Loadcheck, scraped: dict[str, set[str]], missing: set[str]
) -> None:
    """See that every metric and label that it asks for is there, some labels apart."""
    missing = missing | {"job", "instance"}
    dashboard = orjson.loads(loadcheck("explain", "--grafana").stdout)
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queried = [match for each in asked for match in _QUERIED.findall(each)]
    assert len(queried) > 12
    for name, labels in queried:
        assert name in scraped, name
        assert set(_LABEL.findall(labels)) - missing <= scraped[name], name
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$([a-z]+)", "".join(asked))) <= variables
    grouped = {name for each in asked for name in re.findall(r"by \(([^)]*)\)", each)}
    known = {label for labels in scraped.values() for label in labels}
    # an error has its type instead of a status
    assert {part.strip() for each in grouped for part in each.split(",")} <= known | {"error_type"}


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


def test_a_port_that_is_taken_is_told_before_anything_is_sent(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = loadcheck("run", "--web", str(port), smoke)
        assert (ended.code, ended.stdout, ended.results) == (2, "", [])
        assert f"error: --web: port {port} is taken; name another port" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--open"], "--open: is about the page that --web serves; add --web"),
        (["--web-linger", "1m"], "--web-linger: is about what --web or --metrics-port serves; add"),
        (["--web=70000"], '--web: "70000" is not a port; expected a number from 1 to 65535'),
        (["--web", "--web-linger=x"], '--web-linger: "x" is not a duration; expected e.g. 30s'),
        (["--metrics-port", "x:y"], '--metrics-port: "y" is not a port'),
        (["--metrics-port=192.0.2.1:9464"], "192.0.2.1 is not an address of this machine"),
    ],
)
@pytest.mark.long
def test_what_cannot_be_served_is_told(
    loadcheck: Loadcheck, smoke: Path, arguments: list[str], said: str
) -> None:
    ended = loadcheck("run", smoke, *arguments)
    assert (ended.code, ended.stdout, ended.results) == (2, "", [])
    assert said in ended.stderr


@pytest.mark.long
def test_a_page_that_dies_hurts_no_run(loadcheck: Loadcheck, smoke: Path) -> None:
    process = loadcheck.start("run", smoke, *STEADY, "--web")
    page = wait_for(lambda: [c for c in children(process) if "loadcheck.web.server" in c.cmdline()])
    wait_for(loadcheck.results)
    os.kill(page[0].pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "the live page ended early: its process has gone" in out


@pytest.mark.long
def test_a_page_that_stands_still_holds_no_run_up(loadcheck: Loadcheck, smoke: Path) -> None:
    process = loadcheck.start("run", smoke, *STEADY, "--web", "--web-linger", "0")
    page = wait_for(lambda: [c for c in children(process) if "loadcheck.web.server" in c.cmdline()])
    wait_for(loadcheck.results)
    os.kill(page[0].pid, signal.SIGSTOP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not psutil.pid_exists(page[0].pid)


@pytest.mark.long
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_stop_on_the_page_is_ctrl_c(loadcheck: Loadcheck, smoke: Path, workers: list[str]) -> None:
    process = loadcheck.start(
        *("run", smoke, "--set", "load.duration=60", "--web"),
        *("--metrics-port", free_port(), *workers),
    )
    url = addresses(process)["live"]
    wait_for(lambda: "Copies in flight" in get(url).text)
    if workers:
        assert "worker 2" in get(url).text
    assert httpx.post(url.replace("/?", "/stop?"), trust_env=False).status_code == 202
    assert process.wait(60) == 130
    (path,) = loadcheck.results()
    result = orjson.loads(path.read_bytes())
    assert result["run"]["interrupted"]
    assert result["consistency"]["uniques"] == result["copies"]["acknowledged"] > 0


@pytest.mark.long
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_the_flows_of_a_mix_are_watched_and_scraped_at_one_address(
    loadcheck: Loadcheck, workers: list[str]
) -> None:
    five = MIX.replace('duration = "1s"', 'duration = "5s"').replace("<= 200", "<= 500")
    (loadcheck.folder / "mix.toml").write_text(five)
    process = loadcheck.start(
        *("run", "mix.toml", "--web-linger", "60s", "--web", "--metrics-port", free_port()),
        *workers,
    )
    urls = addresses(process)
    url = urls["live"]
    wait_for(lambda: get(url).text.count('<article class="part') == 2)

    def all_begun() -> bool:
        told = get(urls["metrics"]).text
        names = ("users_counted", "requests_total")
        return all(f'loadcheck_{name}{{loadcheck_flow="look"' in told for name in names)

    wait_for(all_begun)
    the_dashboard_finds_all(loadcheck, labels_of(get(urls["metrics"]).text), set())
    wait_for(lambda: "This page is complete" in get(url).text)
    assert get(url).text.count('<article class="part') == 2
    assert '<article class="part fail' not in get(url).text
    # the last figures stay as long as the page does
    told = get(urls["metrics"]).text
    samples = {
        (sample.name, sample.labels.get("loadcheck_flow")): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if sample.name in ("loadcheck_copies_due_total", "target_info")
    }
    assert samples == {
        ("loadcheck_copies_due_total", "buy"): 375,
        ("loadcheck_copies_due_total", "look"): 125,
        ("target_info", None): 1,
    }
    assert 'loadcheck_scenario="mix"' in told
    assert "loadcheck_label_flow" not in told
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


@pytest.mark.long
def test_stop_on_the_page_stops_every_flow(loadcheck: Loadcheck) -> None:
    (loadcheck.folder / "mix.toml").write_text(MIX.replace('duration = "1s"', 'duration = "60s"'))
    process = loadcheck.start("run", "mix.toml", "--web", "--metrics-port", free_port())
    url = addresses(process)["live"]
    wait_for(lambda: get(url).text.count("Sending the load") >= 2)
    assert httpx.post(url.replace("/?", "/stop?"), trust_env=False).status_code == 202
    assert process.wait(60) == 130
    for path in loadcheck.results():
        result = orjson.loads(path.read_bytes())
        assert result["run"]["interrupted"]
        assert result["consistency"]["uniques"] is not None
    assert len(loadcheck.results()) == 2


@pytest.mark.long
def test_a_search_is_watched_probe_by_probe(loadcheck: Loadcheck, smoke: Path) -> None:
    sets = ("capacity.probe=1s", "capacity.warmup=0s", "capacity.samples=20", "capacity.probes=3")
    process = loadcheck.start(
        *("capacity", smoke, "--from", "50", "--to", "200", "--web-linger", "30s", "--web"),
        *("--metrics-port", free_port()),
        *[word for each in sets for word in ("-s", each)],
    )
    url = addresses(process)["live"]
    wait_for(lambda: "Probes so far" in get(url).text, 60)
    assert ": probe " in get(url).text
    wait_for(lambda: "This page is complete" in get(url).text, 60)
    # it stays, as asked for, until it is told to go
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, 3)
