"""``loadcheck trend`` over saved runs, and the baseline that ``compare`` takes from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from loadcheck.cli.app import app
from loadcheck.compare.history import read_history, result_paths
from loadcheck.compare.trend import baseline
from loadcheck.errors import InputError
from loadcheck.result.schema_others import TREND, problems, trend_schema
from tests.benchmarks import synthetic
from tests.benchmarks.trend import save_runs
from tests.cli.conftest import Loadcheck

RUNS, FIRST = 24, 20


@pytest.fixture(scope="session")
def made() -> dict[str, Any]:
    return synthetic.result(seconds=3, copies=1500, seed=1)


@pytest.fixture
def levels() -> list[float]:
    random = np.random.default_rng(1)
    levels = np.exp(0.01 * random.standard_normal(RUNS))
    levels[FIRST:] *= 1.2
    return [float(level) for level in levels]


@pytest.fixture
def folder(tmp_path: Path, levels: list[float], made: dict[str, Any]) -> Path:
    save_runs(tmp_path / "results", levels, made)
    return tmp_path / "results"


def call(*words: str | Path) -> Any:
    return CliRunner().invoke(app, ["trend", *map(str, words)], env={"COLUMNS": "80"})


def edited(path: Path, **sections: Any) -> None:
    document = orjson.loads(path.read_bytes())
    for name, value in sections.items():
        document[name] = {**document[name], **value} if isinstance(value, dict) else value
    path.write_bytes(orjson.dumps(document))


@pytest.mark.long
def test_the_first_run_behind_a_change_is_named_and_asked_for_exits_4(
    loadcheck: Loadcheck, folder: Path
) -> None:
    done = loadcheck("trend", "results", "--fail-on-change")
    assert (done.code, done.stderr) == (4, "")
    assert done.stdout.startswith(" WORSE   made up")
    assert f"#{FIRST + 1} 2026-01-21 03:00:00 UTC results/nightly-020.json" in done.stdout
    assert "uploadEvents response time p50" in done.stdout
    assert "█" in done.stdout
    again = call(folder)
    assert (again.exit_code, again.stdout[:9]) == (0, " WORSE   ")
    words = ["compare", "--baseline-from", folder, folder / "nightly-023.json", "--json"]
    compared = orjson.loads(CliRunner().invoke(app, [*map(str, words)]).stdout)
    assert [run["file"][-8:-5] for run in compared["base"]] == ["020", "021", "022"]


def test_every_format_tells_the_same_and_json_keeps_to_its_schema(folder: Path) -> None:
    for name in ("t.json", "t.html", "t.md", "t.txt"):
        assert call(folder, "-o", folder.parent / name).exit_code == 0
    document = orjson.loads((folder.parent / "t.json").read_bytes())
    Draft202012Validator(trend_schema()).validate(document)
    assert problems(document, TREND) == []
    (history,) = document["histories"]
    assert (document["verdict"], history["name"], len(history["runs"])) == (
        "worse",
        "made up",
        RUNS,
    )
    (event,) = history["changes"]
    assert (event["run"], event["word"]) == (FIRST, "worse")
    assert "uploadEvents.response_time.p50" in event["figures"]
    assert {"key": "label commit", "before": "00000013", "after": "00000014"} in event[
        "differences"
    ]
    page = (folder.parent / "t.html").read_text()
    assert "<title>" in page
    assert "nightly-020.json" in page
    still = page[page.index('data-chart="trend-0-0"') :].partition("</svg>")[0]
    assert f"✗ #{FIRST + 1}" in still, "named without script too"
    assert "nightly-020.json" in (folder.parent / "t.md").read_text()
    for words in (("show", "t.json"), ("report", "t.json", "-o", "again.html")):
        place = [str(folder.parent / word) if "." in word else word for word in words]
        assert CliRunner().invoke(app, place).exit_code == 0
    assert "nightly-020.json" in (folder.parent / "again.html").read_text()
    refused = call(folder, "-o", folder.parent / "t.json")
    assert "exists already" in str(refused.exception)


def test_what_is_no_evidence_is_shown_and_not_used(folder: Path) -> None:
    edited(folder / "nightly-003.json", verdict="unknown")
    edited(folder / "nightly-004.json", run={"interrupted": True})
    edited(folder / "nightly-005.json", run={"phase": "running"})
    (folder / "broken.json").write_text("{")
    (folder / "other.json").write_text("[]")
    (folder / "nightly-006.json").write_text('{"schema": "loadcheck.result/1", "run": 5}')
    done = call(folder, "--json")
    document = orjson.loads(done.stdout)
    (history,) = document["histories"]
    unused = {run["file"][-8:-5]: run["unused"] for run in history["runs"] if run["unused"]}
    assert unused == {
        "003": "its verdict is unknown",
        "004": "was interrupted",
        "005": "was killed: it got as far as running",
    }
    assert {each["file"].rpartition("/")[2] for each in document["skipped"]} == {
        "broken.json",
        "other.json",
        "nightly-006.json",
    }
    assert document["verdict"] == "worse"
    shown = call(folder).stdout
    for told in ("#4, its verdict is unknown", "#5, was interrupted", "#6, was killed"):
        assert f"not used: {told}" in " ".join(shown.split())
    assert "broken.json" in "".join(shown.split())


def test_runs_that_cannot_be_compared_are_histories_of_their_own(folder: Path) -> None:
    for day in range(12):
        edited(folder / f"nightly-{day:03}.json", scenario={"load": {"rate": 77}})
    document = orjson.loads(call(folder, "--json").stdout)
    assert [len(history["runs"]) for history in document["histories"]] == [12, 12]
    assert [history["apart"] for history in document["histories"]] == [[], ["load.rate=77"]]


def test_a_history_that_has_ended_says_nothing_of_the_newest_run(
    tmp_path: Path, made: dict[str, Any]
) -> None:
    """The change for the worse is of runs whose load has been given up since."""
    random = np.random.default_rng(2)
    levels = np.exp(0.01 * random.standard_normal(32))
    levels[14:20] *= 1.3
    save_runs(tmp_path / "results", levels.tolist(), made)
    new = [tmp_path / "results" / f"nightly-{day:03}.json" for day in range(20, 32)]
    for path in new:
        edited(path, scenario={"load": {"rate": 77}})
    done = call(tmp_path / "results", "--fail-on-change", "--json")
    document = orjson.loads(done.stdout)
    assert [history["verdict"] for history in document["histories"]] == ["same", "worse"]
    assert (document["verdict"], done.exit_code) == ("same", 0)
    shown = " ".join(call(tmp_path / "results").stdout.split())
    assert shown.count("ended: later runs of this name") == 1
    # two that take turns both go on
    turns = np.exp(0.01 * random.standard_normal(28))
    turns[20::2] *= 1.3
    for path in save_runs(tmp_path / "turns", turns.tolist(), made)[1::2]:
        edited(path, scenario={"load": {"rate": 77}})
    assert call(tmp_path / "turns", "--fail-on-change").exit_code == 4


def test_runs_are_ordered_by_a_label_and_chosen_by_its_value(folder: Path) -> None:
    for day in range(RUNS):
        labels = {"build": str(RUNS - day), "env": "a" if day % 2 else "b"}
        edited(folder / f"nightly-{day:03}.json", labels=labels)
    document = orjson.loads(call(folder, "--json", "--label", "build").stdout)
    (history,) = document["histories"]
    assert [run["labels"]["build"] for run in history["runs"]] == [
        str(number + 1) for number in range(RUNS)
    ]
    assert document["verdict"] == "better", "the slow ones come first now"
    document = orjson.loads(call(folder, "--json", "--label", "env=a").stdout)
    assert len(document["histories"][0]["runs"]) == RUNS // 2
    refused = call(folder, "--label", "absent")
    assert "absent" in str(refused.exception)


def test_where_nothing_can_be_done_it_says_what_is_missing(folder: Path) -> None:
    few = call(*sorted(folder.glob("*-00[0-6].json")))
    assert few.exit_code == 2
    assert "3 more runs needed" in few.stderr
    assert "UNSURE" in few.stdout
    (folder / "empty").mkdir()
    none = call(folder / "empty")
    assert none.stdout == ""
    assert "10 that can be compared are needed" in str(none.exception)
    unchosen = call(folder, "--label", "env=nowhere")
    assert f"none of {RUNS} runs is what options choose" in str(unchosen.exception)
    assert "cannot be read" in str(call(folder / "nowhere").exception)
    for words in (("--since", "soon"), ("--tolerance", "much"), ("--label", "a", "--label", "b")):
        refused = call(folder, *words)
        assert isinstance(refused.exception, InputError)
        assert words[-1] in str(refused.exception)


def test_the_same_run_in_two_files_counts_once(folder: Path) -> None:
    (folder / "copy.json").write_bytes((folder / "nightly-000.json").read_bytes())
    runs, told = read_history(result_paths([folder, folder / "copy.json"]))
    assert len(runs) == RUNS
    assert "counts once" in told[0].message


def test_a_baseline_is_what_lies_behind_the_last_change(
    folder: Path, tmp_path: Path, made: dict[str, Any]
) -> None:
    (candidate,) = save_runs(tmp_path / "new", [1.2], made)
    edited(candidate, run={"id": "candidate0"})
    edited(folder / "nightly-021.json", verdict="unknown")
    found = baseline(folder, [candidate])
    assert [path.name[-8:-5] for path in found] == ["020", "022", "023"]
    edited(candidate, scenario={"load": {"rate": 77}})
    with pytest.raises(InputError, match="none of them comparable"):
        baseline(folder, [candidate])


def test_without_the_library_the_remedy_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ruptures", None)
    assert "loadcheck[trend]" in str(call(folder).exception)


def test_a_run_that_is_yet_to_come_is_told(folder: Path) -> None:
    newest = result_paths([folder])[0]
    edited(newest, run={"started_at": "2999-01-02T00:00:00.000000Z"})
    _, told = read_history(result_paths([folder]))
    assert [problem.message for problem in told] == [
        "began on 2999-01-02, which is yet to come: its clock was wrong"
    ]
