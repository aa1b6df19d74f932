from __future__ import annotations

from typing import Any

import pytest

from loadcheck.report import capacity


def document(low: float | None, high: float | None, **answer: Any) -> dict[str, Any]:
    given = {
        "rate": low,
        "interval": [low, high],
        "precise": True,
        "limited_by": "target",
        "because": "uploadEvents.p99 < 250ms",
        "measured": 312.0,
        "unit": "ms",
        "ending": "precise",
    }
    return {
        "verdict": "pass" if low else "fail",
        "run": {"phase": "complete", "interrupted": False, "error": None},
        "scenario": {"name": "burst"},
        "answer": {**given, **answer},
        "search": {"took_s": 81.2, "events": 61_834},
        "checks": ["uploadEvents.p99 < 250ms"],
        "probes": [],
        "warnings": ["beware"],
    }


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "sustains 4,200 copies/s; above that uploadEvents.p99 exceeds 250 ms"),
        (
            {"because": "error_rate <= 1%"},
            "sustains 4,200 copies/s; above that error_rate exceeds 1 %",
        ),
        ({"because": "keeps up"}, "sustains 4,200 copies/s; above that it falls behind"),
        ({"because": "lost"}, "sustains 4,200 copies/s; above that users are lost"),
        ({"because": "altered"}, "sustains 4,200 copies/s; above that the check altered fails"),
        (
            {"precise": False, "ending": "probes"},
            (
                "sustains 4,200 copies/s, but at 4,370 copies/s uploadEvents.p99 exceeds 250 ms: "
                "the maximum number of probes was reached"
            ),
        ),
        (
            {"limited_by": "generator", "because": "generator"},
            "sustains at least 4,200 copies/s: above that, loadcheck itself is the limit",
        ),
        (
            {"limited_by": "evidence", "because": "evidence"},
            "sustains at least 4,200 copies/s: above that, there is not enough evidence",
        ),
    ],
)
def test_the_answer_in_a_sentence(answer: dict[str, Any], said: str) -> None:
    assert capacity.sentence(document(4200, 4370, **answer)) == said


@pytest.mark.parametrize(
    ("low", "high", "answer", "said"),
    [
        (
            5000,
            None,
            {"ending": "highest"},
            "sustains at least 5,000 copies/s: the highest rate allowed by --to",
        ),
        (
            900,
            None,
            {"ending": "budget"},
            "sustains at least 900 copies/s: the budget was spent before anything broke",
        ),
        (
            900,
            None,
            {"ending": "interrupted"},
            "sustains at least 900 copies/s: the search was interrupted before anything broke",
        ),
        (
            None,
            100,
            {},
            "does not sustain even 100 copies/s: uploadEvents.p99 < 250ms measured 312 ms",
        ),
        (
            None,
            2.5,
            {"limited_by": "generator", "because": "generator", "measured": None, "unit": ""},
            "could not confirm even 2.5 copies/s: loadcheck itself was the limit",
        ),
    ],
)
def test_an_answer_that_is_open_to_one_side(
    low: float | None, high: float | None, answer: dict[str, Any], said: str
) -> None:
    assert capacity.sentence(document(low, high, **answer)) == said


def test_no_answer_yet() -> None:
    assert capacity.sentence({"answer": None}) == ("no result: no probe was completed")


def test_the_summary_begins_with_the_answer() -> None:
    text = capacity.summary(document(4200, 4370), color=False, width=100, paths=["results/x.json"])
    lines = text.splitlines()
    assert lines[0].startswith(
        " PASS   burst  Sustains 4,200 copies/s; above that uploadEvents.p99"
    )
    assert "61,834 events" in text
    assert "4,200 copies/s … 4,370 copies/s   4.048 % wide" in text
    assert "! beware" in text
    assert lines[-2:] == ["  results/x.json", lines[0]]
    assert "\x1b[" not in text
    assert "\x1b[" in capacity.summary(document(4200, 4370), color=True, width=100)


def test_a_search_that_was_cut_short_says_so() -> None:
    cut = document(900, None, ending="interrupted")
    cut["run"]["interrupted"] = True
    assert capacity.headline(cut).endswith("(interrupted)")
    cut["run"]["error"] = "the embedded emulator ended before the search did"
    assert capacity.headline(cut).endswith("(the embedded emulator ended before the search did)")


def probe(number: int, rate: float, verdict: str, **more: Any) -> dict[str, Any]:
    times = {"p50_ms": 1.5, "p99_ms": 12.0, "p999_ms": 20.0, "count": 8000}
    return {
        "number": number,
        "rate": rate,
        "verdict": verdict,
        "because": "",
        "measured": None,
        "unit": "",
        "latency": times,
        "error_rate": 0.0,
        "visibility": {"p95_s": 0.7},
        "carried_rate": None,
        "lost_at_least": 0,
        **more,
    }


PROBES = [
    probe(1, 100, "held"),
    probe(
        2,
        2700,
        "broke",
        because="uploadEvents.p99 < 250ms",
        measured=1330.0,
        unit="ms",
        carried_rate=1501.0,
    ),
    probe(3, 1500, "broke", because="keeps up", visibility={"p95_s": None}),
    probe(4, 1400, "unproven", because="generator", visibility=None, error_rate=None),
]


def test_a_probe_is_a_line() -> None:
    lines = [capacity.probe_line(each) for each in PROBES]
    shown = "1 100 copies/s held p50 1.5 ms p99 12.0 ms errors 0 % visible 700 ms"
    assert " ".join(lines[0].split()) == shown
    assert lines[1].endswith("visible 700 ms  uploadEvents.p99 1.33 s, carried 1,501/s")
    assert lines[2].endswith("visible never  it falls behind")
    assert lines[3].endswith("errors –  visible –  loadcheck itself was the limit")


def test_the_probes_are_shown_by_rate() -> None:
    text = capacity.summary(document(1400, 1500) | {"probes": PROBES}, color=False, width=140)
    rows = [line.split()[:2] for line in text.splitlines() if " ms  " in line]
    assert rows == [["100", "held"], ["1,400", "unproven"], ["1,500", "broke"], ["2,700", "broke"]]
    assert "4 in 1:21" in text
