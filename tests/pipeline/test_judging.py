"""What a run proves: the worst of what is told, and never a pass on evidence that is none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from loadcheck.measure.record import Record
from loadcheck.verify.abort import Aborted
from loadcheck.verify.judge import Judgement, judge, warnings
from loadcheck.verify.metrics import Metric, MetricNames
from loadcheck.verify.thresholds import Threshold, parse
from loadcheck.verify.verdict import Finding, Verdict
from loadcheck.workflow.exchange import Origin
from loadcheck.workflow.runtime.plan import Role, StepPlan

WORDS = MetricNames(steps=["send"], undue=[], stages=[])
STEP = StepPlan(
    step_id="send",
    index=0,
    role=Role.COPY,
    method="POST",
    origin=Origin("http", "127.0.0.1", 80),
    path="/",
    uses=frozenset(),
    dependent=False,
)


@dataclass
class Figures:
    """Measures the same for every threshold."""

    value: float | None = 10.0
    own_ms: float = 0.0
    took_s: float = 10.0

    def __post_init__(self) -> None:
        self.monitor = SimpleNamespace(cpu_s=5.0, watched_s=10.0)
        self.rates = SimpleNamespace(duration_s=self.took_s)

    def measure(self, metric: Metric, /) -> float | None:
        return self.value

    def own_delay(self, metric: Metric, /) -> float | None:
        return self.own_ms


@cache
def threshold(expression: str) -> Threshold:
    parsed = parse(expression, WORDS)
    assert isinstance(parsed, Threshold)
    return parsed


def judged(
    *findings: Verdict,
    figures: Figures | None = None,
    expressions: tuple[str, ...] = ("send.p99 < 100ms",),
    trouble: str | None = None,
    aborted: Aborted | None = None,
) -> Judgement:
    prepared: Any = SimpleNamespace(
        thresholds=tuple(map(threshold, expressions)), pacer=SimpleNamespace(duration_s=10.0)
    )
    told = [Finding(check="lost", verdict=each, summary="") for each in findings]
    seen: Any = figures or Figures()
    return judge(prepared, seen, told, trouble=trouble, aborted=aborted)


@pytest.mark.parametrize(
    ("counts", "value", "consistent", "verdict"),
    [
        (Verdict.PASS, 10.0, Verdict.PASS, Verdict.PASS),
        (Verdict.PASS, 200.0, Verdict.PASS, Verdict.FAIL),  # exit code 5: slow, and all there
        (Verdict.FAIL, 10.0, Verdict.FAIL, Verdict.FAIL),  # exit code 1
        (Verdict.UNKNOWN, 10.0, Verdict.UNKNOWN, Verdict.UNKNOWN),
        (Verdict.UNKNOWN, 200.0, Verdict.UNKNOWN, Verdict.FAIL),
        (Verdict.PASS, None, Verdict.PASS, Verdict.UNKNOWN),  # a threshold without samples
    ],
)
def test_counts_and_thresholds_are_judged_apart_and_together(
    counts: Verdict, value: float | None, consistent: Verdict, verdict: Verdict
) -> None:
    judgement = judged(counts, figures=Figures(value=value))
    assert (judgement.consistent, judgement.verdict) == (consistent, verdict)


def test_a_target_that_broke_is_no_pass() -> None:
    judgement = judged(Verdict.PASS, trouble="the emulator ended")
    assert judgement.consistent is judgement.verdict is Verdict.UNKNOWN
    assert [f.summary for f in judgement.findings if f.check == "target"] == ["The emulator ended."]


def test_latencies_that_may_be_our_own_pass_nothing_and_the_counts_stand() -> None:
    judgement = judged(Verdict.PASS, figures=Figures(own_ms=60.0))
    assert (judgement.consistent, judgement.verdict) == (Verdict.PASS, Verdict.UNKNOWN)
    assert [f.check for f in judgement.findings] == ["lost", "generator"]


def test_a_schedule_that_took_too_long_was_not_the_load_that_was_asked_for() -> None:
    judgement = judged(Verdict.PASS, figures=Figures(took_s=12.0))
    assert (judgement.consistent, judgement.verdict) == (Verdict.PASS, Verdict.UNKNOWN)


def test_a_load_that_was_stopped_early_failed_whatever_it_measures_now() -> None:
    judgement = judged(
        Verdict.PASS,
        figures=Figures(value=50.0),
        aborted=Aborted(judged=threshold("send.p99 < 100ms").judge(Figures(value=900.0)), at_s=3.0),
    )
    assert (judgement.consistent, judgement.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert [each.verdict for each in judgement.judged] == [Verdict.FAIL]
    assert [f.check for f in judgement.findings] == ["lost", "aborted"]


def warned(record: Record, *, unsent: Counter[str] | None = None, missed: int = 0) -> list[str]:
    prepared: Any = SimpleNamespace(plan=SimpleNamespace(unsent=unsent or Counter()))
    return list(warnings(record, prepared, missed=missed))


def test_nothing_is_to_be_known_of_a_quiet_run() -> None:
    assert warned(Record([STEP], 0)) == []


def test_what_did_not_happen_is_said() -> None:
    record = Record([STEP], 0)
    record.skip(7, 8)
    record.dispatched(0, 0)
    record.sent(0, 50_000_000)
    unsent = Counter({"send: $inputs.a has no value": 3, "send: b": 2, "c": 1, "d": 1})
    said = warned(record, unsent=unsent, missed=2)
    assert said[0].startswith("1 copies fell due while")
    assert said[1] == (
        "3 requests could not be made, and nothing was sent: send: $inputs.a has no value"
    )
    assert [text.split()[0] for text in said[2:4]] == ["2", "a"]
    assert "2 saves of the results failed" in said[4]
    assert "lateness p99 50.0 ms" in said[5]
    assert len(said) == 6
