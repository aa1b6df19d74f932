"""Merges the results of one load that was started by hand on several machines.

Each run has users of its own, so what is proven of each still holds, and the bounds add up. Times
are added bucket by bucket. What cannot be added is left out, and named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from loadcheck.errors import Problem, ResultFileError, all_of
from loadcheck.measure import Ledger, known_sum
from loadcheck.measure.histogram import HIGHEST_US, Histogram
from loadcheck.measure.intervals import decode, encode
from loadcheck.measure.record import WORKFLOW
from loadcheck.measure.timeline import COUNTS, FIGURES, LEVELS
from loadcheck.pipeline.labels import new_id
from loadcheck.result import OUTCOMES, Document
from loadcheck.result import document as documents
from loadcheck.result.schema import SCHEMA
from loadcheck.scenario.model import Threshold
from loadcheck.verify import OWN_CHECKS, Finding, Verdict, overall, worst
from loadcheck.verify.metrics import BoundedFigure, Metric, MetricKind, MetricNames
from loadcheck.verify.thresholds import parse

_SUMMED = ("retries", "stale_retries", "resends", "max_in_flight")
_TIMES = ("response_time", "service_time", "failed", "throttled")
_OWN_TIMES = ("lateness", "dispatch_lag", "loop_lag", "gc_pauses")
_COUNTED = (
    *("uniques", "totals", "lower", "upper", "lost_at_least", "lost_at_most", "recovered_at_most"),
    *("unexpected", "duplicated", "missing_events", "missing_events_at_most", "baseline", "lost"),
    "disappeared",
)
_MADE_LAST = frozenset(("verdict", "thresholds", "findings", "warnings"))
_FREE = ("labels.", "seed", "description", "name", "load.workers", "load.prefixes")
"""Scenario keys, by prefix, that may differ between the machines of one load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the results to merge.

    Attributes:
        file: Its path, as the user gave it.
        document: Its content.
    """

    file: str
    document: Document

    @property
    def began(self) -> datetime:
        """When its load began, by the clock of its machine."""
        return datetime.fromisoformat(self.document["run"]["load_began_at"])

    @property
    def length_s(self) -> float:
        """For how long copies were started."""
        return float(self.document["load"]["duration_s"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The merged result.

    Attributes:
        document: The results document.
        consistent: What the counts prove; None if they were not queried.
        verdict: What everything together proves.
    """

    document: dict[str, Any]
    consistent: Verdict | None
    verdict: Verdict


def merge(parts: Sequence[Part]) -> Merged:
    """Merge the results of one load into one.

    Raises:
        ResultFileError: They are not of one load, or one cannot be added; with every reason.
    """
    problems = [*_unusable(parts)] or [*_apart(parts)]
    if problems:
        raise ResultFileError(problems)
    parts = sorted(parts, key=lambda part: part.began)
    every = [part.document for part in parts]
    first = every[0]
    # in seconds, by the clocks of the machines
    offsets = [(part.began - parts[0].began).total_seconds() for part in parts]
    ledgers = [*_renumbered(every)]
    copies = {name: sum(each["copies"][name] for each in every) for name in OUTCOMES}
    left_out: list[str] = []
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": "unknown",
        "run": _run(parts, offsets),
        "labels": dict(set.intersection(*(set(each.get("labels", {}).items()) for each in every))),
        "copies": {"planned": known_sum(each["copies"]["planned"] for each in every), **copies},
        "ledger": reduce(add, ledgers).to_json(),
        "timeline": _timeline(every, offsets),
        "load": _load(parts, offsets, copies["started"]),
        "generator": _generator(every, offsets),
        "steps": _steps(every, left_out),
        "consistency": _consistency(every),
        "scenario": first["scenario"],
        "workflow": first["workflow"],
        "environment": first["environment"],
        **_mix(every),
    }
    left_out += _absent(every, {*made, *_MADE_LAST})
    counts = [each["consistency"] for each in every]
    left_out += [f"consistency.{key}" for key in _absent(counts, made["consistency"])]
    findings = [*_findings(parts)]
    judged = [*_thresholds(parts, made)]
    checked = all(each["consistency"].get("checked", True) for each in every)
    consistent = (
        worst(one.verdict for one in findings if one.check not in OWN_CHECKS - {"target"})
        if checked
        else None
    )
    others = [one.verdict for one in findings if one.check in OWN_CHECKS]
    others += [Verdict(one["verdict"]) for one in judged]
    verdict = overall(consistent, others)
    warnings = [warning for each in every for warning in each["warnings"]]
    said = _alignment(parts, offsets)
    said += [
        f'data.{name} has order = "once", and several runs read the same file: its rows were used '
        "once by each of them; give each machine rows of its own"
        for name in _used_again(every)
    ]
    if left_out:
        said.append(f"not added, look in the files merged: {', '.join(dict.fromkeys(left_out))}")
    made |= {
        "verdict": verdict.value,
        "thresholds": judged,
        "findings": [one.to_json() for one in findings],
        "warnings": [*said, *dict.fromkeys(warnings)],
    }
    return Merged(document=made, consistent=consistent, verdict=verdict)


def _mix(every: Sequence[Document]) -> dict[str, Any]:
    """Return the section ``mix`` if all runs are the same flow of a mix; otherwise nothing."""
    mixes = [
        {n: v for n, v in (each.get("mix") or {}).items() if n not in ("id", "together")}
        for each in every
    ]
    return {"mix": mixes[0]} if mixes[0] and all(each == mixes[0] for each in mixes) else {}


def _absent(every: Iterable[Document], kept: Iterable[str]) -> list[str]:
    """Return the keys that have content in some result, but are not kept in the merged one."""
    known = {*kept}
    empty: tuple[Any, ...] = (None, [], {})
    said = {key for each in every for key in each if each[key] not in empty}
    return sorted(said - known)


def _unusable(parts: Sequence[Part]) -> Iterator[Problem]:
    """Yield why results cannot be merged with any others."""
    if len(parts) < 2:  # noqa: PLR2004
        yield Problem(message="a single result needs no merging", remedy="name two or more")
    seen: dict[str, str] = {}
    for part in parts:
        run = part.document["run"]
        ids = [run["id"], *(each["id"] for each in run.get("merged") or ())]
        for id_ in ids:
            if id_ in seen:
                message = f"holds the copies of run {id_}, and so does {seen[id_]}"
                remedy = "name each result once: copies that are counted twice prove nothing"
                yield Problem(file=part.file, key="ledger", message=message, remedy=remedy)
            seen.setdefault(id_, part.file)
        if run["phase"] != "complete" or run.get("load_began_at") is None:
            message = "was killed, or sent nothing: it has no figures that could be added"
            remedy = "leave it out, and the load is incomplete"
            yield Problem(file=part.file, key="run.phase", message=message, remedy=remedy)
            continue
        missing = [
            name
            for name in ("load", "generator", "steps", "consistency", "timeline")
            if name not in part.document
        ]
        yield from (
            Problem(file=part.file, key=name, message="is missing: it cannot be added")
            for name in missing
        )
        if not missing:
            yield from _broken(part)
        given = (part.document["scenario"].get("users") or {}).get("id")
        if given is not None and "{run}" not in str(given):
            message = f'"{given}" is the same in every run: they sent the same users'
            remedy = "users of several runs need {run} in their id to be counted apart"
            yield Problem(file=part.file, key="scenario.users.id", message=message, remedy=remedy)
        seen_by = part.document.get("consistency", {})
        if seen_by.get("checked", True) and seen_by.get("isolation") == "baseline":
            message = "was counted over a baseline: the users of the other runs are among its own"
            remedy = "the counts of a service that cannot filter by run cannot be added"
            yield Problem(file=part.file, key="consistency", message=message, remedy=remedy)


def _broken(part: Part) -> Iterator[Problem]:
    """Yield the encoded parts of a result that cannot be read: its schema does not decode them."""
    document = part.document
    times = {f"generator.{name}": document["generator"][name] for name in _OWN_TIMES}
    for step, measures in document["steps"].items():
        times |= {f"steps.{step}.{name}": measures[name] for name in _TIMES if measures[name]}
    for key, one in times.items():
        try:
            Histogram.decode(one["hdr"])
        except ValueError as error:
            yield _edited(part, f"{key}.hdr", str(error))
    try:
        Ledger.from_json(document["ledger"])
    except ValueError as error:
        yield _edited(part, "ledger", str(error))
    rows = len(document["timeline"]["second"])
    for name in (*COUNTS, *LEVELS, *FIGURES):
        values = document["timeline"].get(name, ())
        if len(values) > rows:
            message = f"has {len(values)} values for {rows} seconds"
            yield _edited(part, f"timeline.{name}", message)


def _edited(part: Part, key: str, message: str) -> Problem:
    message = f"cannot be added: {message}"
    return Problem(file=part.file, key=key, message=message, remedy="was it edited by hand?")


def _apart(parts: Sequence[Part]) -> Iterator[Problem]:
    """Yield the differences that show that results are not of one load."""
    first = parts[0]
    mine = dict(_flat(first.document))
    for part in parts[1:]:
        other = dict(_flat(part.document))
        for key in dict.fromkeys([*mine, *other]):
            if mine.get(key) != other.get(key):
                difference = f"is {other.get(key, 'not given')}, but {mine.get(key, 'not given')}"
                remedy = "results of different loads are compared, not merged"
                message = f"{difference} in {first.file}"
                yield Problem(file=part.file, key=key, message=message[:300], remedy=remedy)
        for name in _different(first.document, part.document):
            if not _is_once(first.document, name):
                message = f"its rows are not those that the run of {first.file} sent"
                remedy = 'give all machines the same file; their own with order = "once"'
                yield Problem(
                    file=part.file, key=f"run.data.{name}", message=message, remedy=remedy
                )
    ordered = sorted(parts, key=lambda part: part.began)
    end_s = ordered[0].length_s
    for part in ordered[1:]:
        since_s = (part.began - ordered[0].began).total_seconds()
        if since_s >= end_s:
            message = f"its load began {since_s - end_s:.1f} s after the others had ended"
            remedy = "that was not one load; or the clocks of the machines are not right"
            yield Problem(file=part.file, key="run.load_began_at", message=message, remedy=remedy)
        end_s = max(end_s, since_s + part.length_s)


def _different(one: Document, other: Document) -> list[str]:
    """Return the data files that differed; results of earlier versions do not identify them."""
    mine, its = (each["run"].get("data") or {} for each in (one, other))
    return [name for name in mine if name in its and mine[name] != its[name]]


def _is_once(document: Document, name: str) -> bool:
    """Return whether a run takes each row of a data file once."""
    files: Document = document["scenario"].get("data") or {}
    return bool(files.get(name, {}).get("order") == "once")


def _used_again(every: Sequence[Document]) -> list[str]:
    """Return the data files whose rows were to be used once, but were used by several runs."""
    names = [name for name in every[0]["run"].get("data") or {} if _is_once(every[0], name)]
    return [
        name
        for name in names
        if len({each["run"].get("data", {}).get(name) for each in every}) < len(every)
    ]


def _flat(document: Document) -> Iterator[tuple[str, Any]]:
    """Yield what must be the same: the workflow and the scenario, by dotted path."""

    def walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            for key, item in value.items():
                yield from walk(f"{path}.{key}" if path else key, item)
        elif not path.startswith(_FREE):
            yield f"scenario.{path}", value

    yield "workflow.id", document["workflow"].get("id")
    yield "workflow.sha256", document["workflow"].get("sha256")
    yield from walk("", document["scenario"])


def _alignment(parts: Sequence[Part], offsets: Sequence[float]) -> list[str]:
    names = ", ".join(
        f"{part.file} after {offset:.1f} s" for part, offset in zip(parts, offsets, strict=True)
    )
    end_s = min(o + part.length_s for part, o in zip(parts, offsets, strict=True))
    together_s = max(end_s - max(offsets), 0.0)
    whole_s = max(o + part.length_s for part, o in zip(parts, offsets, strict=True))
    began = f"{len(parts)} results merged; their loads began, by their machines' clocks: {names}"
    together = (
        f"all of them sent together for {together_s:.1f} of {whole_s:.1f} s; the time line is "
        "aligned to whole seconds"
    )
    return [began, together]


def _run(parts: Sequence[Part], offsets: Sequence[float]) -> dict[str, Any]:
    runs = [part.document["run"] for part in parts]
    ended = [run["ended_at"] for run in runs if run["ended_at"]]
    errors = [
        f"{p.file}: {run['error']}" for p, run in zip(parts, runs, strict=True) if run["error"]
    ]
    return {
        "id": new_id(),
        "phase": "complete",
        "seed": runs[0]["seed"],
        "started_at": min(run["started_at"] for run in runs),
        "ended_at": max(ended, default=None),
        "interrupted": any(run["interrupted"] for run in runs),
        "aborted": next((run["aborted"] for run in runs if run.get("aborted")), None),
        "error": "; ".join(errors) or None,
        "load_began_at": runs[0]["load_began_at"],
        "baseline": None,
        "start_day": min(run["start_day"] for run in runs),
        "end_day": max(run["end_day"] for run in runs),
        "copies": known_sum(run.get("copies") for run in runs),
        "scenario_file": runs[0].get("scenario_file", ""),
        "profile": runs[0].get("profile"),
        "merged": [
            {
                "file": part.file,
                "id": run["id"],
                "began_s": round(offset, 3),
                "started": part.document["copies"]["started"],
                "verdict": part.document["verdict"],
            }
            for part, run, offset in zip(parts, runs, offsets, strict=True)
        ],
    }


def _renumbered(every: Sequence[Document]) -> Iterator[Ledger]:
    """Yield the ledgers, renumbered so that no two of them share a copy's number."""
    first = 0
    for document in every:
        ledger = Ledger.from_json(document["ledger"])
        moved = Ledger()
        moved.__setstate__(tuple(copies.shift(first) for copies in ledger.__getstate__()))
        yield moved
        first += max(ledger.end, document["run"].get("copies") or 0)


def _timeline(every: Sequence[Document], offsets: Sequence[float]) -> dict[str, Any]:
    shifts = [round(offset) for offset in offsets]
    rows = max(
        len(each["timeline"]["second"]) + shift for each, shift in zip(every, shifts, strict=True)
    )
    made: dict[str, list[Any]] = {"second": list(range(rows))}
    for name in (*COUNTS, *LEVELS, *FIGURES):
        column: list[Any] = [0 if name in COUNTS else None] * rows
        known = [0] * rows
        for each, shift in zip(every, shifts, strict=True):
            for row, value in enumerate(each["timeline"].get(name, ()), start=shift):
                if value is None:
                    continue
                known[row] += 1
                column[row] = value if column[row] is None else column[row] + value
        if name in FIGURES:  # percentiles of several cannot be added
            column = [value if known[row] == 1 else None for row, value in enumerate(column)]
        if name == "uniques":  # with some runs missing, users would seem to disappear
            column = [
                value if known[row] == len(every) else None for row, value in enumerate(column)
            ]
        made[name] = column
    return made


def _load(parts: Sequence[Part], offsets: Sequence[float], started: int) -> dict[str, Any]:
    every = [part.document["load"] for part in parts]
    duration_s = max(o + part.length_s for part, o in zip(parts, offsets, strict=True))
    asked = [each["asked_rate"] for each in every]
    asked_rate = None
    if None not in asked and duration_s:
        lengths = [part.length_s for part in parts]
        asked_rate = sum(r * s for r, s in zip(asked, lengths, strict=True)) / duration_s
    reached = started / duration_s if duration_s else 0.0
    return {
        "asked_rate": asked_rate,
        "peak_rate": known_sum(each["peak_rate"] for each in every),
        "reached_rate": reached,
        "reached_ratio": reached / asked_rate if asked_rate else None,
        "duration_s": duration_s,
        **{name: sum(each.get(name, 0) for each in every) for name in _SUMMED},
    }


def _generator(every: Sequence[Document], offsets: Sequence[float]) -> dict[str, Any]:
    found = [each["generator"] for each in every]
    return {
        **{name: _histogram([each[name] for each in found]) for name in _OWN_TIMES},
        "unsent": sum(each.get("unsent", 0) for each in found),
        "cpu_s": sum(each["cpu_s"] for each in found),
        "watched_s": sum(each["watched_s"] for each in found),
        "peak_memory_bytes": max(each["peak_memory_bytes"] for each in found),
        "pauses": [
            {**pause, "at_s": pause["at_s"] + offset}
            for each, offset in zip(found, offsets, strict=True)
            for pause in each.get("pauses", ())
        ],
        "paused": sum(each.get("paused", 0) for each in found),
    }


def _steps(every: Sequence[Document], left_out: list[str]) -> dict[str, Any]:
    names = dict.fromkeys(name for each in every for name in each["steps"])
    made = {}
    for name in names:
        steps = [each["steps"][name] for each in every if name in each["steps"]]
        total: dict[str, Any] = {"role": steps[0]["role"], "request": steps[0]["request"]}
        for key in ("attempts", "succeeded"):
            total[key] = sum(step[key] for step in steps)
        for key in ("answers", "reasons"):
            total[key] = dict(sum((Counter(step.get(key, {})) for step in steps), Counter()))
        total["examples"] = {k: v for step in reversed(steps) for k, v in step["examples"].items()}
        for key in _TIMES:
            times = [step[key] for step in steps if step[key] is not None]
            total[key] = _histogram(times) if times else None
        left_out += [f"steps.{name}.{key}" for key in steps[0] if key not in total]
        made[name] = total
    return made


def _histogram(found: Sequence[Document]) -> dict[str, Any]:
    """Return times added up, bucket by bucket."""
    made = documents.histogram(reduce(add, map(_decoded, found)))
    longest = [each["max_ms"] for each in found if each["max_ms"] is not None]
    return {**made, "max_ms": max(longest, default=None)}


def _decoded(times: Document) -> Histogram:
    """Return times as they were recorded; those above the range, not encoded, are added back."""
    histogram = Histogram.decode(times["hdr"])
    above = times["above_range"]
    if above:
        longest_ns = max(int(times["max_ms"] * 1e6), HIGHEST_US * 1000 + 1)
        histogram.add(np.full(above, longest_ns, dtype=np.int64))
    return histogram


def _consistency(every: Sequence[Document]) -> dict[str, Any]:
    """Return the bounds for the users of all runs, which have none in common."""
    seen = [each["consistency"] for each in every]

    waited = [each["waited_s"] for each in seen if each["waited_s"] is not None]
    overtaken = {each.get("overtaken") for each in seen}
    return {
        "checked": all(each.get("checked", True) for each in seen),
        **{name: known_sum(each.get(name) for each in seen) for name in _COUNTED},
        "settled": all(each["settled"] for each in seen),
        "overtaken": overtaken.pop() if len(overtaken) == 1 else None,
        "waited_s": min(waited, default=None),
        "isolation": "filter",
        "approximate": max(each.get("approximate") or 0.0 for each in seen),
        "visibility": _visibility([each.get("visibility") for each in seen]),
        "localized": None,
        "observations": [],
    }


def _visibility(found: Sequence[Document | None]) -> dict[str, Any] | None:
    """Return bounds on the lag of all users: a percentile of all lies between those of the runs."""
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    ends = ("p50_s", "p95_s", "p99_s", "max_s")

    def extreme(which: Any, values: Sequence[float | None]) -> float | None:
        there = [value for value in values if value is not None]
        return which(there) if len(there) == len(values) else None

    return {
        **{end: extreme(max, [each[end] for each in known]) for end in ends},
        "lower": {end: extreme(min, [each["lower"][end] for each in known]) for end in ends},
        "resolution_s": extreme(max, [each["resolution_s"] for each in known]),
        "never": sum(each["never"] for each in known),
        "samples": sum(each["samples"] for each in known),
    }


ALL_FLOWS = "all flows"
"""Name of the requests of all flows of a mix, in place of a step's."""


def flows_together(every: Sequence[Document]) -> dict[str, Any]:
    """Return the flows of a mix as a document that can be compared with that of another mix.

    It holds sums, the times of all requests in one histogram, and intervals if those of all flows
    are the same. Its scenario is that of the first flow, under the name of the mix.
    """
    first, mix = every[0], every[0].get("mix") or {}
    alone = [Part(file="", document=each) for each in every]
    copies = {name: sum(each["copies"][name] for each in every) for name in OUTCOMES}
    same = all(
        each.get("intervals") and _edges(each["intervals"]) == _edges(first["intervals"])
        for each in every
    )
    interrupted = any(each["run"]["interrupted"] for each in every)
    several = any(step["role"] == WORKFLOW for each in every for step in each["steps"].values())
    return {
        **first,
        "verdict": (mix.get("together") or {}).get("verdict", "unknown"),
        "run": {
            **first["run"],
            "id": mix.get("id") or first["run"]["id"],
            "interrupted": interrupted,
        },
        "scenario": {**first["scenario"], "name": f"{mix.get('name', '')} together"},
        "labels": {},
        "copies": {"planned": None, **copies},
        "load": _load(alone, [0.0] * len(every), copies["started"]),
        "generator": _generator(every, [0.0] * len(every)),
        "steps": {
            ALL_FLOWS: _added(every, _per_copy),
            **({WORKFLOW: _added(every, _whole)} if several else {}),
        },
        "consistency": _consistency(every),
        "intervals": _intervals(every) if same else None,
        "findings": [finding for each in every for finding in each.get("findings", ())],
    }


def _per_copy(document: Document) -> dict[str, Any]:
    """Return the steps of copies, without our own queries of one of them."""
    return {
        name: step
        for name, step in document["steps"].items()
        if step["role"] == "per-copy" and not name.endswith("@observer")
    }


def _whole(document: Document) -> dict[str, Any]:
    """Return the copies of a flow as a whole; for copies of one step, that step."""
    found = {n: step for n, step in document["steps"].items() if step["role"] == WORKFLOW}
    return found or _per_copy(document)


def _added(every: Sequence[Document], of: Callable[[Document], dict[str, Any]]) -> dict[str, Any]:
    steps = [step for each in every for step in of(each).values()]
    times = {key: [step[key] for step in steps if step[key] is not None] for key in _TIMES}
    return {
        "role": "per-copy" if of is _per_copy else WORKFLOW,
        "request": f"{len(steps)} steps of {len(every)} flows",
        "attempts": sum(step["attempts"] for step in steps),
        "succeeded": sum(step["succeeded"] for step in steps),
        "answers": {},
        "reasons": {},
        "examples": {},
        **{key: _histogram(found) if found else None for key, found in times.items()},
    }


def _edges(intervals: Document) -> tuple[Any, Any]:
    return intervals["from_s"], intervals["to_s"]


def _intervals(every: Sequence[Document]) -> dict[str, Any]:
    """Return the sums of columns that have the same intervals."""
    found = [each["intervals"] for each in every]
    steps = [each["intervals"]["steps"][name] for each in every for name in _per_copy(each)]

    def added(columns: Iterable[Sequence[int]]) -> list[int]:
        return [sum(values) for values in zip(*columns, strict=True)]

    def histograms(columns: Iterable[Sequence[str | None] | None]) -> list[str | None]:
        rows = sum(decode(column) for column in columns if column)
        return [encode(row) if row.any() else None for row in np.atleast_2d(rows)]

    return {
        **dict(zip(("from_s", "to_s"), _edges(found[0]), strict=True)),
        **{name: added(each[name] for each in found) for name in ("due", *OUTCOMES)},
        "lateness": histograms(each["lateness"] for each in found),
        "steps": {
            ALL_FLOWS: {
                **{name: added(step[name] for step in steps) for name in ("succeeded", "failed")},
                **{name: histograms(s[name] for s in steps) for name in _TIMES[:2]},
            }
        },
    }


def _findings(parts: Sequence[Part]) -> Iterator[Finding]:
    """Yield the finding of each check for all runs: the worst that it has for any."""
    by_check: dict[str, list[tuple[str, Document]]] = {}
    for part in parts:
        for finding in part.document["findings"]:
            by_check.setdefault(finding["check"], []).append((part.file, finding))
    for check, found in by_check.items():
        verdict = worst(Verdict(finding["verdict"]) for _, finding in found)
        decisive = [(f, each) for f, each in found if each["verdict"] == verdict.value]
        summary = " ".join(f"{file}: {each['summary']}" for file, each in decisive)
        number = sum(part.document["copies"]["acknowledged"] for part in parts)
        if check == "lost" and verdict is Verdict.PASS:
            users = all_of(number, "acknowledged users", start=True)
            summary = f"{users} of {len(parts)} runs were counted."
        elif verdict is Verdict.PASS:
            summary = " ".join(dict.fromkeys(each["summary"] for _, each in decisive))
        evidence = {file: each["evidence"] for file, each in found}
        yield Finding(check=check, verdict=verdict, summary=summary, evidence={"runs": evidence})


class MergedFigures:
    """The figures of a merged document, for thresholds."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        """Return the figure; None if it cannot be computed by adding."""
        if metric.stage or metric.scope == "visible":
            return None
        document, name = self._document, metric.name.rpartition(".")[2]
        if metric.kind is MetricKind.DURATION:
            return BoundedFigure.exactly(self._time(metric))
        if metric.scope:
            step = self._step(metric.scope)
            if step is None:
                return None
            tried, good = step["attempts"], step["succeeded"]
            figures = {"attempts": tried, "succeeded": good}
            figures["error_rate"] = 1 - good / tried if tried else None
            length_s = document["load"]["duration_s"]
            figures["rate"] = tried / length_s if length_s else None
            return BoundedFigure.exactly(figures.get(name))
        copies, load, seen = document["copies"], document["load"], document["consistency"]
        # neither copies without an outcome count, nor those that a lost worker may not have sent
        ended = sum(copies[each] for each in ("acknowledged", "rejected", "indeterminate"))
        ended = min(ended, copies["started"]) - document["generator"]["unsent"]
        known: dict[str, float | None] = {
            **{key: value for key, value in copies.items() if key != "planned"},
            "error_rate": (ended - copies["acknowledged"]) / ended if ended else None,
            "rate": load["reached_rate"],
            "rate_ratio": load["reached_ratio"],
            "retries": load["retries"],
            "recovered": seen["recovered_at_most"],
            **{key: seen[key] for key in ("uniques", "lost", "unexpected", "duplicated")},
            "missing_events": seen["missing_events"],
        }
        return BoundedFigure.exactly(known.get(name))

    def _step(self, scope: str) -> Mapping[str, Any] | None:
        """Return a step, or copies as a whole: for copies of one step, that step."""
        steps: Mapping[str, Mapping[str, Any]] = self._document["steps"]
        if not scope:
            return steps.get(ALL_FLOWS)
        only = self._document["workflow"]["ingest"] if scope == WORKFLOW else scope
        return steps.get(scope) or steps.get(only) or steps.get(ALL_FLOWS)

    def _time(self, metric: Metric) -> float | None:
        if metric.percentile is None:
            return None
        if metric.scope in _OWN_TIMES:
            times = self._document["generator"][metric.scope]
        else:
            step = self._step(metric.scope)
            if step is None:
                return None
            headline = "service_time" if step["response_time"] is None else "response_time"
            times = step[metric.time or headline] or step[headline]
        if metric.percentile == 100:  # noqa: PLR2004
            longest: float | None = times["max_ms"]
            return longest
        return _decoded(times).percentile_ms(metric.percentile)


def _thresholds(parts: Sequence[Part], made: Document) -> Iterator[dict[str, Any]]:
    """Yield the thresholds, judged by the merged figures.

    If the generator's own delay hid a figure of one run, it hides that of all. A percentile that
    cannot be computed by adding still has a verdict if all runs have the same: the figure of all
    lies between theirs.
    """
    first = parts[0].document
    words = MetricNames(
        steps=[*first["steps"], WORKFLOW],
        undue=[name for name, step in first["steps"].items() if step["response_time"] is None],
        stages=[stage["name"] for stage in first.get("stages", ())],
    )
    figures = MergedFigures(made)
    for entry in first["thresholds"]:
        expression = entry["expression"]
        each = [
            stored
            for part in parts
            for stored in part.document["thresholds"]
            if stored["expression"] == expression
        ]
        threshold = parse(Threshold(check=expression), words)
        delays = [stored["own_delay_ms"] for stored in each if stored["own_delay_ms"] is not None]
        if isinstance(threshold, Problem):
            yield {**entry, "measured": None, "low": None, "high": None, "verdict": "unknown"}
            continue
        judged = threshold.judge(figures)
        if judged.measured is None and threshold.metric.kind is MetricKind.DURATION:
            verdicts = {stored["verdict"] for stored in each}
            if len(verdicts) == 1:
                judged = replace(judged, verdict=Verdict(verdicts.pop()))
        if delays:
            judged = replace(judged, verdict=Verdict.UNKNOWN)
        yield {
            **judged.to_json(),
            "expression": threshold.check,
            "verdict": judged.verdict.value,
            "own_delay_ms": max(delays, default=None),
        }
