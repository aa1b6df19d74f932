"""The page of a capacity search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loadcheck.report.html import page
from tests.report.conftest import Tab
from tests.report.test_html import EVIL, Structure, charts, series

Document = dict[str, Any]


def test_the_answer_comes_first(search: Document) -> None:
    text = page(search).decode()
    because = "Sustains 950 copies/s; above that uploadEvents.p99 exceeds 50 ms."
    assert f'<p class="because">{because}</p>' in text
    assert Structure(text).texts["h2"][:3] == ["Verdict", "Capacity curve", "Probes"]


def test_the_curve_goes_up_with_the_rate_and_leaves_out_what_was_cut(search: Document) -> None:
    found = charts(search)
    assert list(found) == ["latency", "carried", "errors", "lag"]
    assert series(found["latency"])["p99"] == {100: 3, 950: 20, 980: 60, 3000: 900}
    assert series(found["latency"])["held"] == {100: 3, 950: 20}
    assert series(found["latency"])["broke"] == {3000: 900}
    assert series(found["carried"])["carried"] == {3000: 970}
    assert series(found["lag"])["lag p95"] == {100: 0.5, 950: 0.5, 980: None, 3000: None}
    marks = found["errors"]["marks"]
    assert [(mark["at"], mark["to"]) for mark in marks] == [(950, 980)]
    assert [mark["at"] for mark in found["latency"]["marks"] if mark["role"] == "limit"] == [50]


def test_a_search_without_a_probe_has_a_page(search: Document) -> None:
    search |= {"answer": None, "probes": [], "verdict": "unknown"}
    search["run"]["phase"] = "running"
    assert "No probe held." in page(search).decode()


def test_what_a_search_says_is_escaped(search: Document) -> None:
    search["scenario"]["name"] = search["checks"][0] = search["answer"]["because"] = EVIL
    search["probes"][1]["because"] = EVIL
    assert "<img" not in page(search).decode()


def test_it_is_drawn(tab: Tab, search: Document, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(page(search))
    tab.open(path)
    shapes = tab.run(
        "[...document.querySelectorAll('figure.chart')]"
        ".map(one => one.querySelectorAll('.plot > svg .line, .plot > svg .marker').length)"
    )
    assert len(shapes) == 4
    assert all(shapes)
    assert tab.complaints() == []
