"""``report``, ``export`` and ``list``: stored results in other shapes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli.conftest import SCENARIOS, Loadcheck


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results file of a run."""
    command = Loadcheck(tmp_path_factory.mktemp("run"))
    assert command("run", SCENARIOS / "smoke.toml", "--quiet").code == 0
    return command.results()[0]


@pytest.fixture
def stored(finished: Path, tmp_path: Path) -> Path:
    """Return a stored result, a test's own."""
    (tmp_path / "results").mkdir()
    path = tmp_path / "results" / "smoke.json"
    shutil.copy(finished, path)
    return path


def change(path: Path, **sections: Any) -> None:
    document = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps(document | sections))


# report


def test_the_page_stands_next_to_the_result(loadcheck: Loadcheck, stored: Path) -> None:
    done = loadcheck("report", "results/smoke.json")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == "results/smoke.html\n"
    assert stored.with_suffix(".html").read_text().startswith("<!doctype html>")


def test_no_page_is_written_over_unless_told_to(loadcheck: Loadcheck, stored: Path) -> None:
    page = stored.with_suffix(".html")
    page.write_text("mine")
    done = loadcheck("report", stored)
    assert done.code == 2
    assert "exists already" in done.stderr
    assert page.read_text() == "mine"
    assert loadcheck("report", stored, "--force").code == 0
    assert page.read_text() != "mine"


def test_the_result_itself_is_never_written_over(loadcheck: Loadcheck, stored: Path) -> None:
    before = stored.read_bytes()
    assert loadcheck("report", stored, "--output", stored, "--force").code == 2
    assert stored.read_bytes() == before


def test_a_page_goes_where_it_is_told(loadcheck: Loadcheck, stored: Path) -> None:
    done = loadcheck("report", stored, "-o", "deep/er/page.html")
    assert (done.code, done.stdout) == (0, "deep/er/page.html\n")
    assert (loadcheck.folder / "deep" / "er" / "page.html").exists()


@pytest.mark.parametrize("command", [["report"], ["export", "--format", "csv"]])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"schema": "loadcheck.result/1", "verd', "is not JSON"),
        (b'{"schema": "loadcheck.result/99"}', 'has the schema "loadcheck.result/99"'),
        (b"[1, 2]", "is not a loadcheck results file"),
        (b'{"schema": "loadcheck.result/1", "verdict": "splendid"}', "verdict"),
    ],
)
def test_what_is_no_result_is_refused(
    loadcheck: Loadcheck, command: list[str], content: bytes, said: str
) -> None:
    path = loadcheck.folder / "x.json"
    path.write_bytes(content)
    done = loadcheck(command[0], path, *command[1:])
    assert (done.code, done.stdout) == (2, "")
    assert said in done.stderr
    assert [found.name for found in loadcheck.folder.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("command", "place", "value", "said"),
    [
        (
            ["report"],
            "steps.uploadEvents.response_time.hdr",
            "HISTF",
            "steps.uploadEvents.response_time.hdr: not an HdrHistogram",
        ),
        (
            ["report"],
            "intervals.steps.uploadEvents.response_time",
            ["x", "x"],
            "intervals.steps.uploadEvents.response_time: not an HdrHistogram",
        ),
        (["report"], "timeline.started", [1], "timeline.started: has 1 values where others have"),
        (["report"], "intervals.to_s", [1], "intervals.to_s: has 1 values where others have"),
        (
            ["export", "-f", "hgrm"],
            "steps.uploadEvents.response_time.hdr",
            "HISTF",
            "not an HdrHistogram",
        ),
        (["export", "-f", "hlog"], "generator.lateness.hdr", "HISTF", "not an HdrHistogram"),
        (["export", "-f", "hlog"], "run.load_began_at", "noon", '"noon" is not an instant'),
        (["export", "-f", "csv"], "run.load_began_at", "noon", '"noon" is not an instant'),
        (["export", "-f", "csv"], "timeline.due", [], "timeline.due: has 0 values"),
    ],
)
def test_what_was_edited_by_hand_is_told_by_its_place(
    loadcheck: Loadcheck, stored: Path, command: list[str], place: str, value: Any, said: str
) -> None:
    document = orjson.loads(stored.read_bytes())
    *way, last = place.split(".")
    section = document
    for name in way:
        section = section[name]
    section[last] = value
    if "lateness" in place:
        del document["intervals"]
    stored.write_bytes(orjson.dumps(document))
    done = loadcheck(command[0], stored, *command[1:])
    assert (done.code, done.stdout) == (2, "")
    assert str(stored) in done.stderr
    assert said in done.stderr
    assert not stored.with_suffix(".html").exists()


# export


@pytest.mark.parametrize("name", ["hgrm", "hlog", "csv", "junit", "markdown"])
def test_an_export_goes_to_standard_output(loadcheck: Loadcheck, stored: Path, name: str) -> None:
    done = loadcheck("export", stored, "--format", name)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout
    into = loadcheck("export", stored, "--format", name, "--output", "out.txt")
    assert (into.code, into.stdout) == (0, "")
    assert (loadcheck.folder / "out.txt").read_text() == done.stdout


def test_no_export_is_written_over_unless_told_to(loadcheck: Loadcheck, stored: Path) -> None:
    (loadcheck.folder / "out.txt").write_text("mine")
    done = loadcheck("export", stored, "--format", "csv", "--output", "out.txt")
    assert done.code == 2
    assert (loadcheck.folder / "out.txt").read_text() == "mine"


def test_an_unknown_format_is_refused(loadcheck: Loadcheck, stored: Path) -> None:
    done = loadcheck("export", stored, "--format", "xls")
    assert done.code == 2
    assert "hgrm" in done.stderr


def test_a_comparison_has_a_page_and_a_summary(loadcheck: Loadcheck, stored: Path) -> None:
    made = loadcheck("compare", stored, stored, "--json", "--output", "both.json")
    assert made.stderr == ""
    assert loadcheck("report", "both.json").stdout == "both.html\n"
    assert "smoke" in loadcheck("show", "both.json").stdout
    assert loadcheck("export", "both.json", "-f", "markdown").stdout.startswith("## ")
    done = loadcheck("export", "both.json", "-f", "hgrm")
    assert done.code == 2
    assert "is the file of a comparison, which has no hgrm" in done.stderr


# list


def test_the_newest_result_comes_first(loadcheck: Loadcheck, stored: Path) -> None:
    newer = stored.with_name("newer.json")
    shutil.copy(stored, newer)
    run = orjson.loads(stored.read_bytes())["run"]
    change(newer, run={**run, "started_at": "2027-01-01T00:00:00.000Z"}, verdict="fail")
    done = loadcheck("list")
    assert (done.code, done.stderr) == (0, "")
    head, first, second = done.stdout.splitlines()
    assert head.split()[:2] == ["when", "(UTC)"]
    assert first.split()[:4] == ["2027-01-01", "00:00:00", "smoke", "fail"]
    assert first.split()[-3:] == ["0", "0", "newer.json"]
    assert "smoke.json" in second


def test_broken_files_are_listed_and_harm_nobody(loadcheck: Loadcheck, stored: Path) -> None:
    folder = stored.parent
    (folder / "cut.json").write_bytes(stored.read_bytes()[:900])
    (folder / "other.json").write_text('{"name": "package"}')
    (folder / "edited.json").write_text('{"schema": "loadcheck.result/1", "run": 7}')
    (folder / "list.json").write_text("[]")
    (folder / "notes.txt").write_text("no result")
    (folder / ".hidden.json.12.tmp").write_text("")
    (folder / "folder.json").mkdir()
    done = loadcheck("list")
    assert done.code == 0
    assert "cut.json is not JSON: truncated, or edited by hand?" in done.stdout
    assert "other.json is not a file of loadcheck" in done.stdout
    assert "list.json is not a file of loadcheck" in done.stdout
    assert "edited.json is not a valid results file" in done.stdout
    assert "smoke.json" in done.stdout
    assert len(done.stdout.splitlines()) == 6


def test_a_list_for_scripts(loadcheck: Loadcheck, stored: Path) -> None:
    (stored.parent / "cut.json").write_text("{")
    done = loadcheck("list", "--json")
    good, bad = orjson.loads(done.stdout)
    assert good["file"] == "results/smoke.json"
    assert (good["verdict"], good["lost"], good["duplicated"]) == ("pass", 0, 0)
    steps = orjson.loads(stored.read_bytes())["steps"]
    assert good["p99_ms"] == steps["uploadEvents"]["response_time"]["p99_ms"]
    assert bad["trouble"]


def test_a_run_that_was_killed_is_listed_as_such(loadcheck: Loadcheck, stored: Path) -> None:
    document = orjson.loads(stored.read_bytes())
    for section in ("load", "generator", "steps", "consistency", "thresholds", "findings"):
        del document[section]
    document |= {"verdict": "unknown", "run": {**document["run"], "phase": "running"}}
    stored.write_bytes(orjson.dumps(document))
    assert "unknown (killed)" in loadcheck("list").stdout


def test_there_is_nothing_to_list(loadcheck: Loadcheck) -> None:
    (loadcheck.folder / "results").mkdir()
    done = loadcheck("list")
    assert (done.code, done.stdout) == (0, "")
    assert "holds no results yet" in done.stderr


def test_there_is_nowhere_to_look(loadcheck: Loadcheck) -> None:
    done = loadcheck("list", "nowhere")
    assert done.code == 2
    assert "nowhere: cannot be read: no such file or directory" in done.stderr


# completion


def completed(loadcheck: Loadcheck, line: str) -> list[str]:
    """Return what bash would offer at the end of a line."""
    place = str(len(line.split(" ")) - 1)
    asked = {"_LOADCHECK_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": place}
    return loadcheck(env=asked).stdout.split()


def test_file_arguments_are_completed(loadcheck: Loadcheck, stored: Path) -> None:
    scenarios = loadcheck.folder / "scenarios"
    scenarios.mkdir()
    (scenarios / "burst.toml").touch()
    (scenarios / "notes.md").touch()
    assert stored.exists()
    assert completed(loadcheck, "loadcheck run scenarios/") == ["scenarios/burst.toml"]
    assert completed(loadcheck, "loadcheck check sc") == ["scenarios/"]
    assert completed(loadcheck, "loadcheck show ")[0] == "results/smoke.json"
    assert completed(loadcheck, "loadcheck report results/s") == ["results/smoke.json"]
    assert completed(loadcheck, "loadcheck show nowhere/") == []


def test_commands_are_completed(loadcheck: Loadcheck) -> None:
    assert {"report", "reconcile"} <= set(completed(loadcheck, "loadcheck re"))
