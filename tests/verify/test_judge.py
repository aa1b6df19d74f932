"""What a run proves: the worst of what is told, and never a pass on evidence that is none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from loadcheck.errors import Problem
from loadcheck.load.monitor import Monitor
from loadcheck.load.pacer import OpenPacer
from loadcheck.measure import Outcome
from loadcheck.measure.record import Record
from loadcheck.pipeline import warnings
from loadcheck.scenario.model import Threshold
from loadcheck.verify import Consistency, Finding, Verdict
from loadcheck.verify.figures import MixFigures, Rates, RunFigures
from loadcheck.verify.judge import Judgement, RunEvidence, judge
from loadcheck.verify.metrics import BoundedFigure, Metric, MetricNames
from loadcheck.verify.thresholds import Aborted, ParsedThreshold, parse
from loadcheck.workflow.exchange import Exchange, Failure, Request
from tests.load.stages import stage
from tests.steps import step

WORDS = MetricNames(steps=["send"], undue=[], stages=[])
STEP = step("send")


MS, S = 1_000_000, 1_000_000_000
BEGIN = 50 * S


def figures(
    response_ms: float | None = 10.0,
    *,
    late_ms: float = 0.0,
    stall_s: tuple[float, float] | None = None,
    paused: int = 0,
    took_s: float = 10.0,
) -> RunFigures:
    """Return what was measured of ten copies, all of them as slow.

    Args:
        response_ms: Due to done; None: nothing succeeded.
        late_ms: Of that, due to started.
        stall_s: When the event loop was not served.
        paused: Further copies that fell due in a pause.
        took_s: How long starting them took.
    """
    record = Record([STEP], 0)
    record.begin(BEGIN)
    if stall_s is not None:
        record.stalls.add(*(BEGIN + round(at * S) for at in stall_s))
    record.due = 10 + paused
    record.skip(10, 10 + paused, paused=True)
    for number in range(10 if response_ms is not None else 0):
        due_ns = BEGIN + number * S
        started_ns = due_ns + round(late_ms * MS)
        done_ns = due_ns + round((response_ms or 0) * MS)
        request = Request(0, STEP.origin, b"POST / HTTP/1.1\r\n", b"")
        exchange = Exchange(request, sent_ns=started_ns, done_ns=done_ns).answered(200)
        exchange.success = True
        record.start(number)
        record.steps[0].add(exchange, due_ns, started_ns)
        record.settle(number, Outcome.ACKNOWLEDGED)
    record.end(BEGIN + round(took_s * S))
    rates = Rates(asked=1.0, reached=10 / took_s, duration_s=took_s)
    pacer = OpenPacer(stages=[stage(10, 1, 1)])
    return RunFigures(record=record, monitor=Monitor(), rates=rates, pacer=pacer)


@cache
def threshold(expression: str) -> ParsedThreshold:
    parsed = parse(Threshold(check=expression), WORDS)
    assert isinstance(parsed, ParsedThreshold)
    return parsed


def judged(
    *findings: Verdict,
    seen: RunFigures | None = None,
    expressions: tuple[str, ...] = ("send.p99 < 100ms",),
    trouble: str | None = None,
    aborted: Aborted | None = None,
    checked: bool = True,
) -> Judgement:
    limits = tuple(map(threshold, expressions))
    told = [Finding(check="lost", verdict=each, summary="") for each in findings]
    evidence = RunEvidence(figures=seen or figures(), trouble=trouble, aborted=aborted)
    return judge(limits, evidence, told, checked=checked)


@pytest.mark.parametrize(
    ("counts", "response_ms", "verdict"),
    [
        (Verdict.PASS, 10.0, Verdict.PASS),
        (Verdict.PASS, 200.0, Verdict.FAIL),  # exit code 5: slow, and all there
        (Verdict.FAIL, 10.0, Verdict.FAIL),  # exit code 1
        (Verdict.FAIL, None, Verdict.FAIL),
        (Verdict.UNKNOWN, 10.0, Verdict.UNKNOWN),
        (Verdict.UNKNOWN, 200.0, Verdict.UNKNOWN),  # slow, and nobody knows who is there
        (Verdict.PASS, None, Verdict.UNKNOWN),  # a threshold without samples
    ],
)
def test_consistency_comes_first_then_what_is_unknown_then_thresholds(
    counts: Verdict, response_ms: float | None, verdict: Verdict
) -> None:
    judgement = judged(counts, seen=figures(response_ms))
    assert (judgement.consistent, judgement.verdict) == (counts, verdict)


def test_what_is_unknown_beats_a_broken_threshold_and_both_are_told() -> None:
    judgement = judged(
        Verdict.PASS,
        seen=figures(200.0),
        expressions=("send.p99 < 100ms", "send.failed.p99 < 1s"),
    )
    assert judgement.verdict is Verdict.UNKNOWN
    assert [each.verdict for each in judgement.judged] == [Verdict.FAIL, Verdict.UNKNOWN]


def test_a_copy_that_thinks_is_no_error_and_may_have_taken_effect() -> None:
    measured = figures()
    record = measured.record
    before = record.possible
    record.start(20)
    record.in_flight -= 1  # as the runner does while a copy thinks
    assert (record.started_at_most, record.possible) == (record.started, before + 1)
    for check in ("error_rate == 0", "rate_ratio > 0"):
        (limit,) = judge([threshold(check)], RunEvidence(figures=measured), []).judged
        assert limit.verdict is Verdict.PASS, limit


def test_what_this_machine_had_too_little_for_is_no_error_of_the_targets() -> None:
    measured = figures()
    record, request = measured.record, Request(0, STEP.origin, b"POST / HTTP/1.1\r\n", b"")
    for number in (20, 21):
        record.start(number)
        short = Exchange(request, failure=Failure.LOCAL)
        short.reason = "no local port is free"
        record.steps[0].add(short, BEGIN)
        record.unsent.add(number)
        record.settle(number, Outcome.REJECTED)
    told: Any = judge([], RunEvidence(figures=measured), [])
    (finding,) = told.findings
    assert (finding.check, finding.verdict) == ("generator", Verdict.UNKNOWN)
    assert "2 copies were not sent: no local port is free" in finding.summary
    for check in ("error_rate < 1%", "send.error_rate < 1%"):
        assert threshold(check).judge(measured).verdict is Verdict.PASS
        assert measured.measure(threshold(check).metric) is not None


@pytest.mark.parametrize(
    ("response_ms", "expressions", "verdict"),
    [
        (10.0, ("send.p99 < 100ms",), Verdict.PASS),
        (200.0, ("send.p99 < 100ms",), Verdict.FAIL),
        (10.0, (), Verdict.PASS),
        (None, (), Verdict.UNKNOWN),  # nothing was acknowledged, and nothing was to be held
        (None, ("acknowledged > 5",), Verdict.FAIL),
    ],
)
def test_where_consistency_is_not_checked_thresholds_alone_decide(
    response_ms: float | None, expressions: tuple[str, ...], verdict: Verdict
) -> None:
    judgement = judged(seen=figures(response_ms), expressions=expressions, checked=False)
    assert (judgement.consistent, judgement.verdict) == (None, verdict)
    assert len(judgement.findings) == (verdict is Verdict.UNKNOWN)


def test_a_target_that_broke_is_no_pass() -> None:
    judgement = judged(Verdict.PASS, trouble="the URL Http://X ended")
    assert judgement.consistent is judgement.verdict is Verdict.UNKNOWN
    told = [f.summary for f in judgement.findings if f.check == "target"]
    assert told == ["The URL Http://X ended."]


def test_a_threshold_that_breaks_is_unknown_and_the_others_are_judged() -> None:
    class Odd(RunFigures):
        def measure(self, metric: Metric, /) -> BoundedFigure | None:
            if metric.name == "send.failed.p99":
                raise OverflowError("cannot convert float infinity to integer")
            return super().measure(metric)

    good = figures()
    seen = Odd(record=good.record, monitor=good.monitor, rates=good.rates, pacer=good.pacer)
    expressions = ("send.failed.p99 < 1s", "send.p99 < 100ms")
    judgement = judged(Verdict.PASS, seen=seen, expressions=expressions)
    assert [each.verdict for each in judgement.judged] == [Verdict.UNKNOWN, Verdict.PASS]
    assert (judgement.consistent, judgement.verdict) == (Verdict.PASS, Verdict.UNKNOWN)
    assert judgement.findings[-1].check == "threshold"
    assert "OverflowError: cannot convert" in judgement.findings[-1].summary


@pytest.mark.parametrize(
    ("seen", "verdict", "own_ms"),
    [
        # it holds although our own delay is in it
        (figures(52.0, late_ms=50.0), Verdict.PASS, None),
        # slow without us
        (figures(150.0, late_ms=40.0), Verdict.FAIL, None),
        (figures(150.0, late_ms=60.0), Verdict.UNKNOWN, 60),
        # stopped for 6 s while answers were on their way
        (figures(6024.0, stall_s=(0, 17)), Verdict.UNKNOWN, 6024),
        (figures(6024.0, stall_s=(20, 26)), Verdict.FAIL, None),
    ],
)
def test_a_latency_is_judged_with_and_without_our_own_delay(
    seen: RunFigures, verdict: Verdict, own_ms: float | None
) -> None:
    judgement = judged(Verdict.PASS, seen=seen)
    (one,) = judgement.judged
    assert (judgement.consistent, judgement.verdict) == (Verdict.PASS, verdict)
    assert (one.own_delay_ms or 0) == pytest.approx(own_ms or 0, rel=0.01)
    assert [f.check for f in judgement.findings] == ["lost", *(["generator"] if own_ms else [])]
    if own_ms:
        assert judgement.findings[1].evidence["voided"] == ["send.p99 < 100ms"]


def test_a_schedule_that_took_too_long_was_not_the_load_that_was_asked_for() -> None:
    judgement = judged(
        Verdict.PASS, seen=figures(took_s=12.0), expressions=("rate >= 0.9/s", "rate >= 2/s")
    )
    assert (judgement.consistent, judgement.verdict) == (Verdict.PASS, Verdict.UNKNOWN)
    # a rate that we ourselves did not reach is not the target's fault; one never asked for is none
    assert [each.verdict for each in judgement.judged] == [Verdict.UNKNOWN, Verdict.FAIL]
    assert "took 12.0 s instead of 10.0 s" in judgement.findings[1].summary


def test_copies_that_our_pause_passed_over_break_no_threshold_and_pass_none() -> None:
    seen = figures(paused=6, stall_s=(30, 36))
    expressions = ("skipped == 0", "acknowledged >= 15", "acknowledged >= 17", "started < 11")
    judgement = judged(Verdict.PASS, seen=seen, expressions=expressions)
    assert [each.verdict.value for each in judgement.judged] == [
        "unknown",
        "unknown",
        "fail",
        "unknown",
    ]
    assert judgement.verdict is Verdict.UNKNOWN
    summary = judgement.findings[1].summary
    assert "paused for 6.0 s at 30.0 s into the load" in summary
    assert "6 copies due meanwhile were skipped" in summary
    assert warned(seen.record) == []  # once is enough
    seen.record.due = 1000  # a few of many are overlooked, but not untold
    (warning,) = warned(seen.record)
    assert "6.0 s at 30.0 s" in warning
    assert len(judged(Verdict.PASS, seen=seen, expressions=()).findings) == 1


def test_a_load_that_was_stopped_early_failed_whatever_it_measures_now() -> None:
    slow = threshold("send.p99 < 100ms").judge(figures(900.0))
    judgement = judged(
        Verdict.PASS,
        seen=figures(50.0),
        # what it came too early to measure does not count
        expressions=("send.p99 < 100ms", "send.failed.p99 < 1s"),
        aborted=Aborted(judged=slow, at_s=3.0),
    )
    assert (judgement.consistent, judgement.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert [each.verdict for each in judgement.judged] == [Verdict.FAIL, Verdict.UNKNOWN]
    assert [f.check for f in judgement.findings] == ["lost", "aborted"]


def warned(record: Record, *, unsendable: Counter[str] | None = None, missed: int = 0) -> list[str]:
    plan: Any = SimpleNamespace(unsendable=unsendable or Counter())
    return warnings.of_run(plan, record, failed_saves=missed, notes=["seen"])[:-1]


def test_nothing_is_to_be_known_of_a_quiet_run() -> None:
    assert warned(Record([STEP], 0)) == []


def test_what_did_not_happen_is_said() -> None:
    record = Record([STEP], 0)
    record.skip(7, 8)
    record.record_dispatch(0, 50_000_000)
    # the wait for a connection is the target's
    record.record_send(0, 900_000_000)
    unsendable = Counter({"send: $inputs.a has no value": 3, "send: b": 2, "c": 1, "d": 1})
    said = warned(record, unsendable=unsendable, missed=2)
    assert said[0].startswith("1 copy was skipped because")
    assert said[1] == (
        "3 requests could not be made, and nothing was sent: send: $inputs.a has no value"
    )
    assert [text.split()[0] for text in said[2:4]] == ["2", "a"]
    assert "2 interim saves of the results failed" in said[4]
    assert "up to 50.0 ms late (p99)" in said[5]
    assert len(said) == 6


TOGETHER = MetricNames(steps=["workflow"], together=True)


def of_flows(expression: str, *flows: RunFigures, same_users: bool = False) -> BoundedFigure | None:
    """Return what flows come to together."""
    parsed = parse(Threshold(check=expression), TOGETHER)
    assert isinstance(parsed, ParsedThreshold)
    steps = [["send"]] * len(flows)
    return MixFigures(flows=flows, steps=steps, same_users=same_users).measure(parsed.metric)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("p50 < 1s", 10.0),
        ("max < 1s", 200.0),
        ("p75 < 1s", 200.0),  # no mean of what each has
        ("response_time.max < 1s", 200.0),
        ("workflow.max < 1s", 200.0),
        ("workflow.attempts > 0", 20),
        ("started == 20", 20),
        ("rate > 1", 20 / 20),  # of copies over the longer load: not 0.5 and 1 added
        ("rate_ratio > 0.5", 20 / 30),
        ("error_rate < 1%", 0.0),
    ],
)
def test_figures_of_flows_are_those_of_all_their_requests(expression: str, value: float) -> None:
    found = of_flows(expression, figures(10.0), figures(200.0, took_s=20.0))
    assert found is not None
    assert found.value == pytest.approx(value, rel=0.01)


def test_errors_of_flows_weigh_as_much_as_their_copies() -> None:
    good, bad = figures(10.0), figures(None)
    for number in range(30):
        bad.record.start(number)
        bad.record.settle(number, Outcome.REJECTED)
    assert of_flows("error_rate < 1%", good, bad) == (0.75, 0.75, 0.75)
    # of one that has sent nothing yet there are no errors, and no times
    silent = figures(None)
    assert of_flows("error_rate < 1%", good, silent) == (0.0, 0.0, 0.0)
    assert of_flows("p99 < 1s", silent) is None
    assert of_flows("error_rate < 1%", silent) is None


def test_what_is_not_known_of_one_flow_is_not_known_of_all() -> None:
    seen = Consistency(lower=10, upper=10, uniques=10, lost=1)
    one, other = (replace(figures(), consistency=seen) for _ in range(2))
    assert of_flows("lost == 0", one, other) == (2, 2, 2)
    assert of_flows("uniques == 20", one, other) == (20, 20, 20)
    assert of_flows("uniques == 20", one, other, same_users=True) is None
    assert of_flows("lost == 0", one, figures()) is None
    closed = replace(figures(), rates=Rates(asked=None, reached=1.0, duration_s=10.0))
    assert of_flows("rate_ratio > 0.5", one, closed) is None


def test_our_own_delay_makes_a_time_of_flows_an_interval_too() -> None:
    found = of_flows("max < 1s", figures(200.0, late_ms=150.0), figures(10.0))
    assert found is not None
    assert found.low == pytest.approx(50, rel=0.02)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("send.p99 < 1s", "a flow's own"),
        ("burst: p99 < 1s", "a flow's own"),
        ("p999x < 1s", "unknown metric"),
        ("p99 < 3", "has no unit"),
    ],
)
def test_what_flows_do_not_have_together_is_refused(expression: str, told: str) -> None:
    found = parse(Threshold(check=expression), TOGETHER)
    assert isinstance(found, Problem)
    assert told in f"{found.message} {found.remedy}"


def test_times_without_a_step_are_only_of_flows_together() -> None:
    assert isinstance(parse(Threshold(check="p99 < 1s"), WORDS), Problem)
