"""The page of a capacity search: the answer, and how figures grow with the rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from loadcheck.errors import many
from loadcheck.report import capacity, headline, words
from loadcheck.report.pages import (
    Axis,
    Block,
    Cell,
    Chart,
    CheckRow,
    Checks,
    Mark,
    Page,
    Scale,
    Section,
    Series,
    Shape,
    Table,
    Text,
    Tile,
    Unit,
)
from loadcheck.report.pages.run import environment_section
from loadcheck.report.pages.time_axis import limit_marks, time_axis
from loadcheck.report.view import finding_check
from loadcheck.result import Document

_GROUP = "rate"
_RATE = Axis(label="target rate, copies per second", unit=Unit.RATE)
_SPREAD = 8.0
_MARKERS = {"held": "circle", "broke": "cross", "unproven": "diamond"}
_VERDICTS = {"held": "pass", "broke": "fail", "unproven": "unknown", "cut": ""}


def capacity_page(document: Document) -> Page:
    """Return the page of a capacity search's document."""
    run = document["run"]
    charts = _charts(document)
    sections = [
        _verdict(document),
        *([Section(name="curve", title="Capacity curve", blocks=charts)] if charts else []),
        _probes(document),
        environment_section(document),
    ]
    return Page(
        verdict=document["verdict"],
        badge="capacity" if capacity.badge(document) == "pass" else capacity.badge(document),
        title=str(document["scenario"].get("name", "")),
        because=f"{capacity.cause(document)}.",
        description=str(document["scenario"].get("description", "")),
        origin=[
            words.instant(run["started_at"]),
            f"search {run['id']}",
            *(["interrupted"] if run["interrupted"] else []),
            *filter(None, [words.ending(run, "search")]),
        ],
        tiles=_tiles(document),
        warnings=[*document["warnings"], *([run["error"]] if run["error"] else [])],
        sections=sections,
    )


def _tiles(document: Document) -> list[Tile]:
    answer, search = document["answer"], document["search"]
    tiles = []
    if answer is not None:
        low, high = answer["interval"]
        tiles.append(
            Tile(
                label="Sustains",
                value=words.rate(low),
                note="copies per second",
                role="pass" if low is not None else "fail",
            )
        )
        if high is not None:
            wide = "" if low is None else f"{words.share(round(high / low - 1, 3))} above"
            tiles.append(Tile(label="Breaks at", value=words.rate(high), note=wide))
        because = "" if answer["because"] == answer["limited_by"] else answer["because"]
        tiles.append(Tile(label="Limited by", value=answer["limited_by"], note=because))
    number = len(document["probes"])
    events = many(search["events"], "events")
    tiles.append(Tile(label="Probes", value=words.count(number), note=events))
    tiles.append(Tile(label="Duration", value=words.clock(search["took_s"])))
    return tiles


def _verdict(document: Document) -> Section:
    held = [probe for probe in document["probes"] if probe["verdict"] == "held"]
    best = max(held, key=lambda probe: float(probe["rate"]), default=None)
    blocks: list[Block] = []
    if best is not None:
        blocks.append(
            Checks(
                checks=[
                    *(finding_check(f) for f in best["findings"]),
                    *(
                        CheckRow(
                            verdict=threshold["verdict"],
                            name="threshold",
                            text=f"{threshold['expression']}, {headline.measured(threshold)}",
                        )
                        for threshold in best["thresholds"]
                    ),
                ]
            )
        )
    lead = "Checks for each probe: " + ", ".join([*document["checks"], "consistency"]) + "."
    if best is not None:
        lead += f" At {capacity.copies(best['rate'])}, the highest rate that held:"
    return Section(
        name="verdict",
        title="Verdict",
        lead=lead,
        blocks=blocks or [Text(text="No probe held.")],
    )


def _charts(document: Document) -> list[Chart]:
    probes = [probe for probe in capacity.by_rate(document) if probe["verdict"] != "cut"]
    if not probes:
        return []
    return [
        _latency(document, probes),
        _carried(document, probes),
        _errors(document, probes),
        _lag(document, probes),
    ]


def _latency(document: Document, probes: Sequence[Document]) -> Chart:
    rates = [probe["rate"] for probe in probes]
    p50 = [probe["latency"]["p50_ms"] for probe in probes]
    p99 = [probe["latency"]["p99_ms"] for probe in probes]
    limits = [{"expression": check} for check in document["checks"]]
    verdicts = [
        Series(
            label=verdict,
            role={"held": "acknowledged", "broke": "failed"}.get(verdict, "note"),
            x=[probe["rate"] for probe in probes if probe["verdict"] == verdict],
            y=[probe["latency"]["p99_ms"] for probe in probes if probe["verdict"] == verdict],
            shape=Shape.POINTS,
            marker=marker,
        )
        for verdict, marker in _MARKERS.items()
        if any(probe["verdict"] == verdict for probe in probes)
    ]
    return Chart(
        name="latency",
        title="Response time by rate",
        note="Of the copies after the warm-up. Circle: held; cross: broken; diamond: inconclusive.",
        x=_axis(rates),
        y=time_axis([*p50, *p99]),
        series=[
            Series(label="p99", role="response", x=rates, y=p99),
            Series(label="p50", role="service", x=rates, y=p50, dash="dash"),
            *verdicts,
        ],
        marks=[*_interval(document), *limit_marks({**document, "thresholds": limits})],
        group=_GROUP,
        height=340,
        table=_table(
            {
                "rate": map(words.rate, rates),
                "p50": map(words.duration, p50),
                "p99": map(words.duration, p99),
                "verdict": (probe["verdict"] for probe in probes),
            }
        ),
    )


def _carried(document: Document, probes: Sequence[Document]) -> Chart:
    rates = [probe["rate"] for probe in probes]
    reached = [probe["reached_rate"] for probe in probes]
    carried = [probe["carried_rate"] for probe in probes]
    series = [
        Series(label="target", role="asked", x=rates, y=rates, dash="dash"),
        Series(label="achieved", role="reached", x=rates, y=reached, marker="circle"),
    ]
    if any(value is not None for value in carried):
        series.append(
            Series(
                label="carried",
                role="indeterminate",
                x=[probe["rate"] for probe in probes if probe["carried_rate"] is not None],
                y=[value for value in carried if value is not None],
                shape=Shape.POINTS,
                marker="triangle",
            )
        )
    return Chart(
        name="carried",
        title="Achieved rate by target rate",
        note="Copies started, and what the target completed while it was saturated.",
        x=_axis(rates),
        y=Axis(label="copies per second", unit=Unit.RATE),
        series=series,
        marks=_interval(document),
        group=_GROUP,
        table=_table(
            {
                "target": map(words.rate, rates),
                "achieved": map(words.rate, reached),
                "carried": map(words.rate, carried),
            }
        ),
    )


def _errors(document: Document, probes: Sequence[Document]) -> Chart:
    rates = [probe["rate"] for probe in probes]
    shares = [probe["error_rate"] for probe in probes]
    return Chart(
        name="errors",
        title="Errors by rate",
        note="Copies not acknowledged, after the warm-up.",
        x=_axis(rates),
        y=Axis(label="share of copies", unit=Unit.SHARE),
        series=[Series(label="errors", role="rejected", x=rates, y=shares, marker="circle")],
        marks=_interval(document),
        group=_GROUP,
        height=200,
        table=_table({"rate": map(words.rate, rates), "errors": map(words.share, shares)}),
    )


def _lag(document: Document, probes: Sequence[Document]) -> Chart:
    rates = [probe["rate"] for probe in probes]
    lags_s = [probe["visibility"] and probe["visibility"]["p95_s"] for probe in probes]
    return Chart(
        name="lag",
        title="Time to visibility by rate",
        note="From acknowledgement until counted, 95th percentile.",
        x=_axis(rates),
        y=Axis(label="lag", unit=Unit.SECONDS),
        series=[Series(label="lag p95", role="counted", x=rates, y=lags_s, marker="circle")],
        marks=_interval(document),
        group=_GROUP,
        height=200,
        table=_table(
            {
                "rate": map(words.rate, rates),
                "lag p95": (words.duration(lag_s and 1e3 * lag_s) for lag_s in lags_s),
            }
        ),
    )


def _table(columns: Mapping[str, Iterable[str]]) -> Table:
    """Return a table of columns, by their titles."""
    return Table(columns=list(columns), rows=list(zip(*columns.values(), strict=True)))


def _axis(rates: Sequence[float]) -> Axis:
    """Return the axis of rates: logarithmic if they span far, as the climb is geometric."""
    far = max(rates) > _SPREAD * min(rates) > 0
    return Axis(label=_RATE.label, unit=_RATE.unit, scale=Scale.LOG if far else Scale.LINEAR)


def _interval(document: Document) -> list[Mark]:
    answer = document["answer"]
    if answer is None or None in answer["interval"]:
        return []
    low, high = answer["interval"]
    return [Mark(axis="x", at=low, to=high, label=f"sustains {words.rate(low)}", role="held")]


def _probes(document: Document) -> Section:
    return Section(
        name="probes",
        title="Probes",
        blocks=[
            Table(
                columns=[
                    *("probe", "rate", "verdict", "p50", "p99", "errors", "lag p95", "lost"),
                    "why",
                ],
                rows=[
                    [
                        row.number,
                        words.rate(row.rate),
                        Cell(
                            text=row.verdict,
                            role=_VERDICTS[row.verdict],
                            strong=row.verdict != "held",
                        ),
                        row.figures["p50"],
                        row.figures["p99"],
                        row.errors,
                        row.lag,
                        row.lost,
                        row.reason,
                    ]
                    for row in capacity.probe_rows(document)
                ],
                prose=True,
            )
        ],
    )
