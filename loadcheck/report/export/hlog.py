"""The histograms of a run as an HdrHistogram log, which its own readers and plotters understand.

A line for each histogram, told apart by tags; format version 1.3 of ``HistogramLogWriter``. Values
inside the histograms are microseconds, the column of maxima is milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from loadcheck.report.export import recorded

Document = Mapping[str, Any]


def text(document: Document) -> str:
    """Return the log of a results document."""
    began = document["run"].get("load_began_at") or document["run"]["started_at"]
    epoch_s = datetime.fromisoformat(began).timestamp()
    duration_s = document["load"]["duration_s"] if "load" in document else 0.0
    lines = [
        f"#[Logged by loadcheck, run {document['run']['id']}]",
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {epoch_s:.3f} (seconds since epoch), {began}]",
        f"#[BaseTime: {epoch_s:.3f} (seconds since epoch)]",
        "#[Histogram values: microseconds; Interval_Max: milliseconds]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    lines += [
        f"Tag={_tag(name)},0.000,{duration_s:.3f},{times['max_ms'] or 0:.3f},{times['hdr']}"
        for name, times in recorded.histograms(document).items()
    ]
    return "\n".join(lines) + "\n"


def _tag(name: str) -> str:
    """Return a name without what ends a tag."""
    return "".join("_" if character in ", \r\n" else character for character in name)
