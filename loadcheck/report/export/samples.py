"""The headline latency as HdrHistogram's tools print it, for its plotter and others.

The layout is that of ``AbstractHistogram.outputPercentileDistribution``; values are milliseconds.

The histograms of a result by name.

The timeline as comma-separated values: a row a second, a column a figure.

The histograms of a run as an HdrHistogram log, which its own readers and plotters understand.

A line for each histogram, distinguished by tags; format version 1.3 of ``HistogramLogWriter``.
Values inside the histograms are microseconds, the column of maxima is milliseconds.

What all belongs to intervals of the load has a line for each of them, at two significant digits.
The rest has one line for the whole run, at three: failed and refused requests, queries that go on
after the load, and everything in a file that keeps no intervals.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hdrh.histogram import HdrHistogram

from loadcheck.escaping import cell, printable_document
from loadcheck.measure.histogram import layout
from loadcheck.measure.intervals import DIGITS
from loadcheck.measure.timeline import COUNTS, FIGURES, LEVELS
from loadcheck.result import store as stored

_COLUMNS = (*COUNTS, *LEVELS, *FIGURES)


def csv_rows(document: Mapping[str, Any]) -> str:
    """Return the rows of a results document, with a header; times are UTC, ISO 8601.

    ``at`` is empty for files that do not say when the load began.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["second", "at", *_COLUMNS])
    timeline = stored.columns(document.get("timeline") or {"second": []}, "timeline")
    began_at = document["run"].get("load_began_at")
    began = stored.instant(began_at, "run.load_began_at") if began_at else None
    for place, second in enumerate(timeline["second"]):
        at = "" if began is None else _at(began + timedelta(seconds=second))
        # an older file may lack a column
        values = (timeline[name][place] if name in timeline else None for name in _COLUMNS)
        writer.writerow([cell(second), at, *("" if v is None else cell(v) for v in values)])
    return buffer.getvalue()


def _at(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hlog(document: Document) -> str:
    """Return the log of a results document."""
    document = printable_document(document)
    began = document["run"].get("load_began_at") or document["run"]["started_at"]
    epoch_s = stored.instant(began, "run.load_began_at").timestamp()
    duration_s = document["load"]["duration_s"] if "load" in document else 0.0
    lines = [
        f"#[Logged by loadcheck, run {document['run']['id']}]",
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {epoch_s:.3f} (seconds since epoch), {began}]",
        f"#[BaseTime: {epoch_s:.3f} (seconds since epoch)]",
        "#[Histogram values: microseconds; Interval_Max: milliseconds]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    whole = dict(histograms(document))
    found = list(_by_interval(document, whole))
    for _, _, name, *_ in found:
        whole.pop(name, None)
    for name, times in whole.items():
        # what is broken is reported, not handed on
        stored.histogram(times, name)
        found.append((0.0, duration_s, name, times["max_ms"] or 0.0, times["hdr"]))
    # readers expect them in the order of time
    lines += [
        f"Tag={_tag(name)},{begin_s:.3f},{length_s:.3f},{most_ms:.3f},{encoded}"
        for begin_s, length_s, name, most_ms, encoded in sorted(found)
    ]
    return "\n".join(lines) + "\n"


def _by_interval(
    document: Document, whole: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[float, float, str, float, str]]:
    """Yield begin, length, name, maximum and encoding of each interval that has samples."""
    intervals = document.get("intervals")
    if not intervals:
        return
    stored.columns(intervals, "intervals")
    columns: dict[str, Sequence[str | None]] = {"lateness": intervals["lateness"]}
    for name, step in intervals["steps"].items():
        columns |= {
            f"{name}.{kind}": step[kind] for kind in ("response_time", "service_time") if step[kind]
        }
    highest = layout(DIGITS).highest_us
    for name, texts in columns.items():
        counts = stored.intervals(texts, f"intervals: {name}")
        if name not in whole or int(counts.sum()) != whole[name]["count"]:
            continue
        for place, text in enumerate(texts):
            if text is None:
                continue
            begin_s = intervals["from_s"][place]
            most_us = int(highest[counts[place].nonzero()[0][-1]])
            yield begin_s, intervals["to_s"][place] - begin_s, name, most_us / 1e3, text


def _tag(name: str) -> str:
    """Return a name without what ends a tag."""
    return "".join("_" if character in ", " else character for character in name)


_TIMES = ("response_time", "service_time", "failed", "throttled")

Document = Mapping[str, Any]


def histograms(document: Document) -> dict[str, Mapping[str, Any]]:
    """Return the histograms that hold samples, ``uploadEvents.response_time`` and the like.

    The headline comes first: the response time of the step whose outcome is a copy's, or its
    service time if it has no due time of its own.
    """
    steps = document.get("steps", {})
    ingest = document["workflow"].get("ingest")
    ordered = sorted(steps, key=lambda name: name != ingest)
    found = {f"{name}.{kind}": steps[name][kind] for name in ordered for kind in _TIMES}
    if "generator" in document:
        found["lateness"] = document["generator"]["lateness"]
    return {name: times for name, times in found.items() if times and times["count"]}


_PER_MS = 1000
_TICKS_PER_HALF_DISTANCE = 5
_ALL = 100.0


def hgrm(document: Mapping[str, Any]) -> str:
    """Return the distribution of the ingest step's response time; its footer alone if empty."""
    name, times = next(iter(histograms(document).items()), ("", None))
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    if times is not None:
        # read by the checked way first: what is broken is reported
        encoded = stored.histogram(times, name).encode()
        histogram = HdrHistogram.decode(encoded.encode("ascii"))
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    total = histogram.get_total_count()
    # the iterator has nowhere to go in an empty histogram
    steps = histogram.get_percentile_iterator(_TICKS_PER_HALF_DISTANCE) if total else ()
    for step in steps:
        level = step.percentile_level_iterated_to
        line = (
            f"{step.value_iterated_to / _PER_MS:12.3f} {level / _ALL:2.12f} "
            f"{step.total_count_to_this_value:10d}"
        )
        lines.append(line if level >= _ALL else f"{line} {1 / (1 - level / _ALL):14.2f}")
    mean = histogram.get_mean_value() / _PER_MS if total else 0.0
    deviation = histogram.get_stddev() / _PER_MS if total else 0.0
    highest = histogram.get_max_value() / _PER_MS if total else 0.0
    buckets, sub_buckets = histogram.bucket_count, histogram.sub_bucket_count
    lines += [
        f"#[Mean    = {_finite(mean):12.3f}, StdDeviation   = {_finite(deviation):12.3f}]",
        f"#[Max     = {highest:12.3f}, Total count    = {total:12d}]",
        f"#[Buckets = {buckets:12d}, SubBuckets     = {sub_buckets:12d}]",
    ]
    if times is not None and times["above_range"]:
        lines.append(f"#[Samples above one hour, not in it: {times['above_range']}]")
    return "\n".join(lines) + "\n"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


_CURVE = ("rate", "p50_ms", "p99_ms", "error_rate", "visible_p95_s", "carried_rate")


def capacity_csv(document: Document) -> str:
    """Return a capacity curve as comma-separated values: a row a rate, with a header."""
    document = printable_document(document)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_CURVE)
    for row in zip(*(document["curve"][name] for name in _CURVE), strict=True):
        writer.writerow(["" if value is None else cell(value) for value in row])
    return buffer.getvalue()
