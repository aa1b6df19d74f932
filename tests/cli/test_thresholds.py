"""Thresholds of stages and those that abort, against the real emulator."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from loadcheck.result.schema import json_schema
from tests.cli.conftest import Loadcheck

SCENARIO = """\
workflow = "amplitude"
thresholds = [{thresholds}]
[target]
kind = "emulator"
capacity = "200/s"
[inputs]
eventType = "probe"
eventProperties = {{}}
[load]
model = "open"
stages = [
    {{ name = "calm", duration = "2s", rate = 50 }},
    {{ name = "flood", duration = "{flood}", rate = 600 }},
]
[verify]
every = "200ms"
quiet = "500ms"
deadline = "5s"
"""


def scenario(folder: Path, *thresholds: str, flood: str) -> Path:
    path = folder / "s.toml"
    path.write_text(SCENARIO.format(thresholds=", ".join(thresholds), flood=flood))
    return path


@pytest.mark.long
def test_each_stage_has_figures_of_its_own(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        '"calm: uploadEvents.p90 < 1s"',
        '"flood: uploadEvents.p90 < 1s"',
        '"calm: started == 100"',
        '"flood: started == 600"',
        '"flood: uploadEvents.attempts == 600"',
        '"calm: error_rate == 0%"',
        flood="1s",
    )
    ended = loadcheck("run", path)
    assert ended.code == 5, ended.stderr
    verdicts = [threshold["verdict"] for threshold in ended.result["thresholds"]]
    # most answers of the flood come when it is over: they are the flood's all the same
    assert verdicts == ["pass", "fail", "pass", "pass", "pass", "pass"]
    assert ended.result["run"]["aborted"] is None


def test_a_load_is_stopped_drained_reconciled_and_reported(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    abort = '{ check = "uploadEvents.p99 < 300ms", abort = true, grace = "1s" }'
    path = scenario(tmp_path, abort, '"lost == 0"', flood="10m")
    ended = loadcheck("run", path)
    assert ended.code == 5, ended.stderr
    result = ended.result
    Draft202012Validator(json_schema()).validate(result)
    assert (result["verdict"], result["run"]["phase"]) == ("fail", "complete")
    aborted = result["run"]["aborted"]
    assert aborted["threshold"] == "uploadEvents.p99 < 300ms"
    assert aborted["measured"] >= 300
    assert 2 <= aborted["at_s"] < 30
    copies = result["copies"]
    assert copies["started"] < copies["planned"]
    assert copies["acknowledged"] == copies["started"] == result["consistency"]["uniques"]
    assert [t["verdict"] for t in result["thresholds"]] == ["fail", "pass"]
    assert "stopped after" in ended.stdout.replace("\n", " ")


def test_check_names_the_stages_there_are(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(tmp_path, '"brust: rate > 1"', '"peak: rate > 1"', flood="1s")
    ended = loadcheck("check", path)
    assert ended.code == 2
    assert 'thresholds.0: unknown stage "brust"; expected one of calm, flood' in ended.stderr
    assert 'thresholds.1: unknown stage "peak"; expected one of calm, flood' in ended.stderr


def test_check_tells_what_would_stop_the_load(loadcheck: Loadcheck, tmp_path: Path) -> None:
    abort = '{ check = "uploadEvents.p99 < 300ms", abort = true, grace = "1m" }'
    ended = loadcheck("check", scenario(tmp_path, abort, '"lost == 0"', flood="1s"))
    assert ended.code == 0, ended.stderr
    assert "uploadEvents.p99 < 300ms   aborts the load, after 1:00 at the earliest" in ended.stdout
    assert "lost == 0\n" in ended.stdout


def test_what_can_never_stop_a_load_is_refused(loadcheck: Loadcheck, tmp_path: Path) -> None:
    path = scenario(tmp_path, '{ check = "lost == 0", abort = true }', flood="1s")
    ended = loadcheck("check", path)
    assert ended.code == 2
    assert 'thresholds.0: "lost" is only known when the load has ended' in ended.stderr
