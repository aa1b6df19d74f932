"""Renders a result as one self-contained HTML page: no network, no other file.

The charts are drawn by a script of our own (``script/``, 33 kB) as SVG, from data inside the page.
Libraries were tried. uPlot 1.6.32 (MIT) draws the same series under the same content security
policy, but on canvases: the nine charts of a run are printed as 18 pixel images instead of lines
and text, in the colours of the screen even if that is dark, and its 53 kB (51 of script) come on
top of what it lacks: keyboard control, hatching, bands between two series, labelled stages and
limits, the percentile axis. Plotly's script alone is 4.7 MB, and needs inline styles that the
policy refuses. Without scripts a page has plain pictures instead, and every number in tables.

Such a picture is styled by SVG attributes alone, which no content security policy forbids: Jenkins
shows archived pages under ``sandbox; default-src 'none'``. Where styles are loaded, they override
the attributes, so the picture follows a dark page; where scripts run, their chart replaces it.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import orjson
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from loadcheck import __version__
from loadcheck.errors import printable_document
from loadcheck.report import words
from loadcheck.report.pages import Axis, Chart, Page, Scale, Series, Shape, Unit
from loadcheck.report.pages.capacity import capacity_page
from loadcheck.report.pages.comparison import comparison_page
from loadcheck.report.pages.run import result_page
from loadcheck.report.pages.trend import trend_page

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 26, 10, 46
_MOST_POINTS = 240
_SHADES = 6
_COLORS = {
    **dict.fromkeys(("reached", "response", "base"), "#0072b2"),
    **dict.fromkeys(("service", "visible"), "#3d9ad1"),
    **dict.fromkeys(("acknowledged", "held"), "#009e73"),
    "counted": "#a9527f",
    **dict.fromkeys(("indeterminate", "throttled", "retries", "candidate"), "#c67f00"),
    **dict.fromkeys(("rejected", "failed", "lost", "limit"), "#d55e00"),
}
"""The same as in page.css; all others are grey."""
_GREY = "#6b7886"
_DASHES = {"dash": "7 4", "long": "14 4", "dot": "1.5 3.5", "dashdot": "9 3 2 3"}
_WRITE: dict[Unit, Callable[[float], str]] = {
    Unit.CLOCK: words.clock,
    Unit.MILLISECONDS: words.duration,
    Unit.SECONDS: lambda value: words.duration(value * 1e3),
    Unit.RATE: words.rate,
    Unit.COUNT: words.count,
    Unit.SHARE: words.share,
    Unit.PERCENTILE: lambda value: words.share(1 - 1 / value),
}

_SYMBOLS = {
    "circle": "m-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0Z",
    "square": "m-3,-3h6v6h-6Z",
    "triangle": "m0,-4l4,7h-8Z",
    "diamond": "m0,-4l4,4l-4,4l-4,-4Z",
    "cross": "m-4,-4l8,8m0,-8l-8,8",
}
"""Markers of points: SVG paths that start at the point."""

ToPixels = Callable[[float], float]
Points = Sequence[tuple[float, float, float]]
"""x, y and the lower edge of each point."""


def figure(chart: Chart) -> Markup:
    """Return a chart as an SVG element with an accessible title; "" if empty."""
    drawn = [(one, points) for one in chart.series if (points := _points(one))]
    if not drawn and chart.heat is None:
        return Markup()
    xs = [x for _, points in drawn for x, _, _ in points]
    ys = [value for _, points in drawn for _, y, low in points for value in (y, low)]
    if chart.heat is not None:
        xs, ys = list(chart.heat.x), list(chart.heat.y)
    x = _placed(chart.x, xs, _LEFT, _WIDTH - _RIGHT)
    y = _placed(chart.y, ys, _HEIGHT - _BOTTOM, _TOP)
    named = [one for one, _ in drawn if not one.quiet and one.shape is not Shape.BAND]
    parts = [
        *_axes(chart, x, y, xs, ys),
        *(_heat(chart, x, y) if chart.heat is not None else ()),
        *(
            _series(one, points, x, y)
            for one, points in drawn
            if not one.quiet or one.shape is Shape.POINTS
        ),
        *_uprights(chart, x),
        *_legend(named),
    ]
    title = _element("title", {}, f"{chart.title}: {', '.join(one.label for one in named)}")
    box = {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "width": _WIDTH, "height": _HEIGHT, "role": "img"}
    return _element("svg", {**box, "font-family": "sans-serif"}, title + Markup().join(parts))


def _points(series: Series) -> list[tuple[float, float, float]]:
    """Return the known points of a series; if there are many, the highest of each few."""
    lows = series.low or [None] * len(series.y)
    all_ = [
        (float(x), float(y), float(y if low is None else low))
        for x, y, low in zip(series.x, series.y, lows, strict=True)
        if x is not None and y is not None
    ]
    every = max(1, -(-len(all_) // _MOST_POINTS))
    return [
        max(all_[place : place + every], key=lambda point: point[1])
        for place in range(0, len(all_), every)
    ]


def _placed(axis: Axis, values: Sequence[float], start: float, end: float) -> ToPixels:
    """Return a function that places values between the pixels ``start`` and ``end``."""
    log = axis.scale is not Scale.LINEAR
    above = [value for value in values if value > 0]
    low, high = _extent(axis, values)
    if log:
        low = min(above, default=1.0)
        low, high = math.log10(low), math.log10(max(high, low))
    span = (high - low) or 1.0

    def place(value: float) -> float:
        at = (math.log10(value) if value > 0 else low) if log else value
        return round(start + (end - start) * (at - low) / span, 1)

    return place


def _extent(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if axis.unit in (Unit.CLOCK, Unit.PERCENTILE) else (min(0.0, low), high)


def _ticks(axis: Axis, values: Sequence[float], most: int) -> list[float]:
    """Return round values along an axis."""
    low, high = _extent(axis, values)
    if axis.scale is not Scale.LINEAR:
        low = min((value for value in values if value > 0), default=1.0)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(max(high, low))) + 1)
        return [10.0**power for power in powers if low <= 10.0**power <= high * 1.001]
    step = 10 ** math.floor(math.log10((high - low) / most or 1.0)) if high > low else 1.0
    step *= next(one for one in (1, 2, 5, 10) if (high - low) / (step * one) <= most)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _axes(
    chart: Chart, x: ToPixels, y: ToPixels, xs: Sequence[float], ys: Sequence[float]
) -> Iterator[Markup]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for at in _ticks(chart.y, ys, 4):
        grid = {"d": f"M{_LEFT},{y(at)}H{right}", "stroke": "#dfe4ea", "class": "grid"}
        yield _element("path", grid)
        yield _text(_LEFT - 6, y(at) + 4, _WRITE[chart.y.unit](at), "end")
    yield _element("path", {"d": f"M{_LEFT},{bottom}H{right}", "stroke": _GREY, "class": "axis"})
    for at in _ticks(chart.x, xs, 8):
        yield _text(x(at), bottom + 15, _WRITE[chart.x.unit](at), "middle")
    yield _text(right, _HEIGHT - 18, chart.x.label, "end")


def _uprights(chart: Chart, x: ToPixels) -> Iterator[Markup]:
    """Yield the vertical lines of a chart, with their labels."""
    bottom = _HEIGHT - _BOTTOM
    for number, mark in enumerate(m for m in chart.marks if m.axis == "x" and m.to is None):
        at, color = x(mark.at), _COLORS.get(mark.role, _GREY)
        line = {"d": f"M{at},{_TOP}V{bottom}", "stroke": color, "stroke-opacity": "0.6"}
        yield _element("path", line | {"class": f"line r-{mark.role}"})
        beyond = at > (_LEFT + _WIDTH) / 2
        place = at + (-4 if beyond else 4), bottom - 5 - 13 * (number % 3)
        yield _text(*place, mark.label, "end" if beyond else "start")


def _series(series: Series, points: Points, x: ToPixels, y: ToPixels) -> Markup:
    color = _COLORS.get(series.role, _GREY)
    look = f"r-{series.role}"
    stepped = series.shape in (Shape.STEP, Shape.STACK)
    if series.shape is Shape.POINTS:
        symbol = _SYMBOLS.get(series.marker, _SYMBOLS["circle"])
        dots = "".join(f"M{x(at)},{y(value)}{symbol}" for at, value, _ in points)
        return _element(
            "path", {"d": dots, "stroke": color, "fill": "none", "class": f"line {look}"}
        )
    if series.shape is Shape.BAND:
        upper = " ".join(f"{x(at)},{y(value)}" for at, value, _ in points)
        lower = " ".join(f"{x(at)},{y(low)}" for at, _, low in reversed(points))
        band = {"points": f"{upper} {lower}", "fill": color, "fill-opacity": "0.2"}
        return _element("polygon", band | {"class": f"area {look}"})
    first, *rest = ((x(at), y(value)) for at, value, _ in points)
    line = f"M{first[0]},{first[1]}"
    line += "".join(f"H{at}V{value}" if stepped else f"L{at},{value}" for at, value in rest)
    drawn: dict[str, Any] = {"d": line, "fill": "none", "stroke": color, "stroke-width": "1.5"}
    if series.dash in _DASHES:
        drawn["stroke-dasharray"] = _DASHES[series.dash]
    return _element("path", drawn | {"class": f"line {look} {series.dash}"})


def _heat(chart: Chart, x: ToPixels, y: ToPixels) -> Iterator[Markup]:
    heat = chart.heat
    assert heat is not None
    most = max((number for column in heat.cells for number in column), default=0) or 1
    paths = [""] * _SHADES
    rows = [y(at) for at in heat.y]
    for (begin, end), column in zip(pairwise(heat.x), heat.cells, strict=True):
        for place, number in enumerate(column):
            if number:
                shade = min(_SHADES - 1, int(_SHADES * math.log1p(number) / math.log1p(most)))
                paths[shade] += f"M{x(begin)},{rows[place]}H{x(end)}V{rows[place + 1]}H{x(begin)}Z"
    for shade, path in enumerate(paths, 1):
        if path:
            look = {"fill": "#0072b2", "fill-opacity": round(shade / _SHADES, 2), "class": "cell"}
            yield _element("path", {"d": path, **look})


def _legend(series: Sequence[Series]) -> Iterator[Markup]:
    at = float(_LEFT)
    for one in series:
        color = _COLORS.get(one.role, _GREY)
        sample = {
            "d": f"M{at},{_HEIGHT - 6}h22",
            "stroke": color,
            "stroke-width": 2,
            "fill": "none",
        }
        if one.dash in _DASHES:
            sample["stroke-dasharray"] = _DASHES[one.dash]
        yield _element("path", sample | {"class": f"line r-{one.role} {one.dash}"})
        yield _text(at + 27, _HEIGHT - 2, one.label, "start")
        at += 50 + 6.6 * len(one.label)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    look = {"x": round(x, 1), "y": round(y, 1), "font-size": 12, "fill": "#566474"}
    return _element("text", {**look, "text-anchor": anchor, "class": "tick"}, text)


def _element(name: str, attributes: dict[str, Any], content: str | Markup = "") -> Markup:
    given = Markup().join(
        Markup(' {}="{}"').format(key, value) for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), given, content)  # noqa: S704  # ours


_SCRIPT = ("words", "scales", "elements", "chart", "drawing", "pointing", "page")
"""The parts of the script, in the order of their dependencies."""

_PAGES: Mapping[str, Callable[[Mapping[str, Any]], Page]] = {
    "loadcheck.capacity": capacity_page,
    "loadcheck.comparison": comparison_page,
    "loadcheck.trend": trend_page,
}


def page(document: Mapping[str, Any]) -> bytes:
    """Return a stored document as an HTML page in UTF-8.

    Args:
        document: That of a run of any phase, of a capacity search, a comparison or a trend.
    """
    return render(content(document))


def content(document: Mapping[str, Any]) -> Page:
    """Return the content of a page about a stored document."""
    document = printable_document(document)
    kind = document["schema"].partition("/")[0]
    return _PAGES.get(kind, result_page)(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    """What differs in a live page, which shows a run in progress.

    Attributes:
        token: Permits requests for updates, and for stopping the run.
        whole: Whether it is the whole page, for viewers without scripts, too, or an update.
    """

    token: str = ""
    whole: bool = False


def render(made: Page, *, token: str = "", number: int = 0) -> bytes:
    """Return a page as HTML in UTF-8.

    All content from files is escaped by the template. The content security policy allows the page's
    own style and script, by their hashes, and nothing else: no fetch, frame, form or image. With a
    token the page is live: it may request updates from its origin, and a stop.

    Args:
        made: The page.
        token: Token of a live page; "" for a complete one.
        number: Number of the state that it shows.
    """
    style, script = _part("page.css"), _script(live=bool(token))
    own = "'self'" if token else "'none'"
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        f"img-src data:; base-uri 'none'; form-action {own}"
    )
    if token:
        policy += f"; connect-src {own}"
    text: str = _template().render(
        page=made,
        policy=policy,
        # no escaping needed: both are ours, and do not end their elements
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        data=_data(made, number=number, live=bool(token)),
        version=__version__,
        live=_Live(token=token, whole=True) if token else None,
    )
    return text.encode()


def update(content: Page, *, number: int) -> bytes:
    """Return an update of a live page, as JSON: its whole content, and its charts.

    Args:
        content: The page.
        number: Number of the state that it shows.
    """
    made = _template().make_module({"page": content, "live": _Live(), **_NO_FRAME})
    return orjson.dumps(
        {
            "number": number,
            "html": str(made.content()),
            "verdict": content.verdict,
            "title": f"{content.badge} {content.title} – loadcheck",
            "began_at": content.began_at,
            "charts": [chart.to_json() for chart in content.charts()],
        }
    )


_NO_FRAME = {"policy": "", "style": "", "script": "", "data": "", "version": ""}


def _data(content: Page, *, number: int, live: bool) -> Markup:
    """Return the charts' data as JSON that cannot end the element it stands in."""
    charts = [chart.to_json() for chart in content.charts()]
    payload: dict[str, Any] = {"began_at": content.began_at, "charts": charts}
    if live:
        payload["number"] = number
    data = orjson.dumps(payload).decode()
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return Markup(data)  # noqa: S704


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _part(name: str) -> str:
    return files("loadcheck.report.html").joinpath(name).read_text(encoding="utf-8")


@cache
def _script(*, live: bool) -> str:
    """Return the script: its parts, together in a scope of their own."""
    names = (*_SCRIPT, "live") if live else _SCRIPT
    parts = "\n".join(_part(f"script/{name}.js") for name in names)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@cache
def _template() -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["figure"] = figure
    return environment.from_string(_part("page.html.jinja"))
