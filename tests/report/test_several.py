"""Several results on one page, and pages for viewers that run no script and load no style."""

from __future__ import annotations

import copy
import http.server
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck.report.html import content, figure, page, render
from loadcheck.report.pages import Axis, Chart, Scale, Series, Shape, Table, Unit
from loadcheck.report.pages.run import several_page
from tests.report.conftest import EARLY, Tab

Document = dict[str, Any]
JENKINS = "sandbox; default-src 'none'"


def named(document: Document, name: str) -> Document:
    made = copy.deepcopy(document)
    made["scenario"]["name"] = name
    return made


def several(*documents: Document) -> str:
    return render(several_page([content(each) for each in documents])).decode()


def test_flows_of_a_mix_are_told_together(document: Document) -> None:
    flows = [named(document, "shop-buy"), named(document, "shop-look")]
    sums = {"acknowledged": 70, "started": 100}, {"uniques": 60, "totals": 65}
    told = {"verdict": "fail", **dict(zip(("copies", "consistency"), sums, strict=True))}
    for flow, name in zip(flows, ("buy", "look"), strict=True):
        flow["mix"] = {"name": "shop", "flow": name, "flows": ["buy", "look"], "together": told}
    made = several_page([content(each) for each in flows], flows)
    assert (made.title, made.verdict) == ("shop", "fail")
    assert "Together: 2 flows, 70 of 100 copies acknowledged, 60 unique users, 65" in made.because
    # of another run of the mix, or without one of them, nothing is told of all
    for some in ([flows[0]] * 2, [flows[0], named(document, "other")]):
        assert several_page([content(each) for each in some], some).title != "shop"


def test_the_overview_leads_to_each_report(document: Document, search: Document) -> None:
    shown = several(named(document, "one"), named(document, "two"), search)
    for number, name in enumerate(("one", "two"), 1):
        assert f'<a href="#part-{number}">{name}</a>' in shown
        assert re.search(rf'<article class="part pass" id="part-{number}"', shown)
    ids = re.findall(r' id="([^"]+)"', shown)
    assert len(ids) == len(set(ids))
    linked = set(re.findall(r'href="#([^"]+)"', shown))
    assert linked <= set(ids)


def test_the_worst_verdict_is_that_of_all(failed: Document) -> None:
    early = orjson.loads(EARLY.read_bytes())
    good, bad = named(early, "good"), named(failed, "bad")
    unknown = named(early, "unsure") | {"verdict": "unknown"}
    assert several_page([content(good), content(good)]).verdict == "pass"
    assert several_page([content(good), content(unknown)]).verdict == "unknown"
    made = several_page([content(good), content(unknown), content(bad)])
    assert (made.verdict, made.badge) == ("fail", "fail")
    assert made.because.startswith("1 of 3 pass. bad: ")
    assert several_page([content(good), content(good)]).because == "All 2 pass."


def test_reports_of_one_name_are_told_apart(document: Document) -> None:
    later = copy.deepcopy(document)
    later["run"]["started_at"] = "2026-11-25T10:00:00.000Z"
    titles = [part.title for part in several_page([content(document), content(later)]).parts]
    assert len(set(titles)) == 2


def test_charts_of_one_report_do_not_move_with_those_of_another(document: Document) -> None:
    charts = several_page([content(document), content(document)]).charts()
    assert len({chart.name for chart in charts}) == len(charts)
    assert {chart.group.partition("-time")[0] for chart in charts if chart.group} == {
        "part-1",
        "part-2",
    }


values = st.none() | st.floats(0, 1e9, allow_nan=False) | st.integers(0, 10**9)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0, 1e5, allow_nan=False), values), max_size=200),
    st.sampled_from(Shape),
    st.sampled_from(Scale),
    st.sampled_from([unit for unit in Unit if unit is not Unit.PERCENTILE]),
)
def test_every_chart_becomes_a_picture(
    points: list[tuple[float, Any]], shape: Shape, scale: Scale, unit: Unit
) -> None:
    points.sort(key=lambda point: point[0])
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low = [None if y is None else y / 2 for y in ys] if shape is Shape.BAND else None
    series = Series(label="a <b>", role="response", x=xs, y=ys, low=low, shape=shape)
    chart = Chart(
        name="c",
        title="<title>",
        note="",
        x=Axis(label="x", unit=Unit.CLOCK),
        y=Axis(label="y", unit=unit, scale=scale),
        series=[series],
        table=Table(columns=[], rows=[]),
    )
    drawn = str(figure(chart))
    if all(y is None for y in ys):
        assert drawn == ""
        return
    root = ET.fromstring(drawn)
    assert root.tag == "svg"
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert not any("style" in one.attrib for one in root.iter())
    assert len(drawn) < 60_000


@pytest.fixture
def jenkins(failed: Document) -> Iterator[str]:
    """Return where a page is served as Jenkins serves what it has archived."""
    data = page(failed)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", JENKINS)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


SEEN = """
(() => {
  const box = (one) => one.getBoundingClientRect();
  const boxes = [...document.querySelectorAll(".plot > svg")].map(box);
  const lines = [...document.querySelectorAll(".plot > svg .line")];
  return {
    scripted: document.documentElement.classList.contains("drawn"),
    font: getComputedStyle(document.querySelector("h1")).fontFamily,
    pictures: boxes.filter(({width, height}) => width > 600 && height > 200).length,
    filled: lines.filter((one) => getComputedStyle(one).fill !== "none").length,
    colors: new Set(lines.map((one) => getComputedStyle(one).stroke)).size,
    rows: [...document.querySelectorAll("#steps td")].filter((one) => box(one).width).length,
    text: document.body.innerText,
  };
})()
"""


def test_figures_and_tables_are_readable_where_scripts_and_styles_are_forbidden(
    tab: Tab, jenkins: str
) -> None:
    tab.call("Page.navigate", url=jenkins)
    tab._browser.wait_for("Page.loadEventFired", tab._session)
    seen = tab.run(SEEN)
    assert not seen["scripted"]
    assert "system-ui" not in seen["font"]
    assert seen["pictures"] == 10
    assert seen["filled"] == 0
    assert seen["colors"] > 4
    assert seen["rows"] > 10
    assert "Target and achieved rate" in seen["text"]
    assert "✗ fail 200 users" in re.sub(r"\s+", " ", seen["text"])


def test_the_data_of_a_figure_folds_out_without_a_script(tab: Tab, jenkins: str) -> None:
    tab.call("Page.navigate", url=jenkins)
    tab._browser.wait_for("Page.loadEventFired", tab._session)
    details = "document.querySelector('#chart-rate details')"
    tab.run(f"{details}.querySelector('summary').scrollIntoView()")
    x, y = tab.run(
        f"(({{left, top, height}}) => [left + 20, top + height / 2])"
        f"({details}.querySelector('summary').getBoundingClientRect())"
    )
    button = {"button": "left", "clickCount": 1}
    tab.mouse("mousePressed", x, y, buttons=1, **button)
    tab.mouse("mouseReleased", x, y, **button)
    assert tab.run(f"{details}.open && {details}.querySelectorAll('td').length > 20")
