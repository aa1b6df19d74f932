"""A result as one HTML page that needs nothing but a browser: no network, no other file.

The charts are drawn by a script of our own (``script/``, 33 kB) as SVG, from data inside the page.
Libraries were tried. uPlot 1.6.32 (MIT) draws the same series under the same content security
policy, but on canvases: the nine charts of a run are printed as 18 pixel images instead of lines
and text, in the colours of the screen even if that is dark, and 53 kB (51 of script) come on top
of what it does not have: keyboard, hatching, bands between two series, labelled stages and limits,
the percentile axis. Plotly's script alone is 4.7 MB, and needs inline styles that the policy
refuses. A page without scripts still has every number in tables.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from loadcheck import __version__
from loadcheck.escaping import printable_document
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
    document = printable_document(document)
    kind = document["schema"].partition("/")[0]
    return render(_PAGES.get(kind, result_page)(document))


def render(content: Page) -> bytes:
    """Return a page as HTML in UTF-8.

    Whatever a file says is escaped by the template. The content security policy allows the page's
    own style and script, by their hashes, and nothing else: no fetch, frame, form or image.
    """
    style, script = _part("page.css"), _script()
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    text: str = _template().render(
        page=content,
        policy=policy,
        # neither needs escaping: they are ours, and end no element
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        data=_data(content),
        version=__version__,
    )
    return text.encode()


def _data(content: Page) -> Markup:
    """Return the charts' data as JSON that cannot end the element it stands in."""
    charts = [chart.to_json() for chart in content.charts()]
    data = orjson.dumps({"began_at": content.began_at, "charts": charts}).decode()
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return Markup(data)  # noqa: S704


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _part(name: str) -> str:
    return files("loadcheck.report.html").joinpath(name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    """Return the script: its parts, which see each other and nothing else sees."""
    parts = "\n".join(_part(f"script/{name}.js") for name in _SCRIPT)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@cache
def _template() -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_part("page.html.jinja"))
