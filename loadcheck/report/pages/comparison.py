"""The page of a comparison: what differs, with which certainty, then the runs overlaid.

A base and a candidate may be one run or several on each side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from loadcheck.report import comparison, words
from loadcheck.report.pages import (
    Axis,
    Bar,
    Block,
    Cell,
    Chart,
    Mark,
    Number,
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
from loadcheck.report.pages.latency import GROUP, TIME
from loadcheck.report.pages.time_axis import span_marks, time_axis
from loadcheck.report.words import CHANGE_MARKS, CHANGE_ROLES
from loadcheck.result import Document

_ALL = 100.0
_SIDES = (("base", "dash"), ("candidate", ""))
_MAX_ROWS = 60


def latency_charts(document: Document) -> list[Chart]:
    """Return a chart of percentiles for each step of a comparison that has samples."""
    found = [_percentiles(document, step) for step in _steps(document)]
    return [chart for chart in found if chart is not None]


def time_charts(document: Document) -> list[Chart]:
    """Return the charts over the load; none if the files had no intervals."""
    found = [_rate(document)]
    for step in _steps(document):
        found += [
            _over_time(document, step, "p50_ms", "p50"),
            _over_time(document, step, "p99_ms", "p99"),
        ]
    return [chart for chart in found if chart is not None]


def _steps(document: Document) -> list[str]:
    """Return the steps that every run has."""
    first, *others = (run["curves"]["steps"] for side, _ in _SIDES for run in document[side])
    return [name for name in first if all(name in steps for steps in others)]


def _lines(document: Document) -> Iterator[tuple[Document, dict[str, Any]]]:
    """Yield every run with the look of its line; a side's first run is labelled as the side."""
    for side, dash in _SIDES:
        for place, run in enumerate(document[side]):
            yield (
                run,
                {
                    "label": side if place == 0 else f"{side} {place + 1}",
                    "role": side,
                    "dash": dash,
                    "faint": len(document[side]) > 1,
                    "quiet": place > 0,
                },
            )


def _percentiles(document: Document, step: str) -> Chart | None:
    series = []
    for run, look in _lines(document):
        times = run["curves"]["steps"][step]["percentiles"]
        points = [
            (1 / (1 - level / _ALL), value)
            for level, value in zip(run["curves"]["percentiles"], times, strict=True)
            if value is not None and level is not None and level < _ALL
        ]
        if points:
            x, y = zip(*points, strict=True)
            series.append(Series(x=x, y=y, **look))
    if not series:
        return None
    first = document["base"][0]["curves"]
    return Chart(
        name=f"percentiles-{_id(document, step)}",
        title=f"{_time(document, step)} of {step} by percentile",
        note="The percentile axis is logarithmic, to show the tail.",
        x=Axis(label="percentile", unit=Unit.PERCENTILE, scale=Scale.PERCENTILE),
        y=time_axis(value for one in series for value in one.y),
        series=series,
        height=320,
        table=Table(
            columns=["percentile", *(look["label"] for _, look in _lines(document))],
            rows=[
                [
                    "max" if level == _ALL else f"p{level:g}",
                    *(
                        words.duration(run["curves"]["steps"][step]["percentiles"][place])
                        for run, _ in _lines(document)
                    ),
                ]
                for place, level in enumerate(first["percentiles"])
            ],
        ),
    )


def _over_time(document: Document, step: str, column: str, name: str) -> Chart | None:
    series = []
    for run, look in _lines(document):
        intervals, values = run["curves"]["intervals"], run["curves"]["steps"][step]["intervals"]
        if intervals["from_s"] and len(values[column]) == len(intervals["from_s"]):
            series.append(Series(x=_middles(intervals), y=values[column], **look))
    if not any(value is not None for one in series for value in one.y):
        return None
    return Chart(
        name=f"{name}-{_id(document, step)}",
        title=f"{_time(document, step)} of {step}, {name}",
        note="Of the copies due in each interval of the load.",
        x=TIME,
        y=time_axis(value for one in series for value in one.y),
        series=series,
        marks=_stages(document),
        group=GROUP,
        height=240,
        table=_table(series, words.duration),
    )


def _rate(document: Document) -> Chart | None:
    series = []
    for run, look in _lines(document):
        intervals = run["curves"]["intervals"]
        if not intervals["from_s"]:
            continue
        rates = [
            count / (end - begin)
            for count, begin, end in zip(
                intervals["acknowledged"], intervals["from_s"], intervals["to_s"], strict=True
            )
        ]
        series.append(Series(x=intervals["from_s"], y=rates, shape=Shape.STEP, **look))
    if not series:
        return None
    return Chart(
        name="rate",
        title="Rate of acknowledged copies",
        note="Of the copies due in each interval of the load, per second.",
        x=TIME,
        y=Axis(label="copies per second", unit=Unit.RATE),
        series=series,
        marks=_stages(document),
        group=GROUP,
        height=220,
        table=_table(series, words.rate),
    )


def _middles(intervals: Document) -> list[Number]:
    return [
        (begin + end) / 2 for begin, end in zip(intervals["from_s"], intervals["to_s"], strict=True)
    ]


def _stages(document: Document) -> list[Mark]:
    """Return the stages of the candidate's load, if it has more than one."""
    stages = document["candidate"][-1]["stages"]
    if len(stages) <= 1:
        return []
    return span_marks((stage["name"], stage["from_s"], stage["to_s"]) for stage in stages)


def _time(document: Document, step: str) -> str:
    kind = str(document["base"][0]["curves"]["steps"][step]["time"])
    return kind.replace("_", " ").capitalize()


def _id(document: Document, step: str) -> str:
    """Return a step's number, as its name may not be valid in an element's id."""
    return str(_steps(document).index(step) + 1)


def _table(series: Sequence[Series], write: Any) -> Table:
    """Return the values at the first run's times; those of the others by index."""
    first = series[0]
    every = max(1, -(-len(first.x) // _MAX_ROWS))
    return Table(
        columns=["at", *(one.label for one in series)],
        rows=[
            [
                words.clock(first.x[place] or 0),
                *(write(one.y[place]) if place < len(one.y) else "–" for one in series),
            ]
            for place in range(0, len(first.x), every)
        ],
        note="" if every == 1 else f"One interval in {every} is shown.",
    )


_TILES = 4
_MINUS = "\u2212"
_SPREAD = 4.0
"""The scale of differences reaches this many tolerances to each side, at least."""
_WIDEST = 1.0


def comparison_page(document: Document) -> Page:
    """Return the page of a comparison's document."""
    latency, over_time = [], []
    if document["base"]:
        latency, over_time = latency_charts(document), time_charts(document)
    sections = [
        *([_figures(document)] if document["figures"] else []),
        *([Section(name="latency", title="Latency", blocks=latency)] if latency else []),
        *([Section(name="load", title="Over time", blocks=over_time)] if over_time else []),
        _runs(document),
    ]
    return Page(
        verdict=CHANGE_ROLES[document["verdict"]],
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
    """Return a sort key for the size of a figure's difference; one without a base is largest."""
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
        Cell(
            text=f"{CHANGE_MARKS[word]} {word}",
            role=CHANGE_ROLES[word] if word != "same" else "",
        ),
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
