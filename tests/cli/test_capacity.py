"""``loadcheck capacity`` against the real emulator: small searches, and what ends one."""

from __future__ import annotations

import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from loadcheck.result.schema_others import capacity_schema
from loadcheck.result.store import read
from tests.cli.conftest import SCENARIOS, Loadcheck

TEMPLATE = """\
name = "planted"
workflow = "amplitude"
thresholds = ["uploadEvents.p99 < {limit}", "lost == 0", "steady: rate > 1", "started == 5"]
[target]
kind = "emulator"
{target}
[inputs]
eventType = "probe"
eventProperties = {{}}
[load]
model = "open"
rate = 20
duration = "1s"
[verify]
every = "200ms"
quiet = "500ms"
deadline = "5s"
[capacity]
probe = "2s"
warmup = "1s"
recovery = "0s"
samples = 40
"""


def scenario(folder: Path, target: str = 'capacity = "80/s"', limit: str = "900ms") -> Path:
    path = folder / "planted.toml"
    path.write_text(TEMPLATE.format(target=target, limit=limit))
    return path


def document(loadcheck: Loadcheck) -> dict[str, Any]:
    (path,) = loadcheck.results()
    found: dict[str, Any] = orjson.loads(path.read_bytes())
    Draft202012Validator(capacity_schema()).validate(found)
    return found


@pytest.mark.long
def test_a_planted_capacity_is_found_and_its_file_can_be_shown(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    options = ["--from", "40", "--precision", "50%", "--keep", "probes"]
    options += ["--label", "env=staging"]
    ended = loadcheck("capacity", scenario(tmp_path), *options)
    assert ended.code == 0, ended.stderr
    found = document(loadcheck)
    name = loadcheck.results()[0].name
    assert re.fullmatch(r"planted-capacity-\d{8}T\d{6}Z-[a-z0-9]{12}\.json", name)
    assert (found["verdict"], found["run"]["phase"]) == ("pass", "complete")
    low, high = found["answer"]["interval"]
    # two seconds are short: what a queue grows to in them is little
    assert 40 <= low < high <= 120
    assert found["answer"]["limited_by"] == "target"
    probes = found["probes"]
    assert probes[0]["rate"] == 40
    assert {probe["verdict"] for probe in probes} >= {"held", "broke"}
    assert found["search"]["events"] == sum(probe["copies"]["started"] for probe in probes)
    assert found["curve"]["rate"] == sorted(probe["rate"] for probe in probes)
    assert found["checks"][:2] == ["uploadEvents.p99 < 900ms", "lost == 0"]
    assert [warning for warning in found["warnings"] if "steady: rate > 1" in warning]
    assert [warning for warning in found["warnings"] if "started == 5" in warning]
    for probe in probes:
        assert probe["latency"]["count"] <= probe["copies"]["acknowledged"]
    # a line a probe while it goes on, the answer at its end, and again from its file
    assert len(ended.stderr.splitlines()) == len(probes)
    assert "Sustains" in ended.stdout
    shown = loadcheck("show", loadcheck.results()[0])
    assert shown.stdout.splitlines()[0] == ended.stdout.splitlines()[0]
    # each probe is a run of its own
    kept = [read(path) for path in (tmp_path / "probes").iterdir()]
    assert {result["run"]["id"] for result in kept} == {probe["run"] for probe in probes}
    assert {result["run"]["phase"] for result in kept} == {"complete"}
    assert {result["labels"]["env"] for result in kept} == {found["labels"]["env"]} == {"staging"}


@pytest.mark.long
def test_it_is_found_within_five_percent_in_twelve_probes(loadcheck: Loadcheck) -> None:
    planted = 300
    options = ["--set", f'target.capacity="{planted}/s"']
    loadcheck("capacity", SCENARIOS / "capacity.toml", *options, timeout_s=115)
    found = document(loadcheck)
    if found["answer"]["limited_by"] != "target":
        pytest.skip("the machine is too busy: the generator was the limit")
    assert found["answer"]["rate"] == pytest.approx(planted, rel=0.05)
    assert found["answer"]["precise"]
    assert len(found["probes"]) <= 12


@pytest.mark.long
def test_not_even_the_lowest_rate(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(tmp_path, "faults.slow = { delay = '300ms' }", limit="50ms")
    ended = loadcheck("capacity", path, "--quiet")
    assert ended.code == 5, ended.stderr
    assert ended.stderr == ""
    assert "Does not sustain even 20 copies/s: uploadEvents.p99 < 50ms measured" in ended.stdout
    assert document(loadcheck)["verdict"] == "fail"


@pytest.mark.long
def test_lost_users_are_not_taken(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(tmp_path, "faults.drop = { count = 3, among = 50 }")
    ended = loadcheck("capacity", path, "--json")
    assert ended.code == 1, ended.stderr
    found = orjson.loads(ended.stdout)
    assert (found["verdict"], found["answer"]["because"]) == ("fail", "lost")
    assert found["probes"][0]["lost_at_least"] == 3
    assert "users are lost" in ended.stderr


@pytest.mark.parametrize(
    ("budget", "probes"), [(["--budget", "60"], 1), (["--budget", "9m,250"], 2)]
)
@pytest.mark.long
def test_the_budget_of_events_is_kept(
    loadcheck: Loadcheck, tmp_path: Path, budget: list[str], probes: int
) -> None:
    ended = loadcheck("capacity", scenario(tmp_path, ""), *budget)
    assert ended.code == 0, ended.stderr
    found = document(loadcheck)
    assert len(found["probes"]) == probes
    assert found["search"]["events"] <= found["search"]["budget_events"]
    assert found["answer"]["ending"] == "budget"
    assert "Sustains at least" in ended.stdout


@pytest.mark.long
def test_the_budget_of_time_ends_a_probe(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(tmp_path, 'visibility_delay = "5m"')
    began = time.monotonic()
    ended = loadcheck(
        "capacity", path, "--budget", "8s", "--set", "verify.deadline=10m", "--set",
        "verify.quiet=5m",
    )  # fmt: skip
    assert time.monotonic() - began < 30
    found = document(loadcheck)
    assert found["answer"] is None
    assert [probe["verdict"] for probe in found["probes"]] == ["cut"]
    assert found["search"]["took_s"] < 20
    assert ended.code == 3, ended.stderr


@pytest.mark.long
def test_an_interrupt_leaves_what_is_known(loadcheck: Loadcheck, tmp_path: Path) -> None:
    process = loadcheck.start("capacity", scenario(tmp_path, ""), "--set", "capacity.recovery=1m")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if loadcheck.results() and orjson.loads(loadcheck.results()[0].read_bytes())["probes"]:
            break
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    found = document(loadcheck)
    assert (found["run"]["interrupted"], found["run"]["phase"]) == (True, "complete")
    assert found["answer"]["ending"] == "interrupted"
    assert found["answer"]["rate"] == 20
    assert "Sustains at least 20 copies/s: the search was interrupted" in stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "10"], "capacity.to: is not above 20, the lowest rate of the load"),
        (["--from", "0"], "capacity.from: found 0"),
        (["--from", "nan"], "capacity.from: found nan"),
        (["--budget", "5 potatoes"], 'capacity.budget.0: found the string "5 potatoes"'),
        (["--precision", "2"], "capacity.precision: found 2"),
        (["--set", "thresholds=['nope < 1']"], 'thresholds.0: unknown metric "nope"'),
    ],
)
def test_bad_input_sends_and_writes_nothing(
    loadcheck: Loadcheck, tmp_path: Path, options: list[str], said: str
) -> None:
    ended = loadcheck("capacity", scenario(tmp_path), *options)
    assert (ended.code, ended.results) == (2, [])
    assert said in ended.stderr


def test_workers_that_cannot_start_leave_an_earlier_result_as_it_was(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text("{}")
    command = ("capacity", scenario(tmp_path), "--prefix", "/nowhere/ssh")
    ended = loadcheck(*command, "--output", earlier, "--force")
    assert ended.code == 2
    assert 'worker 1 cannot be started by "/nowhere/ssh": No such file' in ended.stderr
    assert earlier.read_text() == "{}"
    ended = loadcheck(*command)
    assert (ended.code, ended.results) == (2, [])


_ONCE = """
import os, pathlib, sys
once = pathlib.Path(sys.argv[1])
if once.exists():
    sys.exit("it is gone")
once.touch()
os.execv(sys.executable, [sys.executable, "-m", "loadcheck", "shard"])
"""
"""Stands for a command that reaches a machine once."""


def test_of_workers_that_start_once_only_the_first_probe_is_kept(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    (tmp_path / "once.py").write_text(_ONCE)
    prefix = shlex.join([sys.executable, str(tmp_path / "once.py"), str(tmp_path / "once")])
    ended = loadcheck("capacity", scenario(tmp_path), "--prefix", prefix)
    found = document(loadcheck)
    # something was sent, so it is no longer a matter of bad input
    assert (ended.code, len(found["probes"])) == (0, 1), ended.stderr
    assert "Sustains at least 20 copies/s: the search was interrupted" in ended.stdout
    assert "it ended with exit code 1: it is gone" in found["run"]["error"]
    assert "it is gone" in " ".join(ended.stdout.split())


def test_it_leaves_this_machine_only_when_told_to(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(tmp_path, "")
    options = [
        "--set",
        "target.kind=live",
        "--set",
        "inputs.apiKey=k",
        "--set",
        "inputs.basicAuth=b",
    ]
    ended = loadcheck("capacity", path, *options, "--budget", "5000")
    assert (ended.code, ended.results) == (2, [])
    assert "would send 5,000 events" in ended.stderr
    assert "--live" in ended.stderr
    unbounded = loadcheck("capacity", path, *options)
    assert "would send an unlimited number of events" in unbounded.stderr


@pytest.mark.long
def test_a_search_is_no_run(loadcheck: Loadcheck, tmp_path: Path) -> None:
    loadcheck("capacity", scenario(tmp_path, ""), "--to", "25", "--quiet")
    (path,) = loadcheck.results()
    ended = loadcheck("reconcile", path)
    assert ended.code == 2
    assert "is the file of a capacity search, not of a run" in ended.stderr
    broken = orjson.loads(path.read_bytes())
    del broken["curve"]
    path.write_bytes(orjson.dumps(broken))
    ended = loadcheck("show", path)
    assert ended.code == 2
    assert re.search(r".curve. is a required property", ended.stderr)
