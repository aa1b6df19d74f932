"""Limits that a run must keep: ``uploadEvents.p99 < 250ms``, ``lost == 0``, ``visible.p95 < 60s``.

The grammar is ``[STAGE:] METRIC OPERATOR VALUE[UNIT]``. A metric's kind decides which units are
understood. A threshold whose metric has no sample is unknown: k6 lets it pass, and its users
complain.

A figure with noise of our own in it is an interval: a latency holds the generator's own delay, a
visibility lag is known to lie between two observations. A threshold passes if it holds everywhere
in the interval, fails if it holds nowhere, and is unknown otherwise.

A threshold that aborts is checked every second once its grace period is over, as if the run ended
there, and stops the load early if it does not hold: the same rule as that of k6's ``abortOnFail``
with ``delayAbortEval``.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from loadcheck.errors import Problem
from loadcheck.measure.record import StageSpan
from loadcheck.scenario.model import Threshold
from loadcheck.verify import Finding, Verdict
from loadcheck.verify.figures import RunFigures
from loadcheck.verify.metrics import (
    OWN_SCOPES,
    Availability,
    BoundedFigure,
    Metric,
    MetricKind,
    MetricNames,
    parse_metric,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """A load that was stopped early.

    Attributes:
        judged: The threshold that stopped the load, and its figure; None if it was another rule.
        at_s: When, in seconds since the load began.
        rule: The other rule that stopped it: a key of ``[guard]``, as written.
        detail: What was seen, in words.
        measured: The figure that broke the rule, if it is about one.
    """

    judged: Judged | None
    at_s: float
    rule: str = ""
    detail: str = ""
    measured: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the results file."""
        return {
            "threshold": self._rule,
            "measured": self.measured if self.judged is None else self.judged.value,
            "at_s": round(self.at_s, 3),
        }

    def finding(self) -> Finding:
        """Return the finding that the load was stopped: it was not what the scenario asks for."""
        detail = self.detail if self.judged is None else _written(self.judged)
        return Finding(
            check="aborted",
            verdict=Verdict.FAIL,
            summary=f"The load was stopped after {self.at_s:.1f} s: {self._rule} did not hold "
            f"({detail}). What was sent until then was still reconciled.",
            evidence=self.to_json(),
        )

    @property
    def _rule(self) -> str:
        return self.rule if self.judged is None else self.judged.threshold.check


def _written(judged: Judged) -> str:
    value = judged.value
    if value is None:
        return "no response yet"
    units = {"ms": f"{value:,.0f} ms", "ratio": f"{100 * value:.3g} %"}
    return units.get(judged.threshold.unit, f"{value:,.6g}")


class AbortPolicy(Protocol):
    """Decides every second whether a load is to be stopped."""

    @property
    def is_active(self) -> bool:
        """Whether there is anything to look at."""

    def check(self, figures: RunFigures, elapsed_s: float) -> Aborted | None:
        """Return why the load is to be stopped now; None if it is to go on."""


class ThresholdAbort:
    """Checks every second the thresholds that abort, each once its grace period is over.

    Args:
        thresholds: All thresholds.
        stages: The stages that they name.
    """

    def __init__(self, thresholds: Sequence[ParsedThreshold], stages: Sequence[StageSpan]) -> None:
        begins = {"": 0.0, **{stage.name: stage.begin_s for stage in stages}}
        self._since = [
            (threshold, begins[threshold.metric.stage] + threshold.grace_s)
            for threshold in thresholds
            if threshold.abort
        ]

    @property
    def is_active(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._since)

    def check(self, figures: Figures, elapsed_s: float) -> Aborted | None:
        """Return why the load is to be stopped now; None if it is to go on."""
        for threshold, since_s in self._since:
            judged = threshold.give_up(figures) if elapsed_s >= since_s else None
            if judged is not None:
                return Aborted(judged=judged, at_s=elapsed_s)
        return None


def apply_abort(judged: Sequence[Judged], aborted: Aborted | None) -> list[Judged]:
    """Return the judgements, with the one that stopped the load as it was then.

    Responses that were still in flight may have brought its figure back within the limit.
    """
    stopped = None if aborted is None else aborted.judged
    if stopped is None:
        return list(judged)
    return [
        stopped
        if each.threshold is stopped.threshold and each.verdict is not Verdict.FAIL
        else each
        for each in judged
    ]


_UNITS: Mapping[MetricKind, Mapping[str, float]] = {
    MetricKind.DURATION: {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3},
    MetricKind.RATIO: {"": 1.0, "%": 0.01},
    MetricKind.COUNT: {"": 1.0},
    MetricKind.RATE: {"": 1.0, "/s": 1.0},
}

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_UPPER = ("<", "<=", "==")
_POINTS = ("==", "!=")
"""Operators that compare with a single value."""

_GRAMMAR = re.compile(
    r"\s*(?:(?P<stage>[A-Za-z0-9_-]+)\s*:)?\s*(?P<metric>[A-Za-z_][\w.@\-]*)"
    r"\s*(?P<operator><=|>=|==|!=|<|>)"
    r"\s*(?P<value>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(?P<unit>[a-zA-Z%/]*)\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedThreshold(Threshold):
    """A threshold of the scenario, its expression parsed.

    Attributes:
        metric: What is measured.
        operator: How it is compared with the limit.
        limit: In milliseconds, as a share of 1, a number, or a number per second.
    """

    metric: Metric
    operator: str
    limit: float

    @property
    def unit(self) -> str:
        """The unit of the limit, as the results file names it."""
        unit = {
            MetricKind.DURATION: "ms",
            MetricKind.RATIO: "ratio",
            MetricKind.RATE: "1/s",
            MetricKind.COUNT: "count",
        }
        return unit[self.metric.kind]

    @property
    def is_upper(self) -> bool:
        """Whether the limit is an upper one."""
        return self.operator in _UPPER

    def judge(self, figures: Figures) -> Judged:
        """Compare the measured figure with the limit."""
        measured = figures.measure(self.metric)
        return Judged(threshold=self, measured=measured, verdict=self._verdict(measured))

    def _verdict(self, measured: BoundedFigure | None) -> Verdict:
        if measured is None:
            return Verdict.UNKNOWN
        _, low, high = measured
        ends = {_OPERATORS[self.operator](end, self.limit) for end in (low, high)}
        if self.operator in _POINTS and low < self.limit < high:
            ends = {True, False}
        if len(ends) > 1:
            return Verdict.UNKNOWN
        return Verdict.PASS if ends == {True} else Verdict.FAIL

    def give_up(self, figures: Figures) -> Judged | None:
        """Return the judgement if it must stop the load; None if the load is to go on."""
        judged = self.judge(figures)
        if judged.measured is None or judged.verdict is not Verdict.FAIL:
            return None
        # a count that may still grow to its limit does not break it
        waits = self.metric.grows and judged.measured.value < self.limit
        return None if waits else judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A threshold and its verdict.

    Attributes:
        threshold: The threshold.
        measured: The figure, in the unit of the limit; None without a sample.
        verdict: Whether the threshold holds.
    """

    threshold: ParsedThreshold
    measured: BoundedFigure | None
    verdict: Verdict

    @property
    def value(self) -> float | None:
        """The figure as measured; None without a sample."""
        return None if self.measured is None else self.measured.value

    @property
    def own_delay_ms(self) -> float | None:
        """The generator's own delay, if it keeps a latency from being judged; None if not."""
        metric, measured = self.threshold.metric, self.measured
        ours = metric.kind is MetricKind.DURATION and metric.scope not in OWN_SCOPES
        if measured is None or self.verdict is not Verdict.UNKNOWN or not ours:
            return None
        return measured.value - measured.low

    def to_json(self) -> dict[str, Any]:
        """Return the judgement as the results file holds it."""
        return {
            "expression": self.threshold.check,
            **{
                name: None if figure is None or math.isinf(figure) else figure
                for name, figure in zip(
                    ("measured", "low", "high"), self.measured or (None, None, None), strict=True
                )
            },
            "unit": self.threshold.unit,
            "verdict": self.verdict.value,
            "own_delay_ms": self.own_delay_ms,
        }


class Figures(Protocol):
    """Where measured figures are looked up."""

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        """Return the figure in the unit of :attr:`ParsedThreshold.limit`; None if there is none."""


def parse(given: Threshold, words: MetricNames) -> ParsedThreshold | Problem:
    """Return a threshold with its expression parsed, or what is wrong with it.

    Args:
        given: The threshold.
        words: The names of steps and stages.
    """
    expression = given.check
    match = _GRAMMAR.fullmatch(expression)
    if match is None:
        return Problem(
            message=f'"{expression}" is not a threshold',
            remedy='expected METRIC OPERATOR VALUE, e.g. "uploadEvents.p99 < 250ms", '
            '"error_rate < 0.1%" or "lost == 0"; "STAGE: …" for one stage of the load',
        )
    metric = parse_metric(match["stage"] or "", match["metric"], words)
    if isinstance(metric, Problem):
        return metric
    units = _UNITS[metric.kind]
    if match["unit"] not in units:
        said = f'the unit "{match["unit"]}"' if match["unit"] else "no unit"
        return Problem(message=f'"{expression}" has {said}', remedy=f"expected {metric.kind.value}")
    threshold = ParsedThreshold(
        check=expression,
        abort=given.abort,
        grace_s=given.grace_s,
        metric=metric,
        operator=match["operator"],
        # 0.7% is 0.007: times 0.01 it would be a little less, and 7 of 1,000 above it
        limit=float(Decimal(match["value"]) * Decimal(str(units[match["unit"]]))),
    )
    return (given.abort and _never_aborts(threshold)) or threshold


def parse_all(
    given: Sequence[Threshold], words: MetricNames
) -> tuple[tuple[ParsedThreshold, ...], dict[int, Problem]]:
    """Return the thresholds that parse, and the problems of the others by index."""
    thresholds, problems = [], {}
    for index, threshold in enumerate(given):
        parsed = parse(threshold, words)
        if isinstance(parsed, Problem):
            problems[index] = parsed
        else:
            thresholds.append(parsed)
    return tuple(thresholds), problems


def _never_aborts(threshold: ParsedThreshold) -> Problem | None:
    """Return why a load can never be stopped for this threshold; None if it can."""
    metric = threshold.metric
    remedy = "leave out abort = true"
    if metric.known is Availability.AFTERWARDS:
        message = f'"{metric.name}" is only known when the load has ended: it cannot abort it'
        return Problem(message=message, remedy=remedy)
    if metric.grows and not threshold.is_upper:
        message = f'"{metric.name}" only grows: until the load has ended it may still get there'
        return Problem(message=message, remedy=remedy)
    return None
