"""The metrics that a threshold can name, and the kind of limit that each takes.

``uploadEvents.p99``, ``uploadEvents.service_time.max``, ``error_rate``, ``visible.p95``; for the
whole run, or for the copies that fell due in one stage of the load (``burst: uploadEvents.p99``).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from loadcheck.errors import Problem, did_you_mean


class MetricKind(enum.Enum):
    """What a metric measures, and so which units its limit may have."""

    DURATION = "a duration: 250ms, 1.5s, 800us, 2m"
    RATIO = "a share: 0.1% or 0.001"
    COUNT = "a whole number"
    RATE = "a rate: 500/s or 500"


class Availability(enum.Enum):
    """When a figure is known."""

    MEANWHILE = "while the load goes on, for each stage too"
    OVERALL = "while the load goes on, for the run as a whole"
    AFTERWARDS = "when the load has ended, for the run as a whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric, parsed.

    Attributes:
        name: As written, without its stage.
        kind: What it measures.
        known: When it is known.
        stage: The stage whose copies it is about; "" for the whole run.
        scope: A step id, "lateness", "visible" (acknowledged until counted), one of the other
            :data:`OWN_SCOPES`, or "" for the run as a whole.
        time: One of :data:`TIMES`, or "" for the headline one.
        percentile: 0 to 100; None if it is not a statistic of a duration.
        grows: Whether it is a count that only ever grows.
    """

    name: str
    kind: MetricKind
    known: Availability = Availability.MEANWHILE
    stage: str = ""
    scope: str = ""
    time: str = ""
    percentile: float | None = None
    grows: bool = False


class BoundedFigure(NamedTuple):
    """A figure, with bounds that allow for everything that is not the target's doing.

    Attributes:
        value: As measured, in the unit of a threshold's limit.
        low: The least that it can be; for a latency, without the generator's own delay.
        high: The most that it can be.
    """

    value: float
    low: float
    high: float

    @classmethod
    def exactly(cls, value: float | None) -> BoundedFigure | None:
        """Return a figure without any uncertainty; None if there is no figure."""
        return None if value is None else cls(value, value, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricNames:
    """The names that a scenario's thresholds may use.

    Attributes:
        steps: The step ids of the workflow.
        undue: Steps that have no due time of their own, and so no response time.
        stages: The stages of the load.
        together: Whether they are about all flows of a mix, whose steps have no names in common:
            times are then named without a step.
    """

    steps: Collection[str]
    undue: Collection[str] = ()
    stages: Collection[str] = ()
    together: bool = False


_MEANWHILE: Mapping[str, MetricKind] = {
    "error_rate": MetricKind.RATIO,
    "rate": MetricKind.RATE,
    "rate_ratio": MetricKind.RATIO,
    "started": MetricKind.COUNT,
    "skipped": MetricKind.COUNT,
    "acknowledged": MetricKind.COUNT,
    "rejected": MetricKind.COUNT,
    "indeterminate": MetricKind.COUNT,
}
_OVERALL = ("retries", "max_in_flight")
COUNTED = ("uniques", "lost", "recovered", "unexpected", "duplicated", "missing_events")
_RUN_METRICS: Mapping[str, Metric] = {
    **{
        name: Metric(name=name, kind=kind, grows=kind is MetricKind.COUNT)
        for name, kind in _MEANWHILE.items()
    },
    **{
        name: Metric(name=name, kind=MetricKind.COUNT, known=Availability.OVERALL, grows=True)
        for name in _OVERALL
    },
    **{
        name: Metric(name=name, kind=MetricKind.COUNT, known=Availability.AFTERWARDS)
        for name in COUNTED
    },
}
_STEP_METRICS: Mapping[str, MetricKind] = {
    "error_rate": MetricKind.RATIO,
    "rate": MetricKind.RATE,
    "attempts": MetricKind.COUNT,
    "succeeded": MetricKind.COUNT,
}
OWN_SCOPES: Mapping[str, Availability] = {
    "lateness": Availability.MEANWHILE,
    "dispatch_lag": Availability.MEANWHILE,
    "loop_lag": Availability.OVERALL,
    "gc_pauses": Availability.OVERALL,
    "visible": Availability.AFTERWARDS,
}
"""Distributions that belong to no step: the generator's own, and the visibility lag."""
TIMES = ("response_time", "service_time", "failed", "throttled")
"""Distributions of a step: successes from due and from sent, failures and 429s from sent."""
_STATISTICS = ("p50", "p90", "p95", "p99", "p99.9", "p99.99", "max")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")

MEANINGS: Mapping[str, str] = {
    "error_rate": "Share of the finished copies that were rejected or are indeterminate.",
    "rate": "Copies started per second.",
    "rate_ratio": "Achieved rate over target rate.",
    "started": "Copies started.",
    "skipped": "Copies due, but not sent: too many were in flight, or the generator paused.",
    "acknowledged": "Copies that the service accepted.",
    "rejected": "Copies that certainly had no effect: refused, or never sent.",
    "indeterminate": "Copies that may or may not have taken effect.",
    "retries": "Attempts beyond the first of each copy.",
    "max_in_flight": "The most copies in flight at once.",
    "uniques": "Unique users that the service counts.",
    "lost": "Acknowledged users that are provably missing.",
    "recovered": "Users that are counted without an acknowledgement.",
    "unexpected": "Users counted beyond all that can be.",
    "duplicated": "Events counted more often than they were sent.",
    "missing_events": "Missing events of users that are counted.",
    "STEP.error_rate": "Share of a step's attempts that failed.",
    "STEP.rate": "Attempts of a step per second.",
    "STEP.attempts": "Attempts of a step.",
    "STEP.succeeded": "Attempts of a step whose success criteria held.",
    "STEP.p99": "A percentile of a step's response time; also p50, p99.9, max …",
    "STEP.response_time.p99": "The same, written out: from due to done, of successes.",
    "STEP.service_time.p99": "From sent to done, of successes.",
    "STEP.failed.p99": "From sent to done, of attempts that failed.",
    "STEP.throttled.p99": "From sent to done, of answers 429.",
    "workflow.p99": "The same of copies as a whole: from due to the end of the last step, without "
    "think time, of those that succeeded; also workflow.error_rate and the like.",
    "lateness.p99": "How long after they were due requests were sent.",
    "dispatch_lag.p99": "How long after they were due copies were started: loadcheck's own delay.",
    "loop_lag.p99": "How long loadcheck's event loop was blocked.",
    "gc_pauses.p99": "Pauses of Python's garbage collector.",
    "visible.p99": "From acknowledgement until counted.",
    "p99": "Only in together.thresholds, as service_time.p99, failed.p99 and throttled.p99: of the "
    "requests of all flows of a mix.",
}
"""What each metric means; p99 stands for every percentile and for max."""


def described() -> Iterator[tuple[str, MetricKind, Availability]]:
    """Yield every metric: its name as in :data:`MEANINGS`, what it measures, when it is known."""
    for name, metric in _RUN_METRICS.items():
        yield name, metric.kind, metric.known
    for name, kind in _STEP_METRICS.items():
        yield f"STEP.{name}", kind, Availability.MEANWHILE
    for time in ("", *TIMES):
        yield (
            ".".join(filter(None, ("STEP", time, "p99"))),
            MetricKind.DURATION,
            Availability.MEANWHILE,
        )
    yield "workflow.p99", MetricKind.DURATION, Availability.MEANWHILE
    yield "p99", MetricKind.DURATION, Availability.OVERALL
    for name, known in OWN_SCOPES.items():
        yield f"{name}.p99", MetricKind.DURATION, known


def parse_metric(stage: str, name: str, words: MetricNames) -> Metric | Problem:
    """Return the metric that a name means, or what is wrong with it.

    Args:
        stage: The stage before the colon; "" if there is none.
        name: What follows it.
        words: The names that are known.
    """
    if stage and stage not in words.stages:
        remedy = "only an open load has stages"
        if words.together:
            remedy = "stages are a flow's own: say it in the flow's thresholds"
        if words.stages:
            remedy = did_you_mean(stage, words.stages)
        return Problem(message=f'unknown stage "{stage}"', remedy=remedy)
    metric = _metric(name, words)
    if isinstance(metric, Problem) or not stage:
        return metric
    if metric.known is not Availability.MEANWHILE:
        message = f'"{name}" is known {metric.known.value.partition(", ")[2]}, not for a stage'
        return Problem(message=message, remedy=f'leave out "{stage}:"')
    return replace(metric, stage=stage)


def _metric(name: str, words: MetricNames) -> Metric | Problem:
    if name in _RUN_METRICS:
        return _RUN_METRICS[name]
    # a step id may itself hold dots: take the longest one that fits
    scopes = sorted((*words.steps, *OWN_SCOPES), key=len, reverse=True)
    scope = next((scope for scope in scopes if name.startswith(f"{scope}.")), None)
    if scope is None and words.together:
        time = next((time for time in TIMES if name.startswith(f"{time}.")), "")
        percentile = _percentile(name[len(time) + 1 :] if time else name)
        if percentile is not None:
            return Metric(name=name, kind=MetricKind.DURATION, time=time, percentile=percentile)
    if scope is None:
        known = [*_RUN_METRICS, *(f"{scope}.p99" for scope in (*words.steps, *OWN_SCOPES))]
        if words.together:
            known += [f"{time}.p99" if time else "p99" for time in ("", *TIMES)]
        remedy = did_you_mean(name, known)
        if words.together and "." in name:
            remedy += "; the figures of a step are a flow's own: say it in the flow's thresholds"
        return Problem(message=f'unknown metric "{name}"', remedy=remedy)
    rest = name[len(scope) + 1 :]
    if scope in words.steps:
        return _of_step(name, scope, rest, words)
    percentile = _percentile(rest)
    if percentile is None:
        return _unknown(rest, scope, _STATISTICS)
    return Metric(
        name=name,
        kind=MetricKind.DURATION,
        known=OWN_SCOPES[scope],
        scope=scope,
        percentile=percentile,
    )


def _of_step(name: str, step: str, rest: str, words: MetricNames) -> Metric | Problem:
    if rest in _STEP_METRICS:
        kind = _STEP_METRICS[rest]
        return Metric(name=name, kind=kind, scope=step, grows=kind is MetricKind.COUNT)
    time = next((time for time in TIMES if rest.startswith(f"{time}.")), "")
    statistic = rest[len(time) + 1 :] if time else rest
    percentile = _percentile(statistic)
    if percentile is None:
        known = _STATISTICS if time else (*_STATISTICS, *_STEP_METRICS)
        spelled = tuple(f"{time}.{word}" if time else word for word in known)
        return _unknown(rest, step, spelled)
    if time == "response_time" and step in words.undue:
        return Problem(
            message=f"{step} has no response time: it is due when the step before it has ended",
            remedy=f'its service time is "{step}.{statistic}"',
        )
    return Metric(name=name, kind=MetricKind.DURATION, scope=step, time=time, percentile=percentile)


def _unknown(figure: str, scope: str, known: Collection[str]) -> Problem:
    return Problem(
        message=f'unknown figure "{figure}" of {scope}', remedy=did_you_mean(figure, known)
    )


def _percentile(statistic: str) -> float | None:
    if statistic == "max":
        return 100.0
    match = _PERCENTILE.fullmatch(statistic)
    return float(match[1]) if match else None
