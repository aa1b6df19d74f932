"""The page of a run that goes on, in a browser: brought up to date, usable, and over in the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadcheck.report.html import page
from loadcheck.web import LivePage
from tests.report.conftest import AXE, EARLY, Tab
from tests.report.test_html_in_chromium import soon
from tests.web.conftest import second, serving

BECAUSE = "document.querySelector('.because').textContent"
LINE = "document.querySelector('#chart-latency .plot > svg .line').getAttribute('d')"
FIRST_ROW = "document.querySelector('#chart-latency tbody th').textContent"
STATE = "document.getElementById('state').textContent"


@pytest.fixture
def served() -> Iterator[LivePage]:
    with serving() as found:
        found.post(second(30, shards=3))
        yield found


@pytest.fixture
def opened(tab: Tab, served: LivePage) -> Tab:
    tab.open(served.url)
    assert soon(lambda: str(tab.run(STATE)).startswith("Live: brought"), tries=200)
    return tab


def test_the_page_follows_the_run_without_a_complaint(opened: Tab, served: LivePage) -> None:
    opened.run("document.querySelector('#chart-latency .plot').focus()")
    assert soon(lambda: bool(opened.run(LINE)))
    before = opened.run(LINE)
    opened.run("document.querySelector('#chart-latency details').open = true")
    served.post(second(40, first=30, shards=3, left_s=1.0))
    assert soon(lambda: ", 1.0 s left" in opened.run(BECAUSE), tries=200)
    assert soon(lambda: opened.run(LINE) != before, tries=200)
    # what the keyboard stood on, and what was folded out, is as it was
    assert opened.run("document.activeElement.closest('figure').dataset.chart") == "latency"
    assert soon(lambda: opened.run(FIRST_ROW) == "39.5 s", tries=200)
    complaints = [said for said in opened.complaints() if not said.startswith("fetches")]
    assert complaints == []


@pytest.mark.long
def test_a_chart_that_comes_about_and_a_threshold_that_breaks_appear(
    opened: Tab, served: LivePage
) -> None:
    assert opened.run("document.getElementById('chart-others')") is None
    bad = second(31, first=30, shards=3)
    bad["rows"]["rejected"] = [9]
    bad["now"]["thresholds"] = [
        {
            "expression": "a.p99 < 1ms",
            "verdict": "fail",
            "measured": 3.0,
            "low": None,
            "high": None,
            "unit": "ms",
            "own_delay_ms": None,
        }
    ]
    served.post(bad)
    drawn = "document.querySelectorAll('#chart-others .plot > svg .line').length"
    assert soon(lambda: bool(opened.run(drawn)), tries=200)
    assert opened.run("document.querySelector('header').className") == "fail"
    assert opened.run("document.title").startswith("failing launch")


@pytest.mark.long
def test_stop_asks_once_more_and_is_heard(opened: Tab) -> None:
    heard = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: heard.set())
    try:
        button = "document.querySelector('#stop button')"
        opened.run(f"{button}.focus()")
        opened.run(f"{button}.click()")
        assert opened.run(f"{button}.textContent") == "Really stop?"
        assert not heard.is_set()
        # on a busy machine it may no longer be sure by now: then it asks again
        opened.run(f"{button}.click(), {button}.click()")
        assert heard.wait(20)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_report_takes_its_place(opened: Tab, served: LivePage) -> None:
    served.finish(EARLY.read_bytes())
    ended = "document.querySelector('.badge')?.textContent"
    assert soon(
        lambda: opened.run(f"{ended} + Boolean(document.getElementById('stop'))") == "passfalse",
        tries=200,
    )


@pytest.mark.long
def test_a_run_that_has_gone_is_told(opened: Tab, served: LivePage) -> None:
    served.close()
    assert soon(lambda: opened.run(STATE).startswith("The run does not answer"), tries=200)


@pytest.mark.long
def test_it_prints_all_charts_as_they_are_now(opened: Tab, served: LivePage) -> None:
    assert opened.pdf().startswith(b"%PDF")
    drawn = (
        "[...document.querySelectorAll('.plot > svg')].every((one) => one.childElementCount > 4)"
    )
    assert opened.run(drawn)


@pytest.mark.long
@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_run(opened: Tab, axe: str, width: int, scheme: str) -> None:
    opened.shape(width, scheme=scheme)
    opened.run(f"{axe};1")
    assert opened.run(AXE) == []
    assert opened.run("document.documentElement.scrollWidth") <= width


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_report(
    tab: Tab, axe: str, failed: dict[str, object], tmp_path: Path, scheme: str
) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(page(failed))
    tab.shape(1280, scheme=scheme)
    tab.open(path)
    tab.run(f"{axe};1")
    assert tab.run(AXE) == []


@pytest.mark.long
def test_a_page_that_is_opened_before_the_run_shows_it_when_it_begins(tab: Tab) -> None:
    with serving() as early:
        tab.open(early.url)
        assert tab.run(BECAUSE) == "Nothing is sent yet."
        early.post(second(5))
        drawn = "document.querySelectorAll('.plot > svg').length"
        assert soon(lambda: tab.run(drawn) > 5, tries=200)
        early.post(second(6, first=5, left_s=2.0))
        assert soon(lambda: ", 2.0 s left" in tab.run(BECAUSE), tries=200)
