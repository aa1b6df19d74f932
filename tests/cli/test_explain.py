"""The reference holds everything that can be asked for, and says it in 80 columns."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadcheck.cli import reference
from loadcheck.cli.app import app
from loadcheck.cli.exits import Exit, run_command
from loadcheck.emulator.config import KEYS
from loadcheck.scenario import grammar
from loadcheck.scenario.schema import keys
from loadcheck.verify import metrics

PACKAGE = Path(__file__).resolve().parents[2] / "loadcheck"


def names(kind: str) -> set[str]:
    return {entry.name for entry in reference.entries() if entry.kind == kind}


def checks_of_the_code() -> set[str]:
    """Return every literal that is given as the check of a finding."""
    found = set()
    for path in (PACKAGE / "verify").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call):
                given = {part.arg: part.value for part in call.keywords}
                word = given.get("check") if "summary" in given else None
                if isinstance(word, ast.Constant):
                    found.add(str(word.value))
    return found


def test_it_is_complete() -> None:
    assert names("key") == set(keys(KEYS))
    assert {name.partition(".")[0].removesuffix("[]") for name in names("key")} == set(grammar.TOP)
    assert len(checks_of_the_code()) > 5
    assert checks_of_the_code() <= names("check")
    assert names("exit code") == {str(int(code)) for code in Exit}
    assert names("metric") == set(metrics.MEANINGS)
    assert {name for name, _, _ in metrics.described()} == set(metrics.MEANINGS)
    assert all(entry.says.strip() for entry in reference.entries())
    with_type = [entry for entry in reference.entries() if entry.kind == "key"]
    plain = [
        entry
        for entry in with_type
        if "table" not in dict(entry.rows)["type"] or "or" in dict(entry.rows)["type"]
    ]
    assert len(plain) > 200
    bare = [entry.name for entry in plain if "example" not in dict(entry.rows)]
    assert [name for name in bare if not name.startswith("target.faults.")] == []
    assert all({"type", "since"} <= dict(entry.rows).keys() for entry in with_type)


def test_every_name_is_found() -> None:
    every = list(reference.entries())
    for entry in every[:: max(1, len(every) // 40)]:
        assert entry in reference.find(entry.name), entry.name


def test_the_file_of_the_package_is_fresh() -> None:
    stored = (PACKAGE / "REFERENCE.md").read_text(encoding="utf-8")
    assert stored == reference.markdown(), "loadcheck explain --markdown > loadcheck/REFERENCE.md"


@pytest.mark.parametrize(
    ("asked", "kind", "name"),
    [
        ("verify.deadline", "key", "verify.deadline"),
        ("deadline", "key", "verify.deadline"),
        ("load.stages.1.ramp_to", "key", "load.stages[].ramp_to"),
        ("[verify.split]", "key", "verify.split"),
        ("drop", "key", "target.faults.drop"),
        ("lost", "check", "lost"),
        ("lost", "metric", "lost"),
        ("LOST", "term", "lost"),
        ("3", "exit code", "3"),
        ("burst: uploadEvents.p99.9 < 250ms", "metric", "STEP.p99"),
        ("my.step.service_time.max", "metric", "STEP.service_time.p99"),
        ("visible.p95", "metric", "visible.p99"),
        ("response time", "term", "response time"),
        ("p99", "metric", "STEP.p99"),
        ("error_rate", "metric", "STEP.error_rate"),
    ],
)
def test_what_is_asked_for(asked: str, kind: str, name: str) -> None:
    assert (kind, name) in [(entry.kind, entry.name) for entry in reference.find(asked)]


def test_a_copy_is_skipped_for_two_causes_as_metric_and_as_term() -> None:
    shown = CliRunner().invoke(app, ["explain", "skipped"]).stdout
    assert shown.count("in flight, or the generator paused") == 2


def test_it_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for asked in ("load", "verify.split.tag", "target.faults", "workflow", "lost", "130", ""):
        said = CliRunner().invoke(app, ["explain", *([asked] if asked else [])])
        assert said.exit_code == 0
        assert max(map(len, said.output.splitlines())) <= 80, said.output
        assert "\x1b" not in said.output


def test_a_near_miss_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lambda: app(["explain", "deadlin"], standalone_mode=False)) == Exit.USAGE
    assert 'nothing is called "deadlin"; did you mean "deadline"?' in capsys.readouterr().err
    assert run_command(lambda: app(["explain", "xyzzy"], standalone_mode=False)) == Exit.USAGE
    assert "see loadcheck explain" in capsys.readouterr().err


def test_what_most_people_mean_stands_first() -> None:
    assert reference.find("p99")[0].name == "STEP.p99"
    assert reference.find("error_rate")[0].name == "error_rate"
