"""``loadcheck plan``, and the approval before a run that leaves this machine."""

from __future__ import annotations

import os
import pty
import select
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli.conftest import SCENARIOS, Loadcheck

KEYS = {"AMPLITUDE_API_KEY": "k" * 32, "AMPLITUDE_SECRET_KEY": "s" * 32}
LIVE = SCENARIOS / "live.toml"
NOBODY = 'target.servers={"*"="http://192.0.2.1:9"}'
"""RFC 5737 keeps the address for documentation."""

SHORT: dict[str, list[str]] = {
    "burst": [
        *(f"load.stages.{number}.duration=1s" for number in range(3)),
        "load.stages.1.rate=600",
    ],
    "ramp": [
        *(f"load.stages.{number}.duration=1s" for number in range(3)),
        *("load.stages.0.ramp_to=300", "load.stages.1.rate=300"),
    ],
    "soak": ["load.duration=4s", "load.rate=200", "verify.every=1s", "verify.quiet=3s"],
    "closed": ["load.copies=2000"],
    "faulty": ["load.rate=500", "load.duration=4s", "target.faults.drop.among=2000"],
    "capacity": ["load.duration=3s"],
    "smoke": [],
}


def test_a_plan_that_breaks_a_limit_is_refused(loadcheck: Loadcheck) -> None:
    ended = loadcheck("plan", LIVE, "--set", "load.rate=300", env=KEYS)
    assert ended.code == 2
    assert "load.rate = 100" in ended.stderr
    assert "users         6,000" in ended.stdout
    forced = loadcheck("plan", LIVE, "--set", "load.rate=300", "--force-limits", env=KEYS)
    assert forced.code == 0, forced.stderr
    run = loadcheck("run", LIVE, "--live", "--yes", "--set", "load.rate=300", env=KEYS)
    assert run.code == 2
    assert "--force-limits insists" in run.stderr
    assert run.results == []


def test_a_digest_is_what_runs(loadcheck: Loadcheck, smoke: Path) -> None:
    planned = loadcheck("plan", smoke, "--json")
    document = orjson.loads(planned.stdout)
    assert (planned.code, document["schema"]) == (0, "loadcheck.plan/1")
    other = loadcheck("run", smoke, "--plan", document["digest"], "--set", "load.rate=99")
    assert other.code == 2
    assert "not the one that was approved" in other.stderr
    assert other.results == []
    done = loadcheck("run", smoke, "--plan", document["digest"], "--label", "env=test")
    assert done.code == 0, done.stderr
    assert done.result["run"]["seed"] == document["seed"]
    holds(document, done.result)


@pytest.mark.parametrize("options", [[], ["--plan", "0" * 32]])
def test_without_a_terminal_somebody_must_have_said_yes(
    loadcheck: Loadcheck, options: list[str]
) -> None:
    ended = loadcheck("run", LIVE, "--live", "--set", NOBODY, *options, env=KEYS)
    assert ended.code == 2
    assert ("approved" if options else "--yes") in ended.stderr
    assert ended.results == []


@pytest.mark.parametrize(("answer", "code"), [("n", 2), ("", 2), ("y", 2)])
def test_a_terminal_is_asked(loadcheck: Loadcheck, answer: str, code: int) -> None:
    ours, theirs = pty.openpty()
    process = loadcheck.start(
        *("run", LIVE, "--live", "--set", 'target.servers={"*"="http://127.1:9"}', "--quiet"),
        env={**KEYS, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        assert select.select([ours], [], [], 60)[0], said
        said += os.read(ours, 4096)
    os.write(ours, f"{answer}\n".encode())
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait(60) == code, said
    assert (b"preflight: upload: http://127.1:9 cannot be reached" in said) is (answer == "y")
    assert loadcheck.results() == []


def holds(planned: dict[str, Any], result: dict[str, Any]) -> None:
    """Hold a run against its plan."""
    spent, queries = result["spent"], planned["queries"]
    for name in ("users", "events"):
        bounds = planned[name]
        assert bounds["least"] <= spent[name] + result["copies"]["skipped"] <= bounds["most"]
        if planned["copies"]["least"]:
            assert bounds["least"] == bounds["most"]
    for name, key in (("asked", "queries"), ("cost", "query_cost")):
        assert queries[name]["least"] <= spent[key], (name, spent, queries)
        assert queries[name]["most"] is None or spent[key] <= queries[name]["most"]
    # every question has one of the two prices
    split = spent["query_cost"] - queries["plain_cost"] * spent["queries"]
    dearer = queries["split_cost"] - queries["plain_cost"]
    assert split % dearer == 0
    assert split // dearer >= queries["split"]
    observer = result["steps"][result["workflow"]["observer"]]
    # one that was cut short when the count had settled was asked, but has no time
    assert spent["queries"] - observer["attempts"] in {0, 1}
    assert spent["controls"] <= queries["controls"]


def test_every_scenario_has_an_override() -> None:
    emulated = {
        path.stem for path in SCENARIOS.glob("*.toml") if 'kind = "emulator"' in path.read_text()
    }
    assert emulated == set(SHORT)


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [*sorted(SHORT), "live"])
def test_a_run_costs_what_its_plan_says(loadcheck: Loadcheck, name: str) -> None:
    options = SHORT.get(name, [])
    if name == "live":
        options = ['target={kind="emulator"}', "load.duration=3s", "verify.every=1s"]
        options += ["verify.quiet=2s", "verify.deadline=10s"]
        options += ['inputs.apiKey="$target.apiKey"', 'inputs.basicAuth="$target.basicAuth"']
    # what matters here is that all is sent, not how soon it is answered
    changes = ["thresholds=[]", "verify.deadline=30s", *options]
    sets = [part for change in changes for part in ("--set", change)]
    planned = orjson.loads(
        loadcheck("plan", SCENARIOS / f"{name}.toml", *sets, "--json", env=KEYS).stdout
    )
    ended = loadcheck(
        *("run", SCENARIOS / f"{name}.toml", *sets, "--plan", planned["digest"]), env=KEYS
    )
    # 3: a busy machine stood still in between
    assert ended.code in ({1} if name == "faulty" else {0, 3}), ended.stderr
    holds(planned, ended.result)
    if name != "faulty":
        assert ended.result["spent"]["controls"] == 0
