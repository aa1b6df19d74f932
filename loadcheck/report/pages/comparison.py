"""The page of a comparison: what differs and how sure that is, then the runs over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadcheck.report import comparison, words
from loadcheck.report.page import Bar, Block, Cell, Page, Section, Table, Text, Tile
from loadcheck.report.pages import overlay

_VERDICTS = {"worse": "fail", "better": "pass", "same": "pass", "unsure": "unknown"}
_MARKS = {"worse": "✗ worse", "better": "✓ better", "same": "= same", "unsure": "? unsure"}
_TILES = 4
_MINUS = "\u2212"
_SPREAD = 4.0
"""The scale of differences reaches this many tolerances to each side, at least."""
_WIDEST = 1.0

Document = Mapping[str, Any]


def comparison_page(document: Document) -> Page:
    """Return the page of a comparison's document."""
    latency, over_time = [], []
    if document["base"]:
        latency, over_time = overlay.latency_charts(document), overlay.time_charts(document)
    sections = [
        *([_figures(document)] if document["figures"] else []),
        *([Section(name="latency", title="Latency", blocks=latency)] if latency else []),
        *([Section(name="load", title="Over time", blocks=over_time)] if over_time else []),
        _runs(document),
    ]
    return Page(
        verdict=_VERDICTS[document["verdict"]],
        badge=comparison.badge(document),
        title=f"Comparison: {document['scenario']['name']}",
        because=f"{comparison.cause(document)}.",
        origin=[
            words.instant(document["created_at"]),
            _sides(document),
            f"tolerance {words.share(document['tolerance'])}",
            f"confidence {words.share(document['confidence'])}",
        ],
        tiles=_tiles(document),
        warnings=[*document["forced"], *document["notes"]],
        sections=sections,
    )


def _sides(document: Document) -> str:
    def runs(side: str) -> str:
        number = len(document[side])
        return f"{number} run{'' if number == 1 else 's'}"

    return f"{runs('candidate')} against {runs('base')}"


def _name(figure: Document) -> str:
    """Return a figure's name by itself: "uploadEvents response time p99", "Lost"."""
    name, group = str(figure["name"]), str(figure["group"])
    return name.capitalize() if group.startswith("the ") else f"{group} {name}"


def _weight(figure: Document) -> tuple[bool, float]:
    """Return how much a figure's difference says; what came from nothing says most."""
    change = figure["relative"]["difference"]
    return change is None, abs(change or 0.0)


def _tiles(document: Document) -> list[Tile]:
    """Return the figures that differ most, the worse ones first, then the latencies."""
    order = {"worse": 0, "better": 1}
    chosen = sorted(
        (f for f in document["figures"] if f["about"] == "target" and f["candidate"] is not None),
        key=lambda f: (
            order.get(f["word"], len(order)),
            *(-float(part) for part in _weight(f) if f["word"] in order),
            f["unit"] != "ms",
        ),
    )[:_TILES]
    tiles = []
    for figure in chosen:
        base, candidate, difference, _ = comparison.row(figure)
        tiles.append(
            Tile(
                label=_name(figure),
                value=difference,
                note=f"{base} → {candidate}",
                role={"worse": "fail", "better": "pass"}.get(figure["word"], ""),
            )
        )
    return tiles


def _figures(document: Document) -> Section:
    reach = _reach(document)
    ends = words.share(round(reach, 3))
    rows: list[list[str | Cell]] = []
    group = ""
    for figure in comparison.shown(document):
        if figure["group"] != group:
            group = figure["group"]
            rows.append([Cell(text=group, strong=True)])
        rows.append(_row(figure, reach))
    return Section(
        name="verdict",
        title="Figures",
        lead=f"Each difference with its {words.share(document['confidence'])} confidence "
        "interval. Grey band: within "
        "tolerance.",
        blocks=[
            Table(
                columns=[
                    *("figure", "", "base", "candidate", "difference", "interval"),
                    f"{_MINUS}{ends} … +{ends}",
                ],
                rows=rows,
            )
        ],
    )


def _row(figure: Document, reach: float) -> list[str | Cell]:
    base, candidate, difference, interval = comparison.row(figure)
    word = figure["word"]
    return [
        figure["name"],
        Cell(text=_MARKS[word], role=_VERDICTS[word] if word != "same" else ""),
        base,
        candidate,
        Cell(text=difference, strong=word in {"worse", "better"}),
        interval,
        _bar(figure, reach),
    ]


def _bar(figure: Document, reach: float) -> Cell:
    relative = figure["relative"]
    if relative["difference"] is None or figure["base"] is None:
        return Cell(text="")

    def place(value: float) -> int:
        return round(100 + 100 * min(max(value / reach, -1.0), 1.0))

    at = place(relative["difference"])
    low, high = relative["low"], relative["high"]
    margin = abs(figure["margin"] / figure["base"]) if figure["base"] else 0.0
    return Cell(
        text="",
        bar=Bar(
            low=at if low is None else place(low),
            high=at if high is None else place(high),
            at=at,
            least=place(-margin),
            most=place(margin),
            role={"worse": "failed", "better": "acknowledged"}.get(figure["word"], "note"),
        ),
    )


def _reach(document: Document) -> float:
    """Return how far the scale of differences goes to each side, as a share of the base."""
    ends = [
        abs(value)
        for figure in document["figures"]
        if figure["about"] == "target"
        for value in figure["relative"].values()
        if value is not None
    ]
    furthest = max(ends, default=0.0)
    return min(max(furthest, _SPREAD * float(document["tolerance"])), _WIDEST)


def _runs(document: Document) -> Section:
    rows: list[Sequence[str | Cell]] = [
        [
            "  ".join([f"{side}: {run['file']}", words.labels(run.get("labels", {}))]).strip(),
            words.instant(run["started_at"]),
            Cell(text=run["verdict"], role=run["verdict"]),
            words.count(run["copies"]["started"]),
            words.count(run["copies"]["acknowledged"]),
            words.rate(run["load"]["reached_rate"]),
        ]
        for side in ("base", "candidate")
        for run in document[side]
    ]
    blocks: list[Block] = [
        Table(
            columns=["run", "started", "verdict", "copies", "acknowledged", "rate"],
            rows=rows,
        )
    ]
    if document["differences"]:
        blocks.append(
            Table(
                columns=["what differs", "base", "candidate", "run"],
                rows=[
                    [
                        Cell(text=one["key"], strong=one["matters"]),
                        _shown(one["base"]),
                        _shown(one["candidate"]),
                        one["file"],
                    ]
                    for one in document["differences"]
                ],
                numeric=False,
            )
        )
    else:
        blocks.append(Text(text="Scenario, target and machine are the same in all runs."))
    return Section(name="runs", title="Runs", blocks=blocks)


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)
