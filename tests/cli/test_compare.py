"""Real results files, compared by the real command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from tests.benchmarks import synthetic
from tests.cli.conftest import Loadcheck

Document = dict[str, Any]


def save(folder: Path, name: str, document: Document) -> Path:
    path = folder / name
    path.write_bytes(orjson.dumps(document))
    return path


@pytest.fixture(scope="module")
def runs() -> dict[str, Document]:
    """Return made-up runs by name."""

    def made(seed: int, p50_ms: float) -> Document:
        service = synthetic.Service(p50_ms=p50_ms, wander=0.005)
        return synthetic.result(seconds=16, copies=16_000, seed=seed, service=service)

    return {"base": made(1, 20), "again": made(2, 20), "slow": made(3, 26)}


@pytest.fixture
def files(loadcheck: Loadcheck, runs: dict[str, Document]) -> dict[str, Path]:
    return {name: save(loadcheck.folder, f"{name}.json", run) for name, run in runs.items()}


def test_a_regression_exits_4(loadcheck: Loadcheck, files: dict[str, Path]) -> None:
    done = loadcheck("compare", "base.json", "slow.json")
    assert (done.code, done.stderr) == (4, "")
    assert done.stdout.startswith(" WORSE   made up\n  Worse by more than 5 %: upload")


def test_no_regression_exits_0(loadcheck: Loadcheck, files: dict[str, Path]) -> None:
    for pair, verdict in ((("base", "again"), "SAME"), (("slow", "base"), "BETTER")):
        done = loadcheck("compare", *(files[name] for name in pair))
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout.split()[0] == verdict


@pytest.mark.long
def test_the_tolerance_is_a_percentage_or_a_share(
    loadcheck: Loadcheck, files: dict[str, Path]
) -> None:
    for tolerance in ("60%", "60 %", "0.6"):
        done = loadcheck("compare", "base.json", "slow.json", "--tolerance", tolerance)
        assert done.code == 0, tolerance
    for tolerance in ("much", "-1%", "100%", "nan"):
        done = loadcheck("compare", "base.json", "slow.json", f"--tolerance={tolerance}")
        assert (done.code, done.stdout) == (2, "")
        assert "--tolerance" in done.stderr


def test_json_is_as_the_schema_command_says(loadcheck: Loadcheck, files: dict[str, Path]) -> None:
    done = loadcheck("compare", "base.json", "slow.json", "--json")
    document = orjson.loads(done.stdout)
    schema = orjson.loads(loadcheck("schema", "comparison").stdout)
    Draft202012Validator(schema).validate(document)
    assert (document["schema"], document["verdict"]) == ("loadcheck.comparison/1", "worse")
    same = loadcheck("compare", "base.json", "slow.json", "--format", "json")
    assert orjson.loads(same.stdout)["figures"] == document["figures"]


def test_markdown_goes_to_a_file(loadcheck: Loadcheck, files: dict[str, Path]) -> None:
    done = loadcheck(
        "compare", "base.json", "slow.json", "--format", "markdown", "--output", "deep/c.md"
    )
    assert (done.code, done.stdout) == (4, "")
    assert (loadcheck.folder / "deep" / "c.md").read_text().startswith("## ❌ WORSE: made up")


def test_the_name_of_the_file_tells_the_format(
    loadcheck: Loadcheck, files: dict[str, Path]
) -> None:
    for name, begins in (("c.json", "{"), ("c.md", "## ❌ WORSE"), ("c.txt", " WORSE")):
        assert loadcheck("compare", "base.json", "slow.json", "-o", name).code == 4
        assert (loadcheck.folder / name).read_text().startswith(begins)
    said = ("compare", "base.json", "slow.json", "-o", "d.json", "--format", "text")
    assert loadcheck(*said).code == 4
    assert (loadcheck.folder / "d.json").read_text().startswith(" WORSE")


def test_nothing_is_written_over_unless_told_to(
    loadcheck: Loadcheck, files: dict[str, Path]
) -> None:
    target = loadcheck.folder / "c.txt"
    target.write_text("mine")
    done = loadcheck("compare", "base.json", "slow.json", "--output", target)
    assert done.code == 2
    assert "exists already" in done.stderr
    assert target.read_text() == "mine"
    assert loadcheck("compare", "base.json", "slow.json", "-o", target, "--force").code == 4
    assert "WORSE" in target.read_text()


def test_a_result_that_is_compared_is_never_written_over(
    loadcheck: Loadcheck, files: dict[str, Path]
) -> None:
    before = files["base"].read_bytes()
    done = loadcheck("compare", "base.json", "slow.json", "-o", "base.json", "--force")
    assert done.code == 2
    assert files["base"].read_bytes() == before


def test_the_last_file_is_the_candidate(loadcheck: Loadcheck, files: dict[str, Path]) -> None:
    done = loadcheck("compare", "base.json", "again.json", "slow.json", "--json")
    document = orjson.loads(done.stdout)
    assert [run["file"] for run in document["base"]] == ["base.json", "again.json"]
    assert [run["file"] for run in document["candidate"]] == ["slow.json"]


def test_to_takes_every_file_after_it(loadcheck: Loadcheck, files: dict[str, Path]) -> None:
    options = ["--to", "slow.json", "again.json", "--json"]
    document = orjson.loads(loadcheck("compare", "base.json", *options).stdout)
    assert [run["file"] for run in document["base"]] == ["base.json"]
    assert [run["file"] for run in document["candidate"]] == ["slow.json", "again.json"]


def test_one_file_is_not_enough(loadcheck: Loadcheck, files: dict[str, Path]) -> None:
    done = loadcheck("compare", "base.json")
    assert (done.code, done.stdout) == (2, "")
    assert "nothing to compare base.json with" in done.stderr
    assert loadcheck("compare", "base.json", "--to").code == 2
    assert loadcheck("compare").code == 2


def test_incomparable_runs_are_refused_with_what_differs(
    loadcheck: Loadcheck, runs: dict[str, Document], files: dict[str, Path]
) -> None:
    other = {**runs["again"], "workflow": {**runs["again"]["workflow"], "sha256": "other"}}
    save(loadcheck.folder, "other.json", other)
    done = loadcheck("compare", "base.json", "other.json")
    assert (done.code, done.stdout) == (2, "")
    assert 'other.json: workflow.sha256: is "other", but "0" in base.json' in done.stderr
    forced = loadcheck("compare", "base.json", "other.json", "--force")
    assert forced.code == 0
    assert "! other.json: workflow.sha256" in forced.stdout


def test_an_earlier_version_is_read_and_leaves_one_unsure(
    loadcheck: Loadcheck, runs: dict[str, Document]
) -> None:
    old = {key: value for key, value in runs["base"].items() if key not in ("intervals", "stages")}
    save(loadcheck.folder, "old.json", {**old, "schema": "loadcheck.result/0"})
    save(loadcheck.folder, "new.json", runs["slow"])
    done = loadcheck("compare", "old.json", "new.json")
    assert (done.code, done.stderr) == (3, "")
    assert "the file has no intervals" in done.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"schema": "loadcheck.result/1",\n "verd', "x.json:2: is not JSON"),
        (b"", "the file is empty"),
        (b'{"schema": "loadcheck.result/99"}', "a later one wrote the file"),
        (b'{"schema": "loadcheck.capacity/1"}', "not of a run"),
        (b'{"metrics": {}}', "is not a loadcheck results file"),
        (b'{"schema": "loadcheck.result/1", "verdict": "splendid"}', "verdict"),
    ],
)
def test_what_is_no_result_is_refused(
    loadcheck: Loadcheck, files: dict[str, Path], content: bytes, said: str
) -> None:
    (loadcheck.folder / "x.json").write_bytes(content)
    for pair in (("base.json", "x.json"), ("x.json", "base.json")):
        done = loadcheck("compare", *pair, "--output", "c.json")
        assert (done.code, done.stdout) == (2, "")
        assert "x.json" in done.stderr
        assert said in done.stderr
    assert not (loadcheck.folder / "c.json").exists()


def test_intervals_edited_by_hand_are_refused_with_their_place(
    loadcheck: Loadcheck, runs: dict[str, Document], files: dict[str, Path]
) -> None:
    broken = {**runs["base"], "intervals": {**runs["base"]["intervals"], "lateness": ["x"] * 16}}
    save(loadcheck.folder, "x.json", broken)
    done = loadcheck("compare", "base.json", "x.json")
    assert done.code == 2
    assert "x.json: intervals.lateness: not an HdrHistogram" in done.stderr


@pytest.mark.long
def test_real_runs_are_compared(loadcheck: Loadcheck, smoke: Path) -> None:
    for name in ("a.json", "b.json"):
        ran = loadcheck("run", smoke, "--quiet", "--output", name)
        assert ran.code == 0, ran.stderr
    done = loadcheck("compare", "a.json", "b.json", "--json")
    assert done.code in (0, 3, 4), done.stderr
    document = orjson.loads(done.stdout)
    assert document["differences"] == []
    keys = {figure["key"] for figure in document["figures"]}
    assert {"uploadEvents.response_time.p50", "segmentEvent.service_time.p50", "lost"} <= keys
