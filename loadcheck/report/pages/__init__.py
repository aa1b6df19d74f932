"""What a page consists of: tiles, tables, charts and texts in sections."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Number = float | int | None


class Shape(enum.Enum):
    """How a series is drawn."""

    LINE = "line"
    STEP = "step"
    """A value holds from its x until the next one's."""
    POINTS = "points"
    BAND = "band"
    """The area between ``low`` and ``y``."""
    STACK = "stack"
    """An area on top of those before it; a value holds until the next one's x."""


class Scale(enum.Enum):
    """How values are laid out along an axis."""

    LINEAR = "linear"
    LOG = "log"
    PERCENTILE = "percentile"
    """Values are 1/(1-p), on a logarithmic axis labelled with p."""


class Unit(enum.Enum):
    """What the values of an axis are, and so how they are written."""

    CLOCK = "clock"
    """Seconds since the load began."""
    MILLISECONDS = "ms"
    SECONDS = "s"
    RATE = "rate"
    COUNT = "count"
    SHARE = "share"
    PERCENTILE = "percentile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis.

    Attributes:
        label: What it measures.
        unit: How its values are written.
        scale: How they are laid out.
        switch: Whether a reader may change between linear and logarithmic.
    """

    label: str
    unit: Unit
    scale: Scale = Scale.LINEAR
    switch: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as the script reads it."""
        return {
            "label": self.label,
            "unit": self.unit.value,
            "scale": self.scale.value,
            "switch": self.switch,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One row of values.

    Attributes:
        label: Its name, shown next to it.
        role: What it means; decides colour, the same in all charts.
        x: Ascending.
        y: One for each x; None leaves a gap.
        low: Lower edge of a band.
        shape: How it is drawn.
        dash: "", "dash", "dot" or "dashdot": distinguishable without colour.
        marker: "", "circle", "square", "triangle", "diamond" or "cross".
        faint: Thinner than the others.
        quiet: Named only while it is pointed at.
    """

    label: str
    role: str
    x: Sequence[Number]
    y: Sequence[Number]
    low: Sequence[Number] | None = None
    shape: Shape = Shape.LINE
    dash: str = ""
    marker: str = ""
    faint: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A marked line or stretch.

    Attributes:
        axis: "x" for a vertical one, "y" for a horizontal one.
        at: Its position, or the beginning of a stretch.
        to: The end of a stretch; None for a line.
        label: What it is.
        role: What it means; decides colour.
        span: First and last x of a horizontal line; None for the whole width.
    """

    axis: str
    at: float
    label: str
    to: float | None = None
    role: str = "note"
    span: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the script reads it."""
        return {
            "axis": self.axis,
            "at": self.at,
            "to": self.to,
            "label": self.label,
            "role": self.role,
            "span": self.span,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """An interval on a scale from 0 to 200 whose middle means no difference.

    Attributes:
        low, high: Its ends.
        at: The value.
        least, most: Differences between these count as none.
        role: What it means; decides colour.
    """

    low: int
    high: int
    at: int
    least: int
    most: int
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A table's cell.

    Attributes:
        text: What it says.
        role: A verdict or another meaning; decides colour.
        strong: Whether it stands out.
        link: Id of the element in the page that it links to; "" for none.
        bar: Drawn instead of the text.
    """

    text: str
    role: str = ""
    strong: bool = False
    link: str = ""
    bar: Bar | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        columns: Headings. The first column names the row.
        rows: Texts or cells.
        numeric: Whether all columns but the first are numbers, and flush right.
        prose: Whether the last column is text nevertheless.
        note: A sentence below it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    numeric: bool = True
    prose: bool = False
    note: str = ""
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """A heat map of samples over time: a cell is darker the more samples it holds.

    Attributes:
        x: Edges along the x axis, ascending: one more than there are columns.
        y: Edges along the y axis, ascending: one more than there are rows.
        cells: Samples, column by column.
    """

    x: Sequence[float]
    y: Sequence[float]
    cells: Sequence[Sequence[int]]

    def to_json(self) -> dict[str, Any]:
        """Return it as the script reads it: of each column its first row and counts."""
        columns = []
        for column in self.cells:
            filled = [place for place, number in enumerate(column) if number]
            columns.append([filled[0], *column[filled[0] : filled[-1] + 1]] if filled else [])
        return {"x": _short(self.x), "y": _short(self.y), "cells": columns}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart and its data as a table.

    Attributes:
        name: Unique within the page.
        title: What it shows.
        note: How to read it, in a sentence.
        x, y: Its axes.
        series: Drawn in this order.
        marks: Marked lines and stretches.
        group: Charts of one group share the extent and the cursor along x.
        height: In CSS pixels.
        table: Its data, for readers who cannot see it.
        heat: Drawn beneath the series.
    """

    name: str
    title: str
    note: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    table: Table
    marks: Sequence[Mark] = ()
    group: str = ""
    height: int = 280
    heat: Heat | None = None
    kind: str = field(default="chart", init=False)

    def to_json(self) -> dict[str, Any]:
        """Return it as the script reads it; x values that series share are written once."""
        shared: dict[tuple[Number, ...], int] = {}
        series = [
            {
                "label": one.label,
                "role": one.role,
                "x": shared.setdefault(tuple(one.x), len(shared)),
                "y": _short(one.y),
                "low": None if one.low is None else _short(one.low),
                "shape": one.shape.value,
                "dash": one.dash,
                "marker": one.marker,
                "faint": one.faint,
                "quiet": one.quiet,
            }
            for one in self.series
        ]
        return {
            "name": self.name,
            "title": self.title,
            "x": self.x.to_json(),
            "y": self.y.to_json(),
            "xs": [_short(values) for values in shared],
            "series": series,
            "marks": [mark.to_json() for mark in self.marks],
            "group": self.group,
            "height": self.height,
            "heat": None if self.heat is None else self.heat.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = field(default="text", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Verbatim text, collapsed."""

    title: str
    text: str
    kind: str = field(default="code", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """A finding or a threshold in a list of them.

    Attributes:
        verdict: Its verdict.
        name: Its id.
        text: What it says.
        meaning: What it checks in general; collapsed.
    """

    verdict: str
    name: str
    text: str
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """A list of findings or thresholds."""

    checks: Sequence[CheckRow]
    kind: str = field(default="checks", init=False)


Block = Chart | Table | Text | Code | Checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and its content."""

    name: str
    title: str
    blocks: Sequence[Block]
    lead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A key figure."""

    label: str
    value: str
    note: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page.

    Attributes:
        verdict: "pass", "fail" or "unknown"; decides colour.
        badge: The verdict in a word.
        title: What the page is about.
        because: Why the verdict is what it is.
        description: More about it.
        origin: When and where the figures were taken.
        tiles: The key figures.
        warnings: What a reader should know before trusting them.
        sections: Its sections.
        began_at: When the load began, UTC, ISO 8601: the zero of charts over time; "" if there is
            no such instant, or more than one.
        parts: Whole pages, one after the other below the sections.
        name: Of a part: its id, with which the names of its sections and charts begin.
    """

    verdict: str
    badge: str
    title: str
    because: str
    description: str = ""
    origin: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = ()
    began_at: str = ""
    parts: Sequence[Page] = ()
    name: str = ""

    def within(self, name: str) -> Page:
        """Return it as a part of another page, with names that begin with the part's."""
        return replace(
            self,
            name=name,
            sections=[
                replace(
                    section,
                    name=f"{name}-{section.name}",
                    blocks=[_within(block, name) for block in section.blocks],
                )
                for section in self.sections
            ],
        )

    def charts(self) -> list[Chart]:
        """Return the charts in order."""
        return [
            block
            for section in self.sections
            for block in section.blocks
            if isinstance(block, Chart)
        ] + [chart for part in self.parts for chart in part.charts()]


def _within(block: Block, name: str) -> Block:
    if not isinstance(block, Chart):
        return block
    group = f"{name}-{block.group}" if block.group else ""
    return replace(block, name=f"{name}-{block.name}", group=group)


def _short(values: Sequence[Number]) -> list[Number]:
    """Return values with six significant digits: more than a screen can show."""
    return [
        value if value is None or isinstance(value, int) else float(f"{value:.6g}")
        for value in values
    ]
