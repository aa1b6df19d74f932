"""Results of one load that several people started by hand, made one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from loadcheck.cli.app import app
from loadcheck.compare.figures import differences
from loadcheck.errors import ResultFileError
from loadcheck.measure import Ledger
from loadcheck.measure.histogram import Histogram
from loadcheck.pipeline.merge import Merged, Part, merge
from loadcheck.report.html import page
from loadcheck.result.schema import problems
from tests.cli.conftest import SCENARIOS, Loadcheck

__all__ = ["loadcheck"]
Document = dict[str, Any]
EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example-burst.json"


@pytest.fixture
def loadcheck(tmp_path: Path) -> Loadcheck:
    return Loadcheck(tmp_path)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Return a real run; who changes it copies it."""
    command = Loadcheck(tmp_path_factory.mktemp("merge"))
    done = command("run", SCENARIOS / "smoke.toml", "-q", "--label", "env=a")
    assert done.results, done.stderr
    return done.result


Other = Callable[..., Document]


@pytest.fixture
def other(real: Document) -> Other:
    """Return what makes a run of another machine of the first."""

    def make(run_id: str = "another00run", began: str = "", **sections: Any) -> Document:
        made: Document = copy.deepcopy(real)
        made["run"]["id"] = run_id
        if began:
            made["run"]["load_began_at"] = began
        for name, value in sections.items():
            made[name] = {**made[name], **value} if isinstance(value, dict) else value
        return made

    return make


def merged(*documents: Document) -> Merged:
    return merge([Part(file=f"{at}.json", document=each) for at, each in enumerate(documents)])


def test_two_runs_become_one_with_the_sum_of_all_that_adds_up(real: Document, other: Other) -> None:
    found = merged(real, other(labels={"env": "a", "who": "b"}))
    document = found.document
    assert problems(document) == []
    assert document["verdict"] == found.verdict.value == real["verdict"]
    for name, number in real["copies"].items():
        assert document["copies"][name] == 2 * number
    for name in ("uniques", "lower", "upper", "lost_at_least", "duplicated"):
        assert document["consistency"][name] == 2 * real["consistency"][name]
    ledger = Ledger.from_json(document["ledger"])
    assert len(ledger.acknowledged) == 2 * len(Ledger.from_json(real["ledger"]).acknowledged)
    for name, step in real["steps"].items():
        now = document["steps"][name]
        assert now["attempts"] == 2 * step["attempts"]
        assert now["answers"] == {answer: 2 * n for answer, n in step["answers"].items()}
        times, before = now["service_time"], step["service_time"]
        assert times["count"] == 2 * before["count"]
        assert (times["p50_ms"], times["max_ms"]) == (before["p50_ms"], before["max_ms"])
    assert sum(document["timeline"]["started"]) == document["copies"]["started"]
    assert document["load"]["reached_rate"] == pytest.approx(2 * real["load"]["reached_rate"])
    assert [run["id"] for run in document["run"]["merged"]] == [real["run"]["id"], "another00run"]
    assert document["labels"] == real["labels"] | {"env": "a"}
    assert any("2 results merged" in warning for warning in document["warnings"])
    # what is not added is told, wherever it stands
    (told,) = (each for each in document["warnings"] if each.startswith("not added"))
    assert {"intervals", "consistency.controls"} <= {*told.partition("merged: ")[2].split(", ")}
    assert b"2 results merged" in page(document)
    # so much is another load, which compare and trend keep apart
    assert any(one.key == "load.merged" and one.matters for one in differences(real, document, ""))


def test_a_later_begin_is_told_and_shifts_the_time_line(real: Document, other: Other) -> None:
    begin = "2026-11-26T08:00:00.000Z"
    first, later = other(real["run"]["id"], begin), other("b", "2026-11-26T08:00:01.100Z")
    document = merged(later, first).document
    assert [run["began_s"] for run in document["run"]["merged"]] == [0.0, 1.1]
    assert len(document["timeline"]["second"]) == len(real["timeline"]["second"]) + 1
    assert any("after 1.1 s" in warning for warning in document["warnings"])
    assert document["load"]["duration_s"] == pytest.approx(real["load"]["duration_s"] + 1.1)
    with pytest.raises(ResultFileError, match="after the others had ended"):
        merged(first, other("b", "2026-11-26T08:01:00.000Z"))


def test_what_is_not_of_one_load_is_refused_and_all_of_it_told(
    real: Document, other: Other
) -> None:
    with pytest.raises(ResultFileError, match="two or more"):
        merged(real)
    with pytest.raises(ResultFileError, match="counted twice"):
        merged(real, real)
    with pytest.raises(ResultFileError, match="counted twice"):
        merged(merged(real, other()).document, real)
    load = {**real["scenario"]["load"], "rate": 7}
    differing = other(scenario={"load": load}, workflow={"sha256": "0"})
    with pytest.raises(ResultFileError) as refused:
        merged(real, differing)
    assert {problem.key for problem in refused.value.problems} == {
        "scenario.load.rate",
        "workflow.sha256",
    }
    with pytest.raises(ResultFileError, match="was killed"):
        merged(real, other(run={"phase": "running"}))
    users = {"users": {"id": "user-{number}"}}
    with pytest.raises(ResultFileError, match="sent the same users"):
        merged(other("a", scenario=users), other("b", scenario=users))
    with pytest.raises(ResultFileError, match="baseline"):
        merged(real, other(consistency={"isolation": "baseline"}))
    broken = other(ledger={"started": "!"}, timeline={"due": [1] * 999})
    broken["steps"]["uploadEvents"]["service_time"]["hdr"] = "?"
    with pytest.raises(ResultFileError) as refused:
        merged(real, broken)
    assert [problem.key for problem in refused.value.problems] == [
        "steps.uploadEvents.service_time.hdr",
        "ledger",
        "timeline.due",
    ]
    without = other()
    del without["timeline"]
    with pytest.raises(ResultFileError, match="timeline"):
        merged(real, without)


def test_the_verdict_is_of_all_evidence(real: Document, other: Other) -> None:
    lost = {"check": "lost", "verdict": "fail", "summary": "3 users are missing.", "evidence": {}}
    losing = other(
        consistency={"lost_at_least": 3, "lost_at_most": 3, "lost": 3, "uniques": 197},
        findings=[lost, *(f for f in real["findings"] if f["check"] != "lost")],
    )
    document = merged(real, losing).document
    assert document["verdict"] == "fail"
    assert document["consistency"]["lost_at_least"] == 3
    (found,) = (each for each in document["findings"] if each["check"] == "lost")
    assert found["summary"] == "1.json: 3 users are missing."
    limits = {each["expression"]: each["verdict"] for each in document["thresholds"]}
    assert limits["lost == 0"] == "fail"
    unknown = other(consistency={"uniques": None, "lost_at_least": None, "lost": None})
    unknown["findings"][0] |= {"verdict": "unknown", "summary": "Nobody answered."}
    document = merged(real, unknown).document
    assert document["verdict"] == "unknown"
    assert document["consistency"]["uniques"] is None
    assert document["consistency"]["lower"] == 2 * real["consistency"]["lower"]


def test_thresholds_are_judged_by_what_was_added(real: Document, other: Other) -> None:
    def with_limits(run_id: str, **more: Any) -> Document:
        limits = (
            "started == 400",
            "uploadEvents.p99 < 9m",
            "workflow.p99 < 9m",  # copies of one step: it is theirs
            "lateness.max < 9m",
            "visible.p95 < 9m",
        )
        blank = {"measured": 1, "low": 1, "high": 1, "unit": "ms", "verdict": "pass"}
        entries = [{"expression": limit, **blank, "own_delay_ms": None, **more} for limit in limits]
        return other(run_id, thresholds=entries)

    document = merged(with_limits("a"), with_limits("b")).document
    found = {each["expression"]: each["verdict"] for each in document["thresholds"]}
    assert set(found.values()) == {"pass"}
    told = {each["expression"]: each["measured"] for each in document["thresholds"]}
    assert told["workflow.p99 < 9m"] == told["uploadEvents.p99 < 9m"] > 1
    document = merged(with_limits("a"), with_limits("b", verdict="fail")).document
    found = {each["expression"]: each["verdict"] for each in document["thresholds"]}
    assert found["visible.p95 < 9m"] == "unknown", "percentiles of both are all that is known"
    assert found["started == 400"] == "pass"
    delayed = with_limits("b", own_delay_ms=5.0, verdict="unknown")
    document = merged(with_limits("a"), delayed).document
    found = {each["expression"]: each["verdict"] for each in document["thresholds"]}
    assert found["uploadEvents.p99 < 9m"] == "unknown"


@given(
    st.lists(st.integers(0, 7_200_000_000_000), min_size=1, max_size=30),
    st.lists(st.integers(0, 7_200_000_000_000), min_size=1, max_size=30),
)
def test_times_of_two_files_are_those_of_one_that_has_them_all(
    left: list[int], right: list[int]
) -> None:
    from loadcheck.pipeline.merge import _histogram  # noqa: PLC0415
    from loadcheck.result.document import histogram  # noqa: PLC0415

    def saved(values: list[int]) -> Document:
        times = Histogram()
        for value in values:
            times.record(value)
        return histogram(times)

    found, whole = _histogram([saved(left), saved(right)]), saved([*left, *right])
    for name in ("count", "above_range", "max_ms"):
        assert found[name] == whole[name]
    for name in ("p50_ms", "p90_ms", "p99_ms"):
        assert found[name] == pytest.approx(whole[name], rel=2e-3, abs=2e-3)


def test_the_command_saves_a_result_that_is_not_reconciled(
    tmp_path: Path, real: Document, other: Other
) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json", "both.json")]
    for path, document in zip(paths, (real, other()), strict=False):
        path.write_bytes(orjson.dumps(document))
    words = ["merge", *map(str, paths[:2]), "-o", str(paths[2])]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == {"pass": 0, "unknown": 3}[real["verdict"]]
    assert "400" in done.stdout
    assert "exists already" in str(CliRunner().invoke(app, words).exception)
    words[-1] = str(paths[0])
    assert "results merged" in str(CliRunner().invoke(app, [*words, "--force"]).exception)
    assert orjson.loads(paths[0].read_bytes()) == real
    refused = CliRunner().invoke(app, ["reconcile", str(paths[2])])
    assert "is merged from several runs" in str(refused.exception)
    alone = CliRunner().invoke(app, ["merge", str(paths[0]), str(tmp_path / "none.json")])
    assert "none.json" in str(alone.exception)


def with_data(document: Document, rows: str, order: str = "sequential") -> Document:
    """Return a run that took rows of a file."""
    document = copy.deepcopy(document)
    document["run"]["data"] = {"people": rows}
    document["scenario"]["data"] = {"people": {"file": "people.csv", "order": order}}
    return document


def test_rows_of_different_files_are_not_of_one_load(real: Document, other: Other) -> None:
    one, two = with_data(real, "10:aa"), with_data(other(), "10:bb")
    with pytest.raises(ResultFileError) as caught:
        merged(one, two)
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == ("1.json", "run.data.people")
    # files of earlier versions do not say
    del two["run"]["data"]
    assert merged(one, two).document["copies"]["started"] == 2 * real["copies"]["started"]


def test_rows_that_each_run_uses_once_are_its_own(real: Document, other: Other) -> None:
    one, two = (with_data(each, "10:aa", "once") for each in (real, other()))
    said = merged(one, two).document["warnings"]
    assert any('data.people has order = "once"' in each for each in said)
    two["run"]["data"]["people"] = "10:bb"
    said = merged(one, two).document["warnings"]
    assert not any("data.people" in each for each in said)
