"""The metrics of a run: descriptions, values, Prometheus exposition, and a Grafana dashboard.

Source: "Prometheus exposition formats", text format 0.0.4, and OpenTelemetry's "Prometheus and
OpenMetrics Compatibility" for how names, units and attributes are written there. A snapshot holds
their values at one instant of a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, Counts, Histogram, layout
from loadcheck.measure.record import Record

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

Labels = tuple[tuple[str, str | int], ...]
"""A data point's attributes, in an order that makes them comparable."""

Series = tuple[str, Labels]
"""The name of a metric, and the attributes of one of its data points."""


_US = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A histogram's buckets and extremes."""

    counts: Counts
    least_ns: int
    most_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The values of all metrics at one instant.

    Attributes:
        time_ns: The instant, in ns since the epoch.
        totals: Counters, which only grow.
        levels: Gauges.
        times: Distributions of durations.
    """

    time_ns: int
    totals: Mapping[Series, int]
    levels: Mapping[Series, int]
    times: Mapping[Series, Distribution]

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot for another process: names, attributes, numbers; times in buckets."""
        times = []
        for (name, labels), taken in self.times.items():
            places = np.flatnonzero(taken.counts)
            counts, seconds = taken.counts[places].astype(np.int64), middles_s()[places]
            total_s = float(counts @ seconds)
            times.append([name, dict(labels), bucketed(counts, seconds), total_s])
        return {
            kind: [[name, dict(labels), number] for (name, labels), number in values.items()]
            for kind, values in (("totals", self.totals), ("levels", self.levels))
        } | {"times": times}


def bucketed(counts: Numbers, seconds: Values) -> list[int]:
    """Return how many samples are in each bucket, and beyond the last of :data:`BOUNDS_S`."""
    places = np.searchsorted(BOUNDS_S, seconds, side="left")
    inside = np.bincount(places, weights=counts, minlength=len(BOUNDS_S) + 1)
    found: list[int] = inside.astype(np.int64).tolist()
    return found


@cache
def middles_s() -> Values:
    """Return the seconds in the middle of each of a histogram's buckets."""
    buckets = layout(SIGNIFICANT_DIGITS)
    middles: Values = (buckets.lowest_us + buckets.highest_us) / 2 * _US
    return middles


def snapshot(record: Record, time_ns: int, flow: str = "") -> Snapshot:
    """Return the figures of a run as they are now.

    Args:
        record: What has been measured.
        time_ns: Now, in ns since the epoch.
        flow: Which flow of a mix the run is: an attribute of all its figures; "" for none.
    """
    own: Labels = (("loadcheck.flow", flow),) if flow else ()
    totals: dict[Series, int] = {
        ("loadcheck.copies.due", own): record.due,
        ("loadcheck.copies.started", own): record.started,
        ("loadcheck.retries", own): record.retries,
    }
    for outcome in ("acknowledged", "rejected", "indeterminate", "skipped"):
        labels = (*own, ("loadcheck.outcome", outcome))
        totals["loadcheck.copies", labels] = getattr(record, outcome)
    levels: dict[Series, int] = {("loadcheck.copies.in_flight", own): record.in_flight}
    if record.uniques is not None:
        levels["loadcheck.users.counted", own] = record.uniques
    times: dict[Series, Distribution] = {("loadcheck.lateness", own): _taken(record.lateness)}
    beside = [each for each in (record.queries, record.workflow) if each is not None]
    for step in (*record.steps, *beside):
        named = (*own, ("loadcheck.step", step.step_id))
        for answer, number in step.answers.items():
            key = "http.response.status_code" if isinstance(answer, int) else "error.type"
            totals["loadcheck.requests", (*named, (key, answer))] = number
        if step.response_time is not None:
            times["loadcheck.response_time", named] = _taken(step.response_time)
        for kind in ("service_time", "failed", "throttled"):
            result = "succeeded" if kind == "service_time" else kind
            labels = (*named, ("loadcheck.result", result))
            times["loadcheck.request.duration", labels] = _taken(getattr(step, kind))
    return Snapshot(time_ns=time_ns, totals=totals, levels=levels, times=times)


def _taken(times: Histogram) -> Distribution:
    return Distribution(counts=times.counts(), least_ns=times.min_ns, most_ns=times.max_ns)


DESCRIPTIONS: Mapping[str, tuple[str, str]] = {
    "loadcheck.copies": ("Copies of the workflow that have ended, by outcome.", "{copy}"),
    "loadcheck.copies.due": ("Copies that have fallen due.", "{copy}"),
    "loadcheck.copies.started": ("Copies that were started.", "{copy}"),
    "loadcheck.copies.in_flight": ("Copies under way.", "{copy}"),
    "loadcheck.retries": ("Attempts beyond the first of a step.", "{request}"),
    "loadcheck.requests": ("Requests by step and answer.", "{request}"),
    "loadcheck.users.counted": ("Users of this run that the service counts.", "{user}"),
    "loadcheck.response_time": ("From when a copy was due until its success.", "s"),
    "loadcheck.request.duration": ("From when a request was sent until its answer.", "s"),
    "loadcheck.lateness": ("From due to sent: delay of the load generator.", "s"),
}
"""Description and unit of each metric."""

BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper edges of the buckets of a histogram that is not exponential, in seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_UNITS = {"s": "seconds"}
"""Units that become part of a name; those in braces only say what is counted."""
_ODD = re.compile(r"[^a-zA-Z0-9_]")

Metrics = Mapping[str, Any]


def dashboard() -> str:
    """Return the dashboard, to be imported into Grafana, as JSON."""
    return files("loadcheck.report").joinpath("grafana.json").read_text(encoding="utf-8")


def exposition(metrics: Metrics, resource: Mapping[str, str]) -> str:
    """Return metrics in the format that Prometheus scrapes.

    Args:
        metrics: A snapshot as JSON.
        resource: Attributes of the source of the metrics, written once, as OpenTelemetry's
            ``target_info``; ``job`` and ``instance`` are added by the scraper.
    """
    lines = [
        "# HELP target_info Target metadata",
        "# TYPE target_info gauge",
        f"target_info{_labels(resource)} 1",
    ]
    for kind, shape in (("totals", "counter"), ("levels", "gauge"), ("times", "histogram")):
        ordered = sorted(metrics.get(kind, ()), key=lambda each: each[0])
        for name, group in groupby(ordered, key=lambda each: each[0]):
            metric = written(name, counter=kind == "totals")
            lines.append(f"# HELP {metric} {DESCRIPTIONS[name][0]}")
            lines.append(f"# TYPE {metric} {shape}")
            for _, labels, *value in group:
                lines += _samples(metric, labels, value)
    return "\n".join(lines) + "\n"


def written(name: str, *, counter: bool) -> str:
    """Return the Prometheus name of a metric: with its unit, and ``_total`` for a counter."""
    unit = _UNITS.get(DESCRIPTIONS[name][1], "")
    parts = [_ODD.sub("_", name), *([unit] if unit else []), *(["total"] if counter else [])]
    return "_".join(parts)


def _samples(name: str, labels: Mapping[str, Any], value: list[Any]) -> Iterator[str]:
    if len(value) == 1:
        yield f"{name}{_labels(labels)} {value[0]}"
        return
    buckets, total_s = value
    reached = 0
    for bound, number in zip((*map(repr, BOUNDS_S), "+Inf"), buckets, strict=True):
        reached += number
        yield f"{name}_bucket{_labels({**labels, 'le': bound})} {reached}"
    yield f"{name}_sum{_labels(labels)} {total_s!r}"
    yield f"{name}_count{_labels(labels)} {reached}"


def _labels(labels: Mapping[str, Any]) -> str:
    if not labels:
        return ""
    merged: dict[str, str] = {}
    for key, value in labels.items():
        name = _ODD.sub("_", key)
        # values of names that are equal only here are joined by OpenTelemetry's rules
        merged[name] = f"{merged[name]};{_escaped(value)}" if name in merged else _escaped(value)
    return "{" + ",".join(f'{name}="{value}"' for name, value in merged.items()) + "}"


def _escaped(value: object) -> str:
    text = str(value).replace("\\", "\\\\")
    return text.replace('"', '\\"').replace("\n", "\\n")
