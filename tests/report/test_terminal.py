"""The summary that a tired engineer reads: for every kind of end that a run can have."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from loadcheck.report import headline, terminal

Document = dict[str, Any]
EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example-burst.json"


@pytest.fixture
def document() -> Document:
    """Return a passed run."""
    read: Document = orjson.loads(EXAMPLE.read_bytes())
    return read


def shown(
    document: Document, width: int = 100, *, color: bool = False, paths: Sequence[str] = ()
) -> str:
    return terminal.summary(document, color=color, width=width, paths=paths)


def test_a_pass_says_that_everybody_was_counted(document: Document) -> None:
    text = shown(document, paths=["results/x.json"])
    assert text.startswith(" PASS   burst  All 21,600 acknowledged users were counted\n")
    assert "target 1,350/s   achieved 1,350/s (100 %)   peak 2,500/s" in text
    assert "counted     21,600 unique users, 21,600 events   expected 21,600" in text
    assert text.endswith(f"\n  results/x.json\n{text.splitlines()[0]}\n")


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(document: Document, width: int) -> None:
    document["findings"][0]["summary"] = "a sentence that goes on " * 20
    document["steps"]["uploadEvents"]["reasons"] = {"a reason that goes on " * 10: 7}
    for line in shown(document, width).splitlines():
        assert len(line) <= width, line


def test_colour_is_all_that_differs(document: Document) -> None:
    plain, painted = shown(document), shown(document, color=True)
    assert "\x1b[" not in plain
    assert "\x1b[" in painted


def test_losses_come_first(document: Document) -> None:
    document["verdict"] = "fail"
    document["consistency"] |= {"lost_at_least": 37, "uniques": 21_563}
    document["thresholds"][-1]["verdict"] = "fail"
    text = shown(document)
    assert text.startswith(" FAIL   burst  37 of 21,600 acknowledged users are missing\n")
    assert "counted     21,563 unique users" in text
    assert " ✗ lost == 0" in text


def test_what_cannot_be_decided_is_named(document: Document) -> None:
    document["verdict"] = "unknown"
    document["findings"][0] |= {
        "verdict": "unknown",
        "check": "unverified",
        "summary": "Whether the 21,600 acknowledged users arrived is unknown: no query was "
        "answered (timeout).",
    }
    document["consistency"] |= {"uniques": None, "totals": None, "visibility": None}
    text = shown(document)
    assert text.startswith(" UNKNOWN   burst  No query was answered (timeout)\n")
    assert "counted   unknown\n" in text
    assert "visible" not in text


def test_a_lag_without_end_is_said(document: Document) -> None:
    lag = {"p50_s": 0.5, "p95_s": 0.9, "p99_s": 1.2, "max_s": None, "resolution_s": 0.25}
    document["consistency"]["visibility"] = lag | {"never": 37, "samples": 21_600}
    assert "visible in  p50 ≤ 0.5 s   p95 ≤ 0.9 s   p99 ≤ 1.2 s   max never" in shown(document)


def test_a_lag_is_shown_as_the_interval_that_it_is(document: Document) -> None:
    lower = {"p50_s": 0.5, "p95_s": 0.2, "p99_s": 1.0, "max_s": 30.0}
    lag = {"p50_s": 0.5, "p95_s": 0.9, "p99_s": 61.0, "max_s": None, "resolution_s": 60.0}
    document["consistency"]["visibility"] = lag | {"lower": lower, "never": 0, "samples": 9}
    text = shown(document)
    assert "visible in  p50 0.5 s   p95 0.2–0.9 s   p99 1.0 s–1:01   max ≥ 30.0 s" in text


def test_bounds_are_shown_as_such(document: Document) -> None:
    document["consistency"] |= {"lower": 21_000, "upper": 21_600}
    assert "expected 21,000 to 21,600" in shown(document)


def test_a_run_that_was_killed(document: Document) -> None:
    killed = copy.deepcopy(document)
    for section in ("load", "steps", "consistency", "findings", "thresholds"):
        killed.pop(section, None)
    killed["run"]["phase"] = "running"
    killed["verdict"] = "unknown"
    text = shown(killed)
    assert "(the run was killed:" in text
    assert "21,600 of 21,600 copies" in text


def test_an_interrupted_run(document: Document) -> None:
    document["run"]["interrupted"] = True
    first = shown(document).splitlines()[0]
    assert first.strip().startswith("INTERRUPTED")
    assert "PASS" not in first


def test_what_went_wrong_most_is_told_with_an_example(document: Document) -> None:
    step = document["steps"]["uploadEvents"]
    step["reasons"] = {f"reason {index}": index for index in range(1, 9)}
    step["examples"] = {"503": '{"error":\n   "overloaded"}'}
    text = shown(document)
    assert "reason 8 (8 times)" in text
    assert "other reasons (15 times): see the results file" in text
    assert 'first 503 response: {"error": "overloaded"}' in text


def test_a_threshold_without_samples(document: Document) -> None:
    document["thresholds"][0] |= {"measured": None, "verdict": "unknown"}
    assert "uploadEvents.p99 < 250ms   no data" in shown(document)


def test_warnings_are_shown(document: Document) -> None:
    document["warnings"] = ["copies were sent late"]
    assert "  ! copies were sent late\n" in shown(document)


def test_the_headline_is_one_line(document: Document) -> None:
    assert headline.line(document) == "PASS  burst  All 21,600 acknowledged users were counted"
