"""The page of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadcheck.report import terminal, words
from loadcheck.report.html import (
    arrival,
    percentiles,
    timeline,
)
from loadcheck.report.html.affected import affected_section
from loadcheck.report.html.model import (
    Block,
    Cell,
    Check,
    Checks,
    Page,
    Section,
    Table,
    Text,
    Tile,
)
from loadcheck.report.html.steps import steps_section
from loadcheck.report.html.surroundings import environment_section

Document = Mapping[str, Any]


def result_page(document: Document) -> Page:
    """Return the page of a results document of any phase."""
    run = document["run"]
    sections = [
        _verdict(document),
        _latency(document),
        _load(document),
        _arrival(document),
        affected_section(document),
        steps_section(document),
        environment_section(document),
    ]
    return Page(
        verdict=document["verdict"],
        badge=document["verdict"],
        title=str(document["scenario"].get("name", "")),
        because=_because(document),
        description=str(document["scenario"].get("description", "")),
        origin=[
            words.instant(run["started_at"]),
            f"run {run['id']}",
            *([f"{words.clock(_took(document))} of load"] if "load" in document else []),
            *(["interrupted"] if run["interrupted"] else []),
            *([f"stopped early by {run['aborted']['threshold']}"] if run.get("aborted") else []),
            *([f"the run was killed: {run['phase']}"] if run["phase"] != "complete" else []),
        ],
        tiles=_tiles(document),
        warnings=[*document["warnings"], *([run["error"]] if run["error"] else [])],
        sections=[section for section in sections if section is not None],
        began_at=run.get("load_began_at") or "",
    )


def _because(document: Document) -> str:
    text = terminal.because(document)
    return f"{text[:1].upper()}{text[1:]}." if text else "There is no verdict yet."


def _took(document: Document) -> float:
    return float(document["load"]["duration_s"])


def _tiles(document: Document) -> list[Tile]:
    copies = document["copies"]
    tiles = [
        Tile(
            label="Acknowledged",
            value=words.count(copies["acknowledged"]),
            note=f"of {words.count(copies['started'])} users sent",
        )
    ]
    load = document.get("load")
    if load:
        note = (
            f"{load['max_in_flight']:,} in flight at most"
            if load["asked_rate"] is None
            else f"{words.share(load['reached_ratio'])} of {words.rate(load['asked_rate'])} asked"
        )
        tiles.append(Tile(label="Rate reached", value=words.rate(load["reached_rate"]), note=note))
    times = _headline_times(document)
    if times is not None:
        tiles.append(
            Tile(
                label="Response p99",
                value=words.duration(times["p99_ms"]),
                note=f"p50 {words.duration(times['p50_ms'])}, "
                f"longest {words.duration(times['max_ms'])}",
            )
        )
    seen = document.get("consistency")
    if seen:
        tiles += _counted(seen)
    return tiles


def _counted(seen: Mapping[str, Any]) -> list[Tile]:
    low, high = words.count(seen["lower"]), words.count(seen["upper"])
    tiles = [
        Tile(
            label="Counted",
            value=words.count(seen["uniques"]),
            note=f"expected {low}" if low == high else f"expected {low} to {high}",
        )
    ]
    if seen["lost_at_least"] is not None:
        further = [
            f"{words.count(seen[name])} {name}"
            for name in ("duplicated", "unexpected")
            if seen[name] is not None
        ]
        tiles.append(
            Tile(
                label="Lost",
                value=words.count(seen["lost_at_least"]),
                note=", ".join(further),
                role="fail" if seen["lost_at_least"] else "pass",
            )
        )
    lag = seen.get("visibility")
    if lag:
        longest = "some never" if lag["never"] else f"longest {_lag(lag['max_s'])}"
        tiles.append(
            Tile(
                label="Lag p95",
                value=_lag(lag["p95_s"]),
                note=f"p50 {_lag(lag['p50_s'])}, {longest}",
            )
        )
    return tiles


def _lag(seconds: float | None) -> str:
    return "no end" if seconds is None else words.duration(seconds * 1e3)


def _headline_times(document: Document) -> Mapping[str, Any] | None:
    step = document.get("steps", {}).get(document["workflow"].get("ingest"))
    if step is None:
        return None
    times: Mapping[str, Any] = step["response_time"] or step["service_time"]
    return times if times["count"] else None


def _verdict(document: Document) -> Section:
    checks = [
        Check(verdict=finding["verdict"], name=finding["check"], text=finding["summary"])
        for finding in document.get("findings", ())
    ]
    blocks: list[Block] = [Checks(checks=checks)] if checks else []
    thresholds = document.get("thresholds", ())
    if thresholds:
        blocks.append(
            Table(
                columns=["threshold", "measured", "verdict"],
                rows=[
                    [
                        threshold["expression"],
                        terminal.measured(threshold).removeprefix("measured "),
                        Cell(
                            text=_judged(threshold),
                            role=threshold["verdict"],
                            strong=threshold["verdict"] != "pass",
                        ),
                    ]
                    for threshold in thresholds
                ],
            )
        )
    if not blocks:
        blocks.append(Text(text="The run ended before anything could be judged."))
    return Section(name="verdict", title="Verdict", blocks=blocks)


def _judged(threshold: Mapping[str, Any]) -> str:
    own = threshold.get("own_delay_ms")
    verdict = str(threshold["verdict"])
    if own is None:
        return {"pass": "✓ held", "fail": "✗ broken"}.get(verdict, "? no evidence")
    return f"? no evidence: {words.duration(own)} of it may be the generator's own"


def _latency(document: Document) -> Section | None:
    charts = percentiles.charts(document)
    if not charts:
        return None
    return Section(name="latency", title="Latency", blocks=charts)


def _load(document: Document) -> Section | None:
    charts = timeline.charts(document)
    if not charts:
        return None
    return Section(name="load", title="Over time", blocks=charts)


def _arrival(document: Document) -> Section | None:
    blocks: list[Block] = [*arrival.charts(document)]
    again = document.get("reconciliations")
    if again:
        blocks.append(
            Table(
                columns=["asked again", "verdict", "counted", "events", "lost at least"],
                rows=[
                    [
                        words.instant(one["at"]),
                        Cell(text=one["verdict"], role=one["verdict"]),
                        words.count(one["uniques"]),
                        words.count(one["totals"]),
                        words.count(one["lost_at_least"]),
                    ]
                    for one in again
                ],
            )
        )
    return Section(name="arrival", title="Did it arrive?", blocks=blocks) if blocks else None
