"""Makes the results document of a capacity search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadcheck.pipeline import warnings
from loadcheck.pipeline.capacity.judge import ProbeJudgement
from loadcheck.pipeline.capacity.probe import MEASURED, ProbeTemplate
from loadcheck.pipeline.capacity.search import ProbeVerdict, Search, SearchGoal, majority
from loadcheck.pipeline.session import CompletedRun
from loadcheck.result import OUTCOMES, document
from loadcheck.result.schema_others import CAPACITY
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.thresholds import Judged

CUT = "cut"
"""The verdict of a probe that was stopped by a signal, or by the end of the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A probe that has ended.

    Attributes:
        number: Its number, from 1.
        rate: Its rate, in copies per second.
        again: Whether the rate had been probed before.
        finished: Its run.
        judgement: Its judgement; None if it was cut short.
        took_s: Time from its beginning to its verdict.
    """

    number: int
    rate: float
    again: bool
    finished: CompletedRun
    judgement: ProbeJudgement | None
    took_s: float


def intent(
    probing: ProbeTemplate,
    compiled: CompiledScenario,
    aim: SearchGoal,
    *,
    search_id: str,
    seed: int,
) -> dict[str, Any]:
    """Return the document as it stands before the first probe."""
    scenario, capacity = probing.scenario, probing.scenario.capacity
    return {
        "schema": CAPACITY,
        "verdict": "unknown",
        "run": {
            "id": search_id,
            "phase": "running",
            "seed": seed,
            "started_at": document.utc_now(),
            "ended_at": None,
            "interrupted": False,
            "error": None,
            "scenario_file": scenario.file,
        },
        "search": {
            **asdict(capacity),
            **asdict(aim),
            "took_s": 0.0,
            "events": 0,
        },
        "answer": None,
        "checks": [check for check, _ in probing.checks],
        "curve": curve([]),
        "probes": [],
        **document.origin(compiled),
        "warnings": warnings.of_search(compiled, probing.left_out),
    }


def probe(probed: Probed, probing: ProbeTemplate) -> dict[str, Any]:
    """Return the entry of one probe."""
    finished, judgement = probed.finished, probed.judgement
    saved, record = finished.document, finished.figures.record
    (stage,) = (each for each in record.stages if each.span.name == MEASURED)
    ingest = stage.steps[record.steps.index(record.ingest)]
    times = ingest.service_time if ingest.response_time is None else ingest.response_time
    seen, monitor = saved["consistency"], finished.figures.monitor
    started = record.ledger.started.range_cardinality(stage.span.first, stage.span.last)
    acknowledged = record.ledger.acknowledged.range_cardinality(stage.span.first, stage.span.last)
    aborted = saved["run"]["aborted"]
    return {
        "number": probed.number,
        "run": saved["run"]["id"],
        "started_at": saved["run"]["started_at"],
        "rate": probed.rate,
        "reached_rate": saved["load"]["reached_rate"],
        "again": probed.again,
        "verdict": CUT if judgement is None else judgement.held.value,
        "because": "" if judgement is None else judgement.because,
        "measured": None if judgement is None else judgement.measured,
        "unit": "" if judgement is None else judgement.unit,
        "close": judgement is not None and judgement.close,
        "stopped_at_s": None if aborted is None else aborted["at_s"],
        "load_s": saved["load"]["duration_s"],
        "took_s": round(probed.took_s, 3),
        "copies": {name: saved["copies"][name] for name in OUTCOMES},
        "latency": document.histogram(times),
        "error_rate": (started - acknowledged) / started if started else None,
        "carried_rate": None if judgement is None else judgement.carried,
        "growth": None if judgement is None else judgement.growth,
        "visibility": seen["visibility"],
        "uniques": seen["uniques"],
        "lost_at_least": seen["lost_at_least"],
        "duplicated": seen["duplicated"],
        "generator": {
            "dispatch_lag_p99_ms": stage.dispatch_lag.percentile_ms(99),
            "loop_lag_p99_ms": stage.loop_lag.percentile_ms(99),
            "cpu_share": monitor.cpu_s / monitor.watched_s if monitor.watched_s else None,
        },
        "thresholds": thresholds(finished.judgement.judged, probing),
        "findings": [
            finding.to_json()
            for finding in finished.judgement.findings
            if finding.check != "aborted"
        ],
    }


def thresholds(judged: Sequence[Judged], probing: ProbeTemplate) -> list[dict[str, Any]]:
    """Return the judged thresholds of a probe, written as in the scenario."""
    spelled = {staged: check for check, staged in probing.checks}
    found = [each.to_json() for each in judged]
    return [each | {"expression": spelled[each["expression"]]} for each in found]


def curve(probes: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Return columns over the rates that were probed, ascending; a repetition has its own row."""
    rows = sorted(
        (each for each in probes if each["verdict"] != CUT),
        key=lambda each: (each["rate"], each["number"]),
    )
    return {
        "rate": [row["rate"] for row in rows],
        "p50_ms": [row["latency"]["p50_ms"] for row in rows],
        "p99_ms": [row["latency"]["p99_ms"] for row in rows],
        "error_rate": [row["error_rate"] for row in rows],
        "visible_p95_s": [
            None if row["visibility"] is None else row["visibility"]["p95_s"] for row in rows
        ],
        "carried_rate": [row["carried_rate"] for row in rows],
    }


def answer(
    search: Search, aim: SearchGoal, probes: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return the answer of the search so far; None if no rate is known to hold or not to hold."""
    low, high = search.bounds
    if low is None and high is None:
        return None
    beyond: Mapping[str, Any] = {}
    limited_by = search.ending.value if search.ending else None
    if high is not None:
        broke = majority(search.votes(high)) is ProbeVerdict.BROKE
        wanted = ProbeVerdict.BROKE if broke else ProbeVerdict.UNPROVEN
        beyond = next(
            each for each in probes if each["rate"] == high and each["verdict"] == wanted.value
        )
        limited_by = "target" if broke else "generator"
        if not broke and beyond["because"] != "generator":
            limited_by = "evidence"
    return {
        "rate": low,
        "interval": [low, high],
        "precise": low is not None and high is not None and high <= low * (1 + 1.1 * aim.precision),
        "limited_by": limited_by,
        "because": beyond.get("because", ""),
        "measured": beyond.get("measured"),
        "unit": beyond.get("unit", ""),
        "ending": search.ending.value if search.ending else None,
    }


def verdict(search: Search) -> str:
    """Return "pass" if a rate holds, "fail" if the lowest does not, else "unknown"."""
    low, high = search.bounds
    if low is not None:
        return "pass"
    if high is not None and majority(search.votes(high)) is ProbeVerdict.BROKE:
        return "fail"
    return "unknown"
