"""Reads the key figures of many results files, and what makes their runs comparable."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loadcheck.compare import figures
from loadcheck.compare.figures import Figure, facts, identity, unfinished
from loadcheck.documents.files import reason_of
from loadcheck.errors import Problem, ResultFileError
from loadcheck.measure.histogram import Histogram
from loadcheck.result import Document, kind_of
from loadcheck.result.catalogue import json_files
from loadcheck.result.store import read_unchecked

_Z = 1.96
"""Standard errors of a 95 % interval."""
_KINDS = ("result", "capacity")
_SECTIONS = ("load", "generator", "steps", "consistency")
_CAPACITY = Figure(
    key="capacity", group="the capacity", name="sustained", unit="1/s", better="more"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A figure of one run.

    Attributes:
        value: In the figure's unit.
        low: Lower end of its 95 % interval by the run's own samples, or its proven bound; None:
            unknown.
        high: Upper end, likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One run of a history.

    Attributes:
        file: Its path, as the user named it or its directory.
        kind: "result", or "capacity" for a search.
        id: The run id.
        started_at: UTC, ISO 8601.
        scenario: The name of the scenario.
        verdict: The verdict of the run.
        labels: The labels of the run.
        identity: What makes it comparable: runs with equal identities belong to one history.
        facts: The facts that describe it, by dotted path.
        unused: Why it is not evidence of a level; "" if it is.
        figures: The figures it measured.
        mix: The id of the mix run that it is a flow of; "" if none.
    """

    file: str
    kind: str
    id: str
    started_at: str
    scenario: str
    verdict: str
    labels: Mapping[str, str]
    identity: tuple[object, ...]
    facts: Mapping[str, Any]
    unused: str
    figures: Mapping[Figure, Range]
    mix: str = ""


def result_paths(places: Sequence[Path]) -> list[Path]:
    """Return the given files, and the JSON files of given directories, in order and once each.

    Raises:
        ResultFileError: A file or directory is missing or cannot be read.
    """
    found: dict[Path, None] = {}
    for place in places:
        try:
            inside = json_files(place) if place.is_dir() else [place]
        except (OSError, ValueError) as error:
            problem = Problem(
                file=str(place),
                message=f"cannot be read: {reason_of(error)}",
                remedy="name results files, or a directory of them",
            )
            raise ResultFileError(problem) from error
        found |= dict.fromkeys(inside)
    return list(found)


def read_history(paths: Sequence[Path]) -> tuple[list[Past], list[Problem]]:
    """Return the runs of files, in order of time, and the problems of files.

    Comparisons and trends are skipped; a run found in several files counts once.

    Args:
        paths: Results files.
    """
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    runs: dict[str, Past] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            run = read_past(path)
        except ResultFileError as error:
            problems += error.problems
            continue
        if run is None:
            continue
        if run.id in runs:
            message = f"is the run of {runs[run.id].file} once more: it counts once"
            problems.append(Problem(file=run.file, message=message, severity="warning"))
            continue
        if run.started_at > later:
            message = f"began on {run.started_at[:10]}, which is yet to come: its clock was wrong"
            problems.append(Problem(file=run.file, message=message, severity="warning"))
        runs[run.id] = run
    return sorted(runs.values(), key=lambda run: (run.started_at, run.id)), problems


def read_past(path: Path) -> Past | None:
    """Return the run of a file with its key figures; None for another kind of loadcheck file.

    Raises:
        ResultFileError: It cannot be read, or is not a valid results file.
    """
    document = read_unchecked(path)
    kind = kind_of(document)
    if kind not in _KINDS:
        return None
    try:
        run, known = document["run"], dict(facts(document))
        unused = unfinished(document)
        if not unused and document["verdict"] == "unknown":
            unused = "its verdict is unknown"
        measured: dict[Figure, Range] = {}
        if not unused or all(section in document for section in _SECTIONS):
            measured = dict(_search(document) if kind == "capacity" else _run(document))
        return Past(
            file=str(path),
            kind=kind,
            id=str(run["id"]),
            started_at=str(run["started_at"]),
            scenario=str(document["scenario"].get("name", "")),
            verdict=str(document["verdict"]),
            labels={str(n): str(v) for n, v in (document.get("labels") or {}).items()},
            identity=(kind, *identity(known)),
            facts=known,
            unused=unused,
            figures={key: one for key, one in measured.items() if math.isfinite(one.value)},
            mix=str((document.get("mix") or {}).get("id") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        message = f"is not a valid results file: {error}"
        raise ResultFileError(
            Problem(file=str(path), message=message[:200], remedy="was it edited by hand?")
        ) from error


def _search(document: Document) -> Iterator[tuple[Figure, Range]]:
    answer = document["answer"]
    if answer and answer["rate"] is not None:
        low, high = answer["interval"]
        yield _CAPACITY, Range(value=float(answer["rate"]), low=low, high=high)


def _run(document: Document) -> Iterator[tuple[Figure, Range]]:
    for name, step in document["steps"].items():
        if step["role"] in {"per-copy", "workflow"}:
            yield from _step(name, step)
    copies, rate = document["copies"], float(document["load"]["reached_rate"])
    if rate > 0:
        yield figures.RATE, Range(value=rate, low=rate, high=rate)
    started, due = copies["started"], copies["started"] + copies["skipped"]
    if started:
        yield figures.ERRORS, _share(started - copies["acknowledged"], started)
    if due:
        yield figures.SKIPPED, _share(copies["skipped"], due)
    yield from _counted(document["consistency"])
    late = document["generator"]["lateness"]["p99_ms"]
    if late is not None:
        yield figures.lateness("p99"), Range(value=late)


def _counted(seen: Document) -> Iterator[tuple[Figure, Range]]:
    for name, (lower, upper) in figures.COUNTS.items():
        low = seen.get(lower)
        if low is not None:
            high = low if seen.get(upper) is None else seen[upper]
            yield figures.counted(name), Range(value=low, low=low, high=high)
    lag = seen.get("visibility")
    if lag is None:
        return
    for name in figures.VISIBLE:
        upper_s, lower_s = lag[f"{name}_s"], lag["lower"][f"{name}_s"]
        if upper_s is not None:
            low = 1e3 * (upper_s if lower_s is None else lower_s)
            yield figures.visible(name), Range(value=1e3 * upper_s, low=low, high=1e3 * upper_s)


def _step(name: str, step: Document) -> Iterator[tuple[Figure, Range]]:
    time = "service_time" if step["response_time"] is None else "response_time"
    times = step[time]
    number = times["count"]
    values = {
        key: percentile
        for key, percentile in figures.PERCENTILES.items()
        if round(number * (1 - percentile / 100), 6) >= figures.FEWEST_BEYOND
    }
    # the ranks between which the true percentile lies, with 95 % confidence
    reach = {
        key: _Z * math.sqrt(percentile * (100 - percentile) / number)
        for key, percentile in values.items()
    }
    edges = [
        edge for key in values for edge in (values[key] - reach[key], values[key] + reach[key])
    ]
    ends: list[float | None] = []
    if edges:
        histogram = Histogram.decode(times["hdr"])
        ends = histogram.percentiles_ms([min(max(edge, 0.0), 100.0) for edge in edges])
    for place, key in enumerate(values):
        value = times[f"{key}_ms"]
        if value is not None:
            low, high = ends[2 * place : 2 * place + 2]
            core = key == "p50"
            yield (
                figures.time_of_step(name, time, key, core=core),
                Range(value=value, low=low, high=high),
            )
    if step["attempts"]:
        failed = step["attempts"] - step["succeeded"]
        yield figures.errors_of_step(name), _share(failed, step["attempts"])


def _share(hits: int, trials: int) -> Range:
    """Return a share with its interval, E. B. Wilson's (1927)."""
    share, weight = hits / trials, _Z**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    reach = _Z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return Range(value=share, low=max(middle - reach, 0.0), high=min(middle + reach, 1.0))
