"""The page of a capacity search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadcheck.report.html import page
from loadcheck.result.capacity import SCHEMA
from tests.report.conftest import Tab
from tests.report.test_html import EVIL, Structure, charts, series

Document = dict[str, Any]


def probe(number: int, rate: float, verdict: str, p99_ms: float, **more: Any) -> Document:
    return {
        "number": number,
        "run": f"run{number}",
        "started_at": "2026-11-23T10:00:00.000Z",
        "rate": rate,
        "reached_rate": min(rate, 1000.0),
        "again": False,
        "verdict": verdict,
        "because": "",
        "measured": None,
        "unit": "",
        "close": False,
        "stopped_at_s": None,
        "load_s": 10.0,
        "took_s": 12.0,
        "copies": dict.fromkeys(
            ("started", "skipped", "acknowledged", "rejected", "indeterminate"), 7
        ),
        "latency": {
            "count": 900,
            "p50_ms": p99_ms / 9,
            "p90_ms": 2.0,
            "p95_ms": 2.0,
            "p99_ms": p99_ms,
            "p999_ms": 9.0,
            "max_ms": 99.0,
            "above_range": 0,
            "hdr": "",
        },
        "error_rate": 0.01,
        "carried_rate": None,
        "growth": None,
        "visibility": {"p95_s": 0.5 if verdict == "held" else None},
        "uniques": 7,
        "lost_at_least": 0,
        "duplicated": 0,
        "generator": {"dispatch_lag_p99_ms": 1, "loop_lag_p99_ms": 1, "cpu_share": 0.3},
        "thresholds": [
            {
                "expression": "uploadEvents.p99 < 50ms",
                "measured": p99_ms,
                "unit": "ms",
                "verdict": "pass",
                "own_delay_ms": None,
            }
        ],
        "findings": [
            {"check": "lost", "verdict": "pass", "summary": "None is missing.", "evidence": {}}
        ],
        **more,
    }


@pytest.fixture
def search() -> Document:
    """Return the document of a capacity search that found its answer."""
    broke = {"because": "uploadEvents.p99 < 50ms", "measured": 900.0, "unit": "ms"}
    return {
        "schema": SCHEMA,
        "verdict": "pass",
        "run": {
            "id": "abc",
            "phase": "complete",
            "seed": 7,
            "interrupted": False,
            "error": None,
            "started_at": "2026-11-23T10:00:00.000Z",
            "ended_at": "2026-11-23T10:05:00.000Z",
            "scenario_file": "cap.toml",
        },
        "search": {"took_s": 300.0, "events": 12_000},
        "answer": {
            "rate": 950.0,
            "interval": [950.0, 980.0],
            "precise": True,
            "limited_by": "target",
            **broke,
            "ending": "precise",
        },
        "checks": ["uploadEvents.p99 < 50ms"],
        "probes": [
            probe(1, 100, "held", 3.0),
            probe(2, 3000, "broke", 900.0, carried_rate=970.0, **broke),
            probe(3, 950, "held", 20.0),
            probe(4, 980, "unproven", 60.0, because="generator"),
            probe(5, 980, "cut", 60.0),
        ],
        "scenario": {"name": "launch", "load": {"model": "open"}},
        "workflow": {"name": "amplitude", "id": "w", "ingest": "uploadEvents"},
        "environment": {"loadcheck": "0.1.0"},
        "warnings": [],
    }


def test_the_answer_comes_first(search: Document) -> None:
    text = page(search).decode()
    because = "It takes 950 copies/s before uploadEvents.p99 breaks 50 ms."
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
    assert "No probe has held." in page(search).decode()


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
