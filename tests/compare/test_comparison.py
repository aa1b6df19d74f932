"""Whole documents in, a whole document out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from loadcheck.compare import Stored, compare
from loadcheck.errors import ResultFileError
from loadcheck.result.schema_others import COMPARISON, comparison_schema, problems
from tests.benchmarks import synthetic

Make = Callable[..., Stored]
Document = dict[str, Any]


def figure(document: Document, key: str) -> Document:
    (found,) = [each for each in document["figures"] if each["key"] == key]
    assert isinstance(found, dict)
    return found


def test_a_run_beside_itself_is_the_same(stored: Make, steady: Document) -> None:
    document = compare([stored(steady, "a.json")], [stored(steady, "b.json")])
    assert document["verdict"] in ("same", "unsure")
    assert not [each for each in document["figures"] if each["word"] in ("better", "worse")]
    assert figure(document, "rate")["word"] == "same"
    assert figure(document, "lost") | {"word": "same", "method": "exact", "low": 0} == figure(
        document, "lost"
    )


def test_a_slower_run_is_worse_and_the_other_way_round_better(
    stored: Make, steady: Document, slower: Document
) -> None:
    document = compare([stored(steady)], [stored(slower)])
    p50 = figure(document, "uploadEvents.response_time.p50")
    assert (document["verdict"], p50["word"], p50["method"]) == ("worse", "worse", "intervals")
    assert p50["relative"]["low"] > 0.05
    assert p50["relative"]["low"] < p50["relative"]["difference"] < p50["relative"]["high"]
    assert compare([stored(slower)], [stored(steady)])["verdict"] == "better"


def test_a_wide_tolerance_forgives(stored: Make, steady: Document, slower: Document) -> None:
    assert compare([stored(steady)], [stored(slower)], tolerance=0.9)["verdict"] == "same"


def test_a_comparison_can_be_repeated(stored: Make, steady: Document, slower: Document) -> None:
    first, second = (compare([stored(steady)], [stored(slower)]) for _ in range(2))
    assert first["figures"] == second["figures"]


def test_it_is_as_its_schema_says(stored: Make, steady: Document, slower: Document) -> None:
    Draft202012Validator.check_schema(comparison_schema())
    document = compare([stored(steady)], [stored(slower)])
    assert problems(orjson.loads(orjson.dumps(document)), COMPARISON) == []
    assert problems(document | {"verdict": "splendid"}, COMPARISON) != []


def test_the_curves_of_both_sides_are_in_it(stored: Make, steady: Document) -> None:
    document = compare([stored(steady, "a.json")], [stored(steady, "b.json")])
    for side, name in (("base", "a.json"), ("candidate", "b.json")):
        (run,) = document[side]
        assert run["file"] == name
        curves = run["curves"]
        upload = curves["steps"]["uploadEvents"]
        assert upload["time"] == "response_time"
        assert len(upload["percentiles"]) == len(curves["percentiles"])
        assert upload["percentiles"] == sorted(upload["percentiles"])
        assert curves["intervals"]["from_s"] == list(range(16))
        assert len(upload["intervals"]["p50_ms"]) == 16
        middle = steady["steps"]["uploadEvents"]["response_time"]["p50_ms"]
        assert all(0.8 * middle < p50 < 1.25 * middle for p50 in upload["intervals"]["p50_ms"])


def test_several_runs_a_side_count_what_differs_between_them(stored: Make) -> None:
    service = synthetic.Service(run_to_run=0.1)
    runs = [
        synthetic.result(seconds=12, copies=12_000, seed=seed, service=service) for seed in range(6)
    ]
    base, candidate = ([stored(run) for run in side] for side in (runs[:3], runs[3:]))
    document = compare(base, candidate)
    p50 = figure(document, "uploadEvents.response_time.p50")
    assert (p50["method"], p50["word"]) == ("runs", "unsure")
    assert [len(document[side]) for side in ("base", "candidate")] == [3, 3]
    assert not [note for note in document["notes"] if "One run a side" in note]


def test_new_errors_are_worse(stored: Make, steady: Document) -> None:
    failing = synthetic.result(
        seconds=12, copies=12_000, seed=1, service=synthetic.Service(failing=0.01)
    )
    document = compare([stored(steady)], [stored(failing)])
    assert figure(document, "error_rate")["word"] == "worse"
    assert figure(document, "uploadEvents.error_rate")["word"] == "worse"


def test_a_single_lost_user_is_worse(stored: Make, steady: Document) -> None:
    lost = {**steady["consistency"], "lost_at_least": 1, "lost_at_most": 1}
    document = compare([stored(steady)], [stored(steady, consistency=lost)])
    assert document["verdict"] == "worse"
    assert figure(document, "lost")["difference"] == 1


def test_a_generator_that_does_worse_is_no_regression(stored: Make, steady: Document) -> None:
    document = compare([stored(steady)], [stored(steady)])
    assert {each["key"] for each in document["figures"] if each["about"] == "generator"} == {
        "lateness.p50",
        "lateness.p99",
    }


@pytest.mark.parametrize("lag", ["loop_lag", "dispatch_lag"])
def test_a_generator_that_was_late_itself_leaves_one_unsure(
    stored: Make, steady: Document, slower: Document, lag: str
) -> None:
    late = {**slower["generator"][lag], "count": 1600, "p90_ms": 12.0}
    generator = {**slower["generator"], lag: late}
    document = compare([stored(steady)], [stored(slower, generator=generator)])
    for time in ("response_time", "service_time"):
        p50 = figure(document, f"uploadEvents.{time}.p50")
        assert (p50["word"], p50["low"] < 0) == ("unsure", True)


def test_what_has_too_few_samples_is_not_compared(stored: Make, steady: Document) -> None:
    document = compare([stored(steady)], [stored(steady)])
    tail = figure(document, "segmentEvent.service_time.p99")
    assert (tail["word"], tail["base"]) == ("unsure", None)
    assert tail["why"] == "too few samples: 32"


def test_an_earlier_version_without_intervals_leaves_one_unsure(
    stored: Make, steady: Document, slower: Document
) -> None:
    old = [{k: v for k, v in run.items() if k != "intervals"} for run in (steady, slower)]
    document = compare([stored(old[0])], [stored(old[1])])
    p50 = figure(document, "uploadEvents.response_time.p50")
    assert (p50["word"], p50["why"]) == ("unsure", "the file has no intervals")
    assert p50["difference"] == pytest.approx(10, rel=0.2)
    assert document["verdict"] == "unsure"
    assert any("has no intervals" in note for note in document["notes"])
    assert document["base"][0]["curves"]["steps"]["uploadEvents"]["intervals"]["p50_ms"] == []
    assert problems(document, COMPARISON) == []


def test_several_runs_of_an_earlier_version_tell_all_the_same(
    stored: Make, steady: Document, slower: Document
) -> None:
    old = [{k: v for k, v in run.items() if k != "intervals"} for run in (steady, slower)]
    document = compare([stored(old[0])] * 3, [stored(old[1])] * 3)
    assert document["verdict"] == "worse"


def test_a_short_load_leaves_one_unsure(stored: Make) -> None:
    short = synthetic.result(seconds=0.3, copies=3000)
    document = compare([stored(short)], [stored(short)])
    assert figure(document, "uploadEvents.response_time.p50")["why"] == "the load was too short"


def test_stages_are_drawn_from_apart(stored: Make, steady: Document) -> None:
    stages = [
        {"name": name, "from_s": begin, "to_s": begin + 8, "rate": 1000, "end_rate": 1000}
        for name, begin in (("one", 0), ("two", 8))
    ]
    halves = copy.deepcopy(steady)
    quick, slow = (
        synthetic.result(seconds=16, copies=16_000, service=synthetic.Service(p50_ms=p50), seed=9)
        for p50 in (5, 500)
    )
    columns, parts = halves["intervals"]["steps"]["uploadEvents"], [quick, slow]
    for time in ("response_time", "service_time"):
        columns[time] = [
            text for part in parts for text in part["intervals"]["steps"]["uploadEvents"][time][:8]
        ]
    whole = compare([stored(halves)], [stored(halves)])
    apart = compare([stored(halves, stages=stages)], [stored(halves, stages=stages)])
    wide, narrow = (
        figure(document, "uploadEvents.response_time.p90") for document in (whole, apart)
    )
    assert narrow["high"] - narrow["low"] < 0.5 * (wide["high"] - wide["low"])
    first, second = (
        figure(apart, f"{name}: uploadEvents.response_time.p50") for name in ("one", "two")
    )
    assert first["base"] == pytest.approx(5, rel=0.15)
    assert second["base"] == pytest.approx(500, rel=0.15)
    assert first["low"] is not None
    assert not [each for each in whole["figures"] if ": " in each["key"]]


def test_a_stage_too_short_or_too_empty_leaves_one_unsure(stored: Make, steady: Document) -> None:
    stages = [
        {"name": name, "from_s": begin, "to_s": end, "rate": 1000, "end_rate": 1000}
        for name, begin, end in (("long", 0, 13), ("short", 13, 16))
    ]
    run = stored(steady, stages=stages)
    document = compare([run], [run])
    short = figure(document, "short: uploadEvents.response_time.p99")
    assert (short["word"], short["why"]) == ("unsure", "the stage was too short")
    assert short["base"] == pytest.approx(47, rel=0.2)
    few = synthetic.result(seconds=16, copies=160, seed=1)
    document = compare([stored(few, stages=stages)], [stored(few, stages=stages)])
    assert figure(document, "long: uploadEvents.response_time.p99")["why"].startswith("too few")


# what cannot be compared


def test_incomparable_runs_are_refused_with_every_difference(
    stored: Make, steady: Document
) -> None:
    other = {**steady["workflow"], "sha256": "other"}
    scenario = {**steady["scenario"], "target": {"kind": "live"}}
    with pytest.raises(ResultFileError) as caught:
        compare(
            [stored(steady, "a.json")],
            [stored(steady, "b.json", workflow=other, scenario=scenario)],
        )
    told = [str(problem) for problem in caught.value.problems]
    assert told[0].startswith('b.json: workflow.sha256: is "other", but "0" in a.json')
    assert told[1].startswith('b.json: target.kind: is "live", but "emulator" in a.json')
    assert all("--force" in line for line in told)


def test_force_goes_on_and_says_so(stored: Make, steady: Document) -> None:
    other = {**steady["workflow"], "sha256": "other"}
    document = compare([stored(steady)], [stored(steady, workflow=other)], force=True)
    (line,) = document["forced"]
    assert "workflow.sha256" in line
    assert problems(document, COMPARISON) == []


def test_an_unfinished_run_is_refused(stored: Make, steady: Document) -> None:
    run = {**steady["run"], "interrupted": True}
    with pytest.raises(ResultFileError, match="b.json: was interrupted"):
        compare([stored(steady)], [stored(steady, "b.json", run=run)])


def test_a_run_without_figures_cannot_be_forced(stored: Make, steady: Document) -> None:
    killed = {k: v for k, v in steady.items() if k not in ("steps", "load")}
    killed["run"] = {**steady["run"], "phase": "running"}
    with pytest.raises(ResultFileError, match="has no figures to compare: .* running"):
        compare([stored(steady)], [stored(killed)], force=True)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("from_s", [0, 1], r"intervals.to_s: has 16 values for 2 intervals"),
        ("lateness", ["nonsense"] * 16, r"intervals.lateness: not an HdrHistogram"),
        ("lateness", [], r"intervals.lateness: has 0 values for 16 intervals"),
        ("started", [1], r"intervals.started: has 1 values for 16 intervals"),
    ],
)
def test_intervals_edited_by_hand_are_refused_with_their_place(
    stored: Make, steady: Document, column: str, value: list[Any], message: str
) -> None:
    broken = stored(steady, "b.json", intervals={**steady["intervals"], column: value})
    with pytest.raises(ResultFileError, match=rf"b.json: {message}"):
        compare([stored(steady)], [broken])


@pytest.mark.parametrize("to_s", [[1] * 16, [*range(1, 16), 1e300], [*range(1, 15), 14, 16]])
def test_intervals_that_do_not_adjoin_are_refused(
    stored: Make, steady: Document, to_s: list[float]
) -> None:
    broken = stored(steady, "b.json", intervals={**steady["intervals"], "to_s": to_s})
    if to_s[-1] < 1e300:
        with pytest.raises(ResultFileError, match=r"b.json: intervals.to_s: .* without gaps"):
            compare([stored(steady)], [broken])
    else:
        assert compare([stored(steady)], [broken])["verdict"]


@pytest.mark.parametrize(
    ("section", "key"), [("copies", "acknowledged"), ("steps", "uploadEvents.succeeded")]
)
def test_more_successes_than_attempts_are_refused(
    stored: Make, steady: Document, section: str, key: str
) -> None:
    broken = copy.deepcopy(steady)
    place = broken[section]
    *parents, last = key.split(".")
    for parent in parents:
        place = place[parent]
    place[last] = 10**9
    message = rf"{section}.{key}: is 1,000,000,000, more than"
    with pytest.raises(ResultFileError, match=message):
        compare([stored(steady)], [stored(broken)])


def test_a_broken_histogram_of_the_whole_is_refused(stored: Make, steady: Document) -> None:
    broken = copy.deepcopy(steady)
    broken["steps"]["uploadEvents"]["response_time"]["hdr"] = "HISTFAAAA"
    message = "steps.uploadEvents.response_time.hdr: not an HdrHistogram"
    with pytest.raises(ResultFileError, match=message):
        compare([stored(steady)], [stored(broken)])
