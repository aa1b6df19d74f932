from __future__ import annotations

import pytest

from loadcheck.verify.judge import judge_generator, void
from loadcheck.verify.metrics import MetricNames
from loadcheck.verify.thresholds import Judged, Threshold, parse
from loadcheck.verify.verdict import Verdict


def judged(expression: str, measured: float | None) -> Judged:
    threshold = parse(expression, MetricNames(steps=["send"]))
    assert isinstance(threshold, Threshold)

    class Fixed:
        def measure(self, metric: object, /) -> float | None:
            return measured

    return threshold.judge(Fixed())


@pytest.mark.parametrize(
    ("own_ms", "verdict"), [(None, "pass"), (0.0, "pass"), (25.0, "pass"), (25.1, "unknown")]
)
def test_a_latency_holds_only_while_our_own_delay_is_a_tenth_of_its_limit(
    own_ms: float | None, verdict: str
) -> None:
    (after,) = void([judged("send.p99 < 250ms", 100.0)], lambda _: own_ms)
    assert after.verdict is Verdict(verdict)
    assert (after.own_delay_ms is None) is (verdict == "pass")


@pytest.mark.parametrize(
    ("expression", "measured", "verdict"),
    [
        ("send.p99 < 250ms", 300.0, Verdict.FAIL),
        ("send.p99 < 250ms", None, Verdict.UNKNOWN),
        ("lost == 0", 0.0, Verdict.PASS),
        ("error_rate < 1%", 0.0, Verdict.PASS),
    ],
)
def test_what_is_no_passed_latency_is_left_alone(
    expression: str, measured: float | None, verdict: Verdict
) -> None:
    (after,) = void([judged(expression, measured)], lambda _: 1e9)
    assert (after.verdict, after.own_delay_ms) == (verdict, None)


def test_a_generator_that_was_not_the_limit_is_not_spoken_of() -> None:
    after = void([judged("send.p99 < 250ms", 100.0)], lambda _: 1.0)
    assert judge_generator(after, took_s=10.5, asked_s=10, cpu_share=0.9) is None
    assert judge_generator(after, took_s=99, asked_s=None, cpu_share=1.0) is None


def test_a_generator_that_fell_behind_says_so() -> None:
    finding = judge_generator([], took_s=15, asked_s=10, cpu_share=0.99)
    assert finding is not None
    assert finding.verdict is Verdict.UNKNOWN
    assert "took 15.0 s to start what was to start in 10.0 s" in finding.summary
    assert "99 % of a core" in finding.summary


def test_voided_thresholds_are_named() -> None:
    after = void([judged("send.p99 < 250ms", 100.0)], lambda _: 80.0)
    finding = judge_generator(after, took_s=10, asked_s=10, cpu_share=0.5)
    assert finding is not None
    assert "80.0 ms" in finding.summary
    assert finding.evidence["voided"] == ["send.p99 < 250ms"]
