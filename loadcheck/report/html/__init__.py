"""A result as one HTML page that needs nothing but a browser: no network, no other file.

The charts are drawn by a script of our own (``script/``, 33 kB) as SVG, from data inside the page.
Libraries were tried. uPlot 1.6.32 (MIT) draws the same series under the same content security
policy, but on canvases: the nine charts of a run are printed as 18 pixel images instead of lines
and text, in the colours of the screen even if that is dark, and 53 kB (51 of script) come on top
of what it does not have: keyboard, hatching, bands between two series, labelled stages and limits,
the percentile axis. Plotly's script alone is 4.7 MB, and needs inline styles that the policy
refuses. Without scripts a page has plain pictures in their place (``figure``), and every number in
tables.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from loadcheck import __version__
from loadcheck.escaping import printable_document
from loadcheck.report.html.figure import figure
from loadcheck.report.page import Page
from loadcheck.report.pages.capacity import capacity_page
from loadcheck.report.pages.comparison import comparison_page
from loadcheck.report.pages.run import result_page
from loadcheck.report.pages.trend import trend_page

_SCRIPT = ("words", "scales", "elements", "chart", "drawing", "pointing", "page")
"""The parts of the script, in the order in which they need each other."""

_PAGES: Mapping[str, Callable[[Mapping[str, Any]], Page]] = {
    "loadcheck.capacity": capacity_page,
    "loadcheck.comparison": comparison_page,
    "loadcheck.trend": trend_page,
}


def page(document: Mapping[str, Any]) -> bytes:
    """Return what is stored in a file as an HTML page in UTF-8.

    Args:
        document: That of a run of any phase, of a capacity search, a comparison or a trend.
    """
    return render(content(document))


def content(document: Mapping[str, Any]) -> Page:
    """Return what is stored in a file as what a page of it consists of."""
    document = printable_document(document)
    kind = document["schema"].partition("/")[0]
    return _PAGES.get(kind, result_page)(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    """What is otherwise in the page of a run that goes on.

    Attributes:
        token: Who has it may ask for news, and stop the run.
        whole: Whether it is a whole page, for viewers without a script, too.
    """

    token: str = ""
    whole: bool = False


def render(made: Page, *, token: str = "", number: int = 0) -> bytes:
    """Return a page as HTML in UTF-8.

    Whatever a file says is escaped by the template. The content security policy allows the page's
    own style and script, by their hashes, and nothing else: no fetch, frame, form or image. With a
    token the page is one that goes on: it may ask for news where it comes from, and for a stop.

    Args:
        made: The page.
        token: Of a page that goes on; "" for one that is complete.
        number: Of the state that it shows.
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
        # neither needs escaping: they are ours, and end no element
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        data=_data(made, number=number, live=bool(token)),
        version=__version__,
        live=_Live(token=token, whole=True) if token else None,
    )
    return text.encode()


def update(content: Page, *, number: int) -> bytes:
    """Return what has changed in a page that goes on: its content again, and its charts, as JSON.

    Args:
        content: The page.
        number: Of the state that it shows.
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
    told: dict[str, Any] = {"began_at": content.began_at, "charts": charts}
    if live:
        told["number"] = number
    data = orjson.dumps(told).decode()
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
    """Return the script: its parts, which see each other and nothing else sees."""
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
