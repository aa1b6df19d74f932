"""Converts snapshots to OpenTelemetry's data model.

Source: OpenTelemetry specification, "Metrics Data Model". Durations are seconds, as its semantic
conventions ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from loadcheck import __version__
from loadcheck.measure.histogram import Counts
from loadcheck.report.metrics import (
    BOUNDS_S,
    DESCRIPTIONS,
    Distribution,
    Series,
    Snapshot,
    bucketed,
    middles_s,
)

_FINEST_SCALE = 6
_MAX_BUCKETS = 160
_NS = 1e-9

_Numbers = npt.NDArray[np.int64]
_Values = npt.NDArray[np.float64]


def metrics(
    now: Snapshot,
    since: Snapshot | None,
    *,
    began_ns: int,
    resource: Resource,
    exponential: bool,
) -> export.MetricsData:
    """Return a snapshot as metrics.

    Args:
        now: The snapshot.
        since: The previous snapshot, for counts since then; None for cumulative ones.
        began_ns: When counting began, in ns since the epoch.
        resource: The source of the metrics.
        exponential: Whether histograms have exponential buckets.
    """
    temporality = (
        export.AggregationTemporality.CUMULATIVE
        if since is None
        else export.AggregationTemporality.DELTA
    )
    start_ns = began_ns if since is None else since.time_ns
    point = _exponential if exponential else _explicit
    found = [
        *_sums(now, since, start_ns, temporality),
        *(
            _metric(
                name,
                export.Gauge(
                    data_points=[
                        _number(labels, value, start_ns, now.time_ns) for labels, value in values
                    ]
                ),
            )
            for name, values in _by_name(now.levels)
        ),
        *_histograms(now, since, start_ns, temporality, point),
    ]
    scope = InstrumentationScope("loadcheck", __version__)
    of_scope = export.ScopeMetrics(scope=scope, metrics=found, schema_url="")
    return export.MetricsData(
        resource_metrics=[
            export.ResourceMetrics(resource=resource, scope_metrics=[of_scope], schema_url="")
        ]
    )


def _sums(
    now: Snapshot,
    since: Snapshot | None,
    start_ns: int,
    temporality: export.AggregationTemporality,
) -> list[export.Metric]:
    before = since.totals if since is not None else {}
    return [
        _metric(
            name,
            export.Sum(
                data_points=[
                    _number(labels, value - before.get((name, labels), 0), start_ns, now.time_ns)
                    for labels, value in values
                ],
                aggregation_temporality=temporality,
                is_monotonic=True,
            ),
        )
        for name, values in _by_name(now.totals)
    ]


def _histograms(
    now: Snapshot,
    since: Snapshot | None,
    start_ns: int,
    temporality: export.AggregationTemporality,
    point: Callable[..., Any],
) -> list[export.Metric]:
    kind: Any = export.ExponentialHistogram if point is _exponential else export.Histogram
    found = []
    for name, values in _by_name(now.times):
        points = []
        for labels, times in values:
            before = since.times.get((name, labels)) if since is not None else None
            counts, seconds, least, most = _buckets(times, before)
            if counts.size:
                at = {"start_time_unix_nano": start_ns, "time_unix_nano": now.time_ns}
                extremes = {"min": least, "max": most, "sum": float(counts @ seconds)}
                points.append(
                    point(counts, seconds, {"attributes": dict(labels), **at, **extremes})
                )
        if points:
            found.append(
                _metric(name, kind(data_points=points, aggregation_temporality=temporality))
            )
    return found


def _buckets(
    times: Distribution, before: Distribution | None
) -> tuple[_Numbers, _Values, float, float]:
    """Return the counts above zero, the seconds they stand for, and the extremes."""
    counts: Counts = times.counts if before is None else times.counts - before.counts
    places = np.flatnonzero(counts)
    seconds = middles_s()[places]
    if before is not None and places.size:
        # the extremes of an interval are known only to the width of a bucket
        least, most = float(seconds[0]), float(seconds[-1])
    else:
        least, most = times.least_ns * _NS, times.most_ns * _NS
    return counts[places].astype(np.int64), seconds, least, most


def _explicit(counts: _Numbers, seconds: _Values, common: dict[str, Any]) -> Any:
    return export.HistogramDataPoint(
        count=int(counts.sum()),
        bucket_counts=bucketed(counts, seconds),
        explicit_bounds=BOUNDS_S,
        **common,
    )


def _exponential(counts: _Numbers, seconds: _Values, common: dict[str, Any]) -> Any:
    """Return a point whose bucket i holds values above base**i, up to base**(i+1)."""
    positive = seconds > 0
    logs = np.log2(seconds[positive])
    scale, indexes = _FINEST_SCALE, np.zeros(0, dtype=np.int64)
    while logs.size:
        indexes = np.ceil(logs * 2.0**scale).astype(np.int64) - 1
        if indexes[-1] - indexes[0] < _MAX_BUCKETS:
            break
        scale -= 1
    offset = int(indexes[0]) if indexes.size else 0
    inside = np.zeros(int(indexes[-1]) - offset + 1 if indexes.size else 0, dtype=np.int64)
    np.add.at(inside, indexes - offset, counts[positive])
    return export.ExponentialHistogramDataPoint(
        count=int(counts.sum()),
        scale=scale,
        zero_count=int(counts[~positive].sum()),
        positive=export.Buckets(offset=offset, bucket_counts=inside.tolist()),
        negative=export.Buckets(offset=0, bucket_counts=[]),
        flags=0,
        **common,
    )


def _by_name(
    values: Mapping[Series, Any],
) -> Iterable[tuple[str, list[tuple[Any, Any]]]]:
    """Yield each metric's name, with the attributes and values of its points."""
    ordered = sorted(values.items(), key=lambda item: item[0][0])
    for name, group in groupby(ordered, key=lambda item: item[0][0]):
        yield name, [(labels, value) for (_, labels), value in group]


def _number(
    labels: Sequence[tuple[str, str | int]], value: int, start_ns: int, time_ns: int
) -> export.NumberDataPoint:
    return export.NumberDataPoint(
        attributes=dict(labels),
        start_time_unix_nano=start_ns,
        time_unix_nano=time_ns,
        value=value,
    )


def _metric(name: str, data: Any) -> export.Metric:
    description, unit = DESCRIPTIONS[name]
    return export.Metric(name=name, description=description, unit=unit, data=data)
