"""A result in the formats of other tools.

JUnit XML, which every CI service shows, has a case for each check. HdrHistogram's tools get the
headline latency in the layout of ``AbstractHistogram.outputPercentileDistribution``, in
milliseconds, or a log with a line for each histogram, distinguished by tags; format version 1.3 of
``HistogramLogWriter``. Values inside the log's histograms are microseconds, its column of maxima is
milliseconds. Times of which all samples belong to intervals of the load have one line per interval
there, at two significant digits. All others have one line for the whole run, at three: failed and
refused requests, queries that go on after the load, and everything in a file without intervals. The
timeline is comma-separated: one row per second, one column per figure.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from hdrh.histogram import HdrHistogram

from loadcheck.documents import format_instant
from loadcheck.errors import cell, printable_document
from loadcheck.measure.histogram import layout
from loadcheck.measure.intervals import DIGITS
from loadcheck.measure.timeline import COUNTS, FIGURES, LEVELS
from loadcheck.report import capacity, headline, words
from loadcheck.report.markdown import (
    capacity_markdown,
    comparison_markdown,
    run_markdown,
    trend_markdown,
)
from loadcheck.report.view import run_view
from loadcheck.result import Document
from loadcheck.result import store as stored

# what XML 1.0 does not allow, not even escaped (section 2.2)
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def run_junit(document: Document) -> str:
    """Return the checks of a results document.

    A failed check is a failure; an unknown one is an error, since no evidence is not a pass.
    """
    view = run_view(document)
    document, run = view.document, view.document["run"]
    cases = [(each.name, each.verdict, each.text) for each in (*view.findings, *view.thresholds)]
    checked = headline.is_checked(document)
    if run["phase"] != "complete" or run["interrupted"] or (checked and not cases):
        cases.insert(0, ("run", "unknown", run["error"] or _ending(run)))
    return _suites(
        document,
        cases,
        headline.line(document),
        skipped={} if checked else {"consistency": "not checked: verify.enabled = false"},
        properties=_properties(document),
    )


def capacity_junit(document: Document) -> str:
    """Return a capacity search as one test case, which fails if not even the lowest rate held."""
    document = printable_document(document)
    sentence = capacity.cause(document)
    return _suites(
        document,
        [("capacity", document["verdict"], sentence)],
        sentence,
        properties=_labels(document),
    )


def _suites(
    document: Document,
    cases: Sequence[tuple[str, str, str]],
    said: str,
    *,
    skipped: Mapping[str, str] = MappingProxyType({}),
    properties: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return a JUnit document of one suite.

    Args:
        document: The document of a run or a capacity search.
        cases: Name, verdict and summary of each.
        said: The overall result in a sentence.
        skipped: Names of cases that were not run, with the reason.
        properties: Properties of the suite.
    """
    name, target = str(document["scenario"].get("name", "")), _target_of(document)
    took_s = document["search"]["took_s"] if "search" in document else None
    if took_s is None:
        took_s = document["load"]["duration_s"] if "load" in document else 0.0
    totals = {
        "tests": str(len(cases) + len(skipped)),
        "failures": str(sum(verdict == "fail" for _, verdict, _ in cases)),
        "errors": str(sum(verdict == "unknown" for _, verdict, _ in cases)),
        "skipped": str(len(skipped)),
        "time": f"{took_s:.3f}",
    }
    suites = ET.Element("testsuites", {"name": "loadcheck", **totals})
    suite = ET.SubElement(
        suites,
        "testsuite",
        {"name": _clean(f"loadcheck {name} {target}"), **totals},
        timestamp=document["run"]["started_at"][:19],
        hostname="localhost",
    )
    if properties:
        listed = ET.SubElement(suite, "properties")
        for key, value in properties.items():
            ET.SubElement(listed, "property", name=key, value=_clean(str(value)))
    classname = _class_name(name, target)
    seen: Counter[str] = Counter()
    for check, verdict, summary in cases:
        seen[check] += 1
        unique = check if seen[check] == 1 else f"{check} ({seen[check]})"
        _case(suite, classname, unique, verdict, summary)
    for check, why in skipped.items():
        ET.SubElement(_case(suite, classname, check, "pass", ""), "skipped", message=why)
    ET.SubElement(suite, "system-out").text = _clean(said)
    ET.SubElement(suite, "system-err").text = _clean("\n".join(document["warnings"]))
    ET.indent(suites)
    body = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _ending(run: Mapping[str, Any]) -> str:
    ending = words.ending(run)
    return f"The run: {ending}." if ending else "Nothing was checked."


def _target_of(document: Document) -> str:
    """Return the target of a run: its hosts, or its kind if no hosts are named."""
    target = document["scenario"].get("target") or {}
    servers = target.get("servers") or {}
    hosts = {urlsplit(str(url)).netloc.rpartition("@")[2] for url in servers.values()}
    return "+".join(sorted(hosts - {""})) or str(target.get("kind", ""))


def _class_name(scenario: str, target: str) -> str:
    """Return the class that a CI service groups cases by: one per scenario and target."""
    parts = ("loadcheck", scenario, target.replace(".", "_"))
    return _clean(".".join(part for part in parts if part))


def _case(suite: ET.Element, classname: str, name: str, verdict: str, summary: str) -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=classname, name=_clean(name), time="0")
    if verdict == "pass":
        return case
    kind, what = ("failure", "fail") if verdict == "fail" else ("error", "unknown")
    problem = ET.SubElement(case, kind, message=_clean(summary), type=what)
    problem.text = _clean(f"{name}: {summary}")
    return case


def _properties(document: Document) -> dict[str, Any]:
    copies, seen = document["copies"], document.get("consistency") or {}
    return {
        "run": document["run"]["id"],
        "seed": document["run"]["seed"],
        "verdict": document["verdict"],
        "started": copies["started"],
        "acknowledged": copies["acknowledged"],
        **{
            name: seen[name]
            for name in ("uniques", "lost_at_least", "duplicated", "unexpected")
            if seen.get(name) is not None
        },
        "loadcheck": document["environment"].get("loadcheck", ""),
        **_labels(document),
    }


def _labels(document: Document) -> dict[str, str]:
    return {f"label.{name}": value for name, value in document.get("labels", {}).items()}


def _clean(value: str) -> str:
    """Return a text with the characters that XML cannot hold replaced."""
    return _FORBIDDEN.sub("\ufffd", value)


_COLUMNS = (*COUNTS, *LEVELS, *FIGURES)


def csv_rows(document: Mapping[str, Any]) -> str:
    """Return the timeline of a results document, with a header; times are UTC, ISO 8601.

    ``at`` is empty for files that do not say when the load began.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["second", "at", *_COLUMNS])
    timeline = stored.columns(document.get("timeline") or {"second": []}, "timeline")
    began_at = document["run"].get("load_began_at")
    began = stored.instant(began_at, "run.load_began_at") if began_at else None
    for place, second in enumerate(timeline["second"]):
        at = "" if began is None else format_instant(began + timedelta(seconds=second))
        # an older file may lack a column
        values = (timeline[name][place] if name in timeline else None for name in _COLUMNS)
        writer.writerow([cell(second), at, *("" if v is None else cell(v) for v in values)])
    return buffer.getvalue()


def hlog(document: Document) -> str:
    """Return the histograms of a results document as an HdrHistogram log."""
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
        # a broken histogram is reported, not passed on
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
    """Return a name with the characters that end a tag replaced."""
    return "".join("_" if character in ", " else character for character in name)


_TIMES = ("response_time", "service_time", "failed", "throttled")


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
        # decoded by the checked reader first, which reports a broken histogram
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
    """Return a capacity curve as comma-separated values: one row per rate, with a header."""
    document = printable_document(document)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_CURVE)
    for row in zip(*(document["curve"][name] for name in _CURVE), strict=True):
        writer.writerow(["" if value is None else cell(value) for value in row])
    return buffer.getvalue()


Format = Callable[[Mapping[str, Any]], str]
"""Turns a document into text."""

FORMATS: Mapping[str, Mapping[str, Format]] = {
    "result": {
        "hgrm": hgrm,
        "hlog": hlog,
        "csv": csv_rows,
        "junit": run_junit,
        "markdown": run_markdown,
    },
    "capacity": {"csv": capacity_csv, "junit": capacity_junit, "markdown": capacity_markdown},
    "comparison": {"markdown": comparison_markdown},
    "trend": {"markdown": trend_markdown},
}
"""The formats by name, for each kind of document."""
