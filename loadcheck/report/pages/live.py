"""The page of a run in progress: the report's charts, and its present state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loadcheck.errors import many
from loadcheck.report import headline, words
from loadcheck.report.pages import (
    Block,
    Cell,
    Page,
    Section,
    Table,
    Text,
    Tile,
    arrival,
    timeline,
)
from loadcheck.report.pages.run import (
    charts_section,
    several_page,
    thresholds_table,
    workers_table,
)
from loadcheck.report.pages.timeline import Cells, map_of
from loadcheck.result import Document

POINTS = 600
"""Maximum points of a line; more are joined, so that an hour costs no more than ten minutes."""
_SHOWN_EVENTS = 30
_P99 = "p99 of the last second"
_STAGES = {
    "starting": "Starting",
    "load": "Sending the load",
    "stopping": "Stopping",
    "settle": "Waiting for the count",
    "done": "Done",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a run.

    Attributes:
        at_s: When it happened, since the load began.
        text: What happened.
        role: A verdict; decides colour.
    """

    at_s: float
    text: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What is known about a run in progress, besides its document.

    Attributes:
        now: Its state, as :class:`loadcheck.web.Feed` sends it.
        title: The name of a probe of a search; "" for a run.
        events: Events, the latest last.
        heat_edges: Ends of the columns of the heat map, in seconds, and where the first begins.
        heat: Its columns.
        probes: Of a search: the results of earlier probes, as rows of a table.
        lost: Users that are certainly lost; None if not checked.
    """

    now: Mapping[str, Any]
    title: str
    events: Sequence[Event]
    heat_edges: Sequence[float]
    heat: Cells
    probes: Sequence[Sequence[str]] = ()
    lost: int | None = None


def live_page(document: Document, live: Live) -> Page:
    """Return the page of a run in progress.

    Args:
        document: The results document so far.
        live: What else is known.
    """
    run, now = document["run"], live.now
    broken = [each["expression"] for each in now["thresholds"] if each["verdict"] == "fail"]
    if live.lost:
        broken.insert(0, f"{many(live.lost, 'users are')} lost")
    sections = [
        _so_far(now, live.events),
        _probes(live.probes),
        _over_time(document, live),
        charts_section("arrival", "Did it arrive?", arrival.charts(document, POINTS)),
        _generator(document, now),
    ]
    name = str(document["scenario"].get("name", ""))
    return Page(
        verdict="fail" if broken else "unknown",
        badge="running" if not broken else "failing",
        title=f"{name}: {live.title}" if live.title else name,
        because=_because(now, broken),
        origin=[
            words.instant(run["started_at"]),
            f"run {run['id']}",
            *filter(None, [words.labels(document["labels"])]),
        ],
        tiles=_tiles(document, now, live.lost),
        warnings=[*document["warnings"], *([run["error"]] if run.get("error") else [])],
        sections=[section for section in sections if section is not None],
        began_at=run.get("load_began_at") or "",
    )


def live_pages(flows: Sequence[tuple[Document, Live]]) -> Page:
    """Return one page for the flows of a mix in progress.

    Args:
        flows: Document and live state of each.
    """
    pages = [live_page(document, live) for document, live in flows]
    failing = [page for page in pages if page.badge == "failing"]
    said = dict.fromkeys(page.because for page in pages)
    because = " ".join(f"{page.title}: {page.because}" for page in failing or pages)
    document, now = _together(flows)
    # the first running flow has the present ones; flows before it have ended
    limits = next((live.now["together"] for _, live in flows[::-1] if live.now["together"]), ())
    broken = [each["expression"] for each in limits if each["verdict"] == "fail"]
    whole = several_page(pages)
    if limits:
        text = f"broken so far: {', '.join(broken)}" if broken else _held(len(limits))
        because = f"{next(iter(said)) if len(said) == 1 else because} Together: {text}."
        said = {because: None}
        overview = whole.sections[0]
        blocks = [*overview.blocks, thresholds_table(limits)]
        whole = replace(whole, sections=[replace(overview, blocks=blocks)])
    lost = [live.lost for _, live in flows if live.lost is not None]
    return replace(
        whole,
        verdict="fail" if broken else whole.verdict,
        badge="failing" if failing or broken else "running",
        title=document["scenario"]["name"],
        because=next(iter(said)) if len(said) == 1 else because,
        origin=pages[0].origin[:1],
        tiles=[
            tile
            for tile in _tiles(document, now, sum(lost) if lost else None)
            if tile.label != _P99
        ],
    )


def _together(flows: Sequence[tuple[Document, Live]]) -> tuple[Document, Mapping[str, Any]]:
    """Return the sums of several flows; percentiles cannot be summed."""
    documents = [document for document, _ in flows]
    rows = [document["timeline"].get("started") for document in documents]
    names = {(document.get("mix") or {}).get("name") for document in documents}
    name = ", ".join(str(document["scenario"].get("name", "")) for document in documents)
    return {
        "scenario": {"name": names.pop() or name if len(names) == 1 else name},
        "copies": {
            key: _sum([document["copies"][key] for document in documents])
            for key in documents[0]["copies"]
        },
        "timeline": {"started": [_sum([column[-1] for column in rows if column])]},
        "consistency": {"checked": any(map(headline.is_checked, documents))},
    }, {
        "asked_rate": _sum([live.now["asked_rate"] for _, live in flows]),
        "p99_ms": None,
    }


def _sum(values: Sequence[Any]) -> Any:
    """Return the sum; None if a value is unknown, or if there are none."""
    return None if None in values or not values else sum(values)


def _because(now: Mapping[str, Any], broken: Sequence[str]) -> str:
    stage = _STAGES.get(now["stage"], now["stage"])
    if now["stage"] == "load" and now["part"]:
        stage += f", {now['part']}"
    left = "" if now["left_s"] is None else f", {words.clock(now['left_s'])} left"
    if now["stage"] == "settle" and left:
        left = f", at most {left[2:]}"
    held = len(now["thresholds"])
    if broken:
        verdict = f"broken so far: {', '.join(broken)}"
    elif held:
        verdict = _held(held)
    else:
        verdict = "no verdict before the end"
    return f"{stage}: {words.clock(now['elapsed_s'])}{left}. {verdict[0].upper()}{verdict[1:]}."


def _held(thresholds: int) -> str:
    return f"no threshold is broken so far, of {thresholds}"


def _tiles(document: Document, now: Mapping[str, Any], lost: int | None) -> list[Tile]:
    copies, rows = document["copies"], document["timeline"]

    def last(name: str) -> Any:
        column = rows.get(name)
        return column[-1] if column else None

    planned = f" of {words.count(copies['planned'])}" if copies.get("planned") else ""
    tiles = [
        Tile(
            label="Acknowledged",
            value=words.count(copies["acknowledged"]),
            note=f"of {words.count(copies['started'])} sent{planned and ',' + planned}",
        ),
        Tile(
            label="Achieved rate",
            value=words.rate(last("started")),
            note="" if now["asked_rate"] is None else f"target {words.rate(now['asked_rate'])}",
        ),
        Tile(
            label=_P99,
            value=words.duration(last("p99_ms")),
            note=f"since the beginning {words.duration(now['p99_ms'])}",
        ),
        Tile(
            label="In flight",
            value=words.count(copies["in_flight"]),
            note=many(copies["retries"], "retries"),
        ),
    ]
    bad = copies["rejected"] + copies["indeterminate"] + copies["skipped"]
    tiles.append(
        Tile(
            label="Not acknowledged",
            value=words.count(bad),
            note=f"{words.count(copies['rejected'])} rejected, "
            f"{words.count(copies['indeterminate'])} indeterminate, "
            f"{words.count(copies['skipped'])} skipped",
            role="fail" if bad else "",
        )
    )
    if headline.is_checked(document):
        seen, sure = copies["uniques"], copies["users"]  # returning users count once
        note = (
            f"{words.count(max(0, sure - seen))} to come" if seen is not None else "not yet asked"
        )
        tiles.append(Tile(label="Visible", value=words.count(seen), note=note))
    if lost is not None:
        role = "fail" if lost else "pass"
        tiles.append(Tile(label="Lost", value=words.count(lost), note="at least", role=role))
    return tiles


def _so_far(now: Mapping[str, Any], events: Sequence[Event]) -> Section:
    blocks: list[Block] = []
    if now["thresholds"]:
        blocks.append(thresholds_table(now["thresholds"]))
    shown = events[-_SHOWN_EVENTS:][::-1]
    if shown:
        blocks.append(
            Table(
                columns=["at", "event"],
                rows=[[words.clock(one.at_s), Cell(text=one.text, role=one.role)] for one in shown],
                numeric=False,
                note=""
                if len(shown) == len(events)
                else f"The last {len(shown)} of {len(events)} events.",
            )
        )
    if not blocks:
        blocks.append(Text(text="Nothing has happened yet."))
    return Section(name="now", title="Verdict so far and events", blocks=blocks)


def _probes(rows: Sequence[Sequence[str]]) -> Section | None:
    if not rows:
        return None
    table = Table(columns=["probe", "rate", "verdict", "because"], rows=rows, numeric=False)
    return Section(name="probes", title="Probes so far", blocks=[table])


def _over_time(document: Document, live: Live) -> Section | None:
    charts = timeline.charts(document, POINTS)
    heat = map_of(document, live.heat_edges, live.heat, "latency") if len(live.heat) else None
    place = next((at for at, one in enumerate(charts, 1) if one.name == "latency"), 0)
    if heat is not None:
        charts.insert(place, heat)
    return charts_section("load", "Over time", charts)


def _generator(document: Document, now: Mapping[str, Any]) -> Section:
    """Return the section about the load generator and its workers."""
    late = document["timeline"].get("lateness_p99_ms") or [None]
    shards = (now["workers"] or {}).get("shards", ())
    blocks: list[Block] = [
        Table(
            columns=["", ""],
            rows=[
                ["lateness p99 of the last second", words.duration(late[-1])],
                [
                    "CPU of the busiest worker" if shards else "CPU",
                    "–"
                    if now["cpu_share"] is None
                    else f"{100 * now['cpu_share']:.0f} % of a core",
                ],
                ["last query", now["trouble"] or "answered"],
            ],
            numeric=False,
        )
    ]
    if shards:
        blocks.append(workers_table(shards, unended="sending"))
    return Section(name="generator", title="Generator", blocks=blocks)
