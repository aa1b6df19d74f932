from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.errors import Problem
from loadcheck.measure.record import StepRecord
from loadcheck.scenario.model import Threshold
from loadcheck.verify import Verdict
from loadcheck.verify.metrics import BoundedFigure, Metric, MetricNames
from loadcheck.verify.thresholds import ParsedThreshold, parse, parse_all

WORDS = MetricNames(
    steps=["uploadEvents", "segmentEvent", "a.b", "segmentEvent@observer"],
    undue=["segmentEvent"],
    stages=["baseline", "burst", "stage-3"],
)


def threshold(expression: str, *, abort: bool = False) -> ParsedThreshold:
    parsed = parse(Threshold(check=expression, abort=abort), WORDS)
    assert isinstance(parsed, ParsedThreshold), parsed
    return parsed


class Fixed:
    def __init__(self, value: float | None) -> None:
        self.value = value

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        return BoundedFigure.exactly(self.value)


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
        ("uploadEvents.p99.99 < 1s", 1000),
        ("uploadEvents.p12.5 < 1s", 1000),
        ("uploadEvents.failed.p99 < 1s", 1000),
        ("uploadEvents.throttled.max < 1s", 1000),
        ("uploadEvents.attempts < 30", 30),
        ("segmentEvent@observer.max < 2s", 2000),
        ("visible.p95 < 60s", 60_000),
        ("loop_lag.max < 20ms", 20),
        ("gc_pauses.max < 20ms", 20),
        ("dispatch_lag.p99 < 1ms", 1),
        ("max_in_flight < 500", 500),
        ("missing_events == 0", 0),
        ("burst: uploadEvents.p99 < 400ms", 400),
        ("stage-3:error_rate<1%", 0.01),
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
        ("uploadEvents.failed.error_rate < 1%", 'figure "failed.error_rate"', "failed.p99"),
        ("uploadEvents.median < 1s", 'unknown figure "median" of uploadEvents', "attempts, error_"),
        ("segmentEvent.response_time.p99 < 1s", "has no response time", '"segmentEvent.p99"'),
        ("brust: lost == 0", 'unknown stage "brust"', 'did you mean "burst"?'),
        ("5: rate > 1", 'unknown stage "5"', "expected one of baseline, burst, stage-3"),
        ("burst: lost == 0", '"lost" is known for the run as a whole', 'leave out "burst:"'),
        ("burst: visible.p99 < 1s", '"visible.p99" is known for the run', 'leave out "burst:"'),
        ("burst: loop_lag.p99 < 1s", '"loop_lag.p99" is known for the run', 'leave out "burst:"'),
        (": rate > 1", "is not a threshold", '"STAGE: …" for one stage'),
    ],
)
def test_what_does_not_parse(expression: str, message: str, remedy: str) -> None:
    problem = parse(Threshold(check=expression), WORDS)
    assert isinstance(problem, Problem)
    assert message in problem.message
    assert remedy in problem.remedy


def test_all_problems_are_told_with_their_place() -> None:
    limits = [Threshold(check=check) for check in ("lost == 0", "nope", "rate > 5", "x < 1")]
    good, bad = parse_all(limits, WORDS)
    assert [t.check for t in good] == ["lost == 0", "rate > 5"]
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


class Between:
    def __init__(self, low: float, high: float) -> None:
        self.ends = low, high

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        return BoundedFigure(self.ends[1], *self.ends)


@pytest.mark.parametrize(
    ("operator", "low", "high", "verdict"),
    [
        ("<", 20, 52, Verdict.PASS),  # our delay included it holds
        ("<", 24, 6024, Verdict.UNKNOWN),  # we stood still for 6 s
        ("<", 120, 6024, Verdict.FAIL),  # too slow without us
        ("<", 24, math.inf, Verdict.UNKNOWN),
        ("<", math.inf, math.inf, Verdict.FAIL),
        (">=", 120, 130, Verdict.PASS),
        (">=", 90, 130, Verdict.UNKNOWN),
        (">=", 80, 99, Verdict.FAIL),
        ("==", 100, 100, Verdict.PASS),
        ("==", 99, 101, Verdict.UNKNOWN),
        ("==", 100, 101, Verdict.UNKNOWN),
        ("==", 101, 102, Verdict.FAIL),
        ("!=", 99, 101, Verdict.UNKNOWN),
        ("!=", 101, 102, Verdict.PASS),
        ("!=", 100, 100, Verdict.FAIL),
    ],
)
def test_8_an_interval_passes_at_its_worst_and_fails_at_its_best(
    operator: str, low: float, high: float, verdict: Verdict
) -> None:
    judged = threshold(f"uploadEvents.p99 {operator} 100ms").judge(Between(low, high))
    assert judged.verdict is verdict
    told = judged.to_json()
    ends = [None if math.isinf(end) else end for end in (high, low, high)]
    assert [told[name] for name in ("measured", "low", "high")] == ends
    assert (judged.own_delay_ms is not None) is (verdict is Verdict.UNKNOWN)


@given(
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.lists(st.integers(90, 110), min_size=2, max_size=2).map(sorted),
)
def test_a_verdict_on_an_interval_is_that_of_every_value_in_it(
    operator: str, ends: list[int]
) -> None:
    limit = threshold(f"uploadEvents.p99 {operator} 100ms")
    # whole and half numbers hold every case that there is
    inside = {
        limit.judge(Fixed(tenth / 2)).verdict for tenth in range(2 * ends[0], 2 * ends[1] + 1)
    }
    verdict = limit.judge(Between(*ends)).verdict
    assert verdict is (inside.pop() if len(inside) == 1 else Verdict.UNKNOWN)


def test_no_sample_is_unknown_never_a_pass() -> None:
    judged = threshold("lost == 0").judge(Fixed(None))
    assert judged.verdict is Verdict.UNKNOWN
    assert judged.to_json()["measured"] is None


def test_a_load_without_stages_says_so() -> None:
    problem = parse(Threshold(check="burst: rate > 1"), MetricNames(steps=[]))
    assert isinstance(problem, Problem)
    assert problem.remedy == "only an open load has stages"


def test_the_stage_is_part_of_the_metric() -> None:
    metric = threshold("burst: uploadEvents.service_time.p99 < 1s").metric
    assert (metric.stage, metric.scope, metric.time) == ("burst", "uploadEvents", "service_time")
    assert metric.name == "uploadEvents.service_time.p99"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("lost == 0", '"lost" is only known when the load has ended'),
        ("visible.p99 < 1s", '"visible.p99" is only known when the load has ended'),
        ("acknowledged > 100", '"acknowledged" only grows'),
        ("uploadEvents.attempts >= 100", '"uploadEvents.attempts" only grows'),
        ("burst: skipped != 3", '"skipped" only grows'),
    ],
)
def test_what_can_never_abort_a_load(expression: str, message: str) -> None:
    problem = parse(Threshold(check=expression, abort=True), WORDS)
    assert isinstance(problem, Problem)
    assert message in problem.message
    assert problem.remedy == "leave out abort = true"
    assert isinstance(parse(Threshold(check=expression), WORDS), ParsedThreshold)


@pytest.mark.parametrize(
    ("expression", "measured", "stops"),
    [
        ("uploadEvents.p99 < 250ms", 251.0, True),
        ("uploadEvents.p99 < 250ms", 249.0, False),
        ("uploadEvents.p99 < 250ms", None, False),
        ("rate >= 500/s", 400.0, True),
        ("skipped == 0", 1.0, True),
        ("acknowledged == 100", 50.0, False),
        ("acknowledged == 100", 101.0, True),
        ("error_rate == 0%", 0.01, True),
    ],
)
def test_what_stops_a_load(expression: str, measured: float | None, stops: bool) -> None:
    judged = threshold(expression, abort=True).give_up(Fixed(measured))
    assert (judged is not None) is stops


STATISTICS = st.floats(0, 100, allow_nan=False).map(lambda p: f"p{p:.4f}".rstrip("0").rstrip("."))


@given(
    stage=st.sampled_from(["", "baseline: ", "burst:"]),
    scope=st.sampled_from(["uploadEvents", "a.b", "a.b.service_time", "lateness"]),
    statistic=STATISTICS,
    operator=st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    limit=st.integers(0, 10**6),
)
def test_every_percentile_of_every_distribution_parses(
    stage: str, scope: str, statistic: str, operator: str, limit: int
) -> None:
    parsed = threshold(f"{stage}{scope}.{statistic} {operator} {limit}ms")
    assert parsed.limit == pytest.approx(limit)
    assert parsed.metric.percentile == pytest.approx(float(statistic[1:]))
    assert bool(parsed.metric.stage) is bool(stage)


def test_a_share_that_equals_its_limit_holds_it() -> None:
    # 1 - 993 / 1000 and 0.7 * 0.01 are neither 0.007
    for failed in range(1001):
        step = StepRecord("s", has_due_time=True)
        step.attempts, step.succeeded = 1000, 1000 - failed
        limit = threshold(f"error_rate <= {failed / 10:.1f}%").limit
        assert step.error_rate == limit == failed / 1000
