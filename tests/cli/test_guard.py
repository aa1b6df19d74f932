"""Guard rails of real runs against the real emulator."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator

from loadcheck.result.schema import json_schema
from tests.cli.conftest import Loadcheck

LONG = ["-s", "load.duration=60s", "-s", "thresholds=[]", "-s", "verify.deadline=5s"]


def test_what_the_guard_forbids_is_not_sent(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, "-s", "guard.max_users=199", "-s", "guard.max_rate=50")
    assert ended.code == 2
    assert "guard.max_users: allows 199 users, and this run has 200" in ended.stderr
    assert "guard.max_rate" in ended.stderr
    assert ended.results == []
    search = loadcheck("capacity", smoke, "-s", "guard.max_rate=50")
    assert search.code == 2
    assert "give capacity.to" in search.stderr


@pytest.mark.long
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_a_stop_file_ends_the_load_of_all(
    loadcheck: Loadcheck, smoke: Path, tmp_path: Path, workers: list[str]
) -> None:
    own = Path(shutil.copy(smoke, tmp_path / "own.toml"))
    options = [*LONG, "-s", 'guard.stop_file="STOP"', *workers]
    process = loadcheck.start("run", own, *options)
    assert process.stderr is not None
    # the load goes on as soon as something was acknowledged
    for line in process.stderr:
        if " load " in line and " 0 of " not in line:
            break
    (tmp_path / "STOP").write_text("")
    process.communicate(timeout=60)
    assert process.returncode == 5
    result = orjson.loads(loadcheck.results()[0].read_bytes())
    assert result["run"]["aborted"]["threshold"] == 'guard.stop_file = "STOP"'
    assert result["copies"]["started"] < 6000
    assert result["spent"]["users"] == result["copies"]["started"]
    assert not list(Draft202012Validator(json_schema()).iter_errors(result))
    again = loadcheck("run", own, *options)
    assert again.code == 2
    assert "the file STOP is there" in again.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("target.faults.error_before_commit={rate=0.9, status=500}", 'guard.max_error_rate="50%"'),
        ("target.faults.throttle={rate=0.9}", 'guard.max_throttled="20%"'),
    ],
)
def test_a_storm_ends_the_load(loadcheck: Loadcheck, smoke: Path, fault: str, rule: str) -> None:
    options = ["-s", fault, "-s", rule, "-s", 'guard.over="2s"', "-s", "retry.attempts=1"]
    ended = loadcheck("run", smoke, *LONG, *options)
    assert ended.code in {3, 5}, ended.stderr
    stopped = ended.result["run"]["aborted"]
    assert stopped["threshold"] == rule.replace("=", " = ")
    assert stopped["measured"] > 0.2
    assert ended.result["copies"]["started"] < 6000
