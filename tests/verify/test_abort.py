from __future__ import annotations

from collections.abc import Mapping

from loadcheck.measure.record import StageSpan
from loadcheck.scenario.model import Threshold
from loadcheck.verify import Verdict
from loadcheck.verify.metrics import BoundedFigure, Metric, MetricNames
from loadcheck.verify.thresholds import ParsedThreshold, ThresholdAbort, apply_abort, parse

WORDS = MetricNames(steps=["send"], stages=["burst"])
BURST = StageSpan(name="burst", begin_s=60, end_s=90, first=0, last=1)


def threshold(expression: str, *, abort: bool = True, grace_s: float = 10) -> ParsedThreshold:
    parsed = parse(Threshold(check=expression, abort=abort, grace_s=grace_s), WORDS)
    assert isinstance(parsed, ParsedThreshold), parsed
    return parsed


class Figures:
    def __init__(self, figures: Mapping[str, float | None]) -> None:
        self.figures = figures

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        return BoundedFigure.exactly(self.figures.get(metric.name))


SLOW = Figures({"send.p99": 300.0, "error_rate": 0.5})


def test_it_looks_from_the_end_of_the_grace_period_on() -> None:
    watchdog = ThresholdAbort([threshold("send.p99 < 250ms")], [])
    assert watchdog.is_active
    assert watchdog.check(SLOW, 9.9) is None
    aborted = watchdog.check(SLOW, 10.0)
    assert aborted is not None
    assert aborted.to_json() == {"threshold": "send.p99 < 250ms", "measured": 300.0, "at_s": 10.0}
    summary = aborted.finding().summary
    assert "stopped after 10.0 s: send.p99 < 250ms did not hold (300 ms)." in summary
    assert aborted.finding().verdict is Verdict.FAIL


def test_the_grace_period_of_a_stage_begins_with_it() -> None:
    watchdog = ThresholdAbort([threshold("burst: send.p99 < 250ms")], [BURST])
    assert watchdog.check(SLOW, 69.9) is None
    assert watchdog.check(SLOW, 70.0) is not None


def test_the_figure_is_told_in_its_unit() -> None:
    figures = Figures({"error_rate": 0.0512, "skipped": 12_345.0})
    for expression, told in (("error_rate < 1%", "5.12 %"), ("skipped == 0", "12,345")):
        aborted = ThresholdAbort([threshold(expression)], []).check(figures, 20)
        assert aborted is not None
        assert f"({told})" in aborted.finding().summary


def test_what_does_not_abort_is_not_looked_at() -> None:
    watchdog = ThresholdAbort([threshold("send.p99 < 250ms", abort=False)], [])
    assert not watchdog.is_active
    assert watchdog.check(SLOW, 1000) is None


def test_no_sample_stops_nothing() -> None:
    assert ThresholdAbort([threshold("rate > 5")], []).check(Figures({}), 1000) is None


def test_the_figure_that_stopped_the_load_stands() -> None:
    first, second = threshold("send.p99 < 250ms"), threshold("error_rate < 1%")
    aborted = ThresholdAbort([first, second], []).check(SLOW, 20)
    assert aborted is not None
    later = Figures({"send.p99": 100.0, "error_rate": 0.001})
    judged = apply_abort([first.judge(later), second.judge(later)], aborted)
    assert [(each.verdict, each.value) for each in judged] == [
        (Verdict.FAIL, 300.0),
        (Verdict.PASS, 0.001),
    ]
    worse = first.judge(Figures({"send.p99": 900.0}))
    assert apply_abort([worse], aborted) == [worse]
    assert apply_abort([worse], None) == [worse]
