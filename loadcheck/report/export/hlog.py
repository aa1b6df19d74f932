"""The histograms of a run as an HdrHistogram log, which its own readers and plotters understand.

A line for each histogram, told apart by tags; format version 1.3 of ``HistogramLogWriter``. Values
inside the histograms are microseconds, the column of maxima is milliseconds.

What all belongs to intervals of the load has a line for each of them, at two significant digits.
The rest has one line for the whole run, at three: failed and refused requests, queries that go on
after the load, and everything in a file that keeps no intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loadcheck.escaping import printable_document
from loadcheck.measure.histogram import layout
from loadcheck.measure.intervals import DIGITS
from loadcheck.report.export.hgrm import histograms
from loadcheck.result import store as stored

Document = Mapping[str, Any]


def text(document: Document) -> str:
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
        # what is broken is told, not handed on
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
