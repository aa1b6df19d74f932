"""The figures of a run at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loadcheck.measure import Histogram
from loadcheck.measure.histogram import Counts
from loadcheck.measure.record import Record

Labels = tuple[tuple[str, str | int], ...]
"""A data point's attributes, in an order that makes them comparable."""

Series = tuple[str, Labels]
"""The name of a metric, and the attributes of one of its data points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A histogram's buckets and extremes."""

    counts: Counts
    least_ns: int
    most_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that is exported.

    Attributes:
        time_ns: Since the epoch.
        totals: What only grows.
        levels: What is so at this instant.
        times: Durations.
    """

    time_ns: int
    totals: Mapping[Series, int]
    levels: Mapping[Series, int]
    times: Mapping[Series, Distribution]


def snapshot(record: Record, time_ns: int) -> Snapshot:
    """Return the figures of a run as they are now."""
    totals: dict[Series, int] = {
        ("loadcheck.copies.due", ()): record.due,
        ("loadcheck.copies.started", ()): record.started,
        ("loadcheck.retries", ()): record.retries,
    }
    for outcome in ("acknowledged", "rejected", "indeterminate", "skipped"):
        totals["loadcheck.copies", (("loadcheck.outcome", outcome),)] = getattr(record, outcome)
    levels: dict[Series, int] = {("loadcheck.copies.in_flight", ()): record.in_flight}
    if record.uniques is not None:
        levels["loadcheck.users.counted", ()] = record.uniques
    times: dict[Series, Distribution] = {("loadcheck.lateness", ()): _taken(record.lateness)}
    for step in (*record.steps, *([record.queries] if record.queries else [])):
        named = (("loadcheck.step", step.step_id),)
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
