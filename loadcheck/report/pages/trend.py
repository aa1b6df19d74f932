"""The page of a trend: what changed since which run, then every figure over all runs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from loadcheck.report import trend, words
from loadcheck.report.pages import (
    Axis,
    Block,
    Cell,
    Chart,
    CheckRow,
    Checks,
    Mark,
    Page,
    Section,
    Series,
    Shape,
    Table,
    Text,
    Tile,
    Unit,
)
from loadcheck.report.words import CHANGE_MARKS, CHANGE_ROLES
from loadcheck.result import Document

_UNITS = {"ms": Unit.MILLISECONDS, "1/s": Unit.RATE, "ratio": Unit.SHARE, "count": Unit.COUNT}
_ROLES = ("service", "counted", "response", "max")
_DASHES = ("", "dash", "dot", "dashdot")
_TILES = 4


def trend_page(document: Document) -> Page:
    """Return the page of a trend's document."""
    histories = document["histories"]
    sections = [
        section
        for number, history in enumerate(histories)
        for section in _sections(number, history, document)
    ]
    names = ", ".join(dict.fromkeys(history["name"] for history in histories))
    return Page(
        verdict=CHANGE_ROLES[document["verdict"]],
        badge=document["verdict"],
        title=f"Trend: {names}",
        because=f"{trend.cause(document)}.",
        origin=[
            words.instant(document["created_at"]),
            trend.runs(sum(len(history["runs"]) for history in histories)),
            f"ordered by {document['order']}",
            f"tolerance {words.share(document['tolerance'])}",
        ],
        tiles=_tiles(histories),
        warnings=trend.skipped_lines(document),
        sections=sections,
    )


def _tiles(histories: Sequence[Document]) -> list[Tile]:
    """Return the figures that changed last, the worse ones first."""
    changed = [
        (figure["word"] != "worse", -figure["changes"][-1]["run"], figure)
        for history in histories
        for figure in trend.target(history)
        if figure["changes"]
    ]
    return [
        Tile(
            label=trend.name(figure),
            value=trend.change(figure),
            note=trend.size(figure, figure["changes"][-1]),
            role=CHANGE_ROLES[figure["word"]],
        )
        for *_, figure in sorted(changed, key=lambda each: each[:2])[:_TILES]
    ]


def _sections(number: int, history: Document, document: Document) -> list[Section]:
    lead = ". ".join(said[:1].upper() + said[1:] for said in trend.about(history, document))
    figures = trend.shown(history)
    charts: list[Block] = [
        _chart(f"trend-{number}-{place}", f"history-{number}", history, group, [*members])
        for place, ((group, _), members) in enumerate(
            groupby(figures, key=lambda figure: (figure["group"], figure["unit"]))
        )
    ]
    verdict: list[Block] = [Text(text=f"{trend.reason(history)}.")]
    if history["changes"]:
        verdict.append(_changes(history))
    verdict.append(_figures(figures))
    title = str(history["name"])
    return [
        Section(name=f"verdict-{number}", title=title, lead=f"{lead}.", blocks=verdict),
        Section(name=f"charts-{number}", title=f"{title}: over the runs", blocks=charts),
        Section(name=f"runs-{number}", title=f"{title}: runs", blocks=[_runs(history)]),
    ]


def _changes(history: Document) -> Checks:
    return Checks(
        checks=[
            CheckRow(
                verdict=CHANGE_ROLES[event["word"]],
                name=f"#{event['run'] + 1}",
                text=f"{trend.run_name(history, event['run'])}: "
                f"{'; '.join(trend.event_lines(history, event))}.",
            )
            for event in history["changes"]
        ]
    )


def _figures(figures: Sequence[Document]) -> Table:
    return Table(
        columns=["figure", "", "level", "interval", "change"],
        rows=[
            [
                trend.name(figure),
                Cell(
                    text=f"{CHANGE_MARKS[figure['word']]} {figure['word']}",
                    role=CHANGE_ROLES[figure["word"]] if figure["word"] != "same" else "",
                ),
                trend.level(figure),
                trend.interval(figure),
                "; ".join(
                    f"#{one['run'] + 1}: {trend.size(figure, one)}" for one in figure["changes"]
                ),
            ]
            for figure in figures
        ],
        prose=True,
        note="The level, with its 95 % confidence interval, is the mean of the runs since the last "
        "change; of a figure that drifts, or does not change, of all runs.",
    )


def _chart(
    name: str, linked: str, history: Document, group: str, figures: Sequence[Document]
) -> Chart:
    numbers = list(range(1, len(history["runs"]) + 1))
    names = ", ".join(figure["name"] for figure in figures)
    series: list[Series] = []
    for place, figure in enumerate(figures):
        role, dash = _ROLES[place % len(_ROLES)], _DASHES[place % len(_DASHES)]
        used = trend.used_values(history, figure)
        if any(low is not None for low in figure["low"]):
            band = [
                high if y is not None else None
                for high, y in zip(figure["high"], used, strict=True)
            ]
            series.append(
                Series(
                    label=f"{figure['name']} 95 %",
                    role=role,
                    x=numbers,
                    y=band,
                    low=[
                        low if y is not None else None
                        for low, y in zip(figure["low"], band, strict=True)
                    ],
                    shape=Shape.BAND,
                )
            )
        series.append(Series(label=figure["name"], role=role, x=numbers, y=used, dash=dash))
        left = [
            value if here is None else None
            for value, here in zip(figure["values"], used, strict=True)
        ]
        if any(value is not None for value in left):
            series.append(
                Series(
                    label=f"{figure['name']}, not used",
                    role="note",
                    x=numbers,
                    y=left,
                    shape=Shape.POINTS,
                    marker="cross",
                    quiet=True,
                )
            )
    marks = {
        one["run"]: Mark(
            axis="x",
            at=one["run"] + 1,
            label=f"{CHANGE_MARKS[one['word']]} #{one['run'] + 1}",
            role="failed" if one["word"] == "worse" else "acknowledged",
        )
        for figure in figures
        for one in figure["changes"]
    }
    return Chart(
        name=name,
        title=f"{group[:1].upper()}{group[1:]}: {names}" if group.startswith("the ") else group,
        note="Each run by its number. Band: 95 % interval by the run's own samples. Cross: not "
        "used. Upright line: first run behind a change.",
        x=Axis(label="run", unit=Unit.COUNT),
        y=Axis(label=names, unit=_UNITS[figures[0]["unit"]]),
        series=series,
        marks=list(marks.values()),
        group=linked,
        table=Table(
            columns=["run", *(figure["name"] for figure in figures)],
            rows=[
                [
                    str(number),
                    *(trend.value(figure, figure["values"][number - 1]) for figure in figures),
                ]
                for number in numbers
            ],
        ),
    )


def _runs(history: Document) -> Table:
    return Table(
        columns=["run", "started", "verdict", "file", "labels", "not used"],
        numeric=False,
        rows=[
            [
                f"#{number}",
                words.instant(run["started_at"]),
                Cell(text=run["verdict"], role=run["verdict"]),
                run["file"],
                words.labels(run["labels"]),
                trend.why_unused(history, number - 1),
            ]
            for number, run in enumerate(history["runs"], start=1)
        ],
    )
