from __future__ import annotations

import pytest

from loadcheck.errors import Problem
from loadcheck.verify.thresholds import Metric, Threshold, parse, parse_all
from loadcheck.verify.verdict import Verdict

STEPS = ["uploadEvents", "segmentEvent", "a.b"]


def threshold(expression: str) -> Threshold:
    parsed = parse(expression, STEPS)
    assert isinstance(parsed, Threshold), parsed
    return parsed


class Fixed:
    def __init__(self, value: float | None) -> None:
        self.value = value

    def measure(self, metric: Metric, /) -> float | None:
        return self.value


@pytest.mark.parametrize(
    ("expression", "limit"),
    [
        ("uploadEvents.p99 < 250ms", 250),
        ("uploadEvents.p99<1.5s", 1500),
        ("uploadEvents.max <= 800us", 0.8),
        ("uploadEvents.p99.9 < 2m", 120_000),
        ("a.b.service_time.p50 < 1ms", 1),
        ("error_rate < 0.1%", 0.001),
        ("error_rate < 0.001", 0.001),
        ("uploadEvents.error_rate <= 1%", 0.01),
        ("rate >= 500/s", 500),
        ("uploadEvents.rate >= 500", 500),
        ("lost == 0", 0),
        ("skipped != 3", 3),
        ("lateness.p99.9 < 3ms", 3),
        ("  lost==0  ", 0),
        ("rate > 1e3", 1000),
    ],
)
def test_what_parses(expression: str, limit: float) -> None:
    assert threshold(expression).limit == pytest.approx(limit)


def test_the_parts_of_a_duration_metric() -> None:
    metric = threshold("segmentEvent.service_time.p99.9 < 1s").metric
    assert (metric.scope, metric.time, metric.percentile) == ("segmentEvent", "service_time", 99.9)
    assert threshold("a.b.max < 1s").metric.percentile == 100


@pytest.mark.parametrize(
    ("expression", "message", "remedy"),
    [
        ("", "is not a threshold", "expected METRIC OPERATOR VALUE"),
        ("uploadEvents.p99", "is not a threshold", "expected METRIC OPERATOR VALUE"),
        ("uploadEvents.p99 =< 1ms", "is not a threshold", "expected METRIC"),
        ("uploadEvents.p99 < -1ms", "is not a threshold", "expected METRIC"),
        ("uploadEvents.p99 < 250", "has no unit", "a duration: 250ms"),
        ("uploadEvents.p99 < 250%", 'has the unit "%"', "a duration: 250ms"),
        ("lost == 0ms", 'has the unit "ms"', "a whole number"),
        ("los == 0", 'unknown metric "los"', 'did you mean "lost"?'),
        ("uploadEvent.p99 < 1s", 'unknown metric "uploadEvent.p99"', '"uploadEvents.p99"?'),
        ("uploadEvents.p101 < 1s", 'unknown figure "p101"', "p99"),
        ("uploadEvents.mean < 1s", 'unknown figure "mean"', "max"),
        ("lateness.service_time.p99 < 1s", "unknown figure", "p99"),
    ],
)
def test_what_does_not_parse(expression: str, message: str, remedy: str) -> None:
    problem = parse(expression, STEPS)
    assert isinstance(problem, Problem)
    assert message in problem.message
    assert remedy in problem.remedy


def test_all_problems_are_told_with_their_place() -> None:
    good, bad = parse_all(["lost == 0", "nope", "rate > 5", "x < 1"], STEPS)
    assert [t.expression for t in good] == ["lost == 0", "rate > 5"]
    assert sorted(bad) == [1, 3]


@pytest.mark.parametrize(
    ("operator", "measured", "verdict"),
    [
        ("<", 249.9, Verdict.PASS),
        ("<", 250.0, Verdict.FAIL),
        ("<=", 250.0, Verdict.PASS),
        (">", 250.0, Verdict.FAIL),
        (">=", 250.0, Verdict.PASS),
        ("==", 250.0, Verdict.PASS),
        ("!=", 250.0, Verdict.FAIL),
    ],
)
def test_judging(operator: str, measured: float, verdict: Verdict) -> None:
    judged = threshold(f"uploadEvents.p99 {operator} 250ms").judge(Fixed(measured))
    assert judged.verdict is verdict


def test_no_sample_is_unknown_never_a_pass() -> None:
    judged = threshold("lost == 0").judge(Fixed(None))
    assert judged.verdict is Verdict.UNKNOWN
    assert judged.to_json()["measured"] is None
