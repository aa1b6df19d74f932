"""The headline: a cause that a reader can act on, the same wherever a result is shown."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from loadcheck.report import headline, markdown, terminal
from loadcheck.report.export import FORMATS
from loadcheck.report.html import page
from tests.report.test_terminal import EXAMPLE

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    """Return a passed run."""
    read: Document = orjson.loads(EXAMPLE.read_bytes())
    return read


def refused(document: Document, reasons: dict[str, int], examples: dict[str, str]) -> Document:
    """Make of a run one in which nobody was acknowledged."""
    started = document["copies"]["started"]
    document["copies"] |= {"acknowledged": 0, "rejected": started}
    document["verdict"] = "unknown"
    document["steps"]["uploadEvents"] |= {"reasons": reasons, "examples": examples}
    document["findings"].append(
        {"check": "acknowledged", "verdict": "unknown", "summary": "No copy was acknowledged."}
    )
    return document


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"error": "missing \'run\'"}', "400 missing 'run'"),
        ('{"error": {"code": 7, "message": "missing run"}}', "400 missing run"),
        ('{"title": "Bad Request", "detail": "run is required"}', "400 run is required"),
        ('{"errors": [{"message": "run?"}]}', "400 run?"),
        ('["no run"]', "400 no run"),
        ("<html><title>400 No run</title></html>", "400 No run"),
        ("no run", "400 no run"),
        ('{"cut": "off by the limit', "400 Bad Request"),
        ("", "400 Bad Request"),
        ("{}", "400 Bad Request"),
    ],
)
def test_a_rejection_is_told_in_the_words_of_the_service(
    document: Document, body: str, told: str
) -> None:
    refused(document, {"400 Bad Request: $statusCode == 200 does not hold": 200}, {"400": body})
    assert headline.cause(document) == f"Every request was rejected: {told} (200 times)"


def test_a_criterion_of_a_200_is_the_reason(document: Document) -> None:
    reason = "200 OK: $response.body#/events_ingested == 1 does not hold"
    refused(document, {reason: 2}, {"200": '{"message": "fine"}'})
    assert headline.cause(document) == (
        "Every request was rejected: 200 OK, but $response.body#/events_ingested == 1 does not "
        "hold (2 times)"
    )


def test_of_several_reasons_the_most_frequent_is_told(document: Document) -> None:
    refused(document, {"connection refused": 150, "time-out after 5 s": 50}, {})
    assert headline.cause(document).endswith(": connection refused (150 of 200 times)")


def test_nobody_lost_is_not_told_beside_nobody_acknowledged(document: Document) -> None:
    refused(document, {"connection refused": 1}, {})
    shown = terminal.summary(document, color=False, width=80)
    assert "[lost]" not in shown
    assert "✓ No " not in shown
    for text in (
        markdown.run_markdown(document),
        page(document).decode(),
        FORMATS["result"]["junit"](document),
    ):
        assert "counted 1.0 s after" not in str(text)


def test_a_target_that_was_not_reached_is_the_only_cause(document: Document) -> None:
    document["run"]["error"] = "no request reached http://127.0.0.1:9: connection refused"
    document["copies"] |= {"started": 0, "acknowledged": 0}
    document |= {
        "verdict": "unknown",
        "findings": [
            {"check": "target", "verdict": "unknown", "summary": "No request reached it."}
        ],
    }
    for threshold in document["thresholds"]:
        threshold |= {"verdict": "unknown", "measured": None}
    assert headline.cause(document) == ("No request reached http://127.0.0.1:9: connection refused")


def test_users_come_before_thresholds_and_are_told_once(document: Document) -> None:
    document["verdict"] = document["findings"][0]["verdict"] = "fail"
    document["consistency"] |= {"lost_at_least": 18, "lost_at_most": 18}
    document["thresholds"][0] |= {"verdict": "fail", "measured": 310.0}
    document["thresholds"][-1] |= {"verdict": "fail", "measured": 18}
    assert headline.cause(document) == (
        "18 of 21,600 acknowledged users are missing; threshold broken: "
        "uploadEvents.p99 < 250ms (measured 310 ms)"
    )


def test_broken_thresholds_are_counted_and_the_first_named(document: Document) -> None:
    document["verdict"] = "fail"
    for threshold in document["thresholds"][:3]:
        threshold["verdict"] = "fail"
    assert headline.cause(document) == (
        "3 of 4 thresholds broken: uploadEvents.p99 < 250ms (measured 1.81 ms) and 2 more"
    )


def test_a_pass_does_not_hide_what_was_refused(document: Document) -> None:
    document["copies"] |= {"acknowledged": 21_590, "rejected": 10}
    document["steps"]["uploadEvents"] |= {
        "reasons": {"503 Service Unavailable: $statusCode == 200 does not hold": 10},
        "examples": {"503": "overloaded"},
    }
    assert headline.cause(document) == (
        "All 21,590 acknowledged users were counted; "
        "10 rejected of 21,600 copies: 503 overloaded (10 times)"
    )


def test_lost_or_late_is_asked_where_it_is_not_known(document: Document) -> None:
    document["verdict"] = document["findings"][0]["verdict"] = "unknown"
    document["findings"][0]["evidence"] |= {"uniques": 21_590, "reason": "moving"}
    assert headline.cause(document) == ("10 of 21,600 acknowledged users missing: lost or late?")


def test_a_threshold_without_evidence_is_the_cause_where_nothing_else_is(
    document: Document,
) -> None:
    document["verdict"] = document["thresholds"][0]["verdict"] = "unknown"
    assert headline.cause(document).startswith(
        "No evidence for the threshold: uploadEvents.p99 < 250ms"
    )


def test_a_long_summary_is_cut_where_it_can_stand_alone(document: Document) -> None:
    document["verdict"] = "unknown"
    document["findings"] = [
        {"check": "x", "verdict": "unknown", "summary": f"The count moved; {'so ' * 60}. More."}
    ]
    assert headline.cause(document) == "The count moved"


def test_it_is_the_same_everywhere(document: Document) -> None:
    lost = copy.deepcopy(document)
    lost["verdict"] = lost["findings"][0]["verdict"] = "fail"
    lost["consistency"] |= {"lost_at_least": 37, "lost_at_most": 37}
    cause = "37 of 21,600 acknowledged users are missing"
    assert headline.line(lost) == f"FAIL  burst  {cause}"
    lines = terminal.summary(lost, color=False, width=80).splitlines()
    assert lines[0] == lines[-1] == f" FAIL   burst  {cause}"
    assert f"**{cause}**" in markdown.run_markdown(lost)
    assert f'<p class="because">{cause}.</p>' in page(lost).decode()
    assert cause in str(FORMATS["result"]["junit"](lost))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_verdict_stands_first_and_last_at_every_width(document: Document, width: int) -> None:
    refused(
        document,
        {"400 Bad Request: $statusCode == 200 does not hold": 200},
        {"400": '{"error": "a sentence that says at some length what is wrong with it all"}'},
    )
    lines = terminal.summary(document, color=False, width=width).splitlines()
    first = lines[: lines.index("")]
    assert lines[-len(first) :] == first
    assert first[0].startswith(" UNKNOWN   burst")
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.187, 0.187, "measured 18.7 %"),
        (0.1, 0.3, "measured 18.7 %: between 10 % and 30 %"),
        (0.1, None, "measured 18.7 %: between 10 % and unbounded"),
    ],
)
def test_an_interval_is_told_where_it_is_one(low: float, high: float | None, said: str) -> None:
    threshold = {
        "measured": 0.187,
        "unit": "ratio",
        "verdict": "unknown",
        "low": low,
        "high": high,
        "own_delay_ms": None,
    }
    assert headline.measured(threshold) == said
