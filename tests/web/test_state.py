"""What the page makes of what a run tells: the same figures, and what happened when."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck.report.html import render, update
from loadcheck.report.pages import Cell, Table
from loadcheck.report.pages.timeline import ROWS
from loadcheck.web.state import State
from tests.web.conftest import second


def events(state: State) -> list[str]:
    section = next(each for each in state.page().sections if each.name == "now")
    tables = [block for block in section.blocks if isinstance(block, Table)]
    (table,) = [each for each in tables if "event" in each.columns]
    return [cell.text for _, cell in table.rows if isinstance(cell, Cell)]


def judged(verdict: str) -> dict[str, object]:
    figures = {"measured": 3.0, "low": None, "high": None, "unit": "ms", "own_delay_ms": None}
    return {"expression": "a.p99 < 2ms", "verdict": verdict, **figures}


def test_rows_told_piece_by_piece_come_to_the_timeline() -> None:
    state = State()
    state.take(second(3))
    state.take(second(5, first=3))
    state.take(second(5, first=5))
    (run,) = state.runs
    timeline = run.document()["timeline"]
    assert timeline["second"] == [0, 1, 2, 3, 4]
    assert {len(column) for column in timeline.values()} == {5}


def test_a_broken_threshold_is_the_verdict_so_far() -> None:
    state = State()
    state.take(second(3, thresholds=[judged("pass")]))
    assert state.page().badge == "running"
    assert "No threshold is broken so far, of 1." in state.page().because
    state.take(second(4, first=3, thresholds=[judged("fail")]))
    page = state.page()
    assert (page.badge, page.verdict) == ("failing", "fail")
    assert "Broken so far: a.p99 < 2ms." in page.because
    state.take(second(5, first=4, thresholds=[judged("pass")]))
    assert events(state)[:2] == ["no longer broken: a.p99 < 2ms", "broken: a.p99 < 2ms"]


def test_what_happens_is_told_once_each() -> None:
    state = State()
    state.take(second(3, shards=2))
    lost = second(4, first=3, shards=2, signals=1, trouble="429", stage="stopping")
    lost["now"]["workers"]["shards"][1]["end"] = "lost"
    lost["run"]["aborted"] = {"threshold": "a.p99 < 2ms", "at_s": 3.0}
    lost["warnings"] = ["mind the gap"]
    lost["asked"]["lost"] = {"at_least": 7, "duplicated": 2, "names": ["u-1", "u-2"]}
    lost["asked"]["controls"] = {"acknowledged": 5, "visible": 4}
    state.take(lost)
    told = events(state)
    assert state.page().verdict == "fail"
    assert "Broken so far: 7 users are lost." in state.page().because
    assert told.count("worker 2 was lost") == 1
    for text in (
        "stopped by a threshold: a.p99 < 2ms",
        "interrupted",
        "query failed: 429",
        "mind the gap",
        "7 users are lost: u-1, u-2 …",
        "2 events counted twice",
        "5 fresh control users acknowledged",
        "4 fresh control users are counted",
        "the load is being stopped",
    ):
        assert text in told, (text, told)
    state.take({**lost, "rows": {}, "asked": {**lost["asked"], "observations": []}})
    assert events(state) == told


def test_a_search_begins_anew_with_each_probe_and_keeps_what_came_of_those_before() -> None:
    state = State()
    state.take({**second(3), "title": "probe 1 at 100/s"})
    state.take({"is": "probed", "row": ["1", "100/s", "held", ""]})
    state.take({**second(2), "title": "probe 2 at 200/s"})
    page = state.page()
    assert page.title == "launch: probe 2 at 200/s"
    (run,) = state.runs
    assert len(run.document()["timeline"]["second"]) == 2
    assert [text for text in events(state) if "probe" in text] == [
        "probe 2 at 200/s begins",
        "probe 1 at 100/s begins",
    ]
    assert "probes" in [section.name for section in page.sections]


def test_flows_of_a_mix_are_shown_beside_each_other() -> None:
    state = State()
    mix = {"name": "shop", "flows": ["buy", "look"]}
    for key in ("buy", "look"):
        told = second(3, thresholds=[judged("fail")] if key == "look" else [])
        told |= {"key": key, "mix": {**mix, "flow": key}}
        told["copies"]["users"] = 280
        state.take({**told, "scenario": {"name": key, "load": {}}})
    page = state.page()
    assert page.title == "shop"
    # all together, but for percentiles, which have no sum
    assert [(tile.label, tile.value, tile.note) for tile in page.tiles] == [
        ("Acknowledged", "600", "of 600 sent, of 200,000"),
        ("Achieved rate", "200/s", "target 200/s"),
        ("In flight", "14", "0 retries"),
        ("Not acknowledged", "0", "0 rejected, 0 indeterminate, 0 skipped"),
        ("Visible", "540", "20 to come"),
    ]
    state.take({**second(4, first=3), "key": "buy"})
    page = state.page()
    assert [part.title for part in page.parts] == ["buy", "look"]
    assert [len(run.document()["timeline"]["second"]) for run in state.runs] == [4, 3]
    assert (page.badge, page.verdict) == ("failing", "fail")
    assert page.because.startswith("look: Sending the load: 3.0 s")
    shown = update(page, number=1).decode()
    regions = re.findall(r'data-live=\\"([^\\]+)\\"', shown)
    assert len(regions) == len(set(regions)) > 8


def test_thresholds_of_all_flows_are_shown_as_the_last_that_told_them_has_them() -> None:
    state = State()
    mix = {"name": "shop", "flows": ["buy", "look"]}
    for key in ("buy", "look"):
        told = second(3, together=[judged("pass")] if key == "buy" else [])
        told |= {"key": key, "mix": {**mix, "flow": key}}
        state.take({**told, "scenario": {"name": key, "load": {}}})
    page = state.page()
    assert page.because.endswith("Together: no threshold is broken so far, of 1.")
    assert (page.badge, page.verdict) == ("running", "unknown")
    (overview,) = page.sections
    assert "holds" in render(page).decode().partition(overview.title)[2]
    # the first flow has ended: what it said last holds no longer
    state.take({**second(4, first=3, together=[judged("fail")]), "key": "look"})
    page = state.page()
    assert (page.badge, page.verdict) == ("failing", "fail")
    assert page.because.endswith(f"Together: broken so far: {judged('fail')['expression']}.")
    assert [each.text for each in state.runs[1].events if "together" in each.text] == [
        f"broken: together: {judged('fail')['expression']}"
    ]


def test_what_a_service_says_is_no_markup() -> None:
    state = State()
    state.take(second(3, trouble="<img src=x onerror=alert(1)>\x1b[2J"))
    shown = update(state.page(), number=1).decode()
    assert "<img" not in shown
    assert "\\u001b" not in shown


@settings(max_examples=15)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_the_heat_map_loses_no_sample_however_long_it_gets(seconds: list[int]) -> None:
    state = State()
    state.take(second(1))
    state.page()
    total = 0
    for at, number in enumerate(seconds * 20, 1):
        samples = [0] * ROWS
        samples[number] = 2
        total += 2
        state.take({**second(1, first=1), "heat": samples, "now": second(at)["now"]})
    shown = next(chart for chart in state.page().charts() if chart.heat is not None).heat
    assert shown is not None
    first = 72  # of the message that began it
    assert int(np.sum(shown.cells)) == total + first
    assert list(shown.x) == sorted(set(shown.x))
