"""Limits that a run must keep: ``uploadEvents.p99 < 250ms``, ``lost == 0``, ``visible.p95 < 60s``.

The grammar is ``METRIC OPERATOR VALUE[UNIT]``. A metric's kind decides which units are understood.
A threshold whose metric has no sample is unknown: k6 lets it pass, and its users complain.
"""

from __future__ import annotations

import enum
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from loadcheck.errors import Problem, did_you_mean
from loadcheck.verify.verdict import Verdict


class Kind(enum.Enum):
    """What a metric measures, and so which units its limit may have."""

    DURATION = "a duration: 250ms, 1.5s, 800us, 2m"
    RATIO = "a share: 0.1% or 0.001"
    COUNT = "a whole number"
    RATE = "a rate: 500/s or 500"


_UNITS: Mapping[Kind, Mapping[str, float]] = {
    Kind.DURATION: {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3},
    Kind.RATIO: {"": 1.0, "%": 0.01},
    Kind.COUNT: {"": 1.0},
    Kind.RATE: {"": 1.0, "/s": 1.0},
}

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

_RUN_METRICS: Mapping[str, Kind] = {
    "error_rate": Kind.RATIO,
    "rate": Kind.RATE,
    "rate_ratio": Kind.RATIO,
    "started": Kind.COUNT,
    "skipped": Kind.COUNT,
    "acknowledged": Kind.COUNT,
    "rejected": Kind.COUNT,
    "indeterminate": Kind.COUNT,
    "retries": Kind.COUNT,
    "uniques": Kind.COUNT,
    "lost": Kind.COUNT,
    "recovered": Kind.COUNT,
    "unexpected": Kind.COUNT,
    "duplicated": Kind.COUNT,
}

_GRAMMAR = re.compile(
    r"\s*(?P<metric>[A-Za-z_][\w.\-]*)\s*(?P<operator><=|>=|==|!=|<|>)"
    r"\s*(?P<value>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(?P<unit>[a-zA-Z%/]*)\s*"
)
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
_OWN_SCOPES = ("lateness", "visible")
_TIMES = ("response_time", "service_time")
_STATISTICS = ("p50", "p90", "p95", "p99", "p99.9", "p99.99", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric taken apart.

    Attributes:
        name: As written.
        kind: What it measures.
        scope: A step id, "lateness", "visible" (acknowledged until counted), or "" for the run as
            a whole.
        time: "response_time", "service_time", or "" for the headline one.
        percentile: 0 to 100; None if it is no statistic of a duration.
    """

    name: str
    kind: Kind
    scope: str = ""
    time: str = ""
    percentile: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One limit.

    Attributes:
        expression: As written.
        metric: What is measured.
        operator: How it is compared.
        limit: With what: milliseconds, a share of 1, a number, or a number per second.
    """

    expression: str
    metric: Metric
    operator: str
    limit: float

    @property
    def unit(self) -> str:
        """The unit of the limit, as the results file names it."""
        unit = {Kind.DURATION: "ms", Kind.RATIO: "ratio", Kind.RATE: "1/s", Kind.COUNT: "count"}
        return unit[self.metric.kind]

    def judge(self, figures: Figures) -> Judged:
        """Compare the measured figure with the limit."""
        measured = figures.measure(self.metric)
        if measured is None:
            verdict = Verdict.UNKNOWN
        else:
            held = _OPERATORS[self.operator](measured, self.limit)
            verdict = Verdict.PASS if held else Verdict.FAIL
        return Judged(threshold=self, measured=measured, verdict=verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A threshold and what came of it.

    Attributes:
        threshold: The threshold.
        measured: The figure, in the unit of the limit; None without a sample.
        verdict: What it came to.
        own_delay_ms: The generator's own delay that makes the figure no evidence; None if it does
            not.
    """

    threshold: Threshold
    measured: float | None
    verdict: Verdict
    own_delay_ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the judgement as the results file holds it."""
        return {
            "expression": self.threshold.expression,
            "measured": None
            if self.measured is None or math.isinf(self.measured)
            else self.measured,
            "unit": self.threshold.unit,
            "verdict": self.verdict.value,
            "own_delay_ms": self.own_delay_ms,
        }


class Figures(Protocol):
    """Where measured figures are looked up."""

    def measure(self, metric: Metric, /) -> float | None:
        """Return the figure in the unit of :attr:`Threshold.limit`; None if there is none."""


def parse(expression: str, steps: Collection[str]) -> Threshold | Problem:
    """Return the threshold that a text states, or what is wrong with it.

    Args:
        expression: The text.
        steps: The step ids of the workflow.
    """
    match = _GRAMMAR.fullmatch(expression)
    if match is None:
        return Problem(
            message=f'"{expression}" is not a threshold',
            remedy='expected METRIC OPERATOR VALUE, e.g. "uploadEvents.p99 < 250ms", '
            '"error_rate < 0.1%" or "lost == 0"',
        )
    metric = _metric(match["metric"], steps)
    if isinstance(metric, Problem):
        return metric
    units = _UNITS[metric.kind]
    if match["unit"] not in units:
        said = f'the unit "{match["unit"]}"' if match["unit"] else "no unit"
        return Problem(message=f'"{expression}" has {said}', remedy=f"expected {metric.kind.value}")
    return Threshold(
        expression=expression,
        metric=metric,
        operator=match["operator"],
        limit=float(match["value"]) * units[match["unit"]],
    )


def parse_all(
    expressions: Sequence[str], steps: Collection[str]
) -> tuple[tuple[Threshold, ...], dict[int, Problem]]:
    """Return the thresholds that parse, and what is wrong with the others by their index."""
    thresholds, problems = [], {}
    for index, expression in enumerate(expressions):
        parsed = parse(expression, steps)
        if isinstance(parsed, Problem):
            problems[index] = parsed
        else:
            thresholds.append(parsed)
    return tuple(thresholds), problems


def _metric(name: str, steps: Collection[str]) -> Metric | Problem:
    if name in _RUN_METRICS:
        return Metric(name=name, kind=_RUN_METRICS[name])
    # a step id may itself hold dots: take the longest one that fits
    scopes = sorted((*steps, *_OWN_SCOPES), key=len, reverse=True)
    scope = next((scope for scope in scopes if name.startswith(f"{scope}.")), None)
    if scope is None:
        known = [*_RUN_METRICS, *(f"{scope}.p99" for scope in (*steps, *_OWN_SCOPES))]
        return Problem(message=f'unknown metric "{name}"', remedy=did_you_mean(name, known))
    rest = name[len(scope) + 1 :]
    if scope not in _OWN_SCOPES:
        if rest == "error_rate":
            return Metric(name=name, kind=Kind.RATIO, scope=scope)
        if rest == "rate":
            return Metric(name=name, kind=Kind.RATE, scope=scope)
    time = next((time for time in _TIMES if rest.startswith(f"{time}.")), "")
    statistic = rest[len(time) + 1 :] if time else rest
    percentile = _percentile(statistic)
    if percentile is None or (time and scope in _OWN_SCOPES):
        known = [*_STATISTICS] if scope in _OWN_SCOPES else [*_STATISTICS, "error_rate", "rate"]
        return Problem(
            message=f'unknown figure "{rest}" of {scope}', remedy=did_you_mean(rest, known)
        )
    return Metric(name=name, kind=Kind.DURATION, scope=scope, time=time, percentile=percentile)


def _percentile(statistic: str) -> float | None:
    if statistic == "max":
        return 100.0
    match = _PERCENTILE.fullmatch(statistic)
    return float(match[1]) if match else None
