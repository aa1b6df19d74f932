"""What is pointed out in charts over time: stages, limits, and where users are missing from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from loadcheck.report import words
from loadcheck.report.html.model import Mark

_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_THRESHOLD = re.compile(
    r"(?:(?P<stage>[\w\-]+)\s*:\s*)?(?P<step>[\w\-]+)\.(?:response_time\.)?"
    r"(?P<statistic>p50|p99|max)\s*<=?\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|s|m)"
)
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}

Document = Mapping[str, Any]


def stage_marks(document: Document) -> list[Mark]:
    """Return the stages of the load, and the wait for the count after it."""
    stages = _stages(document)
    marks = []
    if len(stages) > 1:
        marks = [
            Mark(axis="x", at=begin, to=end, label=name, role="stage")
            for name, begin, end in stages
        ]
    aborted = document["run"].get("aborted")
    if aborted:
        at_s = aborted["at_s"]
        marks.append(Mark(axis="x", at=at_s, label="stopped by a threshold", role="limit"))
    answers = (document.get("consistency") or {}).get("observations")
    if answers and "load" in document:
        ended_s, last_s = document["load"]["duration_s"], answers[-1]["asked_s"]
        if last_s > ended_s:
            label = "waiting for the count"
            marks.append(Mark(axis="x", at=ended_s, to=last_s, label=label, role="stage"))
    return marks


def _stages(document: Document) -> list[tuple[str, float, float]]:
    """Return name, begin and end of each stage; older files have them in the scenario only."""
    if "stages" in document:
        return [(stage["name"], stage["from_s"], stage["to_s"]) for stage in document["stages"]]
    stages, start = [], 0.0
    for number, stage in enumerate(document["scenario"].get("load", {}).get("stages") or [], 1):
        end = start + _duration_s(str(stage.get("duration", "")))
        stages.append((str(stage.get("name") or f"stage {number}"), start, end))
        start = end
    return stages


def limit_marks(document: Document) -> list[Mark]:
    """Return the limits of the latencies that are drawn, each for its stage if it has one."""
    marks = []
    spans = {name: (begin, end) for name, begin, end in _stages(document)}
    for threshold in document.get("thresholds", ()):
        match = _THRESHOLD.fullmatch(threshold["expression"].strip())
        if match is None or match["step"] != document["workflow"].get("ingest"):
            continue
        if match["stage"] and match["stage"] not in spans:
            continue
        limit = float(match["limit"]) * _MILLISECONDS[match["unit"]]
        label = f"limit of {match['statistic']}: {words.duration(limit)}"
        span = spans.get(match["stage"] or "")
        marks.append(Mark(axis="y", at=limit, label=label, role="limit", span=span))
    return marks


def window_marks(document: Document) -> list[Mark]:
    """Return the stretches of the load from which users are missing."""
    localized = (document.get("consistency") or {}).get("localized") or {}
    return [
        Mark(
            axis="x",
            at=window["from_s"],
            to=max(window["to_s"], window["from_s"] + 1),
            label=f"{words.count(window['lost'])} lost",
            role="lost",
        )
        for window in localized.get("windows", ())
    ]


def _duration_s(text: str) -> float:
    """Return the seconds of a duration as scenarios write it; 0 for anything else."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
