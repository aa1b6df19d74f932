"""The page in a browser, where one is installed: drawn, without a complaint, for everybody."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadcheck.report.html import page
from tests.report.conftest import Tab

Document = dict[str, Any]

LENGTHS = """
Object.fromEntries([...document.querySelectorAll("figure.chart")].map((figure) => [
  figure.dataset.chart,
  [...figure.querySelectorAll(".plot > svg .line, .plot > svg .area")]
    .reduce((total, path) => total + path.getTotalLength(), 0),
]))
"""


@pytest.fixture
def opened(tab: Tab, failed: Document, tmp_path: Path) -> Tab:
    """Return a tab in which the page of a failed run is open."""
    path = tmp_path / "page.html"
    path.write_bytes(page(failed))
    tab.open(path)
    return tab


def plot(name: str) -> str:
    return f"document.querySelector('#chart-{name} .plot')"


def test_every_chart_is_drawn_and_nothing_complained(opened: Tab) -> None:
    lengths = opened.run(LENGTHS)
    assert len(lengths) == 10
    assert all(length > 100 for length in lengths.values()), lengths
    assert opened.complaints() == []


def test_series_are_named_where_they_end(opened: Tab) -> None:
    texts = opened.run(
        "[...document.querySelectorAll('#chart-rate .label')].map(one => one.textContent)"
    )
    assert sorted(texts) == ["achieved", "target"]


def test_no_text_of_a_chart_is_cut_off(opened: Tab) -> None:
    for width in (1280, 800, 390):
        opened.shape(width)
        opened.run("new Promise(done => setTimeout(done, 100))")
        outside = opened.run("""
          [...document.querySelectorAll(".plot > svg")].flatMap((chart) => {
            const frame = chart.getBoundingClientRect();
            return [...chart.querySelectorAll("text")]
              .filter((one) => !one.closest("[clip-path]"))
              .filter((one) => {
                const box = one.getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1;
              })
              .map((one) => one.textContent);
          })
        """)
        assert outside == [], width


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
def test_the_page_is_never_wider_than_the_window(opened: Tab, width: int) -> None:
    opened.shape(width)
    opened.run("new Promise(done => setTimeout(done, 100))")
    assert opened.run("document.documentElement.scrollWidth") <= width


def test_a_pointer_shows_the_values_in_all_charts_over_time(opened: Tab) -> None:
    opened.run(f"{plot('latency')}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = opened.run(
        "(({left, top, width}) => [left, top, width])"
        "(document.querySelector('#chart-latency .plot > svg').getBoundingClientRect())"
    )
    opened.mouse("mouseMoved", box[0] + box[2] / 2, box[1] + 120)
    shown = opened.run(
        "[...document.querySelectorAll('.readout:not([hidden])')]"
        ".map(one => one.closest('figure').dataset.chart)"
    )
    assert {"rate", "latency", "outcomes", "arrival"} <= set(shown)
    assert "percentiles" not in shown


def test_dragging_zooms_all_charts_over_time_and_a_double_click_resets(opened: Tab) -> None:
    opened.run(f"{plot('rate')}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    left, top, width = opened.run(
        "(({left, top, width}) => [left, top, width])"
        "(document.querySelector('#chart-rate .plot > svg').getBoundingClientRect())"
    )
    ticks = "[...document.querySelectorAll('#chart-arrival .tick.middle')].map(t => t.textContent)"
    before = opened.run(ticks)
    y, button = top + 100, {"button": "left", "clickCount": 1}
    opened.mouse("mousePressed", left + width * 0.3, y, buttons=1, **button)
    opened.mouse("mouseMoved", left + width * 0.4, y, buttons=1, button="left")
    opened.mouse("mouseReleased", left + width * 0.4, y, **button)
    assert opened.run(ticks) != before
    opened.mouse("mousePressed", left + width * 0.4, y, buttons=1, button="left", clickCount=2)
    opened.mouse("mouseReleased", left + width * 0.4, y, button="left", clickCount=2)
    assert opened.run(ticks) == before
    assert opened.complaints() == []


def test_the_keyboard_reaches_every_value(opened: Tab) -> None:
    opened.run(f"{plot('rate')}.focus()")
    said = f"{plot('rate')}.querySelector('[aria-live]').textContent"
    opened.key("ArrowRight")
    first = opened.run(said)
    assert re.fullmatch(r"at [\d.]+ s: achieved [\d,]+/s, target [\d,]+/s", first)
    opened.key("ArrowRight")
    assert opened.run(said) != first
    opened.key("Home")
    assert opened.run(said).startswith("at 0 s: ")
    opened.key("+", "+")
    zoomed = "document.querySelector('#chart-rate .tools button:last-child').disabled"
    assert opened.run(zoomed) is False
    opened.key("0", "0")
    assert opened.run(zoomed) is True


def soon(holds: Callable[[], bool], tries: int = 20) -> bool:
    """Return whether something comes to hold: a busy machine draws a page later."""
    for _ in range(tries):
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_a_line_is_hidden_by_its_number_or_its_name(opened: Tab) -> None:
    lines = "document.querySelectorAll('#chart-latency .plot > svg .line').length"
    longest = "document.querySelector('#chart-latency .label.r-max')"
    before = opened.run(lines)
    opened.run(f"{plot('latency')}.focus()")
    opened.key("1", "1")
    assert soon(lambda: opened.run(lines) == before - 1)
    assert opened.run(f"{longest}.classList.contains('off')")

    opened.run(f"{longest}.scrollIntoView({{block: 'center'}})")
    x, y = opened.run(
        "(({left, top, width, height}) => [left + width / 2, top + height / 2])"
        f"({longest}.getBoundingClientRect())"
    )
    opened.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    opened.mouse("mouseReleased", x, y, button="left", clickCount=1)
    assert soon(lambda: opened.run(lines) == before, tries=60)
    assert opened.complaints() == []


def test_the_time_of_day_is_told_where_it_is_known(
    tab: Tab, document: Document, tmp_path: Path
) -> None:
    document["run"]["load_began_at"] = "2026-11-23T23:59:58.000Z"
    path = tmp_path / "page.html"
    path.write_bytes(page(document))
    tab.open(path)
    tab.run(f"{plot('rate')}.focus()")
    for _ in range(4):
        tab.key("ArrowRight")
    said = tab.run(f"{plot('rate')}.querySelector('[aria-live]').textContent")
    assert said.startswith("at 3 s, 00:00:01 UTC: ")


def test_the_keyboard_changes_the_scale(opened: Tab) -> None:
    name = "document.querySelector('#chart-percentiles .tools button').textContent"
    before = opened.run(name)
    opened.run(f"{plot('percentiles')}.focus()")
    opened.key("l", "l")
    assert {before, opened.run(name)} == {"log", "linear"}


def test_tab_reaches_every_chart(opened: Tab) -> None:
    focusable = opened.run(
        "[...document.querySelectorAll('.plot')].every(one => one.tabIndex === 0)"
    )
    named = opened.run(
        "[...document.querySelectorAll('.plot, .plot > svg, .tools button')]"
        ".every(one => one.getAttribute('aria-label'))"
    )
    assert focusable
    assert named


CONTRAST = """
(() => {
  const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratio = (color) => {
    const ink = light(color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  };
  const texts = [...document.querySelectorAll(".plot text")]
    .map((one) => [one.textContent, ratio(getComputedStyle(one).fill)]);
  const others = [...document.querySelectorAll("p, th, td, dt, dd, a, summary, h1, h2, h3")]
    .filter((one) => one.textContent.trim())
    .map((one) => [one.textContent.trim().slice(0, 30), ratio(getComputedStyle(one).color)]);
  const lines = [...document.querySelectorAll(".plot > svg .line:not(.faint)")]
    .map((one) => [one.getAttribute("class"), ratio(getComputedStyle(one).stroke)]);
  return {
    text: [...texts, ...others].filter(([, value]) => value < 4.5),
    line: lines.filter(([, value]) => value < 2.6),
  };
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_stands_out_from_its_ground(opened: Tab, scheme: str) -> None:
    opened.shape(1280, scheme=scheme)
    assert opened.run(CONTRAST) == {"text": [], "line": []}


def test_light_dark_and_paper_have_their_own_colours(opened: Tab) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('#chart-rate .line')).stroke"
    looks = {}
    for scheme in ("light", "dark"):
        opened.shape(1280, scheme=scheme)
        looks[scheme] = (opened.run(paper), opened.run(line))
        assert opened.screenshot().startswith(b"\x89PNG")
    assert looks["light"][0] == "rgb(255, 255, 255)"
    assert looks["light"] != looks["dark"]
    opened.shape(1280, scheme="dark", media="print")
    assert (opened.run(paper), opened.run(line)) == looks["light"]


def test_it_prints_on_a_few_pages_with_all_charts(opened: Tab) -> None:
    pdf = opened.pdf()
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert 3 <= pages <= 12
    assert opened.complaints() == []
    # and the screen is as it was before
    assert opened.run("document.querySelector('.plot > svg').viewBox.baseVal.width") > 900


def test_what_a_file_says_runs_nowhere(tab: Tab, document: Document, tmp_path: Path) -> None:
    evil = "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=1>"
    document["scenario"]["name"] = document["findings"][0]["summary"] = evil
    document["scenario"]["load"]["stages"][1]["name"] = evil
    path = tmp_path / "page.html"
    path.write_bytes(page(document))
    tab.open(path)
    assert tab.run("window.hurt") is None
    assert tab.complaints() == []
    assert tab.run("document.querySelector('h1').textContent").endswith(evil)
