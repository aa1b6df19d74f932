"""The command that validates a scenario or a workflow, and sends nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from loadcheck.cli.app import app
from loadcheck.errors import ScenarioError

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ROOT / "scenarios" / "smoke.toml"
WORKFLOW = ROOT / "loadcheck" / "library" / "amplitude" / "workflow.yml"


def check(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_a_good_scenario_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = check(SMOKE)
    assert done.exit_code == 0
    assert "200 copies (200 users and events)" in done.stdout
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_the_same_comes_for_scripts() -> None:
    found = json.loads(check(SMOKE, "--json", "--set", "load.rate=50").stdout)
    assert (found["load"]["peak_rate"], found["load"]["copies"]) == (50, 100)


def test_every_problem_is_told_at_once() -> None:
    done = check(SMOKE, "--set", "load.rte=5", "--set", "retry.attempts=-1", "--set", "nmae='x'")
    assert isinstance(done.exception, ScenarioError)
    told = str(done.exception)
    assert 'did you mean "rate"?' in told
    assert "retry.attempts" in told
    assert 'did you mean "name"?' in told
    assert done.stdout == ""


def test_a_workflow_is_linted() -> None:
    done = check(WORKFLOW)
    assert done.exit_code == 0
    assert done.stdout.endswith(f"{WORKFLOW}: 0 errors, 0 warnings\n")


def test_a_workflow_that_is_wrong_ends_in_2_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "w.yml"
    path.write_text("arazzo: 1.0.1\ninfo: {title: t}\n", encoding="utf-8")
    done = check(path)
    assert done.exit_code == 2
    assert f"{path}:" in done.stdout
    found = json.loads(check(path, "--json").stdout)
    assert found["errors"] == sum(each["severity"] == "error" for each in found["problems"]) > 0
