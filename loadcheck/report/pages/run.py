"""The page of one run: verdict, errors, charts, affected users, steps, scenario and machine.

For several results, as of one pipeline, it has an overview, and each report below.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from loadcheck.errors import many
from loadcheck.report import headline, words
from loadcheck.report.pages import (
    Block,
    Cell,
    Chart,
    Checks,
    Code,
    Page,
    Section,
    Table,
    Text,
    Tile,
    arrival,
    latency,
    timeline,
)
from loadcheck.report.view import FIGURES, Counted, RunView, run_view
from loadcheck.result import Document

_WORST_FIRST = ("fail", "unknown", "pass")


def several_page(pages: Sequence[Page], documents: Sequence[Mapping[str, Any]] = ()) -> Page:
    """Return one page for several, whose verdict is the worst of theirs, or that of their mix.

    Args:
        pages: In the order in which they are shown; at least two.
        documents: Their documents; the flows of one mix are also shown together.
    """
    titles = Counter(page.title for page in pages)
    parts = [
        replace(page, title=_distinct_title(page) if titles[page.title] > 1 else page.title).within(
            f"part-{number}"
        )
        for number, page in enumerate(pages, 1)
    ]
    worst = next((name for name in _WORST_FIRST if any(p.verdict == name for p in parts)), "pass")
    title, because = ", ".join(dict.fromkeys(page.title for page in pages)), _because(parts, worst)
    blocks: list[Block] = [_overview(parts)]
    if _is_mix(documents):
        mix = documents[0]["mix"]
        title, worst = mix["name"], mix["together"]["verdict"]
        because += f" Together: {', '.join(headline.of_all(documents))}."
        limits = headline.together_thresholds(documents[0])
        blocks += [thresholds_table(limits)] if limits else []
    return Page(
        verdict=worst,
        badge=worst,
        title=title,
        because=because,
        origin=[f"{len(parts)} results"],
        sections=[Section(name="overview", title="Overview", blocks=blocks)],
        parts=parts,
    )


def _is_mix(documents: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether they are all flows of one run of a mix."""
    mixes = [each.get("mix") or {} for each in documents]
    if not mixes or any("together" not in mix for mix in mixes):
        return False
    together = {"name": mixes[0]["name"], "together": mixes[0]["together"]}
    return sorted(mix["flow"] for mix in mixes) == sorted(mixes[0]["flows"]) and all(
        {name: mix[name] for name in together} == together for mix in mixes
    )


def _distinct_title(page: Page) -> str:
    """Return a distinct title for a page that has the title of another."""
    return f"{page.title}, {page.origin[0]}" if page.origin else page.title


def _because(parts: Sequence[Page], worst: str) -> str:
    passed = sum(part.verdict == "pass" for part in parts)
    if passed == len(parts):
        return f"All {passed} pass."
    said = " ".join(f"{part.title}: {part.because}" for part in parts if part.verdict == worst)
    return f"{passed} of {len(parts)} pass. {said}"


def _overview(parts: Sequence[Page]) -> Table:
    """Return a table with a row for each part, and the key figures that any of them has."""
    labels = list(dict.fromkeys(tile.label for part in parts for tile in part.tiles))
    rows: list[list[str | Cell]] = []
    for part in parts:
        figures = {tile.label: Cell(text=tile.value, role=tile.role) for tile in part.tiles}
        rows.append(
            [
                Cell(text=part.title, link=part.name),
                Cell(text=part.badge, role=part.verdict, strong=True),
                *(figures.get(label, Cell(text="–")) for label in labels),
                part.because,
            ]
        )
    return Table(columns=["result", "verdict", *labels, "because"], rows=rows, prose=True)


def environment_section(document: Document) -> Section:
    """Return the section about the scenario, the run and its environment."""
    run, environment = document["run"], document["environment"]
    workflow = document["workflow"]
    rows: list[list[str]] = [
        ["workflow", f"{workflow.get('name', '?')} ({workflow.get('id', '?')})"],
        *([name, step["request"]] for name, step in document.get("steps", {}).items()),
        ["run", run["id"]],
        ["seed", str(run["seed"])],
        *([f"label {name}", value] for name, value in document.get("labels", {}).items()),
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
    shards = run.get("workers", {}).get("shards", ())
    return Section(
        name="scenario",
        title="Scenario and environment",
        blocks=[
            Table(columns=["", ""], rows=rows, numeric=False),
            *([workers_table(shards)] if shards else ()),
            Code(
                title="The scenario as run",
                text=json.dumps(document["scenario"], indent=2, ensure_ascii=False),
            ),
        ],
    )


_ENDS = {"planned": "finished", "lease": "cut off"}
"""Why a worker started no further copy, in words for readers; others are shown as they are."""


def workers_table(shards: Sequence[Mapping[str, Any]], unended: str = "–") -> Table:
    """Return a table of the workers that share a load.

    Args:
        shards: They, as results files hold them.
        unended: The state of one that has not ended.
    """
    return Table(
        columns=[
            *("worker", "host", "state", "started", "acknowledged"),
            *("lateness p99", "loop lag p99", "CPU"),
        ],
        rows=[_worker(shard, unended) for shard in shards],
    )


def _worker(shard: Mapping[str, Any], unended: str) -> list[str | Cell]:
    cpu = shard["cpu_s"] / shard["watched_s"] if shard["watched_s"] else None
    end = shard["end"]
    state = _ENDS.get(end, end) if end else unended
    lost = end == "lost"
    return [
        f"worker {shard['index'] + 1}",
        str(shard["host"] or "–"),
        Cell(text=state, role="fail" if lost else "", strong=lost),
        words.count(shard["started"]),
        words.count(shard["acknowledged"]),
        words.duration(shard["lateness_p99_ms"]),
        words.duration(shard["loop_lag_p99_ms"]),
        "–" if cpu is None else f"{100 * cpu:.0f} %",
    ]


_MAX_REASONS = 20
_HELD = {"pass": "✓ holds", "fail": "✗ broken", "unknown": "? no evidence"}


def _steps(view: RunView) -> Section | None:
    """Return the section of the steps; None if the run ended before they were summed up."""
    steps = view.document.get("steps")
    if not steps:
        return None
    names = [
        *(f"{each.step} {each.kind}" for each in view.times),
        *(each.kind if " " in each.kind else f"generator {each.kind}" for each in view.own_times),
    ]
    latencies = Table(
        columns=["", *FIGURES, "samples"],
        rows=[
            [name, *each.figures.values(), each.samples]
            for name, each in zip(names, (*view.times, *view.own_times), strict=True)
        ],
        note="Response time: from when a copy was due. Service time: from when a request was "
        "sent. Failed requests and 429s are in neither.",
    )
    answers = Table(
        columns=["step", "response", "attempts"],
        rows=[
            [name, _answer(answer), words.count(number)]
            for name, step in steps.items()
            for answer, number in step["answers"].items()
        ],
    )
    return Section(name="steps", title="Steps", blocks=[latencies, answers])


def _answer(answer: str) -> Cell:
    """Return a status code, or how an attempt ended without one."""
    text = answer if answer.isdecimal() else f"no response: {answer}"
    return Cell(text=text, role="" if answer[:1] == "2" else "fail")


def _errors(view: RunView) -> Section | None:
    """Return the section of why attempts failed; None if none did."""
    if not view.reasons:
        return None
    rows = [[each.step, words.count(each.number), each.text] for each in view.reasons]
    columns = ["step", "attempts", "reason"]
    examples = [
        Code(title=f"{step}: first {status} response", text=body)
        for step, status, body in view.examples
    ]
    table = Table(columns=columns, rows=rows[:_MAX_REASONS], numeric=False)
    return Section(name="errors", title="Errors", blocks=[table, *examples])


_MAX_NAMES = 200


def affected_section(document: Document) -> Section | None:
    """Return the section of the affected users; None if there are none."""
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
    return Code(title=f"{many(len(copies), 'users')} {titles[kind]}", text="\n".join(lines))


def _instant(utc: str | None, second: float) -> str:
    return words.clock(second) if utc is None else f"{utc[11:19]} UTC"


def result_page(document: Document) -> Page:
    """Return the page of a results document of any phase."""
    view = run_view(document)
    document, run = view.document, view.document["run"]
    sections = [
        _verdict(view),
        _errors(view),
        charts_section(
            "latency",
            "Latency",
            [*latency.histograms(document), *latency.percentile_charts(document)],
        ),
        charts_section("load", "Over time", timeline.charts(document)),
        _arrival(document),
        affected_section(document),
        _steps(view),
        environment_section(document),
    ]
    return Page(
        verdict=view.verdict if view.badge == view.verdict else "unknown",
        badge=view.badge,
        title=view.name,
        because=f"{view.cause}.",
        description=str(document["scenario"].get("description", "")),
        origin=[
            words.instant(run["started_at"]),
            f"run {run['id']}",
            *([f"{view.rates.duration} of load"] if view.rates is not None else []),
            *filter(None, [words.ending(run)]),
            *([f"stopped early by {run['aborted']['threshold']}"] if run.get("aborted") else []),
        ],
        tiles=_tiles(view),
        warnings=[*document["warnings"], *([run["error"]] if run["error"] else [])],
        sections=[section for section in sections if section is not None],
        began_at=run.get("load_began_at") or "",
    )


def _tiles(view: RunView) -> list[Tile]:
    copies, rates, counted = view.document["copies"], view.rates, view.counted
    of = f"of {many(copies['started'], 'users')} sent"
    tiles = [Tile(label="Acknowledged", value=words.count(copies["acknowledged"]), note=of)]
    if rates is not None:
        note = f"{rates.share} of {rates.target} target" if rates.target else rates.most_in_flight
        tiles.append(Tile(label="Achieved rate", value=rates.achieved, note=note))
    times = view.times_of(view.document["workflow"].get("ingest"))
    if times is not None:
        note = f"p50 {times.figures['p50']}, max {times.figures['max']}"
        tiles.append(Tile(label="Response p99", value=times.figures["p99"], note=note))
    if counted is not None:
        expected = f"expected {counted.expected}"
        tiles.append(Tile(label="Counted", value=counted.users, note=expected))
        tiles += _loss(counted)
    return tiles


def _loss(counted: Counted) -> list[Tile]:
    tiles = []
    amounts = dict(counted.amounts)
    lost = amounts.pop("lost", None)
    if lost is not None:
        tiles.append(
            Tile(
                label="Lost",
                value=words.count(lost),
                note=", ".join(f"{words.count(n)} {name}" for name, n in amounts.items()),
                role="fail" if lost else "pass",
            )
        )
    if counted.lag:
        longest = "some never" if counted.any_never else f"max {counted.lag['max']}"
        tiles.append(
            Tile(
                label="Time to visibility p95",
                value=counted.lag["p95"],
                note=f"p50 {counted.lag['p50']}, {longest}",
            )
        )
    return tiles


def _verdict(view: RunView) -> Section:
    blocks: list[Block] = [Checks(checks=view.findings)] if view.findings else []
    if view.thresholds:
        blocks.append(thresholds_table(headline.thresholds(view.document)))
    if not blocks:
        blocks.append(Text(text="The run ended before anything was judged."))
    return Section(name="verdict", title="Verdict", blocks=blocks)


def thresholds_table(thresholds: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of judged thresholds, given as in a results file."""
    return Table(
        columns=["threshold", "measured", "verdict"],
        rows=[
            [
                each["expression"],
                headline.measured(each).removeprefix("measured "),
                Cell(
                    text=_HELD[each["verdict"]],
                    role=each["verdict"],
                    strong=each["verdict"] != "pass",
                ),
            ]
            for each in thresholds
        ],
    )


def charts_section(name: str, title: str, charts: Sequence[Chart]) -> Section | None:
    """Return a section of charts; None if there is none."""
    return Section(name=name, title=title, blocks=charts) if charts else None


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
