"""The figures of a run at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure import Histogram
from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, Counts, layout
from loadcheck.measure.record import Record
from loadcheck.report.metrics import BOUNDS_S

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

    def to_json(self) -> dict[str, Any]:
        """Return it for another process: names, attributes and numbers; times in buckets."""
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
        time_ns: Now, since the epoch.
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
