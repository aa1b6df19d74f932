"""The page of one run.

What was run, where and with what.

What was measured of each step, and why attempts failed.

Who is missing or was counted twice, and when they were sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from loadcheck.report import headline, words
from loadcheck.report.page import Block, Cell, Checks, Code, Page, Section, Table, Text, Tile
from loadcheck.report.pages import arrival, latency, timeline
from loadcheck.report.view import finding_check

Document = Mapping[str, Any]


def environment_section(document: Document) -> Section:
    """Return the section of what was run, where and with what."""
    run, environment = document["run"], document["environment"]
    rows: list[list[str]] = [
        ["workflow", f"{document['workflow']['name']} ({document['workflow']['id']})"],
        *([name, step["request"]] for name, step in document.get("steps", {}).items()),
        ["run", run["id"]],
        ["seed", str(run["seed"])],
        ["started", words.instant(run["started_at"])],
        ["ended", words.instant(run["ended_at"]) if run["ended_at"] else "–"],
        ["loadcheck", str(environment.get("loadcheck", ""))],
        [
            "machine",
            ", ".join(
                (
                    str(environment.get("system", "")),
                    str(environment.get("machine", "")),
                    f"{environment.get('cpus', '?')} processors",
                )
            ),
        ],
        ["Python", f"{environment.get('implementation', '')} {environment.get('python', '')}"],
        ["packages", ", ".join(f"{n} {v}" for n, v in environment.get("packages", {}).items())],
    ]
    generator = document.get("generator")
    if generator and generator.get("watched_s"):
        share = generator["cpu_s"] / generator["watched_s"]
        rows.append(["generator CPU", f"{words.share(round(share, 3))} of one core"])
    if generator and generator.get("peak_memory_bytes"):
        rows.append(["generator memory", f"{generator['peak_memory_bytes'] / 2**20:,.0f} MiB"])
    return Section(
        name="scenario",
        title="Scenario and environment",
        blocks=[
            Table(columns=["", ""], rows=rows, numeric=False),
            Code(
                title="The scenario as run",
                text=json.dumps(document["scenario"], indent=2, ensure_ascii=False),
            ),
        ],
    )


_MAX_REASONS = 20

Steps = Mapping[str, Mapping[str, Any]]


def steps_section(document: Document) -> Section | None:
    """Return the section of the steps; None if the run ended before they were summed up."""
    steps = document.get("steps")
    if not steps:
        return None
    return Section(
        name="steps",
        title="Steps",
        blocks=[_latencies(steps, document["generator"]), _answers(steps)],
    )


def errors_section(document: Document) -> Section | None:
    """Return the section of why attempts failed; None if none did."""
    steps = document.get("steps") or {}
    failures = _failures(steps)
    if failures is None:
        return None
    examples = [
        Code(title=f"{name}: first {status} response", text=body)
        for name, step in steps.items()
        for status, body in step["examples"].items()
    ]
    return Section(name="errors", title="Errors", blocks=[failures, *examples])


def _latencies(steps: Steps, generator: Mapping[str, Any]) -> Table:
    times = [
        (f"{name} {kind.replace('_', ' ')}", step[kind])
        for name, step in steps.items()
        for kind in ("response_time", "service_time", "failed", "throttled")
    ]
    times += [
        (what, generator.get(kind))
        for kind, what in (("lateness", "generator lateness"), ("loop_lag", "event loop lag"))
    ]
    return Table(
        columns=["", "p50", "p90", "p95", "p99", "p99.9", "max", "samples"],
        rows=[[what, *_figures(one)] for what, one in times if one and one["count"]],
        note="Response time: from when a copy was due. Service time: from when a request was "
        "sent. Failed requests and 429s are in neither.",
    )


def _answers(steps: Steps) -> Table:
    return Table(
        columns=["step", "response", "attempts"],
        rows=[
            [name, _answer(answer), words.count(number)]
            for name, step in steps.items()
            for answer, number in step["answers"].items()
        ],
    )


def _answer(answer: str) -> Cell:
    """Return a status code, or how an attempt ended without one."""
    text = answer if answer.isdecimal() else f"no response: {answer}"
    return Cell(text=text, role="" if answer[:1] == "2" else "fail")


def _failures(steps: Steps) -> Table | None:
    rows = [
        [name, words.count(number), reason]
        for name, step in steps.items()
        for reason, number in sorted(step["reasons"].items(), key=lambda item: -item[1])
    ]
    columns = ["step", "attempts", "reason"]
    return Table(columns=columns, rows=rows[:_MAX_REASONS], numeric=False) if rows else None


def _figures(times: Mapping[str, Any]) -> list[str]:
    return [
        *(words.duration(times[f"{p}_ms"]) for p in ("p50", "p90", "p95", "p99", "p999", "max")),
        words.count(times["count"]),
    ]


_MAX_NAMES = 200


def affected_section(document: Document) -> Section | None:
    """Return the section of the affected users; None if nobody is."""
    localized = (document.get("consistency") or {}).get("localized")
    if not localized:
        return None
    blocks: list[Block] = []
    if localized["windows"]:
        blocks.append(
            Table(
                columns=["sent from", "to", "copies", "acknowledged", "lost"],
                rows=[
                    [
                        _instant(window["from"], window["from_s"]),
                        _instant(window["to"], window["to_s"]),
                        f"{window['first_copy']:,} to {window['last_copy']:,}",
                        words.count(window["sent"]),
                        Cell(text=words.count(window["lost"]), role="fail", strong=True),
                    ]
                    for window in localized["windows"]
                ],
                note="Contiguous losses, by the time they were sent.",
            )
        )
    blocks += [
        _names(kind, localized[kind])
        for kind in ("lost", "duplicated", "unexpected")
        if localized[kind]
    ]
    ambiguous = localized["ambiguous"]
    if ambiguous["lost"]:
        blocks.append(
            Text(
                text=f"{words.count(ambiguous['lost'])} more are missing among "
                f"{words.count(ambiguous['lost_suspects'])} candidates and could not be named."
            )
        )
    if localized["trouble"]:
        blocks.append(Text(text=localized["trouble"]))
    if not blocks:
        return None
    lead = (
        f"Found by {words.count(localized['queries'])} group-by queries at a cost of "
        f"{words.count(localized['cost'])}. A user is listed only if it is provably missing."
    )
    return Section(name="names", title="Affected users", blocks=blocks, lead=lead)


def _names(kind: str, copies: list[Mapping[str, Any]]) -> Block:
    titles = {"lost": "lost", "duplicated": "counted twice", "unexpected": "unexpected"}
    rest = len(copies) - _MAX_NAMES
    lines = [
        f"{copy['user_id']}  sent {_instant(copy['sent_at'], copy['second'])}"
        + (f"  {copy['events']} extra events" if "events" in copy else "")
        for copy in copies[:_MAX_NAMES]
    ]
    if rest > 0:
        lines.append(f"and {rest:,} more: see consistency.localized.{kind} in the results file")
    return Code(title=f"{words.count(len(copies))} users {titles[kind]}", text="\n".join(lines))


def _instant(utc: str | None, second: float) -> str:
    return words.clock(second) if utc is None else f"{utc[11:19]} UTC"


def result_page(document: Document) -> Page:
    """Return the page of a results document of any phase."""
    run, badge = document["run"], headline.badge(document)
    sections = [
        _verdict(document),
        errors_section(document),
        _latency(document),
        _load(document),
        _arrival(document),
        affected_section(document),
        steps_section(document),
        environment_section(document),
    ]
    return Page(
        verdict=document["verdict"] if badge == document["verdict"] else "unknown",
        badge=badge,
        title=str(document["scenario"].get("name", "")),
        because=_because(document),
        description=str(document["scenario"].get("description", "")),
        origin=[
            words.instant(run["started_at"]),
            f"run {run['id']}",
            *([f"{words.clock(_took(document))} of load"] if "load" in document else []),
            *filter(None, [words.ending(run)]),
            *([f"stopped early by {run['aborted']['threshold']}"] if run.get("aborted") else []),
        ],
        tiles=_tiles(document),
        warnings=[*document["warnings"], *([run["error"]] if run["error"] else [])],
        sections=[section for section in sections if section is not None],
        began_at=run.get("load_began_at") or "",
    )


def _because(document: Document) -> str:
    return f"{headline.cause(document)}."


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
            else f"{words.share(load['reached_ratio'])} of {words.rate(load['asked_rate'])} target"
        )
        tiles.append(Tile(label="Achieved rate", value=words.rate(load["reached_rate"]), note=note))
    times = _headline_times(document)
    if times is not None:
        tiles.append(
            Tile(
                label="Response p99",
                value=words.duration(times["p99_ms"]),
                note=f"p50 {words.duration(times['p50_ms'])}, "
                f"max {words.duration(times['max_ms'])}",
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
        longest = "some never" if lag["never"] else f"max {_lag(lag['max_s'])}"
        tiles.append(
            Tile(
                label="Time to visibility p95",
                value=_lag(lag["p95_s"]),
                note=f"p50 {_lag(lag['p50_s'])}, {longest}",
            )
        )
    return tiles


def _lag(seconds: float | None) -> str:
    return "unbounded" if seconds is None else words.duration(seconds * 1e3)


def _headline_times(document: Document) -> Mapping[str, Any] | None:
    step = document.get("steps", {}).get(document["workflow"].get("ingest"))
    if step is None:
        return None
    times: Mapping[str, Any] = step["response_time"] or step["service_time"]
    return times if times["count"] else None


def _verdict(document: Document) -> Section:
    checks = [finding_check(finding) for finding in headline.findings(document)]
    blocks: list[Block] = [Checks(checks=checks)] if checks else []
    thresholds = document.get("thresholds", ())
    if thresholds:
        blocks.append(
            Table(
                columns=["threshold", "measured", "verdict"],
                rows=[
                    [
                        threshold["expression"],
                        headline.measured(threshold).removeprefix("measured "),
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
        blocks.append(Text(text="The run ended before anything was judged."))
    return Section(name="verdict", title="Verdict", blocks=blocks)


def _judged(threshold: Mapping[str, Any]) -> str:
    held = {"pass": "✓ holds", "fail": "✗ broken"}
    return held.get(str(threshold["verdict"]), "? no evidence")


def _latency(document: Document) -> Section | None:
    charts = [*latency.histograms(document), *latency.percentile_charts(document)]
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
                columns=["reconciled", "verdict", "counted", "events", "lost at least"],
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
